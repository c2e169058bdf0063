"""Packages of all projects, checked on the way in. Their versions are the registry's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from polycall.domain import Package, Principal, Scope, Version
from polycall.engine.drafts import check_package
from polycall.engine.keys import require
from polycall.errors import Unavailable
from polycall.ids import now_ms
from polycall.store.protocol import Page, RegistryStore

__all__ = ["Packages"]

_CHANGE_ATTEMPTS = 20  # each is lost to somebody else's change


class Packages:
    """What is known of packages, and what may be said of them: everything but to delete one, which ends what runs."""

    def __init__(self, store: RegistryStore) -> None:
        self._store = store

    async def create_package(
        self, who: Principal, package: Package, *, most: int | None = None, validate_only: bool = False
    ) -> Package:
        """Create an empty package. Raises PermissionDenied, InvalidArgument, AlreadyExists, QuotaExceeded.

        ``most``: how many its face may have in the project.
        """
        require(who, Scope.DEPLOY)
        now = now_ms()
        package = replace(package, project_id=who.project_id, created_at=now, updated_at=now)
        check_package(package)
        return package if validate_only else await self._store.create_package(package, most)

    async def update_package(self, who: Principal, package: Package, *, validate_only: bool = False) -> Package:
        """Replace display name, description and labels, and nothing else.

        Raises PermissionDenied, InvalidArgument, NotFound, Unavailable (others change it all the time).
        """
        require(who, Scope.DEPLOY)
        for _ in range(_CHANGE_ATTEMPTS):
            kept = await self._store.get_package(who.project_id, package.id)
            wanted = replace(
                kept,
                display_name=package.display_name,
                description=package.description,
                labels=package.labels,
                updated_at=now_ms(),
            )
            check_package(wanted)
            # what a face keeps of it is the face's, and may have changed since
            changed = wanted if validate_only else await self._store.exchange_package(wanted, kept.face_data)
            if changed is not None:
                return changed
        raise Unavailable(f"packages/{package.id} is being changed by others all the time; try again.")

    async def change_package(self, who: Principal, package: Package, *, validate_only: bool = False) -> Package:
        """Replace what a face keeps of a package as well: all but ids, face and creation.

        Raises PermissionDenied, InvalidArgument, NotFound, AlreadyExists (alias).
        """
        require(who, Scope.DEPLOY)
        changed = replace(package, project_id=who.project_id, updated_at=now_ms())
        check_package(changed)
        return changed if validate_only else await self._store.update_package(changed)

    async def exchange_package(
        self, who: Principal, package: Package, over: Package, *, forced: bool = False
    ) -> Package | None:
        """Do the same, unless somebody has changed ``face_data`` since ``over`` was read: None then.

        ``forced``: also beyond what the project may store, for what the server has to say of it. Raises as
        ``change_package``.
        """
        require(who, Scope.DEPLOY)
        changed = replace(package, project_id=who.project_id, updated_at=now_ms())
        check_package(changed)
        return await self._store.exchange_package(changed, over.face_data, forced=forced)

    async def find_package(self, who: Principal, face: str, alias: str) -> Package:
        """Return the package that a face knows by another id. Raises PermissionDenied, NotFound."""
        require(who, Scope.READ)
        return await self._store.find_package(who.project_id, face, alias)

    async def get_package(self, who: Principal, package_id: str) -> Package:
        """Return a package. Raises PermissionDenied, NotFound."""
        require(who, Scope.READ)
        return await self._store.get_package(who.project_id, package_id)

    async def list_packages(
        self, who: Principal, page_size: int, page_token: str = "", *, face: str | None = None
    ) -> Page[Package]:
        """Return a page, newest first, of one face if it is named. Raises PermissionDenied, InvalidArgument (token)."""
        require(who, Scope.READ)
        return await self._store.list_packages(who.project_id, page_size, page_token, face=face)

    async def packages_after(
        self,
        who: Principal,
        face: str,
        after: tuple[int, str] | None,
        most: int,
        *,
        oldest_first: bool = False,
    ) -> Sequence[Package]:
        """Return packages of a face, newest first, after a place: ``created_at`` and id, of one that is there or not.

        For contracts whose lists go on from an id and not from a token. Raises PermissionDenied.
        """
        require(who, Scope.READ)
        return await self._store.packages_after(who.project_id, face, after, most, oldest_first=oldest_first)

    async def with_newest(
        self, who: Principal, face: str, after: str, most: int
    ) -> Sequence[tuple[Package, Version | None]]:
        """Return packages of a face in the order of their ids, those after one, with what callers get of each.

        Raises PermissionDenied.
        """
        require(who, Scope.READ)
        return await self._store.with_newest(who.project_id, face, after, most)
