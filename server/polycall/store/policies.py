"""Policies of functions, and limits of projects: functions of a connection; ``claims`` is what goes by them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from polycall.domain import FunctionPolicy, Project, RetryPolicy
from polycall.errors import QuotaExceeded
from polycall.store.dialects import insert
from polycall.store.packages import get_package
from polycall.store.protocol import PolicyChange, ProjectChange
from polycall.store.rows import json_text
from polycall.store.tables import db_now, executions, policies, projects
from polycall.store.tenancy import get_project

__all__ = [
    "Place",
    "change_project",
    "find_retry",
    "get_policy",
    "list_policies",
    "set_policy",
    "sweep_lanes",
    "writers",
]

_e, _p = executions.c, policies.c
_decode_retry = msgspec.json.Decoder(RetryPolicy).decode
# literals: a partial index is matched by them
_IN_LANES = sa.text("executions.state = 0 AND executions.package_id IS NOT NULL")
_COUNTS = sa.text("executions.state = 1 AND executions.kind <> 'sync'")
_INDEXES = ((_IN_LANES, "ix_executions_lane"), (_COUNTS, "ix_executions_running"))
# A Call that is accepted in the moment in which a limit goes may still be marked as being under it. Its statement has
# ended long before that.
_LATE_MS = 60_000


class Place(NamedTuple):
    """Where a policy is in its list."""

    package_id: str
    function: str

    @classmethod
    def parse(cls, text: str) -> Place:
        """Read what ``str`` wrote; raise ValueError."""
        package_id, mark, function = text.partition("\n")  # control characters are in neither
        if not mark:
            raise ValueError("no place")
        return cls(package_id, function)

    def __str__(self) -> str:
        return f"{self.package_id}\n{self.function}"


def get_policy(conn: sa.Connection, project_id: str, package_id: str, function: str) -> FunctionPolicy:
    """Return with what runs and waits; one that was never set is empty. Raises NotFound (package)."""
    get_package(conn, project_id, package_id)
    row = conn.execute(sa.select(policies).where(*_is(project_id, package_id, function))).first()
    queued, running = (
        conn.execute(
            sa.select(sa.func.count())
            .select_from(executions)
            .where(*_of(project_id, package_id, function), which)
            .with_hint(executions, f"INDEXED BY {index}", "sqlite")
        ).scalar_one()
        for which, index in _INDEXES
    )
    policy = FunctionPolicy(project_id=project_id, package_id=package_id, function=function)
    return replace(_policy_of(row) if row is not None else policy, queued=queued, running=running)


def find_retry(conn: sa.Connection, project_id: str, package_id: str, function: str) -> RetryPolicy | None:
    """Return the retry policy of a function; None if it has none."""
    kept = conn.execute(sa.select(_p.retry).where(*_is(project_id, package_id, function))).scalar_one_or_none()
    return None if kept is None else _decode_retry(kept)


def list_policies(
    conn: sa.Connection, project_id: str, after: Place | None, rows: int
) -> list[tuple[str, FunctionPolicy]]:
    """Return policies that say something, with their places, by package and function, from the one after a place on."""
    statement = sa.select(policies).where(
        _p.project_id == project_id, _p.package_id != "", sa.or_(_p.max_running.is_not(None), _p.retry.is_not(None))
    )
    if after is not None:
        statement = statement.where(sa.tuple_(_p.package_id, _p.function) > sa.tuple_(*after))
    found = conn.execute(statement.order_by(_p.package_id, _p.function).limit(rows))
    return [(str(Place(row.package_id, row.function)), _policy_of(row)) for row in found]


def set_policy(
    conn: sa.Connection, project_id: str, package_id: str, function: str, change: PolicyChange, most: int
) -> None:
    """Write ``max_running``, ``retry`` or both of a function's policy; what waits follows.

    Raises NotFound (package), QuotaExceeded beyond ``most`` policies of a project.
    """
    # who sets one waits for who sets another in the same project: so neither is one too many
    conn.execute(sa.select(projects.c.id).where(projects.c.id == project_id).with_for_update(key_share=True))
    get_package(conn, project_id, package_id)
    had = conn.execute(sa.select(policies).where(*_is(project_id, package_id, function)).with_for_update()).first()
    if had is None:
        if all(value is None for value in change.values()):
            return
        own = sa.select(sa.func.count()).select_from(policies).where(_p.project_id == project_id, _p.package_id != "")
        if conn.execute(own).scalar_one() >= most:
            raise QuotaExceeded(
                f"This project has policies for {most} functions, as many as it may have. Take some away.",
                subject="policies",
                metadata={"most": str(most)},
            )
    max_running = change.get("max_running", had and had.max_running)
    values: dict[str, Any] = {"max_running": max_running, "updated_at": db_now(), "lifted_at": had and had.lifted_at}
    if "retry" in change:
        values["retry"] = change["retry"] and json_text(change["retry"])
    limits_now = max_running is not None and (had is None or had.max_running is None)
    if max_running is not None:
        values["lifted_at"] = None
    elif had is not None and had.max_running is not None:
        values["lifted_at"] = db_now()
    if had is None:
        keys = {"project_id": project_id, "package_id": package_id, "function": function}
        conn.execute(sa.insert(policies).values(**keys, **values))
    else:
        conn.execute(sa.update(policies).where(*_is(project_id, package_id, function)).values(values))
    if limits_now:
        _mark(conn, project_id, package_id, function)


def change_project(conn: sa.Connection, project_id: str, change: ProjectChange) -> Project:
    """Set ``display_name``, ``max_running`` or both of a project; return it as it is then. Raises NotFound."""
    if "display_name" in change:
        conn.execute(
            sa.update(projects).where(projects.c.id == project_id).values(display_name=change["display_name"] or "")
        )
    project = get_project(conn, project_id)
    if "max_running" not in change:
        return project
    limit = change["max_running"]
    keys = {"project_id": project_id, "package_id": "", "function": ""}
    values = {"max_running": limit, "updated_at": db_now()}
    conn.execute(
        insert(conn.dialect.name, policies)
        .values(**keys, **values)
        .on_conflict_do_update(index_elements=list(keys), set_=values)
    )
    return get_project(conn, project_id)


_still_under_it = (
    sa.select(sa.literal(1))
    .where(
        _p.project_id == _e.project_id,
        _p.package_id == _e.package_id,
        _p.function == _e.function,
        _e.limited,
        sa.or_(_IN_LANES, _COUNTS),
    )
    .correlate(policies)
    .exists()
)
_is_over = sa.and_(_p.lifted_at.is_not(None), _p.lifted_at < db_now() - _LATE_MS, ~_still_under_it)


def sweep_lanes(conn: sa.Connection) -> int:
    """Forget limits that were taken away once nothing is under them any more; return how many."""
    gone = conn.execute(sa.delete(policies).where(_is_over, _p.retry.is_(None))).rowcount
    return gone + conn.execute(sa.update(policies).where(_is_over).values(lifted_at=None)).rowcount


# Whoever writes executions has this lock since before it saw which limits there are.
_WRITERS = sa.text(
    "SELECT virtualtransaction FROM pg_locks WHERE granted AND mode = 'RowExclusiveLock' "
    "AND relation = CAST('executions' AS regclass) "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


def writers(conn: sa.Connection) -> frozenset[str]:
    """Return who is writing executions in this moment, and may not have seen a limit; on SQLite there is nobody."""
    return frozenset() if conn.dialect.name == "sqlite" else frozenset(conn.execute(_WRITERS).scalars())


def _mark(conn: sa.Connection, project_id: str, package_id: str, function: str) -> None:
    """Mark what waits, and what runs and may wait again, as under a limit; in one order, whoever else locks it."""
    for which, index in _INDEXES:
        unmarked = (
            sa.select(_e.id)
            .where(*_of(project_id, package_id, function), which, ~_e.limited)
            .with_hint(executions, f"INDEXED BY {index}", "sqlite")
            .order_by(_e.id)
            .with_for_update()
        )
        conn.execute(sa.update(executions).where(_e.id.in_(unmarked)).values(limited=True))


def _policy_of(row: sa.Row[Any]) -> FunctionPolicy:
    return FunctionPolicy(
        project_id=row.project_id,
        package_id=row.package_id,
        function=row.function,
        max_running=row.max_running,
        retry=row.retry and _decode_retry(row.retry),
        updated_at=row.updated_at,
    )


def _is(project_id: str, package_id: str, function: str) -> tuple[sa.ColumnElement[bool], ...]:
    return (_p.project_id == project_id, _p.package_id == package_id, _p.function == function)


def _of(project_id: str, package_id: str, function: str) -> tuple[sa.ColumnElement[bool], ...]:
    return (_e.project_id == project_id, _e.package_id == package_id, _e.function == function)
