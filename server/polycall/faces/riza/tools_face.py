"""Riza's tools: functions that are kept, with all their revisions, and run by id."""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial

from polycall.domain import Package, Principal, Reason, Scope, Version
from polycall.engine.drafts import check_package
from polycall.engine.engine import Engine
from polycall.engine.inputs import InputSchemas
from polycall.engine.keys import reading
from polycall.errors import FieldViolation, InvalidArgument, NotFound, Unavailable
from polycall.faces.aside import aside
from polycall.faces.reply import Handler, Inbound, Reply
from polycall.faces.riza.pages import PAGE_BYTES, Place, place_of, read_page, read_query
from polycall.faces.riza.requests import Bounds
from polycall.faces.riza.resource import FACE, Resource, deleted
from polycall.faces.riza.results import FunctionResult
from polycall.faces.riza.runs import Runs
from polycall.faces.riza.tools import Edit, ToolBody, draft_of, pointer, read_call, read_edit, revision_of, schema_of
from polycall.faces.wire import dump
from polycall.ids import new_id, to_ulid

__all__ = ["ToolsFace"]

# Other servers may change a tool at the same time; more than a few times is not chance.
_ATTEMPTS = 5
# What the engine calls the fields of a package, and what this contract does.
_FIELDS = {"package.display_name": "name", "package.description": "description"}


