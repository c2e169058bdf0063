"""The registry: packages, versions, source bundles."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa

from polycall.bundle import pack_bundle, unpack_bundle
from polycall.domain import Package, Version, VersionState
from polycall.store import packages, revisions, versions
from polycall.store.blobs import Blob, read_blobs
from polycall.store.executor import Executor
from polycall.store.failures import Conflict
from polycall.store.outside import Outside
from polycall.store.paging import page_of, read_token
from polycall.store.protocol import Page
from polycall.store.quota import StorageQuota

__all__ = ["SqlRegistry"]

P = ParamSpec("P")
T = TypeVar("T")

_Put = Callable[[sa.Connection, Version, Blob], Version]


class SqlRegistry:
    """What can be run; see ``polycall.store.protocol.RegistryStore``."""

    def __init__(self, executor: Executor, quota: StorageQuota, outside: Outside) -> None:
        self._executor = executor
        self._quota = quota
        self._outside = outside

    async def create_package(self, package: Package, most: int | None = None) -> Package:
        """Insert; raise AlreadyExists, NotFound (project), QuotaExceeded, Unavailable."""
        await self._growing(package.project_id, packages.create_package, package, most)
        return package

    async def update_package(self, package: Package) -> Package:
        """Replace all but ids, face and creation; return the package. Raises NotFound, AlreadyExists, Unavailable."""
        return await self._aliased(package, packages.update_package, package)

    async def exchange_package(
        self, package: Package, face_data: bytes | None, *, forced: bool = False
    ) -> Package | None:
        """Do the same if it still has that ``face_data``, else return None. Raises as ``update_package``."""
        if forced:
            return await self._executor.write(packages.exchange_package, package, face_data)
        return await self._aliased(package, packages.exchange_package, package, face_data)

    async def get_package(self, project_id: str, package_id: str) -> Package:
        """Return; raise NotFound, Unavailable."""
        return await self._executor.read(packages.get_package, project_id, package_id)

    async def find_package(self, project_id: str, face: str, alias: str) -> Package:
        """Return the package that a face knows by another id; raise NotFound, Unavailable."""
        return await self._executor.read(packages.find_package, project_id, face, alias)

    async def list_packages(
        self, project_id: str, page_size: int, page_token: str = "", *, face: str | None = None
    ) -> Page[Package]:
        """Return a page, newest first, of one face if it is named; raise InvalidArgument (token), Unavailable."""
        scope = ("packages", project_id) if face is None else ("packages", project_id, face)
        after = read_token(scope, page_token, packages.Place.parse)
        found = await self._executor.read(packages.list_packages, project_id, face, after, page_size + 1)
        return page_of(scope, found, page_size)

    async def packages_after(
        self,
        project_id: str,
        face: str,
        after: tuple[int, str] | None,
        most: int,
        *,
        oldest_first: bool = False,
    ) -> Sequence[Package]:
        """Return packages of a face, newest first, after a place: creation time and id. Raises Unavailable."""
        place = packages.Place(*after) if after is not None else None
        found = await self._executor.read(
            packages.list_packages, project_id, face, place, most, oldest_first=oldest_first
        )
        return [package for _, package in found]

    async def with_newest(
        self, project_id: str, face: str, after: str, most: int
    ) -> Sequence[tuple[Package, Version | None]]:
        """Return packages of a face by id, those after one, each with its ``newest_version``. Raises Unavailable."""
        return await self._executor.read(revisions.with_newest, project_id, face, after, most)

    async def create_with_version(self, package: Package, version: Version, files: Mapping[str, bytes]) -> Version:
        """Insert both or neither; raise AlreadyExists, NotFound (project), QuotaExceeded, Unavailable."""
        version, blob = await self._packed(version, files)
        await self._growing(package.project_id, revisions.create_with_version, package, version, blob)
        return version

    async def revise(
        self,
        package: Package,
        texts: Mapping[str, str],
        *,
        after: Version | None = None,
        version: Version | None = None,
        files: Mapping[str, bytes] | None = None,
    ) -> Package | None:
        """Set texts and add a version; see the protocol. Raises NotFound (package), AlreadyExists, Unavailable."""
        blob = None
        if version is not None:
            version, blob = await self._packed(version, files or {})
        return await self._growing(package.project_id, revisions.revise, package, texts, after, version, blob)

    async def latest_version(self, project_id: str, package_id: str) -> Version | None:
        """Return the version that was made last, whatever its state. Raises NotFound (package), Unavailable."""
        return await self._executor.read(revisions.latest_of, project_id, package_id)

    async def list_of_face(
        self, project_id: str, face: str, offset: int, most: int
    ) -> tuple[int, Sequence[tuple[Package, Version | None]]]:
        """Return how many packages a face has, and some with their versions made last. Raises Unavailable."""
        return await self._executor.read(revisions.list_of_face, project_id, face, offset, most)

    async def delete_package(self, project_id: str, package_id: str) -> None:
        """Delete with its versions; its executions stay. Raises NotFound, Unavailable."""
        await self._executor.write(packages.delete_package, project_id, package_id)

    async def create_version(self, version: Version, files: Mapping[str, bytes]) -> Version:
        """Insert with its files; ``bundle`` becomes their digest, an id of "" the next number.

        Raises AlreadyExists, NotFound (package), QuotaExceeded, Unavailable.
        """
        return await self._put(versions.create_version, version, files)

    async def next_version(self, project_id: str, package_id: str) -> int:
        """Return a number above those of all versions of a package. Raises Unavailable."""
        return await self._executor.read(versions.next_number, project_id, package_id)

    async def put_version(self, version: Version, files: Mapping[str, bytes]) -> Version:
        """Insert, or replace one that is not RELEASED; ``bundle`` becomes the digest of the files.

        Raises AlreadyExists(VERSION_RELEASED), NotFound (package), Unavailable.
        """
        return await self._put(versions.put_version, version, files)

    async def swap_version(self, version: Version, files: Mapping[str, bytes], old: Version) -> Version | None:
        """Replace exactly ``old``, which is not RELEASED; None: it was changed since it was read.

        Raises AlreadyExists(VERSION_RELEASED), NotFound (package or version), Unavailable.
        """
        version, blob = await self._packed(version, files)
        swapped = await self._growing(version.project_id, versions.swap_version, version, blob, old)
        return version if swapped else None

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
        """Move a version on; raise NotFound, AlreadyExists(VERSION_RELEASED) for one that is released, Unavailable."""
        return await self._executor.write(
            versions.set_version_state, project_id, package_id, version_id, state, error=error, released_at=released_at
        )

    async def finish_analysis(self, version: Version) -> bool:
        """Write what an analysis found; see the protocol. Raises Unavailable."""
        return await self._executor.write(versions.finish_analysis, version)

    async def analysing_versions(self, limit: int) -> tuple[Version, ...]:
        """Return versions of all projects that are ANALYSING, oldest first. Raises Unavailable."""
        return tuple(await self._executor.read(versions.analysing_versions, limit))

    async def get_version(self, project_id: str, package_id: str, version_id: str) -> Version:
        """Return; raise NotFound (package or version), Unavailable."""
        return await self._executor.read(versions.get_version, project_id, package_id, version_id)

    async def version_of_request(self, project_id: str, package_id: str, request_id: str) -> Version | None:
        """Return the version that was made for a request; None if there is none. Raises Unavailable."""
        return await self._executor.read(versions.version_of_request, project_id, package_id, request_id)

    async def newest_version(self, project_id: str, package_id: str) -> Version | None:
        """Return the newest RELEASED, else the newest READY, else the newest; None without versions.

        Newest is by creation, then by insertion (a replaced version keeps its place). Raises NotFound (package),
        Unavailable.
        """
        return await self._executor.read(versions.newest_version, project_id, package_id)

    async def list_versions(
        self, project_id: str, package_id: str, page_size: int, page_token: str = ""
    ) -> Page[Version]:
        """Return a page, newest first; raise NotFound (package), InvalidArgument (token), Unavailable."""
        scope = ("versions", project_id, package_id)
        after = read_token(scope, page_token, versions.Place.parse)
        found = await self._executor.read(versions.list_versions, project_id, package_id, after, page_size + 1)
        return page_of(scope, found, page_size)

    async def with_warm_policy(self) -> Sequence[tuple[str, str]]:
        """Return project and package of all versions with a warm policy of their own; raise Unavailable."""
        return await self._executor.read(versions.with_warm_policy)

    async def delete_version(self, project_id: str, package_id: str, version_id: str) -> None:
        """Delete one version; raise NotFound (package or version), Unavailable."""
        await self._executor.write(versions.delete_version, project_id, package_id, version_id)

    async def get_bundle(self, project_id: str, digest: str) -> Mapping[str, bytes]:
        """Return the files of a bundle; raise NotFound, Unavailable."""
        found = (await self._executor.read(read_blobs, project_id, [digest])).get(digest)
        if found is None:
            raise versions.no_bundle(digest)
        data = await self._outside.value(found, kept=True)
        try:
            return await asyncio.to_thread(unpack_bundle, data)
        except ValueError:  # a large value of an execution, not a bundle
            raise versions.no_bundle(digest) from None

    async def _aliased(
        self, package: Package, work: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Do what may give a package an alias. Raises AlreadyExists, QuotaExceeded, what ``work`` raises."""
        try:
            return await self._growing(package.project_id, work, *args, **kwargs)
        except Conflict:  # another package got the alias after it was looked for: this time it is found
            return await self._growing(package.project_id, work, *args, **kwargs)

    async def _growing(
        self,
        project_id: str,
        work: Callable[Concatenate[sa.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Do what adds to what a project stores. Raises QuotaExceeded, what ``work`` raises, Unavailable."""
        return await self._executor.write(self._quota.within, project_id, work, *args, **kwargs)

    async def _put(self, work: _Put, version: Version, files: Mapping[str, bytes]) -> Version:
        version, blob = await self._packed(version, files)
        try:
            return await self._growing(version.project_id, work, version, blob)
        except Conflict:  # the package went away after it was looked for
            raise packages.no_package(version.package_id) from None

    async def _packed(self, version: Version, files: Mapping[str, bytes]) -> tuple[Version, Blob]:
        # megabytes take milliseconds to digest: neither on the loop nor in the one writer
        blob = await asyncio.to_thread(lambda: Blob.of(version.project_id, pack_bundle(files)))
        return replace(version, bundle=blob.digest), await self._outside.place(blob)
