"""Schedules: functions of a connection.

A tick is fired by whoever moves ``next_run`` on from it, in the transaction that inserts its execution: of any number
of servers it is one, and a crash leaves either both or neither.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from polycall.domain import (
    ExecutionError,
    ExecutionState,
    LimitOverrides,
    MissedTicks,
    Overlap,
    Reason,
    RetryPolicy,
    Schedule,
)
from polycall.errors import AlreadyExists, NotFound, QuotaExceeded
from polycall.store import acceptance
from polycall.store.dialects import insert
from polycall.store.packages import get_package
from polycall.store.paging import place_number
from polycall.store.protocol import Fired, Firing, ScheduleFilter
from polycall.store.quota import lock_project, row_bytes
from polycall.store.rows import json_text
from polycall.store.tables import db_now, executions, schedules
from polycall.store.versions import get_version

__all__ = [
    "Place",
    "change_schedule",
    "clock",
    "create_schedule",
    "delete_schedule",
    "due_schedules",
    "fire",
    "get_schedule",
    "list_schedules",
]

_s = schedules.c
_e = executions.c
_decode_limits = msgspec.json.Decoder(LimitOverrides).decode
_decode_retry = msgspec.json.Decoder(RetryPolicy).decode
# inputs may have megabytes: a list does without
_LISTED: tuple[sa.ColumnElement[Any], ...] = tuple(column for column in _s if column is not _s.input)
_APART = ("limits", "overlap", "missed", "input", "size", "retry")
_PLAIN = tuple(column.name for column in _s if column.name not in _APART)
_OVERLAPS = "An earlier execution of this schedule has not ended (overlap SKIP)."
_REPLACED = ExecutionError(
    reason=Reason.EXECUTION_CANCELLED, message="The next execution of its schedule took its place (overlap REPLACE)."
)
# a literal, not bound values: a partial index is matched by it
_IS_ACTIVE = sa.text("executions.state < 2 AND executions.schedule_id IS NOT NULL")
_BY_SCHEDULE = (executions, "INDEXED BY ix_executions_schedule_active", "sqlite")


class Place(NamedTuple):
    """Where a schedule is in its list."""

    created_at: int
    id: str

    @classmethod
    def parse(cls, text: str) -> Place:
        """Read what ``str`` wrote; raise ValueError."""
        created_at, _, text = text.partition(" ")
        return cls(place_number(created_at), text)

    def __str__(self) -> str:
        return f"{self.created_at} {self.id}"


def clock(conn: sa.Connection) -> int:
    """Return the database's time."""
    return conn.execute(sa.select(db_now())).scalar_one()


def create_schedule(conn: sa.Connection, schedule: Schedule, most: int, most_of_package: int | None) -> None:
    """Insert; raise AlreadyExists, NotFound (package, version), QuotaExceeded."""
    # who makes one waits for who makes another in the same project: so neither is one too many
    lock_project(conn, schedule.project_id)
    get_package(conn, schedule.project_id, schedule.package_id)
    if schedule.version_id is not None:
        get_version(conn, schedule.project_id, schedule.package_id, schedule.version_id)
    own = _s.project_id == schedule.project_id
    if _count(conn, own) >= most:
        raise QuotaExceeded(
            f"This project has {most} schedules, as many as it may have. Delete some, or raise the server's "
            "`project_schedules`."
            if most
            else "This server keeps no schedules: its `project_schedules` is 0.",
            subject="schedules",
            metadata={"most": str(most)},
        )
    if most_of_package is not None and _count(conn, own, _s.package_id == schedule.package_id) >= most_of_package:
        raise QuotaExceeded(
            f"This function has {most_of_package} schedules, as many as it may have. Delete some.",
            subject=f"packages/{schedule.package_id}",
            metadata={"most": str(most_of_package)},
        )
    row = {"project_id": schedule.project_id, "id": schedule.id, "created_at": schedule.created_at}
    row |= {"created_by": schedule.created_by, "face": schedule.face, "revision": schedule.revision}
    row |= {"last_run": schedule.last_run, "runs": schedule.runs, "skipped": schedule.skipped}
    row |= {"last_skipped": schedule.last_skipped, "last_skip": schedule.last_skip, "next_run": schedule.next_run}
    row |= _changeable(schedule)
    if conn.execute(insert(conn.dialect.name, schedules).on_conflict_do_nothing(), row).rowcount != 1:
        raise AlreadyExists("polycall.v1.Schedule", f"schedules/{schedule.id}")


