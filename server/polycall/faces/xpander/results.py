"""An execution as the vendor's answer: the returned value itself, or a status and one line of why not."""

from __future__ import annotations

from polycall.domain import Execution, ExecutionError, ExecutionState, Reason
from polycall.engine.limits import MIB
from polycall.errors import Code, Internal
from polycall.faces.reply import Reply
from polycall.faces.signals import signal_name
from polycall.faces.wire import dump

__all__ = ["answer"]


def answer(execution: Execution) -> Reply:
    """Return the answer of an execution that has ended. Raises Internal if it ended by our fault."""
    if execution.state is ExecutionState.COMPLETED:
        return Reply(body=execution.result or b"null")
    error, limits = execution.error, execution.limits
    if error is None or limits is None or error.reason is Reason.WORKER_LOST:
        raise Internal("The sandbox was lost; the code may have run.")
    if execution.state is ExecutionState.TIMEOUT:
        seconds = (limits.cpu_ms if error.reason is Reason.CPU_TIME_EXCEEDED else limits.timeout_ms) / 1000
        text = f"Execution timed out after {seconds:g} seconds"
        return _failed(text, 504, Code.DEADLINE_EXCEEDED, error.reason)
    return _failed(_line(execution, error), 400, Code.UNKNOWN, error.reason)


def _failed(detail: str, status: int, code: Code, reason: Reason) -> Reply:
    # what the code said is for its caller: logs get the reason
    return Reply(body=dump({"detail": detail}), status=status, code=code, message=reason.value)


def _line(execution: Execution, error: ExecutionError) -> str:
    """Word a failure as Python's last line of a traceback: ``TypeName: message``."""
    limits = execution.limits
    match error.reason:
        case Reason.USER_EXIT:
            return f"SystemExit: {execution.exit_code}"
        case Reason.OUT_OF_MEMORY if limits is not None:
            return f"MemoryError: memory limit of {limits.memory_bytes // MIB} MB exceeded"
        case Reason.OUTPUT_NOT_SERIALIZABLE:
            return f"TypeError: {error.message}"
        case Reason.RESULT_TOO_LARGE if limits is not None:
            return f"ValueError: the returned value is larger than {limits.result_bytes // MIB} MB"
        case Reason.OUTPUT_TOO_LARGE:
            return "RuntimeError: too much was written to stdout and stderr"
        case Reason.PROCESSES_EXCEEDED | Reason.DISK_EXCEEDED:
            return f"RuntimeError: {error.message}"
        case Reason.EXECUTION_CANCELLED:
            return "RuntimeError: the execution was cancelled"
        case Reason.KILLED_BY_SIGNAL:
            return f"RuntimeError: killed by signal {execution.signal} ({signal_name(execution.signal)})"
        case _:
            return f"{error.type}: {error.message}" if error.message else error.type
