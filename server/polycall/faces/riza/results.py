"""An execution as the vendor's FunctionResult or ExecutionResult: exit codes, last lines of stderr, JSON."""

from __future__ import annotations

import signal as signals
from collections.abc import Iterator

import msgspec

from polycall.domain import Execution, ExecutionState, Limits, Reason
from polycall.engine.limits import MIB
from polycall.errors import Internal
from polycall.faces.riza.output import Text
from polycall.faces.signals import signal_name
from polycall.faces.wire import NULL
from polycall.ids import to_ulid

__all__ = ["ExecutionResult", "FunctionResult", "answered", "duration_ms", "exit_code_of"]

# What `timeout` and a shell answer for these ends; contract, section 6.2.
_TIMED_OUT = 124
_KILLED = 128
# An answer must stay below the 64 MiB that pass the gateway; 20 MiB of control characters would be 120 MiB of JSON.
_STDOUT_WIRE_BYTES, _STDERR_WIRE_BYTES = 32 * MIB, 16 * MIB
# It ended by our fault, and what the code did is not known.
_OURS = (Reason.WORKER_LOST, Reason.INTERNAL)
_LATE_US = 100_000  # a wait that explains why a run was stopped before its limit


class ExecutionResult(msgspec.Struct):
    """How a run went; for a script, the whole answer. All members always present; ``duration`` in milliseconds."""

    id: str
    exit_code: int
    stdout: msgspec.Raw
    stderr: msgspec.Raw
    duration: int

    @classmethod
    def of(cls, execution: Execution) -> ExecutionResult:
        """Show an execution that has ended."""
        reason = _reason(execution)
        stdout = Text.of(execution.stdout, _STDOUT_WIRE_BYTES)
        stderr = Text.of(execution.stderr, _STDERR_WIRE_BYTES)
        cut = {"stdout": stdout.cut or execution.stdout_truncated, "stderr": stderr.cut or execution.stderr_truncated}
        notices = [*_truncation([name for name, was in cut.items() if was]), *_last_words(execution, reason)]
        return cls(
            id=to_ulid(execution.id),
            exit_code=exit_code_of(execution),
            stdout=stdout.json,
            stderr=stderr.with_lines(notices),
            duration=duration_ms(execution),
        )


class FunctionResult(msgspec.Struct):
    """The vendor's answer, in the order of its document; ``output`` is what the function returned, untouched."""

    output: msgspec.Raw
    output_status: str
    execution: ExecutionResult

    @classmethod
    def of(cls, execution: Execution) -> FunctionResult:
        """Show an execution that has ended."""
        completed = execution.state is ExecutionState.COMPLETED and execution.result is not None
        return cls(
            output=msgspec.Raw(execution.result or b"null") if completed else NULL,
            output_status=_status(execution, _reason(execution)),
            execution=ExecutionResult.of(execution),
        )


def answered(execution: Execution) -> Execution:
    """Return an execution that its caller is told of. Raises Internal if it ended by our fault."""
    if _reason(execution) in _OURS:
        raise Internal(f"The sandbox of execution {to_ulid(execution.id)} was lost; the code may have run.")
    return execution


def _reason(execution: Execution) -> Reason | None:
    return execution.error.reason if execution.error else None


def _status(execution: Execution, reason: Reason | None) -> str:
    if execution.state is ExecutionState.COMPLETED:
        return "valid"
    # a value that is too large was returned by code that did its work, and could not be handed on either
    if reason in (Reason.OUTPUT_NOT_SERIALIZABLE, Reason.RESULT_TOO_LARGE):
        return "json_serialization_error"
    return "error"


def exit_code_of(execution: Execution) -> int:
    """Return what the contract calls the exit code of an execution that has ended."""
    reason = _reason(execution)
    if execution.state is ExecutionState.TIMEOUT:
        return _TIMED_OUT
    if reason in (Reason.OUT_OF_MEMORY, Reason.OUTPUT_TOO_LARGE) or execution.state is ExecutionState.CANCELLED:
        return _KILLED + signals.SIGKILL
    if execution.signal is not None:
        return _KILLED + execution.signal
    if reason in _OURS:
        return execution.exit_code or 1
    return execution.exit_code or 0


def _truncation(cut: list[str]) -> Iterator[str]:
    if cut:
        yield f"output truncated: {' and '.join(cut)} had more than is kept"


def _last_words(execution: Execution, reason: Reason | None) -> Iterator[str]:
    """Yield what ends stderr where the code could not say why it ended."""
    limits = execution.limits
    match reason:
        case Reason.EXECUTION_TIMEOUT if limits is not None:
            yield from _waited(execution, limits)
            yield f"execution timed out after {limits.timeout_ms / 1000:g} s (limits.execution_timeout)"
        case Reason.WORKER_LOST | Reason.INTERNAL if execution.error is not None:
            yield execution.error.message
        case Reason.CPU_TIME_EXCEEDED | Reason.PROCESSES_EXCEEDED | Reason.DISK_EXCEEDED if execution.error is not None:
            yield execution.error.message
        case Reason.OUT_OF_MEMORY if limits is not None:
            yield f"killed: out of memory (limits.memory_size = {limits.memory_bytes // MIB} MiB)"
        case Reason.OUTPUT_NOT_SERIALIZABLE if execution.error is not None:
            yield f"output is not JSON serializable: {' '.join(execution.error.message.split())}"
        case Reason.RESULT_TOO_LARGE if limits is not None:
            yield f"output is larger than {limits.result_bytes // MIB} MiB"
        case Reason.OUTPUT_TOO_LARGE:
            yield "killed: wrote far more to stdout and stderr than is kept"
        case _ if execution.state is ExecutionState.CANCELLED:
            yield "killed: the execution was cancelled"
        case _ if execution.signal is not None:
            yield f"killed by signal {execution.signal} ({signal_name(execution.signal)})"


def _waited(execution: Execution, limits: Limits) -> Iterator[str]:
    """Yield why the run was stopped before its limit, if it was: the wait for a slot counts too."""
    queue_us = execution.usage.queue_us
    if queue_us > _LATE_US and duration_ms(execution) < limits.timeout_ms:
        yield f"it had waited {queue_us / 1e6:.1f} s for a slot of this busy server"


def duration_ms(execution: Execution) -> int:
    """Return how long an execution that has ended ran."""
    if execution.usage.run_us:
        return execution.usage.run_us // 1000
    return (execution.ended_at or 0) - (execution.started_at or 0)
