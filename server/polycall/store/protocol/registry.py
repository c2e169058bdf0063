"""What is needed of the store for packages and versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from polycall.domain import Package, Version, VersionState
from polycall.store.protocol.pages import Page

__all__ = ["RegistryStore"]


class RegistryStore(Protocol):
    """Packages, versions and their source bundles."""

    async def create_package(self, package: Package, most: int | None = None) -> Package:
        """Insert; raise AlreadyExists (id or alias: ``resource_name`` tells), NotFound (project).

        QuotaExceeded: its face has ``most`` packages in the project, or the project stores as much as it may. Of those
        who create at once, on whichever server, nobody gets beyond.
        """

    async def update_package(self, package: Package) -> Package:
        """Replace all but ids, face and creation; raise NotFound, AlreadyExists (alias)."""

    async def exchange_package(
        self, package: Package, face_data: bytes | None, *, forced: bool = False
    ) -> Package | None:
        """Do the same if it still has that ``face_data``, else return None; raise NotFound, AlreadyExists (alias).

        ``forced``: also beyond what the project may store.
        """

    async def get_package(self, project_id: str, package_id: str) -> Package:
        """Return; raise NotFound."""

    async def find_package(self, project_id: str, face: str, alias: str) -> Package:
        """Return the package that a face knows by another id; raise NotFound."""

    async def list_packages(
        self, project_id: str, page_size: int, page_token: str = "", *, face: str | None = None
    ) -> Page[Package]:
        """Return a page, newest first, of one face if named; raise InvalidArgument for a token that is not ours."""

    async def packages_after(
        self,
        project_id: str,
        face: str,
        after: tuple[int, str] | None,
        most: int,
        *,
        oldest_first: bool = False,
    ) -> Sequence[Package]:
        """Return packages of a face, newest first, that come after a place: creation time and id, there or not."""

    async def with_newest(
        self, project_id: str, face: str, after: str, most: int
    ) -> Sequence[tuple[Package, Version | None]]:
        """Return packages of a face in the order of their ids, those after one, with the ``newest_version`` of each."""

    async def create_with_version(self, package: Package, version: Version, files: Mapping[str, bytes]) -> Version:
        """Insert a package and its first version, both or neither; raise AlreadyExists, NotFound (project)."""

    async def revise(
        self,
        package: Package,
        texts: Mapping[str, str],
        *,
        after: Version | None = None,
        version: Version | None = None,
        files: Mapping[str, bytes] | None = None,
    ) -> Package | None:
        """Set display name or description (those in ``texts``) and ``updated_at``, and add a version; both or neither.

        ``package``: which one, and when. None, and nothing was written: ``after`` is no longer the version that was
        made last, or not in that state. Raise NotFound (package), AlreadyExists (version).
        """

    async def latest_version(self, project_id: str, package_id: str) -> Version | None:
        """Return the version that was made last, whatever its state; None without versions. Raise NotFound."""

    async def list_of_face(
        self, project_id: str, face: str, offset: int, most: int
    ) -> tuple[int, Sequence[tuple[Package, Version | None]]]:
        """Return how many packages a face has, and some with the version made last, newest first, from an offset on."""

    async def delete_package(self, project_id: str, package_id: str) -> None:
        """Delete with its versions; its executions stay. Raise NotFound."""

    async def create_version(self, version: Version, files: Mapping[str, bytes]) -> Version:
        """Insert with its files (content-addressed), under the next number if it has no id; return it as it is kept.

        Raise AlreadyExists (its id; a version of its ``request_id``), NotFound (package).
        """

    async def next_version(self, project_id: str, package_id: str) -> int:
        """Return a number above those of all versions of a package."""

    async def put_version(self, version: Version, files: Mapping[str, bytes]) -> Version:
        """Insert, or replace one that is not RELEASED (faces' working versions).

        Raise NotFound (package), AlreadyExists(VERSION_RELEASED).
        """

    async def swap_version(self, version: Version, files: Mapping[str, bytes], old: Version) -> Version | None:
        """Replace exactly ``old``, as it was read; None: it was changed since.

        Raise NotFound (package or version), AlreadyExists(VERSION_RELEASED).
        """

    async def set_version_state(
        self,
        project_id: str,
        package_id: str,
        version_id: str,
        state: VersionState,
        *,
        error: str | None = None,
        released_at: int | None = None,
    ) -> Version:
        """Move a version on; raise NotFound, and AlreadyExists(VERSION_RELEASED) for one that is released."""

    async def finish_analysis(self, version: Version) -> bool:
        """Write functions, state, error and ``released_at`` of a version, if it is still ANALYSING this very source.

        False: it is gone, was replaced, or somebody else was quicker.
        """

    async def analysing_versions(self, limit: int) -> tuple[Version, ...]:
        """Return versions of all projects that are ANALYSING, oldest first: for who starts, or looks after others."""

    async def get_version(self, project_id: str, package_id: str, version_id: str) -> Version:
        """Return; raise NotFound (package or version)."""

    async def version_of_request(self, project_id: str, package_id: str, request_id: str) -> Version | None:
        """Return the version of a package that was made for a request; None if there is none."""

    async def newest_version(self, project_id: str, package_id: str) -> Version | None:
        """Return the newest RELEASED, else the newest READY, else the newest of any state; None without versions.

        Raise NotFound for an unknown package. Newest is by creation, ties by insertion.
        """

    async def list_versions(
        self, project_id: str, package_id: str, page_size: int, page_token: str = ""
    ) -> Page[Version]:
        """Return a page, newest first; raise NotFound (package), InvalidArgument (token)."""

    async def with_warm_policy(self) -> Sequence[tuple[str, str]]:
        """Return project and package of all versions with a warm policy of their own. Crosses projects."""

    async def delete_version(self, project_id: str, package_id: str, version_id: str) -> None:
        """Delete one version; raise NotFound."""

    async def get_bundle(self, project_id: str, digest: str) -> Mapping[str, bytes]:
        """Return the files of a bundle; raise NotFound."""
