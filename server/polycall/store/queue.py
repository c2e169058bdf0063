"""The queue: what is done to the executions table by those who finish Calls, and by those who look after what waits.

``acceptance``: how Calls come into it; ``claims``: who takes them.

Functions of a connection; the only statements of the store that cross projects are here. An end is written only where
owner, attempt and RUNNING still match, so a server that was cut off cannot overwrite what its successor wrote.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from polycall.domain import Execution, ExecutionError, ExecutionKind, ExecutionState, Reason
from polycall.store.blobs import write_blobs
from polycall.store.rows import json_text, read_executions, row_of
from polycall.store.tables import db_now, executions, nodes

__all__ = [
    "backlog",
    "cancelled",
    "due",
    "expire",
    "finish",
    "give_back",
    "reap",
    "recover",
    "release",
    "request_cancel",
    "retry",
    "unclaim",
    "waiting",
]

_e = executions.c
_QUEUED, _RUNNING = int(ExecutionState.QUEUED), int(ExecutionState.RUNNING)
_FAILED, _TIMEOUT = int(ExecutionState.FAILED), int(ExecutionState.TIMEOUT)
_CANCELLED = int(ExecutionState.CANCELLED)
_UNSTARTED = ExecutionError(
    reason=Reason.EXECUTION_CANCELLED, message="The execution was cancelled before it was started."
)
# literals, not bound values: a partial index is matched by them
_IS_QUEUED = sa.text("executions.state = 0")
_IS_RUNNING = sa.text("executions.state = 1")
_IS_ACTIVE = sa.text("executions.state < 2 AND executions.project_id <> ''")
# without statistics SQLite takes another index that begins with the project, and reads all that has ended
_BY_PROJECT = (executions, "INDEXED BY ix_executions_active", "sqlite")
# what a finish may write; the rest was fixed when the execution was accepted
_ENDED = (
    "state",
    "started_at",
    "ended_at",
    "result",
    "result_blob",
    "error",
    "outbound",
    "exit_code",
    "signal",
    "stdout",
    "stdout_blob",
    "stderr",
    "stderr_blob",
    "stdout_truncated",
    "stderr_truncated",
    "usage",
    "limits",
    "start_kind",
    "isolation",
)


# The next project by name that has something queued, again and again: a seek in an index each, however much is queued.
_least = sa.select(sa.func.min(_e.project_id).label("project_id")).where(_IS_ACTIVE, _IS_QUEUED).with_hint(*_BY_PROJECT)
_step = _least.cte(recursive=True)
_next = _least.where(_e.project_id > _step.c.project_id).scalar_subquery()
_step = _step.union_all(sa.select(_next).where(_step.c.project_id.is_not(None)))
_DUE = sa.select(_step.c.project_id).where(_step.c.project_id.is_not(None))


def due(conn: sa.Connection) -> list[str]:
    """Return the projects that have something queued."""
    return list(conn.execute(_DUE).scalars())


_FINISH = (
    sa.update(executions)
    .where(
        _e.id == sa.bindparam("of"),
        _e.project_id == sa.bindparam("project"),
        _e.owner == sa.bindparam("node"),
        _e.attempt == sa.bindparam("started"),
        _IS_RUNNING,
    )
    .values(owner=None, **{name: sa.bindparam(name) for name in _ENDED})
)


def finish(conn: sa.Connection, execution: Execution, owner: str, inline_bytes: int) -> bool:
    """Write an end. False if the execution is no longer this owner's and attempt's."""
    row, blobs = row_of(execution, inline_bytes)
    values: dict[str, Any] = {name: row[name] for name in _ENDED}
    values |= {"of": execution.id, "project": execution.project_id, "node": owner, "started": execution.attempt}
    if conn.execute(_FINISH, values).rowcount != 1:
        return False
    write_blobs(conn, blobs)
    return True


_run_again_at = db_now() + sa.bindparam("wait_ms", type_=sa.BigInteger)
_RETRY = (
    sa.update(executions)
    .where(
        _e.id == sa.bindparam("of"),
        _e.project_id == sa.bindparam("project"),
        _e.owner == sa.bindparam("node"),
        _e.attempt == sa.bindparam("started"),
        _IS_RUNNING,
        sa.not_(_e.cancel_requested),
        sa.or_(_e.deadline.is_(None), _e.deadline > _run_again_at),
    )
    .values(
        state=_QUEUED,
        owner=None,
        started_at=None,
        run_at=_run_again_at,
        error=sa.bindparam("failure"),
        attempts=sa.bindparam("earlier"),
    )
)


def retry(conn: sa.Connection, execution: Execution, owner: str, wait_ms: int) -> bool:
    """Queue an execution again whose attempt failed, to be started after a while; its error is that of the attempt.

    False, and nothing is written: it is no longer this owner's and attempt's, its cancel was requested, or its deadline
    comes before.
    """
    values: dict[str, Any] = {"of": execution.id, "project": execution.project_id, "node": owner, "wait_ms": wait_ms}
    values |= {"started": execution.attempt, "earlier": json_text(execution.attempts)}
    values["failure"] = execution.error and json_text(execution.error)
    return conn.execute(_RETRY, values).rowcount == 1


_CANCEL = (
    sa.update(executions)
    .where(
        _e.id == sa.bindparam("of"),
        _e.project_id == sa.bindparam("project"),
        _e.state.in_((_QUEUED, _RUNNING)),
    )
    .values(
        cancel_requested=True,
        state=sa.case((_e.state == _QUEUED, _CANCELLED), else_=_e.state),
        ended_at=sa.case((_e.state == _QUEUED, sa.bindparam("now", type_=sa.BigInteger)), else_=_e.ended_at),
        error=sa.case((_e.state == _QUEUED, sa.bindparam("error", type_=sa.Text)), else_=_e.error),
    )
    .returning(executions)
)


def request_cancel(conn: sa.Connection, project_id: str, execution_id: uuid.UUID, now_ms: int) -> Execution | None:
    """Cancel what is queued, ask for it where it runs, leave it where it has ended. None: there is none."""
    values = {"of": execution_id, "project": project_id, "now": now_ms, "error": json_text(_UNSTARTED)}
    rows = conn.execute(_CANCEL, values).all()
    if not rows:
        own = sa.and_(_e.id == execution_id, _e.project_id == project_id)
        rows = conn.execute(sa.select(executions).where(own)).all()
    found = read_executions(conn, rows)
    return found[0] if found else None


_CANCELLED_OF = sa.select(_e.id).where(_IS_RUNNING, _e.owner == sa.bindparam("node"), _e.cancel_requested)


def cancelled(conn: sa.Connection, owner: str) -> list[uuid.UUID]:
    """Return what an owner is to stop."""
    return list(conn.execute(_CANCELLED_OF, {"node": owner}).scalars())


_ENDED_OF = sa.select(_e.id).where(
    _e.id.in_(sa.bindparam("of", expanding=True)),
    _e.state.in_([int(state) for state in ExecutionState if state.final]),
)


def ended(conn: sa.Connection, ids: Sequence[uuid.UUID]) -> list[uuid.UUID]:
    """Return which of these have ended."""
    return list(conn.execute(_ENDED_OF, {"of": list(ids)}).scalars())


# the database's clock: one server whose own is fast must not end what the others would run
_EXPIRE = (
    sa.update(executions)
    .where(_IS_QUEUED, _e.deadline.is_not(None), _e.deadline <= db_now())
    .values(state=_TIMEOUT, ended_at=db_now(), error=sa.bindparam("error"))
)


def expire(conn: sa.Connection, error: ExecutionError) -> int:
    """End what is queued past its deadline; return how many."""
    return conn.execute(_EXPIRE, {"error": json_text(error)}).rowcount


# What is queued again keeps its place: it has waited already.
# RUNNING counts as started, also where the owner was lost between the claim and the start. A synchronous execution has
# nobody left who waits for it, so it is never started again.
_again = sa.and_(_e.attempt < _e.max_attempts, _e.kind != ExecutionKind.SYNC.value)


def _attempts_with(error: str) -> sa.ColumnElement[str]:
    """Return the attempts of a row, as JSON, with the one that is under way: it ends now, by the error so called.

    Put together as text, which both databases do alike; what is in it are numbers, and JSON of ours.
    """

    def text(value: sa.ColumnElement[Any]) -> sa.ColumnElement[str]:
        return sa.func.coalesce(sa.cast(value, sa.Text), "null")

    this = sa.literal('{"number":').concat(text(_e.attempt)).concat(',"started_at":').concat(text(_e.started_at))
    this = this.concat(',"ended_at":').concat(text(db_now())).concat(',"error":')
    this = this.concat(sa.bindparam(error, type_=sa.Text)).concat("}]")
    kept = sa.func.substr(_e.attempts, 1, sa.func.length(_e.attempts) - 1)  # without its bracket
    return sa.case((_e.attempts.is_(None), sa.literal("[").concat(this)), else_=kept.concat(",").concat(this))


def _recovery(lost: sa.ColumnElement[bool]) -> sa.Executable:
    # A row that somebody has locked is passed over: by a server that stands still, perhaps, and who waits for it cannot
    # say meanwhile that it lives itself. It is found the next time.
    left = sa.select(_e.id).where(_IS_RUNNING, sa.or_(_e.owner.is_(None), lost)).with_for_update(skip_locked=True)
    return (
        sa.update(executions)
        .where(_e.id.in_(sa.select(left.cte("left_behind").c.id)))
        .values(
            owner=None,
            state=sa.case((_e.cancel_requested, _CANCELLED), (_again, _QUEUED), else_=_FAILED),
            started_at=sa.case((_e.cancel_requested, _e.started_at), (_again, None), else_=_e.started_at),
            ended_at=sa.case((_e.cancel_requested, db_now()), (_again, None), else_=db_now()),
            error=sa.case(
                (_e.cancel_requested, sa.bindparam("cancelled", type_=sa.Text)),
                (_again, None),
                else_=sa.bindparam("error", type_=sa.Text),
            ),
            attempts=sa.case(
                (sa.and_(_again, sa.not_(_e.cancel_requested)), _attempts_with("error")), else_=_e.attempts
            ),
        )
        .returning(_e.state)
    )


_RECOVER = _recovery(_e.owner.not_in(sa.bindparam("living", expanding=True)))
_lease = sa.bindparam("lease", type_=sa.BigInteger)
_REAP = _recovery(_e.owner.not_in(sa.select(nodes.c.id).where(nodes.c.heartbeat > db_now() - _lease)))
_STOPPED = ExecutionError(reason=Reason.EXECUTION_CANCELLED, message="The execution was cancelled.")


def recover(conn: sa.Connection, error: ExecutionError, living: Sequence[str]) -> Mapping[ExecutionState, int]:
    """Bring what is RUNNING to where it belongs when nobody runs it any more, but for what is of living owners.

    Returns counts by state.
    """
    return _recovered(conn, _RECOVER, error, {"living": list(living)})


def reap(conn: sa.Connection, error: ExecutionError, lease_ms: int) -> Mapping[ExecutionState, int]:
    """Do the same for what is of owners whose last heartbeat is older than their lease."""
    return _recovered(conn, _REAP, error, {"lease": lease_ms})


def _recovered(
    conn: sa.Connection, statement: sa.Executable, error: ExecutionError, which: dict[str, Any]
) -> Mapping[ExecutionState, int]:
    values = {"error": json_text(error), "cancelled": json_text(_STOPPED), **which}
    states = conn.execute(statement, values).scalars()
    return {ExecutionState(state): count for state, count in Counter(states).items()}


_RELEASE = (
    sa.update(executions)
    .where(_IS_RUNNING, _e.owner == sa.bindparam("node"), _again)
    .values(state=_QUEUED, owner=None, started_at=None, attempts=_attempts_with("handed_on"))
)
_HANDED_ON = json_text(
    ExecutionError(reason=Reason.WORKER_LOST, message="The server that ran this was shut down before it ended.")
)


def release(conn: sa.Connection, owner: str, only: Mapping[uuid.UUID, int] | None) -> int:
    """Queue an owner's executions (these, at those attempts) again where attempts are left; return how many."""
    if only is None:
        return conn.execute(_RELEASE, {"node": owner, "handed_on": _HANDED_ON}).rowcount
    statement = _RELEASE.where(_e.id == sa.bindparam("of"), _e.attempt == sa.bindparam("started"))
    return sum(
        conn.execute(
            statement, {"node": owner, "of": execution_id, "started": attempt, "handed_on": _HANDED_ON}
        ).rowcount
        for execution_id, attempt in only.items()
    )


