"""Runtimes and their revisions: functions of a connection."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from polycall.domain import Language, ManifestKind, Reason, RevisionState, Runtime, RuntimeRevision
from polycall.errors import AlreadyExists, NotFound
from polycall.names import RevisionName, RuntimeName, VersionName
from polycall.store.dialects import insert
from polycall.store.paging import place_number
from polycall.store.quota import lock_project, row_bytes
from polycall.store.rows import json_text
from polycall.store.tables import projects, runtime_revisions, runtimes, versions

__all__ = [
    "Place",
    "change_revision",
    "create_revision",
    "create_runtime",
    "delete_runtime",
    "digests",
    "find_revision",
    "get_revision",
    "get_runtime",
    "list_revisions",
    "list_runtimes",
    "newest_revision",
    "no_runtime",
    "runtimes_after",
    "unfinished_revisions",
    "versions_with_runtime",
]

_r = runtimes.c
_v = runtime_revisions.c
_decode_preload = msgspec.json.Decoder(tuple[str, ...]).decode


class Place(NamedTuple):
    """Where a runtime, or a revision, is in its list."""

    created_at: int
    id: str

    @classmethod
    def parse(cls, text: str) -> Place:
        """Read what ``str`` wrote; raise ValueError."""
        created_at, _, text = text.partition(" ")
        return cls(place_number(created_at), text)

    def __str__(self) -> str:
        return f"{self.created_at} {self.id}"


def create_runtime(conn: sa.Connection, runtime: Runtime, revision: RuntimeRevision | None) -> None:
    """Insert, with its first revision; raise AlreadyExists (either), NotFound (project)."""
    if conn.execute(sa.select(projects.c.id).where(projects.c.id == runtime.project_id)).first() is None:
        name = f"projects/{runtime.project_id}"
        raise NotFound(Reason.PROJECT_NOT_FOUND, "polycall.v1.Project", name, f"{name} does not exist.")
    values: dict[str, Any] = {
        "project_id": runtime.project_id,
        "id": runtime.id,
        "language": runtime.language.value,
        "display_name": runtime.display_name,
        "created_at": runtime.created_at,
        "created_by": runtime.created_by,
        "face_data": runtime.face_data,
    }
    values["size"] = row_bytes(values)
    if conn.execute(insert(conn.dialect.name, runtimes).on_conflict_do_nothing(), values).rowcount != 1:
        raise AlreadyExists("polycall.v1.Runtime", str(RuntimeName(runtime.id)))
    if revision is not None:
        _insert_revision(conn, revision)


def get_runtime(conn: sa.Connection, project_id: str, runtime_id: str) -> Runtime:
    """Return; raise NotFound."""
    row = conn.execute(sa.select(runtimes).where(_r.project_id == project_id, _r.id == runtime_id)).first()
    if row is None:
        raise no_runtime(runtime_id)
    return _runtime_of(row)


def list_runtimes(conn: sa.Connection, project_id: str, after: Place | None, rows: int) -> list[tuple[str, Runtime]]:
    """Return runtimes of a project with their places, newest first, from the one after a place on."""
    statement = sa.select(runtimes).where(_r.project_id == project_id)
    if after is not None:
        statement = statement.where(sa.tuple_(_r.created_at, _r.id) < sa.tuple_(*after))
    found = conn.execute(statement.order_by(_r.created_at.desc(), _r.id.desc()).limit(rows))
    return [(str(Place(row.created_at, row.id)), _runtime_of(row)) for row in found]


def runtimes_after(
    conn: sa.Connection, project_id: str, after: Place | None, rows: int
) -> list[tuple[Runtime, RuntimeRevision]]:
    """Return runtimes of a project that have a revision, with the newest, newest first, from the one after a place."""
    revised = sa.exists().where(_v.project_id == _r.project_id, _v.runtime_id == _r.id)
    statement = sa.select(runtimes).where(_r.project_id == project_id, revised)
    if after is not None:
        statement = statement.where(sa.tuple_(_r.created_at, _r.id) < sa.tuple_(*after))
    found = conn.execute(statement.order_by(_r.created_at.desc(), _r.id.desc()).limit(rows)).all()
    pairs = []
    for runtime in map(_runtime_of, found):
        newest = _revisions_of(project_id, runtime.id).order_by(_v.created_at.desc(), _v.id.desc()).limit(1)
        row = conn.execute(newest).first()
        if row is not None:  # else it went between two statements
            pairs.append((runtime, _revision_of(row)))
    return pairs


def delete_runtime(conn: sa.Connection, project_id: str, runtime_id: str, unless: int = 0) -> list[str]:
    """Delete with its revisions, unless versions run on it: return names of them, at most so many. Raise NotFound.

    ``unless`` 0: delete it whatever runs on it.
    """
    if unless:
        lock_project(conn, project_id)  # who adds versions to the project locks it, too
        get_runtime(conn, project_id, runtime_id)
        if using := versions_with_runtime(conn, project_id, runtime_id, unless):
            return using
    # its revisions go with it (ON DELETE CASCADE)
    if conn.execute(sa.delete(runtimes).where(_r.project_id == project_id, _r.id == runtime_id)).rowcount != 1:
        raise no_runtime(runtime_id)
    return []


def versions_with_runtime(conn: sa.Connection, project_id: str, runtime_id: str, most: int) -> list[str]:
    """Return names of versions, at most so many, that run on a revision of a runtime."""
    # a range, not LIKE: SQLite's takes no notice of case, and an index can be used
    first = f"{RuntimeName(runtime_id)}/revisions/"
    mine = sa.and_(versions.c.runtime >= first, versions.c.runtime < f"{first[:-1]}{chr(ord('/') + 1)}")
    found = conn.execute(
        sa.select(versions.c.package_id, versions.c.id)
        .where(versions.c.project_id == project_id, mine)
        .order_by(versions.c.seq)
        .limit(most)
    )
    return [str(VersionName(row.package_id, row.id)) for row in found]


def create_revision(conn: sa.Connection, revision: RuntimeRevision) -> None:
    """Insert; raise AlreadyExists, NotFound (runtime)."""
    get_runtime(conn, revision.project_id, revision.runtime_id)
    _insert_revision(conn, revision)


def get_revision(conn: sa.Connection, project_id: str, runtime_id: str, revision_id: str) -> RuntimeRevision:
    """Return; raise NotFound (runtime or revision)."""
    row = conn.execute(
        sa.select(runtime_revisions).where(*_is_revision(project_id, revision_id), _v.runtime_id == runtime_id)
    ).first()
    if row is None:
        get_runtime(conn, project_id, runtime_id)
        raise NotFound(Reason.RUNTIME_NOT_FOUND, "polycall.v1.RuntimeRevision", _name(runtime_id, revision_id))
    return _revision_of(row)


def find_revision(conn: sa.Connection, project_id: str, revision_id: str) -> RuntimeRevision | None:
    """Return the revision of any runtime of a project; None if there is none."""
    row = conn.execute(sa.select(runtime_revisions).where(*_is_revision(project_id, revision_id))).first()
    return _revision_of(row) if row is not None else None


def newest_revision(
    conn: sa.Connection, project_id: str, runtime_id: str, state: RevisionState | None
) -> RuntimeRevision | None:
    """Return the newest, or the newest of a state; None if there is none. Raises NotFound (runtime)."""
    statement = sa.select(runtime_revisions).where(_v.project_id == project_id, _v.runtime_id == runtime_id)
    if state is not None:
        statement = statement.where(_v.state == state.value)
    row = conn.execute(statement.order_by(_v.created_at.desc(), _v.id.desc()).limit(1)).first()
    if row is None:
        get_runtime(conn, project_id, runtime_id)
        return None
    return _revision_of(row)


def list_revisions(
    conn: sa.Connection, project_id: str, runtime_id: str, after: Place | None, rows: int
) -> list[tuple[str, RuntimeRevision]]:
    """Return revisions of a runtime with their places, newest first, without their logs. Raises NotFound (runtime)."""
    get_runtime(conn, project_id, runtime_id)
    statement = _revisions_of(project_id, runtime_id)
    if after is not None:
        statement = statement.where(sa.tuple_(_v.created_at, _v.id) < sa.tuple_(*after))
    found = conn.execute(statement.order_by(_v.created_at.desc(), _v.id.desc()).limit(rows))
    return [(str(Place(row.created_at, row.id)), _revision_of(row)) for row in found]


def change_revision(conn: sa.Connection, revision: RuntimeRevision, states: Iterable[RevisionState]) -> bool:
    """Write what a build changes of a revision that is in one of some states; False if it is not, or is gone."""
    changed = conn.execute(
        sa.update(runtime_revisions)
        .where(*_is_revision(revision.project_id, revision.id), _v.state.in_(sorted(state.value for state in states)))
        .values(**_built_row(revision), size=row_bytes(_revision_row(revision)))
    )
    return changed.rowcount == 1


def unfinished_revisions(conn: sa.Connection) -> list[RuntimeRevision]:
    """Return what is PENDING or BUILDING in all projects, oldest first."""
    unfinished = [state.value for state in RevisionState if not state.final]
    found = conn.execute(sa.select(runtime_revisions).where(_v.state.in_(unfinished)).order_by(_v.created_at, _v.id))
    return [_revision_of(row) for row in found]


def digests(conn: sa.Connection) -> frozenset[str]:
    """Return the digests that revisions of all projects are built from."""
    return frozenset(conn.execute(sa.select(_v.digest).where(_v.digest != "").distinct()).scalars())


def _revisions_of(project_id: str, runtime_id: str) -> sa.Select[Any]:
    """Return the statement of a runtime's revisions without their logs, which lists do not show."""
    columns: list[sa.ColumnElement[Any]] = [column for column in _v if column is not _v.log]
    statement: sa.Select[Any] = sa.select(*columns, sa.literal("").label("log"))
    return statement.where(_v.project_id == project_id, _v.runtime_id == runtime_id)


