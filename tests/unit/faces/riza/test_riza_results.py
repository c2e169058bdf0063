from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from polycall.domain import Execution, ExecutionError, ExecutionKind, ExecutionState, Reason, Usage
from polycall.engine.limits import DEFAULTS, MIB
from polycall.errors import Internal
from polycall.faces.riza.results import FunctionResult, answered
from polycall.ids import from_ulid, to_ulid

ID = uuid.UUID("01930000-0000-7000-8000-000000000001")


def _completed(**more: Any) -> Execution:
    given: dict[str, Any] = {
        "id": ID,
        "project_id": "default",
        "kind": ExecutionKind.SYNC,
        "state": ExecutionState.COMPLETED,
        "queued_at": 1000,
        "started_at": 1001,
        "ended_at": 1010,
        "result": b"1",
        "exit_code": 0,
        "usage": Usage(run_us=7_900),
        "limits": DEFAULTS,
    }
    return Execution(**given | more)


def _failed(
    reason: Reason, message: str = "why", state: ExecutionState = ExecutionState.FAILED, **more: Any
) -> Execution:
    error = ExecutionError(reason=reason, message=message)
    return _completed(state=state, error=error, result=None, **more)


def _shown(execution: Execution) -> dict[str, Any]:
    shown: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(FunctionResult.of(execution)))
    return shown


def test_a_result_has_all_members_in_the_documents_order_and_its_output_untouched() -> None:
    body = msgspec.json.encode(FunctionResult.of(_completed(result=b'{"n": 1.0, "b": 9007199254740993}')))
    assert body == (
        b'{"output":{"n": 1.0, "b": 9007199254740993},"output_status":"valid",'
        b'"execution":{"id":"%s","exit_code":0,"stdout":"","stderr":"","duration":7}}' % to_ulid(ID).encode()
    )


def test_the_id_is_the_executions_as_a_ulid() -> None:
    assert from_ulid(FunctionResult.of(_completed()).execution.id) == ID


def test_nothing_returned_is_null_and_valid() -> None:
    shown = _shown(_completed(result=b"null"))
    assert (shown["output"], shown["output_status"]) == (None, "valid")


@pytest.mark.parametrize(
    ("execution", "status", "exit_code", "last_line"),
    [
        (_failed(Reason.USER_EXCEPTION, exit_code=1), "error", 1, "so far"),
        (_failed(Reason.ENTRYPOINT_NOT_FOUND, exit_code=1), "error", 1, "so far"),
        (_failed(Reason.USER_EXIT, exit_code=3), "error", 3, "so far"),
        (_failed(Reason.USER_EXIT, exit_code=0), "error", 0, "so far"),
        (
            _failed(Reason.EXECUTION_TIMEOUT, state=ExecutionState.TIMEOUT, exit_code=137, signal=9),
            "error",
            124,
            "execution timed out after 30 s (limits.execution_timeout)",
        ),
        (
            _failed(Reason.CPU_TIME_EXCEEDED, "Stopped.", state=ExecutionState.TIMEOUT, exit_code=137, signal=9),
            "error",
            124,
            "Stopped.",
        ),
        (_failed(Reason.DISK_EXCEEDED, "Too much.", exit_code=137, signal=9), "error", 137, "Too much."),
        (_failed(Reason.PROCESSES_EXCEEDED, "Too many.", exit_code=137, signal=9), "error", 137, "Too many."),
        (
            _failed(Reason.OUT_OF_MEMORY, exit_code=1),
            "error",
            137,
            "killed: out of memory (limits.memory_size = 128 MiB)",
        ),
        (
            _failed(Reason.OUT_OF_MEMORY, exit_code=137, signal=9),
            "error",
            137,
            "killed: out of memory (limits.memory_size = 128 MiB)",
        ),
        (_failed(Reason.KILLED_BY_SIGNAL, exit_code=139, signal=11), "error", 139, "killed by signal 11 (SIGSEGV)"),
        (_failed(Reason.KILLED_BY_SIGNAL, exit_code=168, signal=40), "error", 168, "killed by signal 40 (real-time)"),
        (
            _failed(Reason.OUTPUT_TOO_LARGE, exit_code=137, signal=9),
            "error",
            137,
            "killed: wrote far more to stdout and stderr than is kept",
        ),
        (
            _failed(Reason.EXECUTION_CANCELLED, state=ExecutionState.CANCELLED, exit_code=None),
            "error",
            137,
            "killed: the execution was cancelled",
        ),
        (
            _failed(Reason.OUTPUT_NOT_SERIALIZABLE, "Object of type set\nis not JSON serializable"),
            "json_serialization_error",
            0,
            "output is not JSON serializable: Object of type set is not JSON serializable",
        ),
        (_failed(Reason.RESULT_TOO_LARGE), "json_serialization_error", 0, "output is larger than 6 MiB"),
    ],
    ids=lambda value: value.error.reason.value if isinstance(value, Execution) and value.error else "",
)
def test_how_a_run_ended_is_in_exit_code_and_stderr(
    execution: Execution, status: str, exit_code: int, last_line: str
) -> None:
    shown = _shown(replace(execution, stdout=b"out", stderr=b"so far"))
    assert shown["output"] is None
    assert shown["output_status"] == status
    assert shown["execution"]["exit_code"] == exit_code
    assert shown["execution"]["stdout"] == "out"
    expected = "so far" if last_line == "so far" else f"so far\n{last_line}\n"
    assert shown["execution"]["stderr"] == expected


