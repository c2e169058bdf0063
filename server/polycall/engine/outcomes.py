"""From an outcome of the sandbox to the end of an execution."""

from __future__ import annotations

from collections.abc import Mapping

from polycall.domain import Execution, ExecutionError, ExecutionState, Limits, Reason, Usage
from polycall.engine.limits import KIB, MIB
from polycall.sandbox.job import Ending, Outcome
from polycall.structs import changed

__all__ = ["ended", "failure_of"]

_STATES: Mapping[Ending, ExecutionState] = {
    Ending.RETURNED: ExecutionState.COMPLETED,
    Ending.TIMED_OUT: ExecutionState.TIMEOUT,
    Ending.OUT_OF_CPU_TIME: ExecutionState.TIMEOUT,
}  # everything else: FAILED


def ended(execution: Execution, outcome: Outcome, ended_at: int, *, script: bool) -> Execution:
    """Return the execution with its end written in. A script that exits with 0 is COMPLETED."""
    state = _STATES.get(outcome.ending, ExecutionState.FAILED)
    if script and outcome.ending is Ending.EXITED and outcome.exit_code == 0:
        state = ExecutionState.COMPLETED
    assert execution.limits is not None  # noqa: S101  set when it was made
    completed = state is ExecutionState.COMPLETED
    used = outcome.usage
    usage = Usage(
        queue_us=execution.usage.queue_us,
        start_us=execution.usage.start_us + used.start_us,
        run_us=used.run_us,
        cpu_us=used.cpu_us,
        peak_memory_bytes=used.peak_memory_bytes,
    )
    return changed(
        execution,
        state=state,
        ended_at=ended_at,
        result=outcome.value if completed else None,
        error=None if completed else failure_of(outcome, execution.limits),
        exit_code=outcome.exit_code,
        signal=outcome.signal,
        stdout=outcome.stdout,
        stderr=outcome.stderr,
        stdout_truncated=outcome.stdout_truncated,
        stderr_truncated=outcome.stderr_truncated,
        usage=usage,
        outbound=outcome.outbound,
        outbound_omitted=outcome.outbound_omitted,
        start_kind=outcome.start_kind,
        isolation=outcome.isolation,
        owner=None,
    )


def failure_of(outcome: Outcome, limits: Limits) -> ExecutionError:
    """Return why a run did not complete, in words for whoever wrote the code."""
    if outcome.error is not None and outcome.ending in (Ending.RAISED, Ending.NOT_SERIALIZABLE):
        return outcome.error
    reason, message = _explain(outcome, limits)
    return ExecutionError(reason=reason, message=message)


def _explain(outcome: Outcome, limits: Limits) -> tuple[Reason, str]:
    detail = outcome.error.message if outcome.error else ""
    match outcome.ending:
        case Ending.TIMED_OUT:
            seconds = f"{limits.timeout_ms / 1000:g} s"
            return Reason.EXECUTION_TIMEOUT, f"Execution timed out after {seconds} (limits.timeout)."
        case Ending.OUT_OF_MEMORY:
            size = f"{limits.memory_bytes // MIB} MiB"
            return Reason.OUT_OF_MEMORY, f"Killed: out of memory (limits.memory_mib = {size})."
        case Ending.OUT_OF_CPU_TIME:
            seconds = f"{limits.cpu_ms / 1000:g} s"
            return Reason.CPU_TIME_EXCEEDED, f"Stopped after {seconds} of CPU time (limits.cpu_time)."
        case Ending.TOO_MANY_PROCESSES:
            most = limits.processes
            return Reason.PROCESSES_EXCEEDED, f"Killed: more than {most} processes and threads (limits.processes)."
        case Ending.OUT_OF_DISK:
            size = f"{limits.disk_bytes // MIB} MiB"
            return Reason.DISK_EXCEEDED, f"Killed: its files took more than they may (limits.disk_mib = {size})."
        case Ending.EXITED:
            return Reason.USER_EXIT, f"The code exited with code {outcome.exit_code}."
        case Ending.SIGNALLED:
            return Reason.KILLED_BY_SIGNAL, f"The code was ended by signal {outcome.signal}."
        case Ending.NOT_SERIALIZABLE:
            return Reason.OUTPUT_NOT_SERIALIZABLE, detail or "The code returned something JSON cannot hold."
        case Ending.RESULT_TOO_LARGE:
            size = f"{limits.result_bytes // KIB} KiB"
            return Reason.RESULT_TOO_LARGE, f"The returned value is larger than {size} (limits.result_kib)."
        case Ending.OUTPUT_TOO_LARGE:
            return Reason.OUTPUT_TOO_LARGE, "Killed: the code wrote more output than the server reads."
        case Ending.RAISED:
            return Reason.USER_EXCEPTION, "The code raised an exception that could not be read."
        case _:
            return Reason.WORKER_LOST, detail or "The sandbox that ran the code was lost; what it did is not known."
