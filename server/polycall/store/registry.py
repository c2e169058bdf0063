"""Packages, versions, source bundles."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import msgspec
import sqlalchemy as sa

from polycall.bundle import pack_bundle, unpack_bundle
from polycall.domain import Function, Language, LimitOverrides, Package, Reason, Version, VersionState
from polycall.errors import AlreadyExists, NotFound
from polycall.store.blobs import Blob, read_blobs, write_blobs
from polycall.store.dialects import insert
from polycall.store.executor import Executor
from polycall.store.failures import Conflict
from polycall.store.paging import page_of, read_token
from polycall.store.protocol import Page
from polycall.store.rows import json_text
from polycall.store.tables import packages, projects, versions

__all__ = ["SqlRegistry"]

_p = packages.c
_v = versions.c
_decode_map = msgspec.json.Decoder(dict[str, str]).decode
_decode_functions = msgspec.json.Decoder(tuple[Function, ...]).decode
_decode_limits = msgspec.json.Decoder(LimitOverrides).decode


class SqlRegistry:
    """What can be run; see ``polycall.store.protocol.RegistryStore``."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def create_package(self, package: Package) -> Package:
        """Insert; raise AlreadyExists, NotFound (project), Unavailable."""
        await self._executor.write(_create_package, package)
        return package

    async def update_package(self, package: Package) -> Package:
        """Replace display name, description, labels, updated_at; return the package. Raises NotFound, Unavailable."""
        return await self._executor.write(_update_package, package)

    async def get_package(self, project_id: str, package_id: str) -> Package:
        """Return; raise NotFound, Unavailable."""
        return await self._executor.read(_package, project_id, package_id)

    async def list_packages(self, project_id: str, page_size: int, page_token: str = "") -> Page[Package]:
        """Return a page, newest first; raise InvalidArgument (token), Unavailable."""
        scope = ("packages", project_id)
        statement = sa.select(packages).where(_p.project_id == project_id)
        if page_token:
            created_at, _, package_id = read_token(scope, page_token).partition(" ")
            statement = statement.where(sa.tuple_(_p.created_at, _p.id) < sa.tuple_(int(created_at), package_id))
        statement = statement.order_by(_p.created_at.desc(), _p.id.desc()).limit(page_size + 1)
        return page_of(scope, await self._executor.read(_packages, statement), page_size)

    async def delete_package(self, project_id: str, package_id: str) -> None:
        """Delete with its versions; its executions stay. Raises NotFound, Unavailable."""
        await self._executor.write(_delete_package, project_id, package_id)

    async def create_version(self, version: Version, files: Mapping[str, bytes]) -> Version:
        """Insert with its files; ``bundle`` becomes their digest.

        Raises AlreadyExists, NotFound (package), Unavailable.
        """
        return await self._put(_create_version, version, files)

    async def put_version(self, version: Version, files: Mapping[str, bytes]) -> Version:
        """Insert, or replace one that is not RELEASED; ``bundle`` becomes the digest of the files.

        Raises AlreadyExists(VERSION_RELEASED), NotFound (package), Unavailable.
        """
        return await self._put(_put_version, version, files)

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
            _set_version_state, project_id, package_id, version_id, state, error=error, released_at=released_at
        )

    async def get_version(self, project_id: str, package_id: str, version_id: str) -> Version:
        """Return; raise NotFound (package or version), Unavailable."""
        return await self._executor.read(_version, project_id, package_id, version_id)

    async def newest_version(self, project_id: str, package_id: str) -> Version | None:
        """Return the newest RELEASED, else the newest READY, else the newest; None without versions.

        Newest is by creation, then by insertion (a replaced version keeps its place). Raises NotFound (package),
        Unavailable.
        """
        return await self._executor.read(_newest_version, project_id, package_id)

    async def list_versions(
        self, project_id: str, package_id: str, page_size: int, page_token: str = ""
    ) -> Page[Version]:
        """Return a page, newest first; raise NotFound (package), InvalidArgument (token), Unavailable."""
        scope = ("versions", project_id, package_id)
        statement = sa.select(versions).where(_v.project_id == project_id, _v.package_id == package_id)
        if page_token:
            created_at, _, seq = read_token(scope, page_token).partition(" ")
            statement = statement.where(sa.tuple_(_v.created_at, _v.seq) < sa.tuple_(int(created_at), int(seq)))
        statement = statement.order_by(_v.created_at.desc(), _v.seq.desc()).limit(page_size + 1)
        found = await self._executor.read(_versions, project_id, package_id, statement)
        return page_of(scope, found, page_size)

    async def delete_version(self, project_id: str, package_id: str, version_id: str) -> None:
        """Delete one version; raise NotFound (package or version), Unavailable."""
        await self._executor.write(_delete_version, project_id, package_id, version_id)

    async def get_bundle(self, project_id: str, digest: str) -> Mapping[str, bytes]:
        """Return the files of a bundle; raise NotFound, Unavailable."""
        return await self._executor.read(_bundle, project_id, digest)

    async def _put(self, work: _Put, version: Version, files: Mapping[str, bytes]) -> Version:
        # megabytes take milliseconds to digest: neither on the loop nor in the one writer
        blob = await asyncio.to_thread(lambda: Blob.of(version.project_id, pack_bundle(files)))
        version = replace(version, bundle=blob.digest)
        try:
            await self._executor.write(work, version, blob)
        except Conflict:  # the package went away after it was looked for
            raise _no_package(version.package_id) from None
        return version


