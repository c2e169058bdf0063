"""Riza's runtimes: builds that code may be run on."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import TypeVar

from polycall.domain import Principal, Reason, Runtime, RuntimeRevision, Scope
from polycall.engine.engine import Engine
from polycall.engine.keys import reading
from polycall.engine.runtimes import RevisionDraft
from polycall.errors import InvalidArgument, NotFound, PayloadTooLarge
from polycall.faces.reply import Handler, Inbound, Reply
from polycall.faces.riza.pages import place_of, read_page, read_query
from polycall.faces.riza.resource import Resource, deleted
from polycall.faces.riza.runtimes import (
    RevisionAsk,
    RevisionBody,
    RuntimeBody,
    read_revision,
    read_runtime,
    renamed,
)
from polycall.faces.wire import dump
from polycall.ids import new_id, to_ulid

__all__ = ["RuntimesFace"]

T = TypeVar("T")

_PAGE = 100
_LARGEST_LIST = 32 << 20  # bytes of manifests; the list of revisions has no pages


class RuntimesFace(Resource):
    """``/v1/runtimes``. Whoever made a runtime, all of the project are here."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.handlers: Mapping[str, Handler] = {
            "CreateRuntime": self.create,
            "ListRuntimes": self.list,
            "GetRuntime": self.get,
            "DeleteRuntime": self.delete,
            "CreateRevision": self.create_revision,
            "ListRevisions": self.list_revisions,
            "GetRevision": self.get_revision,
        }

    async def create(self, inbound: Inbound) -> Reply:
        """POST /v1/runtimes: the first revision is pending then."""
        who = await self._caller(inbound, Scope.DEPLOY)
        ask = await self._read(inbound, read_runtime)
        runtime = Runtime(
            project_id=who.project_id,
            id=to_ulid(new_id()),
            language=ask.language,
            created_at=inbound.received_at,
            display_name=ask.name,
            face_data=ask.face_data,
        )
        made, revision = await _renaming(self._engine.runtimes.create(who, runtime, _draft(ask.revision)))
        assert revision is not None  # noqa: S101  there was a draft
        return Reply(body=dump(RuntimeBody.of(made, revision)))

    async def list(self, inbound: Inbound) -> Reply:
        """GET /v1/runtimes."""
        who = await self._caller(inbound, Scope.READ)
        ask = read_page(read_query(inbound.query))
        place = None
        if ask.after is not None and not ask.nowhere:
            place = await place_of(ask.after, lambda runtime_id: self._created_at(who, runtime_id))
        if ask.after is not None and place is None:
            return Reply(body=dump({"runtimes": []}))
        found = await self._engine.runtimes.after(who, place, ask.limit)
        return Reply(body=dump({"runtimes": [RuntimeBody.of(*each) for each in found]}))

    async def get(self, inbound: Inbound) -> Reply:
        """GET /v1/runtimes/{id}."""
        who = await self._caller(inbound, Scope.READ)
        runtime, newest = await self._found(who, self._runtime_id(inbound))
        return Reply(body=dump(RuntimeBody.of(runtime, newest)))

    async def delete(self, inbound: Inbound) -> Reply:
        """DELETE /v1/runtimes/{id}: its revisions run no more, whoever uses them."""
        who = await self._caller(inbound, Scope.DEPLOY)
        runtime_id = self._runtime_id(inbound)
        await self._engine.runtimes.delete(who, runtime_id, force=True)
        return deleted(runtime_id)

    async def create_revision(self, inbound: Inbound) -> Reply:
        """POST /v1/runtimes/{id}/revisions."""
        who = await self._caller(inbound, Scope.DEPLOY)
        runtime_id = self._runtime_id(inbound)
        ask = await self._read(inbound, read_revision)
        runtime, _ = await self._engine.runtimes.get(reading(who), runtime_id)
        ask.check(runtime.language)
        made = await _renaming(self._engine.runtimes.create_revision(who, runtime_id, _draft(ask)))
        return Reply(body=dump(RevisionBody.of(made)))

    async def list_revisions(self, inbound: Inbound) -> Reply:
        """GET /v1/runtimes/{id}/revisions: all of them."""
        who = await self._caller(inbound, Scope.READ)
        runtime_id = self._runtime_id(inbound)
        shown: list[RevisionBody] = []
        size, token = 0, ""
        while True:
            page = await self._engine.runtimes.list_revisions(who, runtime_id, _PAGE, token)
            size += sum(len(revision.manifest) for revision in page.items)
            if size > _LARGEST_LIST:
                raise PayloadTooLarge(f"The manifests of all revisions have more than {_LARGEST_LIST} bytes.")
            shown += map(RevisionBody.of, page.items)
            token = page.next_token
            if not token:
                return Reply(body=dump({"revisions": shown}))

    async def get_revision(self, inbound: Inbound) -> Reply:
        """GET /v1/runtimes/{id}/revisions/{revision_id}."""
        who = await self._caller(inbound, Scope.READ)
        revision_id = self._id(inbound, "revision_id", Reason.RUNTIME_NOT_FOUND)
        revision = await self._engine.runtimes.get_revision(who, self._runtime_id(inbound), revision_id)
        return Reply(body=dump(RevisionBody.of(revision)))

    # within

    def _runtime_id(self, inbound: Inbound) -> str:
        return self._id(inbound, "runtime_id", Reason.RUNTIME_NOT_FOUND)

    async def _found(self, who: Principal, runtime_id: str) -> tuple[Runtime, RuntimeRevision]:
        """Return a runtime that has a revision: without one it is nothing to this contract. Raises NotFound."""
        runtime, newest = await self._engine.runtimes.get(who, runtime_id)
        if newest is None:
            name = f"runtimes/{runtime_id}"
            raise NotFound(Reason.RUNTIME_NOT_FOUND, "riza.Runtime", name, f"{name} has no revision yet.")
        return runtime, newest

    async def _created_at(self, who: Principal, runtime_id: str) -> int:
        runtime, _ = await self._engine.runtimes.get(who, runtime_id)
        return runtime.created_at


def _draft(ask: RevisionAsk) -> RevisionDraft:
    return RevisionDraft(id=to_ulid(new_id()), manifest=ask.manifest, additional_imports=ask.imports)


async def _renaming(work: Awaitable[T]) -> T:
    try:
        return await work
    except InvalidArgument as error:
        raise renamed(error) from None