def get_schedule(conn: sa.Connection, project_id: str, schedule_id: str) -> Schedule:
    """Return with its input; raise NotFound."""
    row = conn.execute(sa.select(schedules).where(*_is_schedule(project_id, schedule_id))).first()
    if row is None:
        raise _no_schedule(schedule_id)
    return _schedule_of(row, row.input)


def list_schedules(
    conn: sa.Connection, project_id: str, where: ScheduleFilter, after: Place | None, rows: int
) -> list[tuple[str, Schedule]]:
    """Return schedules without inputs, with their places, newest first, from the one after a place on."""
    statement = sa.select(*_LISTED).where(_s.project_id == project_id)
    for column, value in (
        (_s.package_id, where.package_id),
        (_s.version_id, where.version_id),
        (_s.function, where.function),
        (_s.face, where.face),
        (_s.display_name, where.display_name),
        (_s.cron, where.cron),
    ):
        if value is not None:
            statement = statement.where(column == value)
    if where.created_after is not None:
        statement = statement.where(_s.created_at >= where.created_after)
    if where.created_before is not None:
        statement = statement.where(_s.created_at < where.created_before)
    if after is not None:
        statement = statement.where(sa.tuple_(_s.created_at, _s.id) < sa.tuple_(*after))
    found = conn.execute(statement.order_by(_s.created_at.desc(), _s.id.desc()).limit(rows))
    return [(str(Place(row.created_at, row.id)), _schedule_of(row)) for row in found]


def change_schedule(conn: sa.Connection, schedule: Schedule, retime: bool) -> bool:
    """Write what callers change of a schedule that is still at its revision, which rises; ``next_run`` if asked to.

    False: it is at another, or gone.
    """
    values = _changeable(schedule) | {"revision": schedule.revision + 1}
    if retime:
        values["next_run"] = schedule.next_run
    changed = conn.execute(
        sa.update(schedules)
        .where(*_is_schedule(schedule.project_id, schedule.id), _s.revision == schedule.revision)
        .values(values)
    )
    return changed.rowcount == 1


def delete_schedule(conn: sa.Connection, project_id: str, schedule_id: str) -> None:
    """Delete; its executions stay. Raises NotFound."""
    if conn.execute(sa.delete(schedules).where(*_is_schedule(project_id, schedule_id))).rowcount != 1:
        raise _no_schedule(schedule_id)


# However many schedules a project has due at a minute, the first of another's comes among the first.
_turns = (
    sa.select(
        _s.project_id,
        _s.id,
        sa.func.row_number().over(partition_by=_s.project_id, order_by=(_s.next_run, _s.id)).label("turn"),
    )
    .where(_s.next_run.is_not(None), _s.next_run <= sa.bindparam("now", type_=sa.BigInteger))
    .subquery()
)
_DUE = (
    sa.select(*_LISTED)
    .join(_turns, sa.and_(_turns.c.project_id == _s.project_id, _turns.c.id == _s.id))
    .order_by(_turns.c.turn, _s.next_run)
    .limit(sa.bindparam("most"))
)


def due_schedules(conn: sa.Connection, most: int) -> tuple[int, list[Schedule], int | None]:
    """Return the database's time, schedules (without inputs) whose tick has come, and when the next of the others has.

    The projects take turns; the last is None if there are no others.
    """
    now = clock(conn)
    rows = conn.execute(_DUE, {"now": now, "most": most}).all()
    later = conn.execute(sa.select(sa.func.min(_s.next_run)).where(_s.next_run.is_not(None), _s.next_run > now))
    return now, [_schedule_of(row) for row in rows], later.scalar_one()


