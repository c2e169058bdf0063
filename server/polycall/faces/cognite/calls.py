"""An execution as the vendor's function call: its status, its error in the vendor's words, its JSON."""

from __future__ import annotations

import msgspec

from polycall.domain import Execution, ExecutionError, ExecutionState, Reason
from polycall.engine.limits import MIB

__all__ = ["CallBody", "ResponseBody", "states_of"]

_STATUS = {
    ExecutionState.QUEUED: "Running",  # the SDK polls while it reads exactly this
    ExecutionState.RUNNING: "Running",
    ExecutionState.COMPLETED: "Completed",
    ExecutionState.FAILED: "Failed",
    ExecutionState.TIMEOUT: "Timeout",
    ExecutionState.CANCELLED: "Failed",
}


def states_of(status: str | None) -> tuple[ExecutionState, ...] | None:
    """Return the states that have a status; all states as () for None; None for a word that is no status."""
    if status is None:
        return ()
    return tuple(state for state, word in _STATUS.items() if word == status) or None


class _Error(msgspec.Struct):
    trace: str
    message: str


class CallBody(msgspec.Struct, kw_only=True, rename="camel"):
    """The vendor's FunctionCall, in the order of its document. Members that are not set are left out."""

    id: int
    status: str
    start_time: int
    end_time: int | msgspec.UnsetType = msgspec.UNSET
    error: _Error | msgspec.UnsetType = msgspec.UNSET
    schedule_id: int | msgspec.UnsetType = msgspec.UNSET
    function_id: int
    scheduled_time: int | msgspec.UnsetType = msgspec.UNSET

    @classmethod
    def of(cls, execution: Execution) -> CallBody:
        """Show an execution that this face made."""
        status = _STATUS[execution.state]
        ended = execution.ended_at if execution.state.final else None
        failure = execution.error if status == "Failed" else None
        return cls(
            id=int(execution.alias or 0),
            status=status,
            start_time=execution.queued_at,
            end_time=msgspec.UNSET if ended is None else ended,
            error=msgspec.UNSET if failure is None else _Error(failure.traceback, _message(failure, execution)),
            schedule_id=msgspec.UNSET if execution.schedule_id is None else int(execution.schedule_id),
            function_id=int(execution.package_id or 0),
            scheduled_time=msgspec.UNSET if execution.scheduled_at is None else execution.scheduled_at,
        )


class ResponseBody(msgspec.Struct, kw_only=True, rename="camel"):
    """What a call returned, its bytes untouched; ``response`` is left out unless the call completed."""

    call_id: int
    function_id: int
    response: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET

    @classmethod
    def of(cls, execution: Execution) -> ResponseBody:
        """Show the result of an execution that this face made."""
        completed = execution.state is ExecutionState.COMPLETED and execution.result is not None
        return cls(
            call_id=int(execution.alias or 0),
            function_id=int(execution.package_id or 0),
            response=msgspec.Raw(execution.result or b"null") if completed else msgspec.UNSET,
        )


def _message(error: ExecutionError, execution: Execution) -> str:
    match error.reason:
        case Reason.OUTPUT_NOT_SERIALIZABLE:
            return f"Function return value is not JSON serializable: {error.message}"
        case Reason.RESULT_TOO_LARGE:
            limit = f"{execution.limits.result_bytes / MIB:g} MB" if execution.limits else "its limit"
            return f"Function response is larger than {limit} (responseSizeMb)."
        case Reason.OUT_OF_MEMORY:
            return "MemoryError: Function ran out of memory"
        case Reason.WORKER_LOST:
            return "The worker that ran this call was lost; the call is not run again."
        case _:
            return error.message
