"""Lists of executions: a filter, a place, an index."""

from __future__ import annotations

import uuid
from typing import Any

import sqlalchemy as sa

from polycall.domain import ExecutionFilter, ExecutionState
from polycall.ids import id_at
from polycall.store.rows import LISTED
from polycall.store.tables import executions

__all__ = ["list_statement"]

# An id is minted a moment before `queued_at` is read, by clocks that may be set between: a range of times is also a
# range of ids if both ends are given this much.
_ID_SKEW_MS = 60_000
_LAST_ID_MS = (1 << 48) - 1  # RFC 9562: 48 bits of milliseconds

_e = executions.c


def list_statement(
    project_id: str, where: ExecutionFilter, after: uuid.UUID | None, rows: int, *, ascending: bool
) -> sa.Select[Any]:
    """Return the statement of up to ``rows`` rows that follow ``after`` in the order of their ids.

    States that are all unfinished or all failures, packages, schedules and times are found by index; version, function
    and face are looked for among what those leave.
    """
    conditions: list[sa.ColumnElement[bool] | sa.TextClause] = [_e.project_id == project_id]
    for column, value in (
        (_e.package_id, where.package_id),
        (_e.version_id, where.version_id),
        (_e.function, where.function),
        (_e.face, where.face),
        (_e.schedule_id, where.schedule_id),
    ):
        if value is not None:
            conditions.append(column == value)
    if where.queued_after is not None:
        conditions += [_e.queued_at >= where.queued_after, _e.id >= _id_near(where.queued_after - _ID_SKEW_MS)]
    if where.queued_before is not None:
        conditions += [_e.queued_at < where.queued_before, _e.id < _id_near(where.queued_before + _ID_SKEW_MS)]
    if where.before is not None:
        conditions.append(_e.id < where.before)
    if where.failed_exit:
        conditions.append(sa.or_(_e.exit_code.is_(None), _e.exit_code != 0))
    # what has not ended has not ended before anything
    if where.ended_after is not None:
        conditions.append(_e.ended_at >= where.ended_after)
    if where.ended_before is not None:
        conditions.append(_e.ended_at < where.ended_before)
    if after is not None:
        conditions.append(_e.id > after if ascending else _e.id < after)
    index = ""
    if where.states:
        conditions.append(_e.state.in_([int(state) for state in where.states]))
    if where.schedule_id is not None:
        index = "ix_executions_schedule"
    elif where.states:
        index, implied = _partial_index(where)
        if implied:
            conditions.append(sa.text(implied))
    statement = sa.select(*LISTED).where(*conditions)
    if index:
        # without statistics SQLite takes every index for equally good, and a partial one for no better than the whole
        statement = statement.with_hint(executions, f"INDEXED BY {index}", "sqlite")
    return statement.order_by(_e.id.asc() if ascending else _e.id.desc()).limit(rows)


def _id_near(time_ms: int) -> uuid.UUID:
    return id_at(min(time_ms, _LAST_ID_MS))


def _partial_index(where: ExecutionFilter) -> tuple[str, str]:
    """Return the partial index that holds all rows of some states, and its predicate, as the index spells it."""
    if max(where.states) <= ExecutionState.RUNNING:
        return "ix_executions_active", "executions.state < 2 AND executions.project_id <> ''"
    if min(where.states) > ExecutionState.COMPLETED:
        if where.package_id is not None:
            return "ix_executions_package_failed", "executions.state > 2"
        return "ix_executions_failed", "executions.state > 2"
    return "", ""