_Put = Callable[[sa.Connection, Version, Blob], None]


# packages


def _create_package(conn: sa.Connection, package: Package) -> None:
    if conn.execute(sa.select(projects.c.id).where(projects.c.id == package.project_id)).first() is None:
        name = f"projects/{package.project_id}"
        raise NotFound(Reason.PROJECT_NOT_FOUND, "polycall.v1.Project", name, f"{name} does not exist.")
    values = {
        "project_id": package.project_id,
        "id": package.id,
        "display_name": package.display_name,
        "description": package.description,
        "labels": json_text(package.labels),
        "created_at": package.created_at,
        "updated_at": package.updated_at,
    }
    if conn.execute(insert(conn.dialect.name, packages).on_conflict_do_nothing(), values).rowcount != 1:
        raise AlreadyExists("polycall.v1.Package", f"packages/{package.id}")


def _update_package(conn: sa.Connection, package: Package) -> Package:
    row = conn.execute(
        sa.update(packages)
        .where(*_is_package(package.project_id, package.id))
        .values(
            display_name=package.display_name,
            description=package.description,
            labels=json_text(package.labels),
            updated_at=package.updated_at,
        )
        .returning(packages)
    ).first()
    if row is None:
        raise _no_package(package.id)
    return _package_of(row)


def _package(conn: sa.Connection, project_id: str, package_id: str) -> Package:
    row = conn.execute(sa.select(packages).where(*_is_package(project_id, package_id))).first()
    if row is None:
        raise _no_package(package_id)
    return _package_of(row)


def _packages(conn: sa.Connection, statement: sa.Select[Any]) -> list[tuple[str, Package]]:
    return [(f"{row.created_at} {row.id}", _package_of(row)) for row in conn.execute(statement)]


def _delete_package(conn: sa.Connection, project_id: str, package_id: str) -> None:
    # its versions go with it (ON DELETE CASCADE)
    if conn.execute(sa.delete(packages).where(*_is_package(project_id, package_id))).rowcount != 1:
        raise _no_package(package_id)


def _is_package(project_id: str, package_id: str) -> tuple[sa.ColumnElement[bool], ...]:
    return (_p.project_id == project_id, _p.id == package_id)


def _package_of(row: sa.Row[Any]) -> Package:
    return Package(
        project_id=row.project_id,
        id=row.id,
        created_at=row.created_at,
        updated_at=row.updated_at,
        display_name=row.display_name,
        description=row.description,
        labels=_decode_map(row.labels),
    )


# versions


def _create_version(conn: sa.Connection, version: Version, bundle: Blob) -> None:
    _package(conn, version.project_id, version.package_id)
    write_blobs(conn, [bundle])
    if conn.execute(insert(conn.dialect.name, versions).on_conflict_do_nothing(), _version_row(version)).rowcount != 1:
        raise AlreadyExists("polycall.v1.Version", _version_name(version.package_id, version.id))


def _put_version(conn: sa.Connection, version: Version, bundle: Blob) -> None:
    _package(conn, version.project_id, version.package_id)
    write_blobs(conn, [bundle])
    row = _version_row(version)
    statement = insert(conn.dialect.name, versions)
    statement = statement.on_conflict_do_update(
        index_elements=["project_id", "package_id", "id"],
        set_={name: statement.excluded[name] for name in row},
        where=_v.state != VersionState.RELEASED.value,
    )
    if conn.execute(statement, row).rowcount != 1:
        raise _released(version.package_id, version.id)