_UNCLAIM = (
    sa.update(executions)
    .where(
        _IS_RUNNING,
        _e.owner == sa.bindparam("node"),
        _e.kind != ExecutionKind.SYNC.value,
        _e.id.not_in(sa.bindparam("known", expanding=True)),
    )
    .values(state=_QUEUED, owner=None, attempt=_e.attempt - 1, started_at=None)
)


def unclaim(conn: sa.Connection, owner: str, known: Sequence[uuid.UUID]) -> int:
    """Queue again, as if never claimed, what an owner has without knowing; return how many."""
    return conn.execute(_UNCLAIM, {"node": owner, "known": list(known)}).rowcount


_LATER = db_now() + sa.bindparam("delay_ms", type_=sa.BigInteger)
_GIVE_BACK = (
    sa.update(executions)
    .where(
        _e.id == sa.bindparam("of"),
        _e.owner == sa.bindparam("node"),
        _e.attempt == sa.bindparam("started"),
        _IS_RUNNING,
    )
    .values(state=_QUEUED, owner=None, started_at=None, attempt=_e.attempt - 1, run_at=_LATER)
)


def give_back(conn: sa.Connection, owner: str, execution_id: uuid.UUID, attempt: int, delay_ms: int) -> None:
    """Queue again what was claimed and not started, as if it had not been claimed; due after a delay."""
    values = {"of": execution_id, "node": owner, "started": attempt, "delay_ms": delay_ms}
    conn.execute(_GIVE_BACK, values)


_BACKLOG = sa.select(sa.func.count()).select_from(executions).where(_IS_QUEUED, _e.run_at <= db_now())


_WAITING = sa.select(sa.func.count()).select_from(
    sa.select(_e.id)
    .where(_e.project_id == sa.bindparam("project"), _IS_ACTIVE, _IS_QUEUED)
    .limit(sa.bindparam("most"))
    .subquery()
)


def waiting(conn: sa.Connection, project_id: str, most: int) -> int:
    """Return how many executions of a project are queued, ``most`` at most."""
    return conn.execute(_WAITING, {"project": project_id, "most": most}).scalar_one()


def backlog(conn: sa.Connection) -> int:
    """Return how many executions could be claimed."""
    return conn.execute(_BACKLOG).scalar_one()
