"""Packages together with their code, as faces make and change them: both or neither, and nobody's change is lost."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from polycall.domain import LimitOverrides, Package, Principal, Scope, Version, VersionState
from polycall.engine.drafts import VersionDraft, check_package
from polycall.engine.keys import require
from polycall.engine.limits import LimitPolicy
from polycall.engine.tasks import through
from polycall.errors import AlreadyExists
from polycall.ids import now_ms
from polycall.store.protocol import RegistryStore

if TYPE_CHECKING:
    from polycall.engine.registry import Registry

__all__ = ["NUMBER", "Revisions"]

NUMBER = re.compile(r"[1-9][0-9]{0,17}")  # ids that count: what we would have given out ourselves


class Revisions:
    """What the registry has for contracts in which the version made last is the only one that there is."""

    def __init__(self, registry: Registry, store: RegistryStore, limits: LimitPolicy) -> None:
        self._registry = registry
        self._store = store
        self._limits = limits

    async def create(self, who: Principal, package: Package, draft: VersionDraft) -> tuple[Package, Version]:
        """Create a package and its first version, ANALYSING.

        Raises PermissionDenied, InvalidArgument, LimitOutOfRange, NotFound and RuntimeMissing (runtime), AlreadyExists,
        QueueFull.
        """
        require(who, Scope.DEPLOY)
        now = now_ms()
        package = replace(package, project_id=who.project_id, created_at=now, updated_at=now)
        check_package(package)
        version = await self._registry.drafted(who, replace(draft, id="1"))
        return package, await through(self._create(package, version, draft.files))

    async def revise(
        self,
        who: Principal,
        package: Package,
        texts: Mapping[str, str],
        *,
        after: Version | None = None,
        draft: VersionDraft | None = None,
        limits: LimitOverrides | None = None,
    ) -> tuple[Package, Version | None] | None:
        """Set ``display_name`` or ``description`` (those in ``texts``), and make the next version if there is a reason.

        ``draft`` is new source, which is ANALYSING; ``limits`` alone are new limits of the source of ``after``, whose
        state stays. None, and nothing was changed: ``after`` is not the version made last any more, or not in that
        state; look again. Raises as ``create``, and NotFound (package).
        """
        require(who, Scope.DEPLOY)
        package = replace(
            package,
            project_id=who.project_id,
            updated_at=now_ms(),
            display_name=texts.get("display_name", package.display_name),
            description=texts.get("description", package.description),
        )
        check_package(package)
        version, files = None, None
        if draft is not None:
            version, files = await self._registry.drafted(who, draft), draft.files
        elif limits is not None and after is not None:
            self._limits.resolve(limits, path="version.limits")
            state = VersionState.READY if after.state is VersionState.RELEASED else after.state
            version = replace(
                after, state=state, limits=limits, released_at=None, created_by=who.key_id, request_id=None
            )
            files = (await self._registry.bundle(after)).files
        if version is not None:
            # the order of versions is that of their times, and clocks go backwards
            made_at = max(now_ms(), after.created_at) if after is not None else now_ms()
            version = replace(version, created_at=made_at)
        return await through(self._revise(package, texts, after, version, files))

    async def list(
        self, who: Principal, face: str, offset: int, most: int
    ) -> tuple[int, Sequence[tuple[Package, Version | None]]]:
        """Return how many packages a face has, and some with the version made last, newest first, from an offset on.

        For contracts whose pages have numbers. Raises PermissionDenied.
        """
        require(who, Scope.READ)
        return await self._store.list_of_face(who.project_id, face, offset, most)

    # within; run to their ends: what the database has committed must be seen, whoever goes away meanwhile

    async def _create(self, package: Package, version: Version, files: Mapping[str, bytes]) -> Version:
        version = await self._store.create_with_version(package, version, files)
        await self._registry.kept(version)
        return version

    async def _revise(
        self,
        package: Package,
        texts: Mapping[str, str],
        after: Version | None,
        version: Version | None,
        files: Mapping[str, bytes] | None,
    ) -> tuple[Package, Version | None] | None:
        if version is None:
            changed = await self._store.revise(package, texts)
            return None if changed is None else (changed, None)
        number = int(after.id) + 1 if after is not None and NUMBER.fullmatch(after.id) else 0
        for _ in range(2):  # a number may be taken: by another version made now, or by an older one
            number = number or await self._store.next_version(package.project_id, package.id)
            version = replace(version, id=str(number))
            with suppress(AlreadyExists):
                changed = await self._store.revise(package, texts, after=after, version=version, files=files)
                if changed is None:
                    return None
                await self._registry.kept(version)
                return changed, version
            number = 0
        return None