def fire(conn: sa.Connection, seen: Schedule, firing: Firing, inline_bytes: int) -> Fired:
    """Move a schedule on from its tick, with its execution or without."""
    execution, why = firing.execution, firing.why
    active = execution is not None and seen.overlap is not Overlap.ALLOW and _active(conn, seen)
    if active and seen.overlap is Overlap.SKIP:
        execution, why = None, _OVERLAPS
    values: dict[str, Any] = {"next_run": firing.next_run}
    left_out = firing.missed + (execution is None)
    if left_out:
        values["skipped"] = _s.skipped + left_out
        values["last_skipped"] = firing.at if execution is None else firing.last_missed
        values["last_skip"] = why
    if execution is not None:
        values |= {"runs": _s.runs + 1, "last_run": firing.at}
    moved = conn.execute(
        sa.update(schedules)
        .where(
            *_is_schedule(seen.project_id, seen.id),
            _s.next_run == seen.next_run,
            _s.revision == seen.revision,
        )
        .values(values)
    )
    if moved.rowcount != 1:
        return Fired.LOST
    if execution is None:
        return Fired.LEFT_OUT
    if active:
        _replace(conn, seen)
    if acceptance.insert_queued(conn, execution, inline_bytes):
        return Fired.RAN
    # it ran before: the clock was set back, or ``next_run`` was
    conn.execute(sa.update(schedules).where(*_is_schedule(seen.project_id, seen.id)).values(runs=_s.runs - 1))
    return Fired.LEFT_OUT


def _active(conn: sa.Connection, schedule: Schedule) -> bool:
    """Return whether an execution of a schedule has not ended."""
    statement = sa.select(_e.id).where(*_of(schedule)).with_hint(*_BY_SCHEDULE).limit(1)
    return conn.execute(statement).first() is not None


def _replace(conn: sa.Connection, schedule: Schedule) -> None:
    """Cancel what has not ended of a schedule: what waits at once, what runs by who runs it."""
    waits = _e.state == int(ExecutionState.QUEUED)
    conn.execute(
        sa.update(executions)
        .where(*_of(schedule))
        .values(
            cancel_requested=True,
            state=sa.case((waits, int(ExecutionState.CANCELLED)), else_=_e.state),
            ended_at=sa.case((waits, db_now()), else_=_e.ended_at),
            error=sa.case((waits, json_text(_REPLACED)), else_=_e.error),
        )
    )


def _of(schedule: Schedule) -> tuple[sa.ColumnElement[bool] | sa.TextClause, ...]:
    return (_e.project_id == schedule.project_id, _e.schedule_id == schedule.id, _IS_ACTIVE)


def _count(conn: sa.Connection, *conditions: sa.ColumnElement[bool]) -> int:
    return conn.execute(sa.select(sa.func.count()).select_from(schedules).where(*conditions)).scalar_one()


def _is_schedule(project_id: str, schedule_id: str) -> tuple[sa.ColumnElement[bool], ...]:
    return (_s.project_id == project_id, _s.id == schedule_id)


def _changeable(schedule: Schedule) -> dict[str, Any]:
    values = {
        "package_id": schedule.package_id,
        "version_id": schedule.version_id,
        "function": schedule.function,
        "cron": schedule.cron,
        "timezone": schedule.timezone,
        "limits": json_text(schedule.limits),
        "max_attempts": schedule.max_attempts,
        "deadline_ms": schedule.deadline_ms,
        "overlap": schedule.overlap.value,
        "missed": schedule.missed.value,
        "paused": schedule.paused,
        "display_name": schedule.display_name,
        "description": schedule.description,
        "updated_at": schedule.updated_at,
        "face_data": schedule.face_data,
        "input": schedule.input,
        "completion_url": schedule.completion_url,
        "priority": schedule.priority,
        "retry": schedule.retry and json_text(schedule.retry),
    }
    return {**values, "size": row_bytes(values)}


def _schedule_of(row: sa.Row[Any], text: bytes = b"") -> Schedule:
    plain = {name: row._mapping[name] for name in _PLAIN}
    return Schedule(
        **plain,
        limits=_decode_limits(row.limits),
        overlap=Overlap(row.overlap),
        missed=MissedTicks(row.missed),
        input=text,
        retry=row.retry and _decode_retry(row.retry),
    )


def _no_schedule(schedule_id: str) -> NotFound:
    return NotFound(Reason.SCHEDULE_NOT_FOUND, "polycall.v1.Schedule", f"schedules/{schedule_id}")