def _insert_revision(conn: sa.Connection, revision: RuntimeRevision) -> None:
    values = _revision_row(revision)
    values["size"] = row_bytes(values)
    if conn.execute(insert(conn.dialect.name, runtime_revisions).on_conflict_do_nothing(), values).rowcount != 1:
        raise AlreadyExists("polycall.v1.RuntimeRevision", _name(revision.runtime_id, revision.id))


def _revision_row(revision: RuntimeRevision) -> dict[str, Any]:
    return {
        "project_id": revision.project_id,
        "id": revision.id,
        "runtime_id": revision.runtime_id,
        "language": revision.language.value,
        "manifest_kind": revision.manifest_kind.value,
        "manifest": revision.manifest,
        "additional_imports": revision.additional_imports,
        "created_at": revision.created_at,
        "created_by": revision.created_by,
        **_built_row(revision),
    }


def _built_row(revision: RuntimeRevision) -> dict[str, Any]:
    return {
        "state": revision.state.value,
        "started_at": revision.started_at,
        "ended_at": revision.ended_at,
        "digest": revision.digest,
        "size_bytes": revision.size_bytes,
        "file_count": revision.file_count,
        "preload": json_text(revision.preload),
        "log": revision.log,
        "log_truncated": revision.log_truncated,
        "error": revision.error,
    }


