"""Lists of executions: a filter, a place, an index.

What has ended is found by state: every index of ended executions has the state before the id, so that a page is read
where it stands, however rare what is asked for, and a list of several states is merged from a page of each.
"""

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
# One server mints the id, another one or the database says when it ended; by how much they differ nobody bounds.
_CLOCKS_MS = 86_400_000
_LAST_ID_MS = (1 << 48) - 1  # RFC 9562: 48 bits of milliseconds

_e = executions.c
_FINAL = tuple(state for state in ExecutionState if state.final)
_UNFINISHED = tuple(state for state in ExecutionState if not state.final)
# as the partial indexes spell their predicates: the planners match them by literals, not by bound values
_HAS_ENDED = sa.text("executions.state NOT IN (0, 1)")
_IS_ACTIVE = sa.text("executions.state < 2 AND executions.project_id <> ''")


def list_statement(
    project_id: str, where: ExecutionFilter, after: uuid.UUID | None, rows: int, *, ascending: bool
) -> sa.Select[Any]:
    """Return the statement of up to ``rows`` rows that follow ``after`` in the order of their ids.

    States, schedules, packages and what is below them, faces and the times of acceptance are found by index; what else
    is asked for is looked for among what those leave.
    """
    order = _e.id.asc() if ascending else _e.id.desc()
    conditions = _conditions(project_id, where, after, ascending=ascending)
    index = _index_of_ended(where)
    if not where.states and not index:
        return sa.select(*LISTED).where(*conditions).order_by(order).limit(rows)
    wanted = set(where.states or ExecutionState)
    branches = [([_HAS_ENDED, _e.state == int(state)], index or "ix_executions_state") for state in _FINAL]
    branches = [branch for branch, state in zip(branches, _FINAL, strict=True) if state in wanted]
    if unfinished := [int(state) for state in _UNFINISHED if state in wanted]:
        # few by nature: a project's queue has a length
        branches.append(([_IS_ACTIVE, _e.state.in_(unfinished)], "ix_executions_active"))

    def page(what: tuple[Any, ...], which: list[Any], index: str) -> sa.Select[Any]:
        statement = sa.select(*what).where(*conditions, *which)
        # without statistics SQLite takes every index for equally good, and a partial one for no better than the whole
        return statement.with_hint(executions, f"INDEXED BY {index}", "sqlite").order_by(order).limit(rows)

    if len(branches) == 1:
        return page(LISTED, *branches[0])
    # a member of a compound has neither order nor limit of its own: it selects from one that has
    found = sa.union_all(*(sa.select(page((_e.id,), *branch).subquery().c.id) for branch in branches)).subquery()
    merged = sa.select(found.c.id).order_by(found.c.id.asc() if ascending else found.c.id.desc()).limit(rows)
    own = sa.and_(_e.project_id == project_id, _e.id.in_(merged))
    return sa.select(*LISTED).where(own).order_by(order)


def _conditions(
    project_id: str, where: ExecutionFilter, after: uuid.UUID | None, *, ascending: bool
) -> list[sa.ColumnElement[bool]]:
    """Return all that is asked for but the states."""
    conditions: list[sa.ColumnElement[bool]] = [_e.project_id == project_id]
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
    if where.ended_before is not None:  # and nothing ends before it is accepted, but for the clocks of two machines
        conditions += [_e.ended_at < where.ended_before, _e.id < _id_near(where.ended_before + _CLOCKS_MS)]
    if after is not None:
        conditions.append(_e.id > after if ascending else _e.id < after)
    return conditions


def _id_near(time_ms: int) -> uuid.UUID:
    return id_at(min(time_ms, _LAST_ID_MS))


def _index_of_ended(where: ExecutionFilter) -> str:
    """Return the index that leads to what has ended of a schedule, of a package or below it, of a face."""
    if where.schedule_id is not None:
        return "ix_executions_schedule"
    if where.package_id is not None:
        match where.version_id is not None, where.function is not None:
            case True, True:
                return "ix_executions_version_function"
            case True, False:
                return "ix_executions_version"
            case False, True:
                return "ix_executions_function"
        return "ix_executions_package"
    return "ix_executions_face" if where.face is not None else ""
