"""How much a project stores: functions of a connection.

Counted is what faces and deployers put there and nothing ends by itself: sources and files (each content once),
packages, versions, schedules, runtimes and objects of the faces with what is written in them (of a runtime's revisions
their manifests and the logs of their builds), and values that code keeps.
Executions are not: they end with their retention, and what has run is recorded whatever else there is.

Summed over indexes, not kept in a counter: a sum is right however it came about.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa

from polycall.errors import QuotaExceeded
from polycall.store.retention import free_blobs
from polycall.store.tables import (
    blobs,
    entry_totals,
    face_objects,
    packages,
    projects,
    runtime_revisions,
    runtimes,
    schedules,
    versions,
)

__all__ = ["StorageQuota", "lock_project", "row_bytes", "stored_bytes"]

P = ParamSpec("P")
T = TypeVar("T")

_MIB = 1 << 20
_LOOK_AGAIN_S = 10.0  # 32 ms of the one writer of SQLite where a project has 10,000 files
_MOST_REMEMBERED = 10_000  # projects
_SIZES = (
    # the predicate of the partial index, as text
    sa.select(sa.func.sum(blobs.c.size)).where(blobs.c.project_id == sa.bindparam("project"), sa.text("counted")),
    *(
        sa.select(sa.func.sum(table.c.size)).where(table.c.project_id == sa.bindparam("project"))
        for table in (packages, versions, face_objects, schedules, runtimes, runtime_revisions)
    ),
    sa.select(sa.func.sum(entry_totals.c.bytes)).where(entry_totals.c.project_id == sa.bindparam("project")),
)
_STORED = sa.select(*(each.scalar_subquery() for each in _SIZES))


def lock_project(conn: sa.Connection, project_id: str) -> bool:
    """Lock a project until the commit: what is counted of it meanwhile stays so. False: there is none.

    On PostgreSQL; SQLite has one writer. Who locks more than this locks this first, so that nobody waits for ever.
    """
    locked = sa.select(projects.c.id).where(projects.c.id == project_id).with_for_update(key_share=True)
    return conn.execute(locked).first() is not None


def stored_bytes(conn: sa.Connection, project_id: str) -> int:
    """Return how much a project stores of what is counted."""
    return sum(int(size or 0) for size in conn.execute(_STORED, {"project": project_id}).one())


def row_bytes(values: Mapping[str, object]) -> int:
    """Return how many bytes the texts of a row have."""
    return sum(
        len(value) if isinstance(value, bytes) else len(value.encode(errors="replace"))
        for value in values.values()
        if isinstance(value, bytes | str)
    )


class StorageQuota:
    """How much each project may store: ``most`` bytes; 0: any number."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._freed: dict[str, float] = {}  # when it was last looked for room in a project, time.monotonic

    def within(
        self,
        conn: sa.Connection,
        project_id: str,
        work: Callable[Concatenate[sa.Connection, P], T],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Do what adds to a project, and return what it returns.

        Raises QuotaExceeded if there would be more than there may be, and more than before; and what ``work`` raises.
        """
        if not self._most:
            return work(conn, *args, **kwargs)
        lock_project(conn, project_id)
        before = stored_bytes(conn, project_id)
        done = work(conn, *args, **kwargs)
        self._check(conn, project_id, max(self._most, before))
        return done

    def check(self, conn: sa.Connection, project_id: str) -> None:
        """Raise QuotaExceeded if a project stores more than it may, after something was added."""
        if self._most:
            lock_project(conn, project_id)
            self._check(conn, project_id, self._most)

    def _check(self, conn: sa.Connection, project_id: str, bound: int) -> None:
        stored = stored_bytes(conn, project_id)
        # what nothing refers to any more is deleted by itself in a day; who needs the room need not wait for that
        if stored > bound and self._may_look(project_id) and free_blobs(conn, project_id):
            stored = stored_bytes(conn, project_id)
        if stored > bound:
            raise QuotaExceeded(
                f"This project may store {self._most // _MIB} MiB (sources, files, and values that code keeps) and "
                f"would store {stored / _MIB:.1f}. Delete files, packages, versions or runtimes that nobody needs, or "
                "have the server's POLYCALL_PROJECT_STORAGE_MIB raised.",
                subject="project_storage_mib",
                metadata={"limit_bytes": str(self._most), "bytes": str(stored)},
            )

    def _may_look(self, project_id: str) -> bool:
        """Tell whether to look for room: not each time that who has none asks for more."""
        now = time.monotonic()
        if len(self._freed) >= _MOST_REMEMBERED:
            self._freed.clear()
        if now - self._freed.get(project_id, -_LOOK_AGAIN_S) < _LOOK_AGAIN_S:
            return False
        self._freed[project_id] = now
        return True
