"""Packages: functions of a connection."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from polycall.domain import Package, Reason
from polycall.errors import AlreadyExists, NotFound, QuotaExceeded
from polycall.names import PackageName
from polycall.store.dialects import insert
from polycall.store.paging import place_number
from polycall.store.quota import lock_project, row_bytes
from polycall.store.rows import json_text
from polycall.store.tables import db_now, packages, policies

__all__ = [
    "Place",
    "create_package",
    "delete_package",
    "exchange_package",
    "find_package",
    "get_package",
    "list_packages",
    "no_package",
    "package_of",
    "update_package",
]

_p = packages.c
_decode_labels = msgspec.json.Decoder(dict[str, str]).decode


class Place(NamedTuple):
    """Where a package is in its list."""

    created_at: int
    id: str

    @classmethod
    def parse(cls, text: str) -> Place:
        """Read what ``str`` wrote; raise ValueError."""
        created_at, _, text = text.partition(" ")
        return cls(place_number(created_at), text)

    def __str__(self) -> str:
        return f"{self.created_at} {self.id}"


def create_package(conn: sa.Connection, package: Package, most: int | None = None) -> None:
    """Insert; raise AlreadyExists, NotFound (project), QuotaExceeded (its face has ``most`` in the project)."""
    # locked, so that of those who create at once, on whichever server, each counts the others'
    if not lock_project(conn, package.project_id):
        name = f"projects/{package.project_id}"
        raise NotFound(Reason.PROJECT_NOT_FOUND, "polycall.v1.Project", name, f"{name} does not exist.")
    values = {
        "project_id": package.project_id,
        "id": package.id,
        "created_at": package.created_at,
        "face": package.face,
        **_changeable(package),
    }
    if conn.execute(insert(conn.dialect.name, packages).on_conflict_do_nothing(), values).rowcount != 1:
        taken = conn.execute(sa.select(_p.id).where(*_is_package(package.project_id, package.id))).first()
        raise AlreadyExists("polycall.v1.Package", str(PackageName(package.id))) if taken else _alias_taken(package)
    if most is not None:
        mine = (_p.project_id == package.project_id, _p.face == package.face)
        if conn.execute(sa.select(sa.func.count()).select_from(packages).where(*mine)).scalar_one() > most:
            raise QuotaExceeded(
                f"This project has {most} packages of {package.face}, as many as it may have. Delete some.",
                subject="packages",
                metadata={"most": str(most)},
            )


def update_package(conn: sa.Connection, package: Package) -> Package:
    """Replace what may change; return the package. Raises NotFound, AlreadyExists (alias)."""
    if package.alias is not None:
        found = conn.execute(
            sa.select(_p.id).where(*_has_alias(package.project_id, package.face, package.alias))
        ).first()
        if found is not None and found.id != package.id:
            raise _alias_taken(package)
    row = conn.execute(
        sa.update(packages)
        .where(*_is_package(package.project_id, package.id))
        .values(_changeable(package))
        .returning(packages)
    ).first()
    if row is None:
        raise no_package(package.id)
    return package_of(row)


def exchange_package(conn: sa.Connection, package: Package, face_data: bytes | None) -> Package | None:
    """Do the same if the package still has that ``face_data``; return None if not. Raises NotFound, AlreadyExists."""
    kept = conn.execute(
        sa.select(_p.face_data).where(*_is_package(package.project_id, package.id)).with_for_update()
    ).first()
    if kept is None:
        raise no_package(package.id)
    return update_package(conn, package) if kept.face_data == face_data else None


def get_package(conn: sa.Connection, project_id: str, package_id: str) -> Package:
    """Return; raise NotFound."""
    row = conn.execute(sa.select(packages).where(*_is_package(project_id, package_id))).first()
    if row is None:
        raise no_package(package_id)
    return package_of(row)


def find_package(conn: sa.Connection, project_id: str, face: str, alias: str) -> Package:
    """Return the package that a face knows by another id; raise NotFound."""
    row = conn.execute(sa.select(packages).where(*_has_alias(project_id, face, alias))).first()
    if row is None:
        raise no_package(alias)
    return package_of(row)


def list_packages(
    conn: sa.Connection,
    project_id: str,
    face: str | None,
    after: Place | None,
    rows: int,
    *,
    oldest_first: bool = False,
) -> list[tuple[str, Package]]:
    """Return packages of a project (and face) with their places, newest first, from the one after a place on."""
    statement = sa.select(packages).where(_p.project_id == project_id)
    if face is not None:
        statement = statement.where(_p.face == face)
    order = (_p.created_at, _p.id) if oldest_first else (_p.created_at.desc(), _p.id.desc())
    if after is not None:
        place, last = sa.tuple_(_p.created_at, _p.id), sa.tuple_(*after)
        statement = statement.where(place > last if oldest_first else place < last)
    found = conn.execute(statement.order_by(*order).limit(rows))
    return [(str(Place(row.created_at, row.id)), package_of(row)) for row in found]


def delete_package(conn: sa.Connection, project_id: str, package_id: str) -> None:
    """Delete with its versions; raise NotFound."""
    # its versions go with it (ON DELETE CASCADE)
    if conn.execute(sa.delete(packages).where(*_is_package(project_id, package_id))).rowcount != 1:
        raise no_package(package_id)
    conn.execute(
        sa.update(policies)
        .where(policies.c.project_id == project_id, policies.c.package_id == package_id)
        # what still waits of it is let through, to end as what has no package any more
        .values(max_running=None, retry=None, lifted_at=sa.func.coalesce(policies.c.lifted_at, db_now()))
    )


def _changeable(package: Package) -> dict[str, Any]:
    values = {
        "display_name": package.display_name,
        "description": package.description,
        "labels": json_text(package.labels),
        "updated_at": package.updated_at,
        "alias": package.alias,
        "face_data": package.face_data,
    }
    return {**values, "size": row_bytes(values)}


def _is_package(project_id: str, package_id: str) -> tuple[sa.ColumnElement[bool], ...]:
    return (_p.project_id == project_id, _p.id == package_id)


def _has_alias(project_id: str, face: str | None, alias: str) -> tuple[sa.ColumnElement[bool], ...]:
    # said again as text: a partial index is found by its very predicate
    return (_p.project_id == project_id, _p.face == face, _p.alias == alias, _p.alias.is_not(None))


def _alias_taken(package: Package) -> AlreadyExists:
    name = f"{package.face} alias {package.alias}"
    return AlreadyExists("polycall.v1.Package", name, f"Another package has the id {package.alias!r}.")


def package_of(row: sa.Row[Any]) -> Package:
    """Return the package of a row of all its columns."""
    return Package(
        project_id=row.project_id,
        id=row.id,
        created_at=row.created_at,
        updated_at=row.updated_at,
        display_name=row.display_name,
        description=row.description,
        labels=_decode_labels(row.labels),
        face=row.face,
        alias=row.alias,
        face_data=row.face_data,
    )


def no_package(package_id: str) -> NotFound:
    """Return what is raised for a package that is unknown or another project's."""
    return NotFound(Reason.PACKAGE_NOT_FOUND, "polycall.v1.Package", str(PackageName(package_id)))
