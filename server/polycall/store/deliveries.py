"""Deliveries: functions of a connection.

They are made by a trigger, in the transaction of an execution's end (``tables.deliveries``), and claimed for a time:
whoever claims one moves its next attempt to where the claim ends, so that what a killed server had is due again then.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from polycall.domain import Delivery, DeliveryState, DueDelivery, Reason
from polycall.errors import NotFound
from polycall.names import DeliveryName
from polycall.store.nodes import living as is_living
from polycall.store.protocol.deliveries import Attempted, Lane, PendingLanes
from polycall.store.rows import LISTED, listed_execution
from polycall.store.signing import signing_now
from polycall.store.tables import db_now, deliveries, executions, nodes

__all__ = [
    "claim",
    "count",
    "get_delivery",
    "give_back",
    "list_deliveries",
    "pending_lanes",
    "reclaim",
    "redeliver",
    "settle",
]

_d = deliveries.c
_e = executions.c
_PENDING = int(DeliveryState.PENDING)
# a literal, not a bound value: a partial index is matched by it
_IS_PENDING = sa.text("deliveries.state = 0")


# The next lane by name that has something pending, again and again: a seek in an index each, however much waits in it.
_least = sa.select(sa.func.min(_d.lane).label("lane")).where(_IS_PENDING, _d.lane < sa.bindparam("before"))
_step = _least.where(_d.lane > sa.bindparam("after")).cte("step", recursive=True)
_next = _least.where(_d.lane > _step.c.lane).scalar_subquery()
_step = _step.union_all(sa.select(_next).where(_step.c.lane.is_not(None)))
_soonest = sa.select(sa.func.min(_d.next_attempt)).where(_IS_PENDING, _d.lane == _step.c.lane).scalar_subquery()
_LANES = (
    sa.select(_step.c.lane, _soonest.label("due"), db_now().label("now"))
    .where(_step.c.lane.is_not(None))
    .limit(sa.bindparam("most"))
)
_FIRST = sa.select(sa.func.min(_d.lane)).where(_IS_PENDING, _d.lane > sa.bindparam("after"))
_BEHIND_ALL = "\x7f"  # ids of projects and names of hosts are printable ASCII
_BEHIND_PROJECT = "!"  # comes after the space that parts project and host
_FEWEST = 8  # lanes of a project, however many projects there are


def pending_lanes(conn: sa.Connection, places: Mapping[str, str], most: int) -> PendingLanes:
    """Return the lanes of all projects, and the database's time; see the protocol.

    A project makes as many lanes as it likes where a wildcard is listed, so that who has too many shows some at a time.
    """
    rows = _some_lanes(conn, "", _BEHIND_ALL, most + 1)
    shown: dict[str, str] = {}
    if len(rows) > most:
        projects = _projects_pending(conn)
        each = max(_FEWEST, most // len(projects))
        rows = []
        for project_id in projects:
            first, behind = f"{project_id} ", f"{project_id}{_BEHIND_PROJECT}"
            place = places.get(project_id, first)
            found = _some_lanes(conn, place, behind, each)
            if len(found) < each and place != first:  # and once more from the beginning, up to that place
                found += [row for row in _some_lanes(conn, first, behind, each - len(found)) if row.lane <= place]
            elif len(found) == each:
                shown[project_id] = found[-1].lane
            rows += found
    lanes = []
    for row in rows:
        project_id, _, host = row.lane.rpartition(" ")
        lanes.append(Lane(project_id, host, row.due))
    return PendingLanes(rows[0].now if rows else 0, lanes, shown)


def _some_lanes(conn: sa.Connection, after: str, before: str, most: int) -> list[sa.Row[Any]]:
    return list(conn.execute(_LANES, {"after": after, "before": before, "most": most}))


def _projects_pending(conn: sa.Connection) -> list[str]:
    found: list[str] = []
    after = ""
    while (lane := conn.execute(_FIRST, {"after": after}).scalar_one()) is not None:
        project_id = lane.rpartition(" ")[0]
        found.append(project_id)
        after = f"{project_id}{_BEHIND_PROJECT}"
    return found


# see ``store.queue`` for why it is a CTE
_due = (
    sa.select(_d.execution_id)
    .where(_IS_PENDING, _d.lane == sa.bindparam("of"), _d.next_attempt <= db_now())
    .order_by(_d.next_attempt, _d.execution_id)
    .limit(sa.bindparam("most"))
    .with_for_update(skip_locked=True)
    .cte("due")
)
_CLAIM = (
    sa.update(deliveries)
    .where(_d.execution_id.in_(sa.select(_due.c.execution_id)))
    .values(
        owner=sa.bindparam("node"),
        attempts=_d.attempts + 1,
        attempted_at=db_now(),
        next_attempt=db_now() + sa.bindparam("lease", type_=sa.BigInteger),
    )
    .returning(deliveries)
)
_small: sa.ColumnElement[bool] = sa.func.length(_e.result) <= sa.bindparam("largest", type_=sa.BigInteger)
_TOLD: sa.Select[Any] = sa.select(
    *LISTED,
    sa.case((_small, _e.result)).label("small_result"),
    sa.or_(_e.result_blob.is_not(None), sa.and_(_e.result.is_not(None), ~_small)).label("result_omitted"),
).where(_e.id.in_(sa.bindparam("ids", expanding=True)))


def claim(
    conn: sa.Connection, owner: str, lane: Lane, most: int, lease_ms: int, result_bytes: int
) -> list[DueDelivery]:
    """Take deliveries of a lane whose time has come."""
    values = {"node": owner, "of": f"{lane.project_id} {lane.host}", "most": most, "lease": lease_ms}
    taken = [_delivery_of(row) for row in conn.execute(_CLAIM, values)]
    if not taken:
        return []
    ids = [delivery.execution_id for delivery in taken]
    told = {row.id: row for row in conn.execute(_TOLD, {"ids": ids, "largest": result_bytes})}
    secrets = signing_now(conn, lane.project_id)
    return [
        DueDelivery(
            delivery=delivery,
            execution=replace(listed_execution(row), result=row.small_result),
            result_omitted=bool(row.result_omitted),
            secrets=secrets,
        )
        for delivery in sorted(taken, key=lambda one: one.execution_id)
        if (row := told.get(delivery.execution_id)) is not None
    ]


def settle(conn: sa.Connection, delivery: Delivery, attempted: Attempted) -> bool:
    """Write what came of an attempt, if it is still this owner's."""
    pending = attempted.state is DeliveryState.PENDING
    done = conn.execute(
        sa.update(deliveries)
        .where(
            *_is_delivery(delivery.project_id, delivery.execution_id),
            _d.owner == delivery.owner,
            _d.attempts == delivery.attempts,
            _IS_PENDING,
        )
        .values(
            state=int(attempted.state),
            owner=None,
            next_attempt=db_now() + attempted.delay_ms if pending else None,
            ended_at=None if pending else db_now(),
            status=attempted.status,
            error=attempted.error or None,
        )
    )
    return done.rowcount == 1


