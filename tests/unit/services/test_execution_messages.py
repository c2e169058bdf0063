"""polycall.services.execution_messages."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from polycall.domain import (
    ExecutionError,
    ExecutionKind,
    ExecutionState,
    IsolationLevel,
    LimitOverrides,
    OutputChunk,
    Reason,
    StartKind,
    Stream,
    Usage,
)
from polycall.engine.limits import DEFAULTS, KIB, MIB
from polycall.services.execution_messages import (
    execution_message,
    limits_message,
    output_message,
    overrides,
    overrides_message,
)
from polycall.v1 import error_reason_pb2, execution_pb2, execution_service_pb2
from tests.unit.services.fakes import ID, execution

Message = execution_pb2.Execution


def test_an_execution_is_rendered_whole() -> None:
    message = execution_message(
        execution(
            kind=ExecutionKind.CALL,
            state=ExecutionState.FAILED,
            package_id="p",
            version_id="1",
            function="f",
            queued_at=1_001,
            started_at=2_002,
            ended_at=3_003,
            result=None,
            error=ExecutionError(
                reason=Reason.USER_EXCEPTION, message="no", type="ValueError", module="builtins", traceback="tb"
            ),
            exit_code=1,
            signal=9,
            stdout="é".encode(),
            stderr=b"bad \xff byte",
            stdout_truncated=True,
            usage=Usage(queue_us=1, start_us=2, run_us=3_000_004, cpu_us=5, peak_memory_bytes=3 * MIB // 2),
            limits=DEFAULTS,
            start_kind=StartKind.COLD,
            isolation=IsolationLevel.PROCESS,
            attempt=2,
            max_attempts=3,
            cancel_requested=True,
            request_id="r",
            input=b'{"n": 9007199254740993}',
        )
    )
    assert message.name == f"executions/{ID}"
    assert (message.kind, message.state) == (Message.KIND_CALL, Message.STATE_FAILED)
    assert message.function == "packages/p/versions/1/functions/f"
    assert message.create_time.ToMilliseconds() == 1_001
    assert message.start_time.ToMilliseconds() == 2_002
    assert message.end_time.ToMilliseconds() == 3_003
    assert message.error == execution_pb2.ExecutionError(
        reason=error_reason_pb2.ERROR_REASON_USER_EXCEPTION,
        message="no",
        type="ValueError",
        module="builtins",
        traceback="tb",
    )
    assert (message.exit_code, message.signal) == (1, 9)
    assert (message.stdout, message.stderr) == ("é", "bad \ufffd byte")
    assert (message.stdout_truncated, message.stderr_truncated) == (True, False)
    assert message.usage.queue_time.ToMicroseconds() == 1
    assert message.usage.start_duration.ToMicroseconds() == 2
    assert message.usage.run_duration.ToMicroseconds() == 3_000_004
    assert message.usage.cpu_duration.ToMicroseconds() == 5
    assert message.usage.peak_memory_mib == 1.5
    assert message.limits == limits_message(DEFAULTS)
    assert (message.start_kind, message.isolation_level) == (
        Message.START_KIND_COLD,
        Message.ISOLATION_LEVEL_PROCESS,
    )
    assert (message.attempt, message.max_attempts, message.cancel_requested) == (2, 3, True)
    assert (message.request_id, message.input_json) == ("r", '{"n": 9007199254740993}')


def test_what_is_not_known_yet_is_absent() -> None:
    message = execution_message(
        execution(
            state=ExecutionState.QUEUED,
            started_at=None,
            ended_at=None,
            result=None,
            exit_code=None,
            start_kind=None,
            isolation=None,
        )
    )
    absent = ("start_time", "end_time", "error", "exit_code", "signal", "limits")
    assert [name for name in absent if message.HasField(name)] == []
    assert not message.usage.HasField("cpu_duration")
    assert not message.usage.HasField("peak_memory_mib")
    assert (message.function, message.output_json, message.request_id) == ("", "", "")
    assert message.start_kind == Message.START_KIND_UNSPECIFIED
    assert message.isolation_level == Message.ISOLATION_LEVEL_UNSPECIFIED


def test_an_execution_that_was_only_checked_has_no_name() -> None:
    assert execution_message(execution(), named=False).name == ""


def test_lists_carry_no_inputs_values_and_output() -> None:
    full = execution(result=b"1", input=b"2", stdout=b"3", stderr=b"4")
    message = execution_message(full, payloads=False)
    assert (message.output_json, message.input_json, message.stdout, message.stderr) == ("", "", "", "")


@given(st.text(st.characters()), st.binary())
def test_whatever_code_wrote_can_be_sent(text: str, data: bytes) -> None:
    error = ExecutionError(reason=Reason.USER_EXCEPTION, message=text, type=text, module=text, traceback=text)
    message = execution_message(execution(error=error, stdout=data, stderr=data, result=data))
    assert Message.FromString(message.SerializeToString()) == message


LIMITS = st.builds(
    LimitOverrides,
    timeout_ms=st.none() | st.integers(0, 10**9),
    memory_bytes=st.none() | st.integers(0, 2**31 - 1).map(lambda n: n * MIB),
    processes=st.none() | st.integers(-(2**31), 2**31 - 1),
    open_files=st.none() | st.integers(0, 2**31 - 1),
    disk_bytes=st.none() | st.integers(0, 2**31 - 1).map(lambda n: n * MIB),
    result_bytes=st.none() | st.integers(0, 2**31 - 1).map(lambda n: n * KIB),
    stdout_bytes=st.none() | st.integers(0, 2**31 - 1).map(lambda n: n * KIB),
    stderr_bytes=st.none() | st.integers(0, 2**31 - 1).map(lambda n: n * KIB),
)


@given(LIMITS)
def test_limits_come_back_as_they_were(limits: LimitOverrides) -> None:
    assert overrides(overrides_message(limits)) == limits


def test_a_piece_of_output_keeps_its_bytes() -> None:
    assert output_message(OutputChunk(Stream.STDERR, 1_500, b"\xff")) == execution_service_pb2.OutputPiece(
        stream=execution_service_pb2.OutputPiece.STREAM_STDERR,
        data=b"\xff",
        time={"seconds": 1, "nanos": 500_000_000},
    )
