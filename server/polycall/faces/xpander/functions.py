"""Custom functions over the registry: found, made, changed.

A function is a package, and each source and each limit that it is given a version; what is called and shown is the
version made last, whatever its state.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import replace
from uuid import uuid4
from weakref import WeakValueDictionary

from polycall.domain import (
    Convention,
    EgressPolicy,
    EgressRule,
    Function,
    IsolationLevel,
    LimitOverrides,
    Package,
    Principal,
    Reason,
    Scope,
    Version,
)
from polycall.engine.analysis import main_module
from polycall.engine.drafts import VersionDraft
from polycall.engine.engine import Engine
from polycall.engine.keys import reading, require
from polycall.errors import FailedPrecondition, NotFound, NotReady, Unavailable
from polycall.faces.xpander.items import ENTRY, Item, ItemPage, entry_of, item_of, page_of, status_of
from polycall.faces.xpander.queries import PageQuery
from polycall.faces.xpander.requests import Change
from polycall.names import is_package_id
from polycall.quick import dataclass

__all__ = ["FACE", "Functions"]

FACE = "xpander"
_MAIN = "main"
_ID = re.compile(r"[^_/\s]+")  # contract, section 9: clients split tool ids at `_`
_OURS = b'{"face":"xpander"}'  # face_data of the versions that this contract makes
# Another change of the same function between reading and writing means another look. Within a process they wait for
# each other, so no more can be in the way than there are processes, 64 at most, and an analysis that ends.
_ATTEMPTS = 66
# Contract, section 7: the Internet, and nothing internal: `*` reaches public addresses alone (docs/egress.md).
_INTERNET = EgressPolicy(rules=(EgressRule(host="*"),))


@dataclass(frozen=True, slots=True)
class Found:
    """A function and the version that counts; None: it has no source yet."""

    package: Package
    version: Version | None


class Functions:
    """The custom functions of all projects."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._registry = engine.registry
        self._revisions = engine.registry.revisions
        self._changing: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    # to be run

    async def current(self, who: Principal, function_id: str) -> Version | None:
        """Return the version that counts: the one made last, if this contract made it. Raises NotFound.

        Of what was deployed natively it is what native callers get, who name no version.
        """
        _check_id(function_id)
        latest = await self._registry.latest(who.project_id, function_id)
        if latest is None or latest.face_data == _OURS:
            return latest
        return await self._registry.version(who.project_id, function_id)

    async def callable(self, who: Principal, function_id: str) -> tuple[Version, Function]:
        """Return what an id stands for, ready to be run. Raises NotFound, NotReady."""
        version = await self.current(who, function_id)
        if version is None or not version.state.runnable:
            state = status_of(version)
            raise NotReady(f"{function_id} cannot be run (state {state})", metadata={"state": state})
        function = entry_of(version)
        if function is None:
            raise _not_found(function_id)
        return version, function

    async def tool(self, who: Principal, function_id: str) -> tuple[Package, Function]:
        """Return a function that is ready, to be shown as a tool. Raises PermissionDenied, NotFound, NotReady."""
        if Scope.RUN not in who.scopes:
            require(who, Scope.READ)
        _, function = await self.callable(who, function_id)
        return await self._registry.get_package(reading(who), function_id), function

    # to be managed

    async def get(self, who: Principal, function_id: str) -> Item:
        """Return a function with its source. Raises PermissionDenied, NotFound."""
        require(who, Scope.READ)
        return await self._shown(who, await self._found(who, function_id))

    async def list(self, who: Principal, query: PageQuery) -> ItemPage:
        """Return a page of those that this contract made, newest first. Raises PermissionDenied."""
        total, found = await self._revisions.list(who, FACE, query.offset, query.per_page)
        return page_of([item_of(*each) for each in found], total, query.page, query.per_page)

    async def create(self, who: Principal, change: Change) -> Item:
        """Make a function; its source is analysed afterwards.

        Raises PermissionDenied, QueueFull, IsolationUnavailable.
        """
        function_id = str(uuid4())
        package = Package(
            project_id=who.project_id,
            id=function_id,
            created_at=0,
            updated_at=0,
            display_name=change.name or "",
            description=change.description or "",
            face=FACE,
        )
        draft = self._draft(change, function_id, None, {})
        package, version = await self._revisions.create(who, package, draft)
        return item_of(package, version, change.source_code)

    async def check_own(self, who: Principal, function_id: str) -> None:
        """Raise PermissionDenied, NotFound or FailedPrecondition unless a function may be changed."""
        await self._own(who, function_id)

    async def update(self, who: Principal, function_id: str, change: Change) -> Item:
        """Change a function; of changes made at the same time none is lost.

        Raises PermissionDenied, NotFound, FailedPrecondition (deployed by somebody else, or without source), QueueFull,
        Unavailable.
        """
        key = (who.project_id, function_id)
        lock = self._changing.get(key) or asyncio.Lock()
        self._changing[key] = lock
        async with lock:
            for _ in range(_ATTEMPTS):
                found = await self._own(who, function_id)
                made = await self._revised(who, found, change)
                if made is not None:
                    package, version = made
                    return await self._shown(who, Found(package, version or found.version))
        raise Unavailable("Others change this function all the time; nothing was changed. Try again.")

    async def delete(self, who: Principal, function_id: str) -> None:
        """Delete a function; what runs of it ends by itself. Raises PermissionDenied, NotFound, FailedPrecondition."""
        await self._own(who, function_id)
        await self._registry.delete_package(who, function_id)

    # within

    async def _found(self, who: Principal, function_id: str) -> Found:
        _check_id(function_id)
        package = await self._registry.get_package(reading(who), function_id)
        version = await self.current(who, function_id)
        foreign = package.face != FACE
        if foreign and version is not None and version.state.runnable and entry_of(version) is None:
            raise _not_found(function_id)
        return Found(package, version)

    async def _own(self, who: Principal, function_id: str) -> Found:
        """Return a function that this contract made. Raises PermissionDenied, NotFound, FailedPrecondition."""
        require(who, Scope.DEPLOY)
        found = await self._found(who, function_id)
        if found.package.face != FACE:
            raise FailedPrecondition(
                "This function was not made through this API; change and delete it where it was deployed."
            )
        return found

    async def _shown(self, who: Principal, found: Found) -> Item:
        source = None
        if found.version is not None:
            files = await self._registry.get_source(reading(who), found.version)
            module = main_module(files)
            text = files.get(f"{module}.py") if module is not None else None
            source = text.decode(errors="replace") if text is not None else None
        return item_of(found.package, found.version, source)

    async def _revised(self, who: Principal, found: Found, change: Change) -> tuple[Package, Version | None] | None:
        before = found.version
        if change.source_code is not None or change.function_name is not None:
            files: Mapping[str, bytes] = {}
            if before is not None:
                files = await self._registry.get_source(reading(who), before)
            elif change.source_code is None:
                raise FailedPrecondition("This function has no source_code yet; send it together with function_name.")
            draft = self._draft(change, found.package.id, before, files)
            return await self._revisions.revise(who, found.package, change.texts, after=before, draft=draft)
        if change.limits is None:
            return await self._revisions.revise(who, found.package, change.texts)
        if before is None:
            raise FailedPrecondition("This function has no source_code yet; send it together with limits.")
        limits = change.limited(before.limits)
        return await self._revisions.revise(who, found.package, change.texts, after=before, limits=limits)

    def _draft(
        self, change: Change, function_id: str, before: Version | None, files: Mapping[str, bytes]
    ) -> VersionDraft:
        """Return the next version; what is not asked for stays as it was ``before``."""
        module = _MAIN
        if change.source_code is not None:
            files = {f"{_MAIN}.py": change.source_code.encode()}
        else:
            module = main_module(files) or _MAIN
        name = change.function_name
        if name is None and before is not None:
            kept = before.functions[0] if len(before.functions) == 1 else entry_of(before)
            name = kept.name if kept is not None else None
        entry = name or ENTRY
        draft = VersionDraft(
            package_id=function_id,
            files=files,
            functions=(Function(name=entry, entrypoint=f"{module}:{entry}", convention=Convention.KEYWORDS),),
            limits=change.limited(before.limits if before is not None else LimitOverrides()),
            face_data=_OURS,
        )
        if before is None:
            # below that level there is no way out for anybody
            reaches = self._engine.isolation >= IsolationLevel.NAMESPACED
            return replace(draft, egress=_INTERNET if reaches else None)
        return replace(
            draft,
            runtime=before.runtime,
            env=before.env,
            secret_env=before.secret_env,
            secrets=self._registry.secrets(before),
            egress=self._registry.egress(before),
        )


def _check_id(function_id: str) -> None:
    if not _ID.fullmatch(function_id) or not is_package_id(function_id):
        raise _not_found(function_id)


def _not_found(function_id: str) -> NotFound:
    return NotFound(Reason.FUNCTION_NOT_FOUND, "xpander.CustomFunction", function_id)