def give_back(conn: sa.Connection, owner: str, only: Sequence[uuid.UUID] | None) -> int:
    """Undo claims of an owner (these)."""
    statement = (
        sa.update(deliveries)
        .where(_d.owner == owner, _d.owner.is_not(None))
        .values(owner=None, next_attempt=db_now(), attempts=_d.attempts - 1)
    )
    return conn.execute(statement if only is None else statement.where(_d.execution_id.in_(only))).rowcount


def reclaim(conn: sa.Connection, living: Collection[str] | None, lease_ms: int) -> int:
    """Let others take what owners had that are not living any more."""
    alive = sa.select(nodes.c.id).where(is_living(lease_ms)) if living is None else sorted(living)
    return conn.execute(
        sa.update(deliveries)
        .where(_d.owner.is_not(None), _d.owner.not_in(alive))
        .values(owner=None, next_attempt=db_now())
    ).rowcount


def get_delivery(conn: sa.Connection, project_id: str, execution_id: uuid.UUID) -> Delivery:
    """Return; raise NotFound."""
    row = conn.execute(sa.select(deliveries).where(*_is_delivery(project_id, execution_id))).first()
    if row is None:
        raise _no_delivery(execution_id)
    return _delivery_of(row)


def list_deliveries(
    conn: sa.Connection, project_id: str, state: DeliveryState | None, after: uuid.UUID | None, rows: int
) -> list[tuple[str, Delivery]]:
    """Return deliveries with their places, those of the newest executions first, from the one after a place on."""
    statement = sa.select(deliveries).where(_d.project_id == project_id)
    if state is not None:
        statement = statement.where(_d.state == int(state))
    if after is not None:
        statement = statement.where(_d.execution_id < after)
    found = conn.execute(statement.order_by(_d.execution_id.desc()).limit(rows))
    return [(str(row.execution_id), _delivery_of(row)) for row in found]


def count(conn: sa.Connection, project_id: str, state: DeliveryState, most: int) -> int:
    """Return how many are in a state, ``most`` at most."""
    some = sa.select(_d.execution_id).where(_d.project_id == project_id, _d.state == int(state)).limit(most)
    return conn.execute(sa.select(sa.func.count()).select_from(some.subquery())).scalar_one()


def redeliver(conn: sa.Connection, project_id: str, execution_id: uuid.UUID) -> Delivery:
    """Have one attempted again, unless that is being done; raise NotFound."""
    row = conn.execute(
        sa.update(deliveries)
        .where(*_is_delivery(project_id, execution_id), _d.owner.is_(None))
        .values(state=_PENDING, attempts=0, next_attempt=db_now(), ended_at=None)
        .returning(deliveries)
    ).first()
    return _delivery_of(row) if row is not None else get_delivery(conn, project_id, execution_id)


def _is_delivery(project_id: str, execution_id: uuid.UUID) -> tuple[sa.ColumnElement[bool], ...]:
    return (_d.project_id == project_id, _d.execution_id == execution_id)


def _delivery_of(row: sa.Row[Any]) -> Delivery:
    return Delivery(
        execution_id=row.execution_id,
        project_id=row.project_id,
        url=row.url,
        host=row.lane.rpartition(" ")[2],
        state=DeliveryState(row.state),
        created_at=row.created_at,
        attempts=row.attempts,
        owner=row.owner,
        next_attempt=row.next_attempt,
        attempted_at=row.attempted_at,
        ended_at=row.ended_at,
        status=row.status,
        error=row.error or "",
    )


def _no_delivery(execution_id: uuid.UUID) -> NotFound:
    return NotFound(Reason.DELIVERY_NOT_FOUND, "polycall.v1.Delivery", str(DeliveryName(execution_id)))
