"""Packages together with their newest version: functions of a connection. All or nothing; no change is lost."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from polycall.domain import Package, Version
from polycall.store.blobs import Blob
from polycall.store.packages import create_package, get_package, no_package, package_of
from polycall.store.quota import lock_project
from polycall.store.tables import packages
from polycall.store.versions import create_version, latest_version, newest_version

__all__ = ["create_with_version", "latest_of", "list_of_face", "revise", "with_newest"]

_p = packages.c


def create_with_version(conn: sa.Connection, package: Package, version: Version, bundle: Blob) -> None:
    """Insert a package and its first version; raise AlreadyExists, NotFound (project)."""
    create_package(conn, package)
    create_version(conn, version, bundle)


def revise(
    conn: sa.Connection,
    package: Package,
    texts: Mapping[str, str],
    after: Version | None,
    version: Version | None,
    bundle: Blob | None,
) -> Package | None:
    """Set texts and ``updated_at`` of a package, and add a version behind ``after``, the last one that its maker knew.

    None, and nothing is written: another version was made since, or that one's state has changed. Raises NotFound
    (package), AlreadyExists (version).
    """
    project_id, package_id = package.project_id, package.id
    lock_project(conn, project_id)  # first of all, as whoever adds to a project does
    # locks the row: until this is committed, nobody else adds a version here (SQLite has one writer anyway)
    locked = sa.select(_p.id).where(*_is_package(project_id, package_id)).with_for_update()
    if conn.execute(locked).first() is None:
        raise no_package(package_id)
    if version is not None and bundle is not None:
        newest = latest_version(conn, project_id, package_id)
        if _mark(newest) != _mark(after):
            return None
        create_version(conn, version, bundle)
    changes = {"updated_at": package.updated_at, **texts}
    conn.execute(sa.update(packages).where(*_is_package(project_id, package_id)).values(changes))
    return get_package(conn, project_id, package_id)


def latest_of(conn: sa.Connection, project_id: str, package_id: str) -> Version | None:
    """Return the version that was made last; None without versions. Raises NotFound (package)."""
    found = latest_version(conn, project_id, package_id)
    if found is None:
        get_package(conn, project_id, package_id)
    return found


def list_of_face(
    conn: sa.Connection, project_id: str, face: str, offset: int, rows: int
) -> tuple[int, list[tuple[Package, Version | None]]]:
    """Return how many packages a face has, and some of them with their newest versions, newest first."""
    mine = (_p.project_id == project_id, _p.face == face)
    total: int = conn.execute(sa.select(sa.func.count()).select_from(packages).where(*mine)).scalar_one()
    if offset >= total:
        return total, []
    statement = sa.select(packages).where(*mine).order_by(_p.created_at.desc(), _p.id.desc())
    found = [package_of(row) for row in conn.execute(statement.offset(offset).limit(rows))]
    return total, [(package, latest_version(conn, project_id, package.id)) for package in found]


def with_newest(
    conn: sa.Connection, project_id: str, face: str, after: str, rows: int
) -> list[tuple[Package, Version | None]]:
    """Return packages of a face in the order of their ids, those after one, with the version that callers get."""
    mine = sa.select(packages).where(_p.project_id == project_id, _p.face == face, _p.id > after)
    found = [package_of(row) for row in conn.execute(mine.order_by(_p.id).limit(rows))]
    return [(package, newest_version(conn, project_id, package.id)) for package in found]


def _is_package(project_id: str, package_id: str) -> tuple[sa.ColumnElement[bool], ...]:
    return (_p.project_id == project_id, _p.id == package_id)


def _mark(version: Version | None) -> tuple[str, int, str] | None:
    return None if version is None else (version.id, version.created_at, version.state.value)