def _is_revision(project_id: str, revision_id: str) -> tuple[sa.ColumnElement[bool], ...]:
    return (_v.project_id == project_id, _v.id == revision_id)


def _runtime_of(row: sa.Row[Any]) -> Runtime:
    return Runtime(
        project_id=row.project_id,
        id=row.id,
        language=Language(row.language),
        created_at=row.created_at,
        display_name=row.display_name,
        created_by=row.created_by,
        face_data=row.face_data,
    )


def _revision_of(row: sa.Row[Any]) -> RuntimeRevision:
    return RuntimeRevision(
        project_id=row.project_id,
        runtime_id=row.runtime_id,
        id=row.id,
        language=Language(row.language),
        manifest_kind=ManifestKind(row.manifest_kind),
        manifest=row.manifest,
        state=RevisionState(row.state),
        created_at=row.created_at,
        additional_imports=row.additional_imports,
        started_at=row.started_at,
        ended_at=row.ended_at,
        digest=row.digest,
        size_bytes=row.size_bytes,
        file_count=row.file_count,
        preload=_decode_preload(row.preload),
        log=row.log,
        log_truncated=row.log_truncated,
        error=row.error,
        created_by=row.created_by,
    )


def _name(runtime_id: str, revision_id: str) -> str:
    return str(RevisionName(runtime_id, revision_id))


def no_runtime(runtime_id: str) -> NotFound:
    """Return what is raised for a runtime that is unknown or another project's."""
    return NotFound(Reason.RUNTIME_NOT_FOUND, "polycall.v1.Runtime", str(RuntimeName(runtime_id)))
