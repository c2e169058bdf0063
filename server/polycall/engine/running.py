"""One run in the sandbox: from a job and a slot that is held to the execution as it ended. Records nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

import msgspec

from polycall.domain import Convention, Execution, ExecutionError, ExecutionState, Reason
from polycall.engine.live import LiveRun
from polycall.engine.outcomes import ended
from polycall.ids import now_ms
from polycall.sandbox.job import Job, Runner

__all__ = ["CANCELLED", "CLIENT_GONE", "FAULT", "LEASE_LOST", "SHUT_DOWN", "perform"]

# The sandbox's own timer counts from the hand-off, which is a millisecond or so after the slot. A start that takes
# longer than this beyond the deadline is cut short from here.
_START_S = 0.01

CANCELLED = ExecutionError(reason=Reason.EXECUTION_CANCELLED, message="The execution was cancelled.")
CLIENT_GONE = ExecutionError(reason=Reason.CANCELLED_BY_CLIENT, message="The caller went away; the run was killed.")
FAULT = ExecutionError(reason=Reason.INTERNAL, message="Internal error; see the server's log.")
SHUT_DOWN = ExecutionError(
    reason=Reason.WORKER_LOST, message="The server was shut down before the run ended; what it did is not known."
)
LEASE_LOST = ExecutionError(
    reason=Reason.WORKER_LOST,
    message="The server that ran this was cut off from the database, and stopped it; what it did is not known.",
)
_OVERDUE = ExecutionError(reason=Reason.EXECUTION_TIMEOUT, message="Execution stopped: its deadline passed.")
_LOST = ExecutionError(reason=Reason.WORKER_LOST, message="The sandbox that ran the code was lost.")


def perform(runner: Runner, live: LiveRun, job: Job, expires_at: float | None = None) -> Coroutine[Any, Any, Execution]:
    """Run a job and return its execution as it ended, once that is awaited.

    ``expires_at`` (``time.monotonic``) shortens the time limit; if that ended the run, ``live.late`` names the phase.
    ``live.stop`` ends the run as it says. Cancelling the awaiting task kills the run and raises CancelledError.
    """
    left_s = None if expires_at is None else expires_at - time.monotonic()
    if left_s is None or left_s * 1000 >= job.limits.timeout_ms:
        return _ended(runner, live, job)
    return _in_time(runner, live, job, left_s)


async def _in_time(runner: Runner, live: LiveRun, job: Job, left_s: float) -> Execution:
    if live.stopped is not None:
        return live.ended_as(*live.stopped)
    job = replace(job, limits=replace(job.limits, timeout_ms=max(1, int(left_s * 1000))))
    timer = asyncio.get_running_loop().call_later(left_s + _START_S, live.stop, ExecutionState.TIMEOUT, _OVERDUE)
    try:
        final = await _ended(runner, live, job)
    finally:
        timer.cancel()
    if final.error is None or final.error.reason is not Reason.EXECUTION_TIMEOUT:
        return final
    live.late = "run" if live.begun else "start"
    ran_s = ((final.ended_at or 0) - (final.started_at or final.queued_at)) / 1000
    message = f"Execution stopped after {ran_s:.2f} s: its deadline passed."
    return replace(final, error=replace(_OVERDUE, message=message))


async def _ended(runner: Runner, live: LiveRun, job: Job) -> Execution:
    if live.stopped is not None:
        return live.ended_as(*live.stopped)
    if job.convention is Convention.HANDLE:
        job = _with_context(job, live.execution)
    if job.egress is not None:
        job = replace(job, project_id=live.execution.project_id, outbound=live.ask)
    outcome = await live.unless_stopped(runner.run(job, live.add, live.begin))
    if outcome is not None:
        return ended(live.execution, outcome, now_ms(), script=job.convention is Convention.SCRIPT)
    state, error = live.stopped or (ExecutionState.FAILED, _LOST)
    return live.ended_as(state, error)


def _with_context(job: Job, execution: Execution) -> Job:
    """Add what HANDLE functions are told: their call's ids, and of a schedule's its own and the tick, as text."""
    info = {"function_id": execution.package_id or "", "call_id": execution.alias or str(execution.id)}
    if execution.schedule_id is not None:
        info["schedule_id"] = execution.schedule_id
    if execution.scheduled_at is not None:
        info["scheduled_time"] = str(execution.scheduled_at)
    context = msgspec.json.decode(job.context, type=dict[str, msgspec.Raw])
    context.setdefault("secrets", msgspec.Raw(b"{}"))
    context["function_call_info"] = msgspec.Raw(msgspec.json.encode(info))
    return replace(job, context=msgspec.json.encode(context))