def test_a_line_follows_what_ends_with_a_line_end_or_is_empty() -> None:
    killed = _failed(Reason.KILLED_BY_SIGNAL, signal=6)
    assert _shown(replace(killed, stderr=b"a\n"))["execution"]["stderr"] == "a\nkilled by signal 6 (SIGABRT)\n"
    assert _shown(killed)["execution"]["stderr"] == "killed by signal 6 (SIGABRT)\n"


def test_a_run_that_was_stopped_early_because_it_had_to_wait_says_so() -> None:
    late = _failed(
        Reason.EXECUTION_TIMEOUT, state=ExecutionState.TIMEOUT, usage=Usage(queue_us=4_900_000, run_us=26_000_000)
    )
    assert _shown(late)["execution"]["stderr"] == (
        "it had waited 4.9 s for a slot of this busy server\n"
        "execution timed out after 30 s (limits.execution_timeout)\n"
    )


@pytest.mark.parametrize(
    ("cut", "words"),
    [
        ({"stdout_truncated": True}, "stdout"),
        ({"stderr_truncated": True}, "stderr"),
        ({"stdout_truncated": True, "stderr_truncated": True}, "stdout and stderr"),
    ],
)
def test_a_cut_output_says_so_and_leaves_the_exit_code(cut: dict[str, bool], words: str) -> None:
    shown = _shown(_completed(stderr=b"e", **cut))
    assert shown["output_status"] == "valid"
    assert shown["execution"]["exit_code"] == 0
    assert shown["execution"]["stderr"] == f"e\noutput truncated: {words} had more than is kept\n"


def test_the_notice_of_a_cut_stands_before_the_last_line() -> None:
    shown = _shown(_failed(Reason.EXECUTION_TIMEOUT, state=ExecutionState.TIMEOUT, stdout_truncated=True))
    assert [line.partition(" ")[0] for line in shown["execution"]["stderr"].splitlines()] == ["output", "execution"]


def test_bytes_that_are_no_text_are_shown_as_such() -> None:
    assert _shown(_completed(stdout=b"\xff\xfea\0"))["execution"]["stdout"] == "\ufffd\ufffda\0"


@pytest.mark.parametrize("unit", [b"\0", b"\n", b"\xff", b"\0" * 1000 + b"a" * 100_000])
def test_an_answer_passes_the_gateway_whatever_was_printed(unit: bytes) -> None:
    stdout = (unit * (20 * MIB // len(unit) + 1))[: 20 * MIB]
    stderr = stdout[: 10 * MIB]
    result = b'"' + b"x" * (15 * MIB - 2) + b'"'
    body = msgspec.json.encode(FunctionResult.of(_completed(stdout=stdout, stderr=stderr, result=result)))
    assert len(body) <= 64 * MIB
    assert body.count(b"output truncated: ") == (len(unit) == 1)


def test_plain_text_of_the_largest_size_is_whole() -> None:
    line = b"y\n"
    shown = _shown(_completed(stdout=line * (10 * MIB), stderr=line * (5 * MIB)))
    assert len(shown["execution"]["stdout"]) == 20 * MIB
    assert len(shown["execution"]["stderr"]) == 10 * MIB
    assert shown["execution"]["stderr"].endswith("y\n")


def test_a_run_that_was_cancelled_before_it_was_measured_has_a_duration() -> None:
    killed = _failed(Reason.EXECUTION_CANCELLED, state=ExecutionState.CANCELLED, usage=Usage())
    assert _shown(killed)["execution"]["duration"] == 9


def test_a_lost_sandbox_is_our_fault() -> None:
    with pytest.raises(Internal) as caught:
        answered(_failed(Reason.WORKER_LOST))
    assert caught.value.message == f"The sandbox of execution {to_ulid(ID)} was lost; the code may have run."


def test_a_lost_sandbox_can_be_shown_afterwards() -> None:
    shown = _shown(_failed(Reason.WORKER_LOST))
    assert (shown["output_status"], shown["execution"]["exit_code"]) == ("error", 1)
