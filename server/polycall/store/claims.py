"""Who takes a Call from the queue, and whether its limits let it be taken: functions of a connection.

A limit is a row of ``policies``, its lane. Whoever claims under a limit locks the lane, counts what runs, and takes no
more than there is room for: of any number of servers one does so at a time, nothing has to be counted up and down, and
nothing is left to be put right after a crash. A lane that somebody else has locked is passed over, not waited for, so
that a server that is frozen in the middle of its claim holds up nobody else's.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from polycall.domain import Execution, ExecutionState
from polycall.quick import dataclass
from polycall.store.protocol import Claimed
from polycall.store.rows import read_executions
from polycall.store.tables import db_now, executions, policies

__all__ = ["claim", "claim_unlimited", "limited_projects"]

_e, _p = executions.c, policies.c
_RUNNING = int(ExecutionState.RUNNING)
# literals, not bound values: a partial index is matched by them
_IS_QUEUED = sa.text("executions.state = 0")
_IS_FREE = sa.text("executions.state = 0 AND NOT executions.limited")
_IN_LANES = sa.text("executions.state = 0 AND executions.package_id IS NOT NULL")
_COUNTS = sa.text("executions.state = 1 AND executions.kind <> 'sync'")
# without statistics SQLite takes another index that begins with the project
_BY_ORDER = (executions, "INDEXED BY ix_executions_free", "sqlite")
_BY_LANE = (executions, "INDEXED BY ix_executions_lane", "sqlite")
_BY_RUNNING = (executions, "INDEXED BY ix_executions_running", "sqlite")

_ORDER = (_e.priority.desc(), _e.run_at, _e.id)
_is_limit = _p.max_running.is_not(None)
_of_its_function = sa.and_(_p.project_id == _e.project_id, _p.package_id == _e.package_id, _p.function == _e.function)
# What came at the very moment when its function got a limit is not marked yet: it is left to the lane.
_has_no_limit = ~sa.select(sa.literal(1)).where(_of_its_function, _is_limit).correlate(executions).exists()


class _Lane(NamedTuple):
    package_id: str  # "": the project's own
    function: str
    max_running: int | None  # None: the limit was taken away
    held: bool  # locked by this claim


class _Head(NamedTuple):
    """What comes first in a lane, as it is compared: the least of all comes first."""

    rank: tuple[int, int, uuid.UUID]
    lane: _Lane
    room: int


def _first(column: sa.ColumnElement[Any]) -> sa.ScalarSelect[Any]:
    """Return what is in a column of the first that could start in a lane."""
    # not EXISTS: PostgreSQL would look for all that waits, to hash it, or read the table from its beginning
    return (
        sa.select(column)
        .where(_of_its_function, _IN_LANES, _e.run_at <= db_now())
        .with_hint(*_BY_LANE)
        .order_by(*_ORDER)
        .limit(1)
        .correlate(policies)
        .scalar_subquery()
    )


# The project's own lane, and those of functions that have something to start; which of them are ours now.
_is_lane = sa.or_(_is_limit, _p.lifted_at.is_not(None))
_matters = sa.and_(
    _p.project_id.in_(sa.bindparam("projects", expanding=True)),
    _is_lane,
    sa.or_(_p.package_id == "", _first(_e.id).is_not(None)),
)
_ours = (
    sa.select(_p.project_id, _p.package_id, _p.function, _p.max_running)
    .where(_matters)
    .with_for_update(skip_locked=True, of=policies)
    .cte("ours")
)
_LANES = (
    sa.select(
        _p.project_id, _p.package_id, _p.function, _ours.c.max_running, _ours.c.project_id.is_not(None).label("held")
    )
    .select_from(
        policies.outerjoin(
            _ours,
            sa.and_(
                _ours.c.project_id == _p.project_id,
                _ours.c.package_id == _p.package_id,
                _ours.c.function == _p.function,
            ),
        )
    )
    .where(_matters)
)

# A CTE: `id IN (SELECT ... LIMIT ... SKIP LOCKED)` may be evaluated more than once and then takes more than the limit.
# SQLAlchemy leaves FOR UPDATE out on SQLite, whose only writer needs no locks.
_started = {
    "state": _RUNNING,
    "owner": sa.bindparam("node"),
    "attempt": _e.attempt + 1,
    "started_at": db_now(),
}
_free = (
    sa.select(_e.id, _e.priority, _e.run_at)
    .where(_e.project_id == sa.bindparam("project"), _IS_FREE, _e.run_at <= db_now(), _has_no_limit)
    .with_hint(*_BY_ORDER)
    .order_by(*_ORDER)
    .limit(sa.bindparam("most"))
    .with_for_update(skip_locked=True, of=executions)
)
_own_limit = (
    sa.select(sa.literal(1))
    .where(_p.project_id == sa.bindparam("project"), _p.package_id == "", _p.function == "", _is_limit)
    .exists()
)


def _claiming(these: sa.Select[Any]) -> sa.Executable:
    first = these.cte("first")
    return sa.update(executions).where(_e.id.in_(sa.select(first.c.id))).values(_started).returning(executions)


_CLAIM_FREE = _claiming(_free)
# of a project that has no limit, as far as is known; if it has one, nothing is taken that may be under it
_CLAIM = _claiming(_free.where(~_own_limit))
_IN_LANE = (
    sa.select(_e.id, _e.priority, _e.run_at)
    .where(
        _e.project_id == sa.bindparam("project"),
        _e.package_id == sa.bindparam("package"),
        _e.function == sa.bindparam("function"),
        _IN_LANES,
        _e.run_at <= db_now(),
    )
    .with_hint(*_BY_LANE)
    .order_by(*_ORDER)
    .limit(sa.bindparam("most"))
    .with_for_update(skip_locked=True)
)
_CLAIM_THESE = (
    sa.update(executions)
    .where(_e.id.in_(sa.bindparam("ids", expanding=True)), _IS_QUEUED)
    .values(_started)
    .returning(executions)
)

# After the lanes are locked, in a statement of its own: it sees what those who had them before have taken.
_running_of_function = (
    sa.select(sa.func.count())
    .select_from(executions)
    .where(_of_its_function, _COUNTS)
    .with_hint(*_BY_RUNNING)
    .correlate(policies)
    .scalar_subquery()
)
_RUNNING_OF_PROJECT = (
    sa.select(sa.func.count())
    .select_from(executions)
    .where(_e.project_id == sa.bindparam("project"), _COUNTS)
    .with_hint(*_BY_RUNNING)
)

_HEADS = sa.select(
    _p.package_id,
    _p.function,
    _running_of_function.label("running"),
    _first(_e.priority).label("priority"),
    _first(_e.run_at).label("run_at"),
    _first(_e.id).label("id"),
).where(
    _p.project_id == sa.bindparam("project"),
    sa.tuple_(_p.package_id, _p.function).in_(sa.bindparam("lanes", expanding=True)),
)


def limited_projects(conn: sa.Connection) -> frozenset[str]:
    """Return the projects that have limits, or have had them a moment ago."""
    return frozenset(conn.execute(sa.select(_p.project_id).where(_is_lane).distinct()).scalars())


def claim(conn: sa.Connection, owner: str, wanted: Mapping[str, int], limited: Collection[str]) -> Claimed:
    """Take up to so many due executions of each project: the highest priority first, of equals what was due first.

    No limit is exceeded. ``limited``: the projects that are known to have limits; what is under one of another's is
    left where it is. Taken within a transaction: the locks of lanes are held until its end.
    """
    lanes = {project_id: list[_Lane]() for project_id in wanted if project_id in limited}
    if lanes:
        for row in conn.execute(_LANES, {"projects": sorted(lanes)}):
            lanes[row.project_id].append(_Lane(row.package_id, row.function, row.max_running, row.held))
    taken: list[Execution] = []
    contended = set[str]()
    for project_id, most in sorted(wanted.items()):  # in one order: nobody waits for a row of who waits for ours
        of_project = _OfProject(conn, owner, project_id)
        if project_id not in lanes:
            rows = of_project.take(_CLAIM, most)
        else:
            rows = of_project.limited(most, lanes[project_id])
            if len(rows) < most and not all(lane.held for lane in lanes[project_id]):
                contended.add(project_id)
        taken += read_executions(conn, sorted(rows, key=_rank))  # RETURNING has no order
    return Claimed(tuple(taken), frozenset(contended), frozenset(lanes))


def claim_unlimited(conn: sa.Connection, owner: str, project_id: str, most: int) -> Sequence[Execution]:
    """Take up to so many of a project that is not known to have limits, in one statement; none that is under one."""
    rows = _OfProject(conn, owner, project_id).take(_CLAIM, most)
    return read_executions(conn, sorted(rows, key=_rank))


@dataclass(frozen=True, slots=True)
class _OfProject:
    """The claim of one project's Calls."""

    conn: sa.Connection
    owner: str
    project_id: str

    def take(self, statement: sa.Executable, most: int) -> Sequence[sa.Row[Any]]:
        """Take what has no limit of its function's."""
        values = {"node": self.owner, "project": self.project_id, "most": most}
        return self.conn.execute(statement, values).all()

    def limited(self, most: int, lanes: Sequence[_Lane]) -> Sequence[sa.Row[Any]]:
        """Take what has none, and of lanes what there is room for, in the order of all."""
        own = next((lane for lane in lanes if not lane.package_id), None)
        if own is not None:
            if not own.held:
                return ()
            running = self.conn.execute(_RUNNING_OF_PROJECT, {"project": self.project_id}).scalar_one()
            most = min(most, (own.max_running or 0) - running)
        functions = [lane for lane in lanes if lane.package_id and lane.held]
        if most <= 0:
            return ()
        if not functions:
            return self.take(_CLAIM_FREE, most)
        found = list(self.conn.execute(_free, {"project": self.project_id, "most": most}))
        # the first of each of these comes before the first of the others, so the others are not needed
        for head in sorted(self._heads(functions))[:most]:
            of_lane = {"package": head.lane.package_id, "function": head.lane.function}
            values = {"project": self.project_id, "most": min(most, head.room), **of_lane}
            found += self.conn.execute(_IN_LANE, values)
        if not found:
            return ()
        ids = [row.id for row in sorted(found, key=_rank)[:most]]
        return self.conn.execute(_CLAIM_THESE, {"node": self.owner, "ids": ids}).all()

    def _heads(self, lanes: Sequence[_Lane]) -> list[_Head]:
        """Return what comes first in those lanes that have something to start and room for it."""
        by_function = {(lane.package_id, lane.function): lane for lane in lanes}
        heads = []
        for row in self.conn.execute(_HEADS, {"project": self.project_id, "lanes": list(by_function)}):
            lane = by_function[row.package_id, row.function]
            room = _UNBOUNDED if lane.max_running is None else lane.max_running - row.running
            if row.id is not None and room > 0:
                heads.append(_Head(_rank(row), lane, room))
        return heads


_UNBOUNDED = 1 << 30


def _rank(row: Any) -> tuple[int, int, uuid.UUID]:
    """Return what the rows of executions, or of their heads, are sorted by."""
    return -row.priority, row.run_at, row.id
