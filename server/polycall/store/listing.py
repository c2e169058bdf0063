"""Lists of executions: a filter, a place, an index.

What has ended is found by state: every index of ended executions has the state before the id, so that a page is read
where it stands, however rare what is asked for, and a list of several states is merged from a page of each.
"""

from __future__ import annotations

import dataclasses
import functools
import uuid
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

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
_NEAR = {
    "id_queued_after": ("queued_after", -_ID_SKEW_MS),
    "id_queued_before": ("queued_before", _ID_SKEW_MS),
    "id_ended_before": ("ended_before", _CLOCKS_MS),
}
# the parts of a filter that are values of its statement
_VALUES = tuple(
    field.name for field in dataclasses.fields(ExecutionFilter) if field.name not in ("states", "failed_exit")
)
_SHAPES = 256  # statements that are kept; a contract has a few dozen, whoever makes up more has them built

_e = executions.c
_FINAL = tuple(state for state in ExecutionState if state.final)
_UNFINISHED = tuple(state for state in ExecutionState if not state.final)
# as the partial indexes spell their predicates: the planners match them by literals, not by bound values
_HAS_ENDED = sa.text("executions.state NOT IN (0, 1)")
_IS_ACTIVE = sa.text("executions.state < 2 AND executions.project_id <> ''")


class _Shape(NamedTuple):
    """What makes the statement of a list; the rest of a list are its values."""

    states: tuple[ExecutionState, ...]
    given: frozenset[str]  # what has a value
    failed_exit: bool
    ascending: bool
    whole: bool


def list_statement(
    project_id: str,
    where: ExecutionFilter,
    after: uuid.UUID | None,
    rows: int,
    *,
    ascending: bool,
    whole: bool = False,
) -> tuple[sa.Select[Any], Mapping[str, Any]]:
    """Return the statement of up to ``rows`` rows that follow ``after`` in the order of their ids, and its values.

    States, schedules, packages and what is below them, faces and the times of acceptance are found by index; what else
    is asked for is looked for among what those leave. ``whole``: all columns, not ``LISTED`` alone.
    """
    values = {name: value for name in _VALUES if (value := getattr(where, name)) is not None}
    if after is not None:
        values["after"] = after
    shape = _Shape(where.states, frozenset(values), where.failed_exit, ascending, whole)
    for name, (of, skew_ms) in _NEAR.items():
        if of in values:
            values[name] = id_at(min(values[of] + skew_ms, _LAST_ID_MS))
    return _statement(shape), {**values, "project": project_id, "rows": rows}


# built and hashed anew for each list it would take as long as the database
@functools.lru_cache(_SHAPES)
def _statement(shape: _Shape) -> sa.Select[Any]:
    columns = tuple(_e) if shape.whole else LISTED
    order = _e.id.asc() if shape.ascending else _e.id.desc()
    conditions, rows = _conditions(shape), sa.bindparam("rows", type_=sa.Integer)
    index = _index_of_ended(shape.given)
    if not shape.states and not index:
        return sa.select(*columns).where(*conditions).order_by(order).limit(rows)
    wanted = set(shape.states or ExecutionState)
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
        return page(columns, *branches[0])
    # a member of a compound has neither order nor limit of its own: it selects from one that has
    found = sa.union_all(*(sa.select(page((_e.id,), *branch).subquery().c.id) for branch in branches)).subquery()
    merged = sa.select(found.c.id).order_by(found.c.id.asc() if shape.ascending else found.c.id.desc()).limit(rows)
    own = sa.and_(_e.project_id == sa.bindparam("project"), _e.id.in_(merged))
    return sa.select(*columns).where(own).order_by(order)


def _conditions(shape: _Shape) -> list[sa.ColumnElement[bool]]:
    """Return all that is asked for but the states."""
    value = sa.bindparam
    conditions: list[sa.ColumnElement[bool]] = [_e.project_id == value("project")]
    tests = {
        "package_id": (_e.package_id == value("package_id"),),
        "version_id": (_e.version_id == value("version_id"),),
        "function": (_e.function == value("function"),),
        "face": (_e.face == value("face"),),
        "schedule_id": (_e.schedule_id == value("schedule_id"),),
        "queued_after": (_e.queued_at >= value("queued_after"), _e.id >= value("id_queued_after")),
        "queued_before": (_e.queued_at < value("queued_before"), _e.id < value("id_queued_before")),
        "before": (_e.id < value("before"),),
        # what has not ended has not ended before anything
        "ended_after": (_e.ended_at >= value("ended_after"),),
        # and nothing ends before it is accepted, but for the clocks of two machines
        "ended_before": (_e.ended_at < value("ended_before"), _e.id < value("id_ended_before")),
        "after": (_e.id > value("after") if shape.ascending else _e.id < value("after"),),
    }
    for name, tested in tests.items():
        if name in shape.given:
            conditions += tested
    if shape.failed_exit:
        conditions.append(sa.or_(_e.exit_code.is_(None), _e.exit_code != 0))
    return conditions


def _index_of_ended(given: Collection[str]) -> str:
    """Return the index that leads to what has ended of a schedule, of a package or below it, of a face."""
    if "schedule_id" in given:
        return "ix_executions_schedule"
    if "package_id" in given:
        match "version_id" in given, "function" in given:
            case True, True:
                return "ix_executions_version_function"
            case True, False:
                return "ix_executions_version"
            case False, True:
                return "ix_executions_function"
        return "ix_executions_package"
    return "ix_executions_face" if "face" in given else ""
