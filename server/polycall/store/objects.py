"""Objects of the faces: functions of a connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from polycall.domain import FaceObject, Reason
from polycall.errors import AlreadyExists, NotFound, QuotaExceeded
from polycall.store.blobs import Blob, write_blobs
from polycall.store.dialects import insert
from polycall.store.packages import Place
from polycall.store.quota import lock_project, row_bytes
from polycall.store.tables import face_objects

__all__ = [
    "create_object",
    "delete_object",
    "find_object",
    "get_object",
    "list_objects",
    "objects_of_kind",
    "put_object",
    "some_objects",
]

_o = face_objects.c
_SHOWN = tuple(column for column in _o if column.name != "size")


def create_object(conn: sa.Connection, made: FaceObject, most: int | None) -> None:
    """Insert; raise AlreadyExists (id or alias), NotFound (project), QuotaExceeded."""
    if not lock_project(conn, made.project_id):  # else two that create at once would not count each other's
        name = f"projects/{made.project_id}"
        raise NotFound(Reason.PROJECT_NOT_FOUND, "polycall.v1.Project", name, f"{name} does not exist.")
    values = {column.name: getattr(made, column.name) for column in _SHOWN}
    values["size"] = row_bytes({"data": made.data})
    if conn.execute(insert(conn.dialect.name, face_objects).on_conflict_do_nothing(), values).rowcount != 1:
        place = (made.project_id, made.face, made.kind)
        taken = conn.execute(sa.select(_o.id).where(*_is_object(*place, made.id))).first()
        raise _taken(made, made.id if taken or made.alias is None else made.alias)
    if most is not None and _count(conn, made) > most:
        raise QuotaExceeded(
            f"This project has {most} of {made.face}/{made.kind}, as many as it may have. Delete some.",
            subject=f"{made.face}/{made.kind}",
            metadata={"most": str(most)},
        )


def _count(conn: sa.Connection, made: FaceObject) -> int:
    kind = _of_kind(made.project_id, made.face, made.kind)
    return conn.execute(sa.select(sa.func.count()).select_from(face_objects).where(*kind)).scalar_one()


def get_object(conn: sa.Connection, project_id: str, face: str, kind: str, object_id: str) -> FaceObject:
    """Return; raise NotFound."""
    row = conn.execute(sa.select(*_SHOWN).where(*_is_object(project_id, face, kind, object_id))).first()
    if row is None:
        raise _no_object(face, kind, object_id)
    return _object_of(row)


def find_object(conn: sa.Connection, project_id: str, face: str, kind: str, alias: str) -> FaceObject:
    """Return the one with an alias; raise NotFound."""
    row = conn.execute(sa.select(*_SHOWN).where(*_of_kind(project_id, face, kind), *_has_alias(alias))).first()
    if row is None:
        raise _no_object(face, kind, alias)
    return _object_of(row)


def put_object(conn: sa.Connection, changed: FaceObject, content: Blob | None) -> FaceObject | None:
    """Replace what may change if nobody did since; None: somebody did, or it is gone. Raises AlreadyExists (alias)."""
    if content is not None:
        write_blobs(conn, [content], counted=True)
    place = (changed.project_id, changed.face, changed.kind)
    if changed.alias is not None:
        found = conn.execute(sa.select(_o.id).where(*_of_kind(*place), *_has_alias(changed.alias))).first()
        if found is not None and found.id != changed.id:
            raise _taken(changed, changed.alias)
    row = conn.execute(
        sa.update(face_objects)
        .where(*_is_object(*place, changed.id), _o.revision == changed.revision)
        .values(
            alias=changed.alias,
            updated_at=changed.updated_at,
            data=changed.data,
            size=row_bytes({"data": changed.data}),
            blob=changed.blob,
            revision=changed.revision + 1,
        )
        .returning(*_SHOWN)
    ).first()
    return _object_of(row) if row is not None else None


def delete_object(conn: sa.Connection, project_id: str, face: str, kind: str, object_id: str) -> None:
    """Delete; raise NotFound."""
    if conn.execute(sa.delete(face_objects).where(*_is_object(project_id, face, kind, object_id))).rowcount != 1:
        raise _no_object(face, kind, object_id)


def some_objects(conn: sa.Connection, project_id: str, face: str, kind: str, ids: Sequence[str]) -> list[FaceObject]:
    """Return those that are there of some ids."""
    statement = sa.select(*_SHOWN).where(*_of_kind(project_id, face, kind), _o.id.in_(ids))
    return [_object_of(row) for row in conn.execute(statement)]


def list_objects(
    conn: sa.Connection, project_id: str, face: str, kind: str, after: Place | None, rows: int
) -> list[tuple[str, FaceObject]]:
    """Return objects of a kind with their places, newest first, from the one after a place on."""
    statement = sa.select(*_SHOWN).where(*_of_kind(project_id, face, kind))
    if after is not None:
        statement = statement.where(sa.tuple_(_o.created_at, _o.id) < sa.tuple_(*after))
    found = conn.execute(statement.order_by(_o.created_at.desc(), _o.id.desc()).limit(rows))
    return [(str(Place(row.created_at, row.id)), _object_of(row)) for row in found]


def objects_of_kind(conn: sa.Connection, face: str, kind: str, most: int) -> list[FaceObject]:
    """Return objects of all projects, oldest first."""
    statement = sa.select(*_SHOWN).where(_o.face == face, _o.kind == kind)
    return [_object_of(row) for row in conn.execute(statement.order_by(_o.created_at, _o.id).limit(most))]


def _of_kind(project_id: str, face: str, kind: str) -> tuple[sa.ColumnElement[bool], ...]:
    return (_o.project_id == project_id, _o.face == face, _o.kind == kind)


def _is_object(project_id: str, face: str, kind: str, object_id: str) -> tuple[sa.ColumnElement[bool], ...]:
    return (*_of_kind(project_id, face, kind), _o.id == object_id)


def _has_alias(alias: str) -> tuple[sa.ColumnElement[bool], ...]:
    # said again as text: a partial index is found by its very predicate
    return (_o.alias == alias, _o.alias.is_not(None))


def _object_of(row: sa.Row[Any]) -> FaceObject:
    return FaceObject(**row._mapping)


def _no_object(face: str, kind: str, object_id: str) -> NotFound:
    name = f"{face}/{kind}/{object_id}"
    return NotFound(Reason.FACE_OBJECT_NOT_FOUND, "polycall.FaceObject", name, f"{name} does not exist.")


def _taken(made: FaceObject, object_id: str) -> AlreadyExists:
    return AlreadyExists("polycall.FaceObject", f"{made.face}/{made.kind}/{object_id}")
