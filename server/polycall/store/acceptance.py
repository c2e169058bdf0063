"""How Calls come into the queue: as QUEUED, or claimed by the statement that inserts them. Functions of a connection.

Also synchronous executions that have a request id: a repetition has to find them while they run.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from polycall.domain import Execution, ExecutionState
from polycall.errors import AlreadyExists
from polycall.store.blobs import write_blobs
from polycall.store.dialects import insert
from polycall.store.protocol import Accepted
from polycall.store.rows import read_executions, row_of
from polycall.store.tables import db_now, executions, policies

__all__ = ["accept", "enqueue", "insert_queued", "reserve"]

_e = executions.c
_RUNNING = int(ExecutionState.RUNNING)

_LATER = db_now() + sa.bindparam("delay_ms", type_=sa.BigInteger)
_IS_LIMITED = (
    sa.select(sa.literal(1))
    .where(
        policies.c.project_id == sa.bindparam("of_project"),
        policies.c.package_id == sa.bindparam("of_package"),
        policies.c.function == sa.bindparam("of_function"),
        policies.c.max_running.is_not(None),
    )
    .exists()
)
# What may be claimed as it is inserted: nothing of its project waits that could start before it, and no limit of the
# project's is, or was a moment ago, to be counted for. As the claim itself looks at them.
_has_lanes = (
    sa.select(sa.literal(1))
    .where(
        policies.c.project_id == sa.bindparam("of_project"),
        sa.or_(policies.c.max_running.is_not(None), policies.c.lifted_at.is_not(None)),
    )
    .exists()
)
_others_wait = (
    sa.select(sa.literal(1))
    .select_from(executions)
    .where(
        _e.project_id == sa.bindparam("of_project"),
        sa.text("executions.state = 0 AND NOT executions.limited"),
        _e.run_at <= db_now(),
    )
    .with_hint(executions, "INDEXED BY ix_executions_free", "sqlite")
    .exists()
)


@functools.cache  # the one INSERT on a hot path; building it each time was a fifth of its CPU
def _insertion(dialect: str, *, claiming: bool) -> sa.Executable:
    if not claiming:
        values = {"run_at": _LATER, "limited": _IS_LIMITED}
        return insert(dialect, executions).values(values).on_conflict_do_nothing().returning(_e.id)
    # once for all columns that follow from it
    now = sa.select(sa.and_(~_has_lanes, ~_others_wait).label("ours"), db_now().label("at"))
    first = now.cte("first").prefix_with("MATERIALIZED")
    chosen: dict[str, Any] = {
        column.name: sa.bindparam(column.name, type_=column.type)
        for column in executions.c
        if column.name not in ("run_at", "limited")
    }
    chosen |= {"run_at": first.c.at, "limited": _IS_LIMITED}
    for name, claimed in (
        ("state", sa.literal(_RUNNING, _e.state.type)),
        ("attempt", sa.literal(1, _e.attempt.type)),
        ("owner", sa.bindparam("node", type_=_e.owner.type)),
        ("started_at", first.c.at),
    ):
        chosen[name] = sa.case((first.c.ours, claimed), else_=chosen[name])
    # without a condition SQLite takes what follows for that of a join
    rows = sa.select(*chosen.values()).select_from(first).where(sa.text("true"))
    return (
        insert(dialect, executions)
        .from_select(list(chosen), rows)
        .on_conflict_do_nothing()
        .returning(_e.state, _e.run_at, _e.started_at)
    )


def reserve(conn: sa.Connection, execution: Execution, inline_bytes: int) -> Execution | None:
    """Insert a synchronous execution that is about to run; return it, or the earlier one of its request id.

    None if there was an earlier one that has let go of the request id by now.
    """
    row, blobs = row_of(execution, inline_bytes)
    write_blobs(conn, blobs)
    if conn.execute(_reservation(conn.dialect.name), row).first() is not None:
        return execution
    same = sa.and_(_e.project_id == execution.project_id, _e.request_id == execution.request_id)
    earlier = read_executions(conn, conn.execute(sa.select(executions).where(same)).all())
    return earlier[0] if earlier else None


@functools.cache
def _reservation(dialect: str) -> sa.Executable:
    return insert(dialect, executions).on_conflict_do_nothing().returning(_e.id)


def enqueue(conn: sa.Connection, execution: Execution, inline_bytes: int, delay_ms: int = 0) -> Execution:
    """Insert; return the execution, or the earlier one of its request id. Raise AlreadyExists (id, alias)."""
    return execution if insert_queued(conn, execution, inline_bytes, delay_ms) else _earlier(conn, execution)


def insert_queued(conn: sa.Connection, execution: Execution, inline_bytes: int, delay_ms: int = 0) -> bool:
    """Insert what shall be run; False if there is one of its id, alias, request id or tick."""
    row = _inserted(conn, execution, inline_bytes) | {"delay_ms": delay_ms}
    return conn.execute(_insertion(conn.dialect.name, claiming=False), row).first() is not None


def accept(conn: sa.Connection, execution: Execution, inline_bytes: int, owner: str) -> Accepted:
    """Insert, claimed by an owner if nothing of its project waits and no limit concerns it; else as ``enqueue``."""
    row = _inserted(conn, execution, inline_bytes) | {"node": owner}
    made = conn.execute(_insertion(conn.dialect.name, claiming=True), row).first()
    if made is None:
        return Accepted(_earlier(conn, execution), claimed=False)
    if made.state != _RUNNING:
        return Accepted(execution, claimed=False)
    progress = {"state": ExecutionState.RUNNING, "owner": owner, "attempt": 1, "started_at": made.started_at}
    return Accepted(replace(execution, **progress, run_at=made.run_at), claimed=True)


def _inserted(conn: sa.Connection, execution: Execution, inline_bytes: int) -> dict[str, Any]:
    """Write the blobs of what is to be inserted; return its row, and where its limit would be."""
    row, blobs = row_of(execution, inline_bytes)
    write_blobs(conn, blobs)
    row["of_project"], row["of_package"], row["of_function"] = row["project_id"], row["package_id"], row["function"]
    return row


def _earlier(conn: sa.Connection, execution: Execution) -> Execution:
    """Return the execution that already has the request id of one. Raises AlreadyExists: it is the id, or alias."""
    if execution.request_id is not None:
        same = sa.and_(_e.project_id == execution.project_id, _e.request_id == execution.request_id)
        earlier = read_executions(conn, conn.execute(sa.select(executions).where(same)).all())
        if earlier:
            return earlier[0]
    name = execution.alias if execution.alias is not None else str(execution.id)
    raise AlreadyExists("polycall.v1.Execution", f"executions/{name}")
