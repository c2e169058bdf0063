"""Executions, limits and output: between ``polycall.v1`` messages and the domain."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from polycall.domain import (
    NO_OVERRIDES,
    Attempt,
    Convention,
    Execution,
    ExecutionError,
    ExecutionKind,
    ExecutionState,
    IsolationLevel,
    Language,
    LimitOverrides,
    Limits,
    OutputChunk,
    Principal,
    Reason,
    Scope,
    StartKind,
    Stream,
    Usage,
)
from polycall.engine.limits import KIB, MIB
from polycall.names import FunctionName, ScheduleName
from polycall.services.egress_messages import outbound_message
from polycall.services.policy_messages import retry_message
from polycall.services.scalars import clean, duration, enum_values, milliseconds, timestamp
from polycall.v1 import error_reason_pb2, execution_pb2, execution_service_pb2

__all__ = [
    "CONVENTIONS",
    "CONVENTION_VALUES",
    "LANGUAGES",
    "LANGUAGE_VALUES",
    "LEVEL_VALUES",
    "STATES",
    "execution_message",
    "limits_message",
    "message_for",
    "output_message",
    "overrides",
    "overrides_message",
]

_EXECUTION = execution_pb2.Execution
LANGUAGE_VALUES = enum_values(execution_pb2.Language, "LANGUAGE", Language)
CONVENTION_VALUES = enum_values(execution_pb2.Convention, "CONVENTION", Convention)
_STATES = enum_values(_EXECUTION.State, "STATE", ExecutionState)
_KINDS = enum_values(_EXECUTION.Kind, "KIND", ExecutionKind)
_START_KINDS = enum_values(_EXECUTION.StartKind, "START_KIND", StartKind)
LEVEL_VALUES = enum_values(_EXECUTION.IsolationLevel, "ISOLATION_LEVEL", IsolationLevel)
_REASONS = enum_values(error_reason_pb2.ErrorReason, "ERROR_REASON", Reason)
_STREAMS = enum_values(execution_service_pb2.OutputPiece.Stream, "STREAM", Stream)

LANGUAGES = {value: language for language, value in LANGUAGE_VALUES.items()}
CONVENTIONS = {value: convention for convention, value in CONVENTION_VALUES.items()}
_FLAGS = ("stdout_truncated", "stderr_truncated", "cancel_requested", "priority")
STATES = {value: state for state, value in _STATES.items()}


def execution_message(execution: Execution, *, named: bool = True, payloads: bool = True) -> execution_pb2.Execution:
    """Render an execution; ``named`` False for one that was only checked, ``payloads`` False for lists."""
    message = execution_pb2.Execution(
        name=f"executions/{execution.id}" if named else None,
        kind=_KINDS[execution.kind],
        state=_STATES[execution.state],
        language=LANGUAGE_VALUES[execution.language],
        function=_function_name(execution),
        **_times(execution),
        exit_code=execution.exit_code,
        usage=_usage_fields(execution.usage),
        limits=_limits_message(execution.limits) if execution.limits is not None else None,
        start_kind=_START_KINDS[execution.start_kind] if execution.start_kind is not None else None,
        isolation_level=LEVEL_VALUES[execution.isolation] if execution.isolation is not None else None,
        attempt=execution.attempt,
        max_attempts=execution.max_attempts,
        **_rare(execution),
    )
    if payloads:
        _add_payloads(message, execution)
    return message


def message_for(who: Principal, execution: Execution) -> execution_pb2.Execution:
    """Render an execution that somebody may stop or start; whoever may not read is told how it stands, and no more."""
    if Scope.READ in who.scopes:
        return execution_message(execution)
    message = execution_message(execution, payloads=False)
    message.ClearField("completion_url")
    if execution.error is not None:
        message.error.CopyFrom(_error_message(ExecutionError(reason=execution.error.reason, message="")))
    return message


def _rare(execution: Execution) -> dict[str, Any]:
    """Return what most executions have not: each field that is given is looked up by its name, given or empty."""
    e, fields = execution, dict[str, Any]()
    if e.error is not None:
        fields["error"] = _error_message(e.error)
    if e.signal is not None:
        fields["signal"] = e.signal
    if e.stdout_truncated or e.stderr_truncated or e.cancel_requested or e.priority:
        fields |= {name: getattr(e, name) for name in _FLAGS}
    if e.request_id is not None:
        fields["request_id"] = e.request_id
    if e.schedule_id is not None:
        fields["schedule"] = str(ScheduleName(e.schedule_id))
    if e.scheduled_at is not None:
        fields["scheduled_time"] = timestamp(e.scheduled_at)
    if e.completion_url is not None:
        fields["completion_url"] = e.completion_url
    if e.retry is not None:
        fields["retry_policy"] = retry_message(e.retry)
    if e.state is ExecutionState.QUEUED and e.attempt:  # it waits to be tried again
        fields["next_attempt_time"] = timestamp(e.run_at)
    return fields


def _add_payloads(message: execution_pb2.Execution, execution: Execution) -> None:
    """Add what lists do not show."""
    if execution.result is not None:
        message.output_json = (execution.result or b"null").decode(errors="replace")
    if execution.stdout:
        message.stdout = execution.stdout.decode(errors="replace")
    if execution.stderr:
        message.stderr = execution.stderr.decode(errors="replace")
    if execution.input is not None:
        message.input_json = execution.input.decode(errors="replace")
    if execution.outbound and (asked := outbound_message(execution)) is not None:
        message.outbound_requests.CopyFrom(asked)
    if execution.attempts:
        message.attempts.extend(map(_attempt_message, execution.attempts))


def output_message(chunk: OutputChunk) -> execution_service_pb2.OutputPiece:
    """Render a piece of output."""
    return execution_service_pb2.OutputPiece(
        stream=_STREAMS[chunk.stream], data=chunk.data, time=timestamp(chunk.time_ms)
    )


def limits_message(limits: Limits) -> execution_pb2.Limits:
    """Render limits that hold."""
    return overrides_message(
        LimitOverrides(
            timeout_ms=limits.timeout_ms,
            memory_bytes=limits.memory_bytes,
            processes=limits.processes,
            open_files=limits.open_files,
            disk_bytes=limits.disk_bytes,
            result_bytes=limits.result_bytes,
            stdout_bytes=limits.stdout_bytes,
            stderr_bytes=limits.stderr_bytes,
            cpu_ms=limits.cpu_ms or None,
        )
    )


# Most runs have the same limits, and a message that is put into another is copied.
_limits_message = lru_cache(maxsize=64)(limits_message)


def overrides_message(limits: LimitOverrides) -> execution_pb2.Limits:
    """Render limits that were asked for."""
    return execution_pb2.Limits(
        timeout=duration(limits.timeout_ms * 1000) if limits.timeout_ms is not None else None,
        memory_mib=_parts(limits.memory_bytes, MIB),
        processes=limits.processes,
        open_files=limits.open_files,
        disk_mib=_parts(limits.disk_bytes, MIB),
        result_kib=_parts(limits.result_bytes, KIB),
        stdout_kib=_parts(limits.stdout_bytes, KIB),
        stderr_kib=_parts(limits.stderr_bytes, KIB),
        cpu_time=duration(limits.cpu_ms * 1000) if limits.cpu_ms is not None else None,
    )


def overrides(limits: execution_pb2.Limits) -> LimitOverrides:
    """Read limits that are asked for; whether they may be is for the engine to say."""
    if not limits.ListFields():
        return NO_OVERRIDES

    def asked(name: str, scale: int = 1) -> int | None:
        return getattr(limits, name) * scale if limits.HasField(name) else None

    return LimitOverrides(
        timeout_ms=milliseconds(limits.timeout) if limits.HasField("timeout") else None,
        memory_bytes=asked("memory_mib", MIB),
        processes=asked("processes"),
        open_files=asked("open_files"),
        disk_bytes=asked("disk_mib", MIB),
        result_bytes=asked("result_kib", KIB),
        stdout_bytes=asked("stdout_kib", KIB),
        stderr_bytes=asked("stderr_kib", KIB),
        cpu_ms=milliseconds(limits.cpu_time) if limits.HasField("cpu_time") else None,
    )


def _parts(size: int | None, unit: int) -> int | None:
    return None if size is None else size // unit


def _function_name(execution: Execution) -> str | None:
    if execution.package_id is None:
        return None
    return _name_of(execution.package_id, execution.version_id, execution.function or "")


@lru_cache(maxsize=512)  # most runs are of few functions
def _name_of(package_id: str, version_id: str | None, function: str) -> str:
    return str(FunctionName(package_id, version_id, function))


def _attempt_message(attempt: Attempt) -> execution_pb2.Attempt:
    return execution_pb2.Attempt(
        number=attempt.number,
        start_time=timestamp(attempt.started_at),
        end_time=timestamp(attempt.ended_at),
        error=_error_message(attempt.error),
    )


def _error_message(error: ExecutionError) -> execution_pb2.ExecutionError:
    return execution_pb2.ExecutionError(
        reason=_REASONS[error.reason],
        message=clean(error.message),
        type=clean(error.type),
        module=clean(error.module),
        traceback=clean(error.traceback),
    )


# Every execution has these. They are spelled out: to call ``timestamp`` and ``duration`` for each took as long as the
# rest of the message.


def _times(execution: Execution) -> dict[str, Any]:
    queued, started, ended = execution.queued_at, execution.started_at, execution.ended_at
    fields: dict[str, Any] = {"create_time": {"seconds": queued // 1000, "nanos": queued % 1000 * 1_000_000}}
    if started is not None:
        fields["start_time"] = {"seconds": started // 1000, "nanos": started % 1000 * 1_000_000}
    if ended is not None:
        fields["end_time"] = {"seconds": ended // 1000, "nanos": ended % 1000 * 1_000_000}
    return fields


def _usage_fields(usage: Usage) -> dict[str, object]:
    queue, start, run, cpu = usage.queue_us, usage.start_us, usage.run_us, usage.cpu_us
    fields: dict[str, object] = {
        "queue_time": {"seconds": queue // 1_000_000, "nanos": queue % 1_000_000 * 1000},
        "start_duration": {"seconds": start // 1_000_000, "nanos": start % 1_000_000 * 1000},
        "run_duration": {"seconds": run // 1_000_000, "nanos": run % 1_000_000 * 1000},
    }
    if cpu is not None:
        fields["cpu_duration"] = {"seconds": cpu // 1_000_000, "nanos": cpu % 1_000_000 * 1000}
    if usage.peak_memory_bytes is not None:
        fields["peak_memory_mib"] = usage.peak_memory_bytes / MIB
    return fields
