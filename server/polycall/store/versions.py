"""Versions and their source bundles: functions of a connection."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from polycall.domain import (
    DEFAULT_WARM,
    EgressPolicy,
    Function,
    Language,
    LimitOverrides,
    Reason,
    Version,
    VersionState,
    WarmPolicy,
)
from polycall.errors import AlreadyExists, NotFound
from polycall.names import VersionName
from polycall.store.blobs import Blob, write_blobs
from polycall.store.dialects import insert
from polycall.store.packages import get_package
from polycall.store.paging import place_number
from polycall.store.quota import lock_project, row_bytes
from polycall.store.rows import json_text
from polycall.store.tables import versions

__all__ = [
    "Place",
    "analysing_versions",
    "create_version",
    "delete_version",
    "finish_analysis",
    "get_version",
    "latest_version",
    "list_versions",
    "newest_version",
    "next_number",
    "no_bundle",
    "put_version",
    "set_version_state",
    "swap_version",
    "version_of_request",
    "with_warm_policy",
]

_v = versions.c
_NUMBER = "^[1-9][0-9]{0,17}$"  # ids that count: what we would have given out ourselves
_NUMBERS = 5  # tried: somebody may ask for one of these by name in this moment
_decode_env = msgspec.json.Decoder(dict[str, str]).decode
_decode_egress = msgspec.json.Decoder(EgressPolicy).decode
_decode_functions = msgspec.json.Decoder(tuple[Function, ...]).decode
_decode_limits = msgspec.json.Decoder(LimitOverrides).decode
_decode_warm = msgspec.json.Decoder(WarmPolicy).decode


class Place(NamedTuple):
    """Where a version is in its list."""

    created_at: int
    seq: int

    @classmethod
    def parse(cls, text: str) -> Place:
        """Read what ``str`` wrote; raise ValueError."""
        created_at, _, text = text.partition(" ")
        return cls(place_number(created_at), place_number(text))

    def __str__(self) -> str:
        return f"{self.created_at} {self.seq}"


def create_version(conn: sa.Connection, version: Version, bundle: Blob) -> Version:
    """Insert with its bundle, under the next number if it has no id; return it.

    Raises AlreadyExists (id, or a version of its request id), NotFound (package).
    """
    numbered = not version.id
    if numbered:
        lock_project(conn, version.project_id)  # who numbers at once, on whichever server, does so one after the other
    get_package(conn, version.project_id, version.package_id)
    write_blobs(conn, [bundle], counted=True)
    for _ in range(_NUMBERS if numbered and not _is_made(conn, version) else 1):
        if numbered:
            version = replace(version, id=str(next_number(conn, version.project_id, version.package_id)))
        insertion = insert(conn.dialect.name, versions).on_conflict_do_nothing()
        if conn.execute(insertion, _version_row(version)).rowcount == 1:
            return version
    raise AlreadyExists("polycall.v1.Version", _version_name(version.package_id, version.id))


def version_of_request(conn: sa.Connection, project_id: str, package_id: str, request_id: str) -> Version | None:
    """Return the version of a package that was made for a request; None if there is none."""
    row = conn.execute(sa.select(versions).where(*_is_of_request(project_id, package_id, request_id))).first()
    return None if row is None else _version_of(row)


def next_number(conn: sa.Connection, project_id: str, package_id: str) -> int:
    """Return a number above those of all versions of a package, of which others may have other ids."""
    numbers = sa.select(sa.func.max(sa.cast(_v.id, sa.BigInteger))).where(
        _v.project_id == project_id, _v.package_id == package_id, _v.id.regexp_match(_NUMBER)
    )
    return (conn.execute(numbers).scalar_one() or 0) + 1


def put_version(conn: sa.Connection, version: Version, bundle: Blob) -> Version:
    """Insert, or replace one that is not released; raise AlreadyExists(VERSION_RELEASED), NotFound (package)."""
    get_package(conn, version.project_id, version.package_id)
    write_blobs(conn, [bundle], counted=True)
    row = _version_row(version)
    statement = insert(conn.dialect.name, versions)
    statement = statement.on_conflict_do_update(
        index_elements=["project_id", "package_id", "id"],
        set_={name: statement.excluded[name] for name in row},
        where=_v.state != VersionState.RELEASED.value,
    )
    if conn.execute(statement, row).rowcount != 1:
        raise _released(version.package_id, version.id)
    return version


def swap_version(conn: sa.Connection, version: Version, bundle: Blob, old: Version) -> bool:
    """Replace exactly ``old``; False: it was changed since. Raises AlreadyExists(VERSION_RELEASED), NotFound."""
    is_old = (_v.created_at == old.created_at, _v.bundle == old.bundle, _v.face_data == old.face_data)
    write_blobs(conn, [bundle], counted=True)
    changed = conn.execute(
        sa.update(versions)
        .where(
            *_is_version(version.project_id, version.package_id, version.id),
            _v.state != VersionState.RELEASED.value,
            *is_old,
        )
        .values(_version_row(version))
    )
    if changed.rowcount != 1:
        there = get_version(conn, version.project_id, version.package_id, version.id)
        if there.state is VersionState.RELEASED:
            raise _released(version.package_id, version.id)
    return changed.rowcount == 1


def set_version_state(
    conn: sa.Connection,
    project_id: str,
    package_id: str,
    version_id: str,
    state: VersionState,
    *,
    error: str | None,
    released_at: int | None,
) -> Version:
    """Move a version on; return it. Raises NotFound, AlreadyExists(VERSION_RELEASED)."""
    row = conn.execute(
        sa.update(versions)
        .where(*_is_version(project_id, package_id, version_id), _v.state != VersionState.RELEASED.value)
        .values(state=state.value, error=error, released_at=released_at)
        .returning(versions)
    ).first()
    if row is None:
        get_version(conn, project_id, package_id, version_id)
        raise _released(package_id, version_id)
    return _version_of(row)


def finish_analysis(conn: sa.Connection, version: Version) -> bool:
    """Write functions, state, error and release of a version that is still ANALYSING what was analysed."""
    statement = (
        sa.update(versions)
        .where(
            *_is_version(version.project_id, version.package_id, version.id),
            _v.state == VersionState.ANALYSING.value,
            _v.created_at == version.created_at,
            _v.bundle == version.bundle,
        )
        .values(
            state=version.state.value,
            functions=json_text(version.functions),
            error=version.error,
            released_at=version.released_at,
            size=_version_row(version)["size"],
        )
    )
    return conn.execute(statement).rowcount == 1


def analysing_versions(conn: sa.Connection, rows: int) -> list[Version]:
    """Return versions of all projects that are ANALYSING, oldest first."""
    found = conn.execute(
        sa.select(versions).where(_v.state == VersionState.ANALYSING.value).order_by(_v.seq).limit(rows)
    )
    return [_version_of(row) for row in found]


def get_version(conn: sa.Connection, project_id: str, package_id: str, version_id: str) -> Version:
    """Return; raise NotFound (package or version)."""
    row = conn.execute(sa.select(versions).where(*_is_version(project_id, package_id, version_id))).first()
    if row is None:
        get_package(conn, project_id, package_id)
        raise _no_version(package_id, version_id)
    return _version_of(row)


def newest_version(conn: sa.Connection, project_id: str, package_id: str) -> Version | None:
    """Return the newest RELEASED, else the newest READY, else the newest; raise NotFound (package)."""
    rank = sa.case((_v.state == VersionState.RELEASED.value, 0), (_v.state == VersionState.READY.value, 1), else_=2)
    row = conn.execute(
        sa.select(versions)
        .where(_v.project_id == project_id, _v.package_id == package_id)
        .order_by(rank, _v.created_at.desc(), _v.seq.desc())
        .limit(1)
    ).first()
    if row is None:
        get_package(conn, project_id, package_id)
        return None
    return _version_of(row)


def latest_version(conn: sa.Connection, project_id: str, package_id: str) -> Version | None:
    """Return the version that was made last, whatever its state; None without versions."""
    row = conn.execute(
        sa.select(versions)
        .where(_v.project_id == project_id, _v.package_id == package_id)
        .order_by(_v.created_at.desc(), _v.seq.desc())
        .limit(1)
    ).first()
    return None if row is None else _version_of(row)


def list_versions(
    conn: sa.Connection, project_id: str, package_id: str, after: Place | None, rows: int
) -> list[tuple[str, Version]]:
    """Return versions of a package with their places, newest first, from the one after a place on. Raises NotFound."""
    get_package(conn, project_id, package_id)
    statement = sa.select(versions).where(_v.project_id == project_id, _v.package_id == package_id)
    if after is not None:
        statement = statement.where(sa.tuple_(_v.created_at, _v.seq) < sa.tuple_(*after))
    found = conn.execute(statement.order_by(_v.created_at.desc(), _v.seq.desc()).limit(rows))
    return [(str(Place(row.created_at, row.seq)), _version_of(row)) for row in found]


def with_warm_policy(conn: sa.Connection) -> list[tuple[str, str]]:
    """Return the packages, with their projects, that have a version with a policy of its own."""
    found = conn.execute(sa.select(_v.project_id, _v.package_id).where(_v.warm.is_not(None)).distinct())
    return [(row.project_id, row.package_id) for row in found]


def delete_version(conn: sa.Connection, project_id: str, package_id: str, version_id: str) -> None:
    """Delete; raise NotFound (package or version)."""
    if conn.execute(sa.delete(versions).where(*_is_version(project_id, package_id, version_id))).rowcount != 1:
        get_package(conn, project_id, package_id)
        raise _no_version(package_id, version_id)


def no_bundle(digest: str) -> NotFound:
    """Return what is raised for sources that are not there, or a large value that is something else."""
    return NotFound(Reason.VERSION_NOT_FOUND, "polycall.v1.Version", f"bundles/{digest}")


def _is_version(project_id: str, package_id: str, version_id: str) -> tuple[sa.ColumnElement[bool], ...]:
    return (_v.project_id == project_id, _v.package_id == package_id, _v.id == version_id)


def _is_made(conn: sa.Connection, version: Version) -> bool:
    """Tell whether there is a version of the same request: then no number is free for this one."""
    if version.request_id is None:
        return False
    same = _is_of_request(version.project_id, version.package_id, version.request_id)
    return conn.execute(sa.select(_v.seq).where(*same)).first() is not None


def _is_of_request(project_id: str, package_id: str, request_id: str) -> tuple[sa.ColumnElement[bool], ...]:
    # said again as text: a partial index is found by its very predicate
    return (
        _v.project_id == project_id,
        _v.package_id == package_id,
        _v.request_id == request_id,
        _v.request_id.is_not(None),
    )


def _version_row(version: Version) -> dict[str, Any]:
    row = {
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
        "secret_env": json_text(version.secret_env) if version.secret_env else None,
        "secrets": json_text(version.secrets) if version.secrets else None,
        "egress": json_text(version.egress) if version.egress is not None else None,
        "runtime": version.runtime,
        "reuse": version.reuse,
        "warm": json_text(version.warm) if version.warm != DEFAULT_WARM else None,
        "released_at": version.released_at,
        "created_by": version.created_by,
        "error": version.error,
        "face_data": version.face_data,
        "adapter": version.adapter or None,
        "request_id": version.request_id,
    }
    return {**row, "size": row_bytes(row)}


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
        env=_decode_env(row.env),
        secret_env=_decode_env(row.secret_env) if row.secret_env is not None else {},
        secrets=_decode_env(row.secrets) if row.secrets is not None else {},
        egress=_decode_egress(row.egress) if row.egress is not None else None,
        runtime=row.runtime,
        reuse=row.reuse,
        warm=_decode_warm(row.warm) if row.warm is not None else DEFAULT_WARM,
        released_at=row.released_at,
        created_by=row.created_by,
        error=row.error,
        face_data=row.face_data,
        adapter=row.adapter or "",
        request_id=row.request_id,
    )


def _version_name(package_id: str, version_id: str) -> str:
    return str(VersionName(package_id, version_id))


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
