"""polycall.v1.RuntimeService."""

from __future__ import annotations

from dataclasses import replace

from google.protobuf import empty_pb2

from polycall.domain import Principal, Runtime, RuntimeRevision, Scope
from polycall.engine.engine import Engine
from polycall.engine.keys import require
from polycall.interceptors.rpc import Rpc
from polycall.names import RevisionName, RuntimeName
from polycall.services.once import Once, as_reader, found_or_made, id_of
from polycall.services.runtime_messages import (
    NewRevision,
    NewRuntime,
    read_new_revision,
    read_new_runtime,
    read_revisions_page,
    read_runtimes_page,
    read_wait,
    revision_message,
    runtime_message,
)
from polycall.v1 import runtime_pb2, runtime_service_pb2, runtime_service_pb2_grpc

__all__ = ["RuntimeService"]


class RuntimeService(runtime_service_pb2_grpc.RuntimeServiceServicer):
    """Keeps runtimes: languages with packages of one's own."""

    def __init__(self, engine: Engine) -> None:
        self._runtimes = engine.runtimes
        self._made: Once[tuple[Runtime, RuntimeRevision | None]] = Once()
        self._revised: Once[RuntimeRevision] = Once()

    async def CreateRuntime(self, request: runtime_service_pb2.CreateRuntimeRequest, rpc: Rpc) -> runtime_pb2.Runtime:
        """Create a runtime, with its first revision if there is one."""
        require(rpc.who, Scope.DEPLOY)  # before an answer that another key of the project was given
        new = read_new_runtime(request)
        made = await self._made(
            rpc.who.project_id,
            None if new.validate_only else new.request_id,
            lambda: self._create(rpc.who, new),
        )
        return runtime_message(*made)

    async def GetRuntime(self, request: runtime_service_pb2.GetRuntimeRequest, rpc: Rpc) -> runtime_pb2.Runtime:
        """Return a runtime."""
        return runtime_message(*await self._runtimes.get(rpc.who, RuntimeName.parse(request.name).runtime))

    async def ListRuntimes(
        self, request: runtime_service_pb2.ListRuntimesRequest, rpc: Rpc
    ) -> runtime_service_pb2.ListRuntimesResponse:
        """List runtimes, newest first."""
        page = await self._runtimes.list(rpc.who, *read_runtimes_page(request))
        return runtime_service_pb2.ListRuntimesResponse(
            runtimes=[runtime_message(*item) for item in page.items], next_page_token=page.next_token
        )

    async def DeleteRuntime(self, request: runtime_service_pb2.DeleteRuntimeRequest, rpc: Rpc) -> empty_pb2.Empty:
        """Delete a runtime and its revisions."""
        await self._runtimes.delete(rpc.who, RuntimeName.parse(request.name).runtime, force=request.force)
        return empty_pb2.Empty()

    async def CreateRuntimeRevision(
        self, request: runtime_service_pb2.CreateRuntimeRevisionRequest, rpc: Rpc
    ) -> runtime_pb2.RuntimeRevision:
        """Create a revision and have it built."""
        require(rpc.who, Scope.DEPLOY)
        new = read_new_revision(request)
        made = await self._revised(
            rpc.who.project_id,
            None if new.validate_only else new.request_id,
            lambda: self._create_revision(rpc.who, new),
        )
        return revision_message(made)

    async def GetRuntimeRevision(
        self, request: runtime_service_pb2.GetRuntimeRevisionRequest, rpc: Rpc
    ) -> runtime_pb2.RuntimeRevision:
        """Return a revision with its log so far."""
        name = RevisionName.parse(request.name, whole=True)
        return revision_message(await self._runtimes.get_revision(rpc.who, name.runtime, name.revision))

    async def ListRuntimeRevisions(
        self, request: runtime_service_pb2.ListRuntimeRevisionsRequest, rpc: Rpc
    ) -> runtime_service_pb2.ListRuntimeRevisionsResponse:
        """List the revisions of a runtime, newest first."""
        page = await self._runtimes.list_revisions(rpc.who, *read_revisions_page(request))
        return runtime_service_pb2.ListRuntimeRevisionsResponse(
            revisions=[revision_message(revision, log=False) for revision in page.items],
            next_page_token=page.next_token,
        )

    async def WaitRuntimeRevision(
        self, request: runtime_service_pb2.WaitRuntimeRevisionRequest, rpc: Rpc
    ) -> runtime_pb2.RuntimeRevision:
        """Return a revision once its build has ended."""
        name, seconds = read_wait(request)
        return revision_message(await self._runtimes.wait_revision(rpc.who, name.runtime, name.revision, seconds))

    async def _create(self, who: Principal, new: NewRuntime) -> tuple[Runtime, RuntimeRevision | None]:
        """Create a runtime, unless another server has done so for the same request."""
        if new.request_id is None or new.validate_only or new.runtime.id:
            return await self._runtimes.create(who, new.runtime, new.draft, validate_only=new.validate_only)
        runtime = replace(new.runtime, id=id_of(who.project_id, "runtime", new.request_id))
        return await found_or_made(
            lambda: self._runtimes.get(as_reader(who), runtime.id),
            lambda: self._runtimes.create(who, runtime, new.draft),
        )

    async def _create_revision(self, who: Principal, new: NewRevision) -> RuntimeRevision:
        """Create a revision, unless another server has done so for the same request."""
        create, runtime_id = self._runtimes.create_revision, new.runtime_id
        if new.request_id is None or new.validate_only or new.draft.id:
            return await create(who, runtime_id, new.draft, validate_only=new.validate_only)
        draft = replace(new.draft, id=id_of(who.project_id, f"revision of {runtime_id}", new.request_id))
        return await found_or_made(
            lambda: self._runtimes.get_revision(as_reader(who), runtime_id, draft.id),
            lambda: create(who, runtime_id, draft),
        )