def _set_version_state(
    conn: sa.Connection,
    project_id: str,
    package_id: str,
    version_id: str,
    state: VersionState,
    *,
    error: str | None,
    released_at: int | None,
) -> Version:
    row = conn.execute(
        sa.update(versions)
        .where(*_is_version(project_id, package_id, version_id), _v.state != VersionState.RELEASED.value)
        .values(state=state.value, error=error, released_at=released_at)
        .returning(versions)
    ).first()
    if row is None:
        _version(conn, project_id, package_id, version_id)
        raise _released(package_id, version_id)
    return _version_of(row)


def _version(conn: sa.Connection, project_id: str, package_id: str, version_id: str) -> Version:
    row = conn.execute(sa.select(versions).where(*_is_version(project_id, package_id, version_id))).first()
    if row is None:
        _package(conn, project_id, package_id)
        raise _no_version(package_id, version_id)
    return _version_of(row)


def _newest_version(conn: sa.Connection, project_id: str, package_id: str) -> Version | None:
    rank = sa.case((_v.state == VersionState.RELEASED.value, 0), (_v.state == VersionState.READY.value, 1), else_=2)
    row = conn.execute(
        sa.select(versions)
        .where(_v.project_id == project_id, _v.package_id == package_id)
        .order_by(rank, _v.created_at.desc(), _v.seq.desc())
        .limit(1)
    ).first()
    if row is None:
        _package(conn, project_id, package_id)
        return None
    return _version_of(row)


def _versions(
    conn: sa.Connection, project_id: str, package_id: str, statement: sa.Select[Any]
) -> list[tuple[str, Version]]:
    _package(conn, project_id, package_id)
    return [(f"{row.created_at} {row.seq}", _version_of(row)) for row in conn.execute(statement)]


def _delete_version(conn: sa.Connection, project_id: str, package_id: str, version_id: str) -> None:
    if conn.execute(sa.delete(versions).where(*_is_version(project_id, package_id, version_id))).rowcount != 1:
        _package(conn, project_id, package_id)
        raise _no_version(package_id, version_id)


def _bundle(conn: sa.Connection, project_id: str, digest: str) -> dict[str, bytes]:
    found = read_blobs(conn, project_id, [digest])
    try:
        return unpack_bundle(found[digest])
    except (KeyError, ValueError):  # ValueError: a large value of an execution, not a bundle
        name = f"bundles/{digest}"
        raise NotFound(Reason.VERSION_NOT_FOUND, "polycall.v1.Version", name) from None


def _is_version(project_id: str, package_id: str, version_id: str) -> tuple[sa.ColumnElement[bool], ...]:
    return (_v.project_id == project_id, _v.package_id == package_id, _v.id == version_id)


def _version_row(version: Version) -> dict[str, Any]:
    return {
        "project_id": version.project_id,
        "package_id": version.package_id,
        "id": version.id,
        "state": version.state.value,
        "language": version.language.value,
        "created_at": version.created_at,
        "bundle": version.bundle,
        "functions": json_text(version.functions),
        "limits": json_text(version.limits),
        "env": json_text(version.env),
        "runtime": version.runtime,
        "reuse": version.reuse,
        "released_at": version.released_at,
        "created_by": version.created_by,
        "error": version.error,
        "face_data": version.face_data,
    }


def _version_of(row: sa.Row[Any]) -> Version:
    return Version(
        project_id=row.project_id,
        package_id=row.package_id,
        id=row.id,
        state=VersionState(row.state),
        language=Language(row.language),
        created_at=row.created_at,
        bundle=row.bundle,
        functions=_decode_functions(row.functions),
        limits=_decode_limits(row.limits),
        env=_decode_map(row.env),
        runtime=row.runtime,
        reuse=row.reuse,
        released_at=row.released_at,
        created_by=row.created_by,
        error=row.error,
        face_data=row.face_data,
    )


def _version_name(package_id: str, version_id: str) -> str:
    return f"packages/{package_id}/versions/{version_id}"


def _no_package(package_id: str) -> NotFound:
    return NotFound(Reason.PACKAGE_NOT_FOUND, "polycall.v1.Package", f"packages/{package_id}")


def _no_version(package_id: str, version_id: str) -> NotFound:
    return NotFound(Reason.VERSION_NOT_FOUND, "polycall.v1.Version", _version_name(package_id, version_id))


def _released(package_id: str, version_id: str) -> AlreadyExists:
    name = _version_name(package_id, version_id)
    return AlreadyExists(
        "polycall.v1.Version",
        name,
        f"{name} is released and cannot change; make a new version.",
        reason=Reason.VERSION_RELEASED,
    )
