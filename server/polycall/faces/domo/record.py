"""The vendor's execution record: thirteen keys, always all of them, in the order of its document."""

from __future__ import annotations

from dataclasses import field

import msgspec

from polycall.domain import DeclaredType, Execution, ExecutionError, ExecutionState, Language, Reason
from polycall.faces.domo.types import Described, Mismatch, describe, fit
from polycall.faces.signals import signal_name
from polycall.faces.times import iso_millis
from polycall.faces.wire import dump
from polycall.quick import dataclass

__all__ = ["End", "Kept", "ended", "render"]

_NULL = b"null"
_UNTYPED = DeclaredType(type="", nullable=True)


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept beside an execution, so that it can be shown again when its version is gone."""

    get_logs: bool
    started_by: str
    output: DeclaredType | None = None


@dataclass(frozen=True, slots=True)
class End:
    """What became of an execution, in the vendor's words."""

    status: str
    result: bytes = _NULL
    actual: Described = field(default_factory=lambda: Described(""))
    wrong_result: bytes = _NULL
    messages: tuple[str, ...] = ()


def ended(execution: Execution, kept: Kept) -> End:
    """Return what became of an execution that this face made."""
    return _end_of(execution, kept.output)


def render(execution: Execution, kept: Kept) -> bytes:
    """Return the record of an execution that this face made."""
    end = _end_of(execution, kept.output)
    ended_at = execution.ended_at if execution.state.final else None
    return dump(
        {
            "executionId": str(execution.id),
            "packageId": execution.package_id,
            "version": execution.version_id,
            "functionName": execution.function,
            "status": end.status,
            "settings": {"getLogs": kept.get_logs},
            "startedOn": iso_millis(execution.started_at or execution.queued_at),
            "startedBy": kept.started_by,
            "completedOn": None if ended_at is None else iso_millis(ended_at),
            "result": msgspec.Raw(end.result),
            "stdout": {"log": _lines(execution.stdout, cut=execution.stdout_truncated) if kept.get_logs else []},
            "stderr": {"log": _lines(execution.stderr, cut=execution.stderr_truncated) if kept.get_logs else []},
            "errorInformation": {
                "result": msgspec.Raw(end.wrong_result),
                "expectedType": kept.output.type if kept.output else "",
                "actualType": end.actual.type,
                "expectedIsList": kept.output is not None and kept.output.is_list,
                "actualIsList": end.actual.is_list,
                "expectedAllowNull": kept.output is not None and kept.output.nullable,
                "errorMessages": end.messages,
            },
        }
    )


def _end_of(execution: Execution, output: DeclaredType | None) -> End:
    neutral = Described(output.type, output.is_list) if output else Described("")
    if not execution.state.final:
        return End("RUNNING", actual=neutral)
    if execution.state is ExecutionState.COMPLETED:
        # Python has one word for nothing; JavaScript's null is a value
        nothing = not execution.result or (execution.result == _NULL and execution.language is Language.PYTHON)
        return _returned(execution.result or _NULL, output, neutral, nothing=nothing)
    error = execution.error or ExecutionError(reason=Reason.WORKER_LOST, message="")
    if error.reason is Reason.WORKER_LOST:
        return End("UNDEFINED", messages=("The outcome of the execution was lost.",))
    if error.reason is Reason.OUTPUT_NOT_SERIALIZABLE:
        expected = f"Expected {neutral} but the" if output and output.type else "The"
        message = f"{expected} returned value cannot be held by JSON: {error.message}"
        return End("RESULT_TYPE_FAILURE", messages=(message,))
    return End("FAILED", messages=(_message(execution, error),))


def _returned(value: bytes, output: DeclaredType | None, neutral: Described, *, nothing: bool) -> End:
    try:
        return End("SUCCESS", fit(value, output or _UNTYPED), actual=neutral)
    except Mismatch as mismatch:
        actual = describe(value)
        if nothing:
            return End("OUTPUT_UNDEFINED", actual=actual, messages=(f"Expected {neutral} but nothing was returned",))
        where = f"{mismatch.path}: " if mismatch.path else ""
        text = str(mismatch)
        message = where + text if where else text[:1].upper() + text[1:]
        return End("RESULT_TYPE_FAILURE", actual=actual, wrong_result=value, messages=(message,))


def _message(execution: Execution, error: ExecutionError) -> str:
    match error.reason:
        case Reason.EXECUTION_TIMEOUT if execution.limits is not None:
            return f"Function timed out after {execution.limits.timeout_ms / 1000:g} seconds"
        case Reason.OUT_OF_MEMORY:
            return "Function ran out of memory"
        case Reason.USER_EXIT:
            return f"Function exited with code {execution.exit_code}"
        case Reason.KILLED_BY_SIGNAL:
            return f"Function was killed by signal {execution.signal} ({signal_name(execution.signal)})"
        case _:
            return ": ".join(part for part in (error.type, error.message) if part) or "Function failed"


def _lines(output: bytes, *, cut: bool) -> list[str]:
    lines = output.decode(errors="replace").split("\n")
    if not lines[-1]:
        lines.pop()
    shown = [line.removesuffix("\r") for line in lines]
    return [*shown, "[the output was cut at its limit]"] if cut else shown