class ToolsFace(Resource):
    """``/v1/tools``. A tool is a package that this face made."""

    def __init__(self, engine: Engine, runs: Runs, bounds: Bounds) -> None:
        super().__init__(engine)
        self._runs = runs
        self._bounds = bounds
        self._schemas = InputSchemas(engine.runner)
        # one change of a tool at a time; kept by those who hold one or wait for it
        self._turns: weakref.WeakValueDictionary[tuple[str, str], asyncio.Lock] = weakref.WeakValueDictionary()
        self.handlers: Mapping[str, Handler] = {
            "CreateTool": self.create,
            "ListTools": self.list,
            "GetTool": self.get,
            "UpdateTool": self.update,
            "DeleteTool": self.delete,
            "ExecuteTool": self.execute,
        }

    async def create(self, inbound: Inbound) -> Reply:
        """POST /v1/tools. Code that does not compile is kept: its runs say why."""
        who = await self._caller(inbound, Scope.DEPLOY)
        edit = await self._edit(who, inbound, new=True)
        runtime = await self._runtime(who, edit)
        revision_id = to_ulid(new_id())
        package = Package(
            project_id=who.project_id,
            id=to_ulid(new_id()),
            created_at=inbound.received_at,
            updated_at=inbound.received_at,
            display_name=edit.name or "",
            description=edit.description or "",
            face=FACE,
            face_data=pointer(revision_id),
        )
        draft = draft_of(edit, package.id, revision_id, runtime, None)
        package = await self._engine.registry.create_package(who, _checked(package))
        try:
            version = await self._engine.registry.create_version(who, draft, release=True)
        except BaseException:
            # without a version it is no tool; nobody has seen it yet
            with suppress(NotFound):
                await self._engine.registry.delete_package(who, package.id)
            raise
        return Reply(body=dump(ToolBody.of(package, version, draft.files)))

    async def list(self, inbound: Inbound) -> Reply:
        """GET /v1/tools: fewer than asked for where they are large."""
        who = await self._caller(inbound, Scope.READ)
        ask = read_page(read_query(inbound.query))
        place: Place | None = None
        if ask.after is not None:
            place = None if ask.nowhere else await place_of(ask.after, lambda tool_id: self._created_at(who, tool_id))
            if place is None:
                return _page([])
        shown: list[bytes] = []
        size = 0
        while len(shown) < ask.limit:
            found = await self._engine.registry.packages_after(who, FACE, place, ask.limit - len(shown))
            if not found:
                break
            for package in found:
                with suppress(NotFound):  # it went meanwhile, or its current revision was taken from it
                    body = await self._shown(who, package)
                    size += len(body)
                    if shown and size > PAGE_BYTES:
                        return _page(shown)
                    shown.append(body)
            place = (found[-1].created_at, found[-1].id)
        return _page(shown)

    async def get(self, inbound: Inbound) -> Reply:
        """GET /v1/tools/{id}."""
        who = await self._caller(inbound, Scope.READ)
        return Reply(body=await self._shown(who, await self._tool(who, inbound)))

    async def update(self, inbound: Inbound) -> Reply:
        """POST /v1/tools/{id}: a new revision, unless nothing is said; older ones stay."""
        who = await self._caller(inbound, Scope.DEPLOY)
        tool_id = self._tool_id(inbound)
        await self._tool(reading(who), inbound)
        edit = await self._edit(who, inbound, new=False)
        runtime = await self._runtime(who, edit)
        async with self._turn(who, tool_id):
            for _ in range(_ATTEMPTS):
                package = await self._tool(reading(who), inbound)
                if edit.empty or await self._revised(who, package, edit, runtime):
                    package = await self._tool(reading(who), inbound)
                    return Reply(body=await self._shown(reading(who), package))
        raise Unavailable(f"Tool {tool_id} is being changed by others all the time; nothing was changed. Try again.")

    async def delete(self, inbound: Inbound) -> Reply:
        """DELETE /v1/tools/{id}: with all its revisions; its executions stay."""
        who = await self._caller(inbound, Scope.DEPLOY)
        package = await self._tool(reading(who), inbound)
        await self._engine.registry.delete_package(who, package.id)
        return deleted(package.id)

    async def execute(self, inbound: Inbound) -> Reply:
        """POST /v1/tools/{id}/execute: run a revision, unless the input does not fit its schema."""
        begun = time.monotonic()
        who = await self._caller(inbound, Scope.RUN)
        call = await self._read(inbound, read_call)
        package = await self._tool(reading(who), inbound)
        version = await self._revision(who, package, call.revision_id)
        await self._schemas.check(who.project_id, schema_of(version), call.input, "input")
        asked = call.of(package.id, version, await self._files(who, version), self._bounds)
        ended = await self._runs.run(who, asked, inbound, begun)
        size = len(ended.stdout) + len(ended.stderr)
        return Reply(body=await aside(size, lambda: dump(FunctionResult.of(ended))))

    # within

    def _tool_id(self, inbound: Inbound) -> str:
        return self._id(inbound, "tool_id", Reason.PACKAGE_NOT_FOUND)

    def _turn(self, who: Principal, tool_id: str) -> asyncio.Lock:
        key = (who.project_id, tool_id)
        turn = self._turns.get(key)
        if turn is None:
            turn = self._turns[key] = asyncio.Lock()
        return turn

    async def _edit(self, who: Principal, inbound: Inbound, *, new: bool) -> Edit:
        edit = await self._read(inbound, partial(read_edit, new=new))
        if edit.input_schema is not None:
            await self._schemas.check_schema(who.project_id, edit.input_schema, "input_schema")
        return edit

    async def _runtime(self, who: Principal, edit: Edit) -> str:
        """Return the name of the runtime that an edit names; "" for none. Raises NotFound."""
        return await self._runs.runtime(who, edit.runtime_revision_id) if edit.runtime_revision_id else ""

    async def _tool(self, who: Principal, inbound: Inbound) -> Package:
        """Return the tool of the path. Raises NotFound, also for a package of another contract."""
        tool_id = self._tool_id(inbound)
        try:
            package = await self._engine.registry.get_package(who, tool_id)
        except NotFound:
            package = None
        if package is None or package.face != FACE:
            shown = tool_id[:64]
            message = f"There is no tool {shown!r} in this project."
            raise NotFound(Reason.PACKAGE_NOT_FOUND, "riza.Tool", shown, message)
        return package

    async def _created_at(self, who: Principal, tool_id: str) -> int:
        return (await self._engine.registry.get_package(who, tool_id)).created_at

    async def _revision(self, who: Principal, package: Package, revision_id: str | None) -> Version:
        """Return a revision of a tool, by default the current one. Raises NotFound."""
        wanted = revision_id or revision_of(package)
        if revision_id != "-" and "\0" not in wanted:  # to the engine a dash means the newest, as nothing does
            with suppress(NotFound):
                return await self._engine.registry.get_version(reading(who), package.id, wanted or None)
        shown = wanted[:64]
        message = f"revision_id: tool {package.id} has no revision {shown!r}."
        raise NotFound(Reason.VERSION_NOT_FOUND, "riza.ToolRevision", shown, message)

    async def _files(self, who: Principal, version: Version) -> Mapping[str, bytes]:
        return await self._engine.registry.get_source(reading(who), version)

    async def _shown(self, who: Principal, package: Package) -> bytes:
        version = await self._revision(who, package, None)
        return dump(ToolBody.of(package, version, await self._files(who, version)))

    async def _revised(self, who: Principal, package: Package, edit: Edit, runtime: str) -> bool:
        """Make a revision and say that it is current; False if another server has made one since: it is none then."""
        before = await self._revision(who, package, None)
        revision_id = to_ulid(new_id())
        draft = draft_of(edit, package.id, revision_id, runtime, (before, await self._files(who, before)))
        changed = _changed(package, edit, revision_id)
        await self._engine.registry.create_version(who, draft, release=True)
        if await self._engine.registry.exchange_package(who, changed, package) is not None:
            return True
        with suppress(NotFound):
            await self._engine.registry.delete_version(who, package.id, revision_id)
        return False


def _changed(package: Package, edit: Edit, revision_id: str) -> Package:
    """Return a tool as an edit leaves it. Raises InvalidArgument."""
    return _checked(
        replace(
            package,
            display_name=package.display_name if edit.name is None else edit.name,
            description=package.description if edit.description is None else edit.description,
            face_data=pointer(revision_id),
        )
    )


def _checked(package: Package) -> Package:
    """Return a package that can be one. Raises InvalidArgument, in this contract's names of the fields."""
    try:
        check_package(package)
    except InvalidArgument as error:
        raise InvalidArgument(
            [FieldViolation(_FIELDS.get(v.field, v.field), v.description) for v in error.violations]
        ) from None
    return package


def _page(shown: list[bytes]) -> Reply:
    return Reply(body=b'{"tools":[%s]}' % b",".join(shown))
