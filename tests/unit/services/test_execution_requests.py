"""polycall.services.execution_requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf import duration_pb2, timestamp_pb2
from google.protobuf.message import DecodeError, Message
from hypothesis import given
from hypothesis import strategies as st

from polycall.domain import (
    Convention,
    ExecutionFilter,
    ExecutionState,
    InputFile,
    Language,
    LimitOverrides,
)
from polycall.engine.requests import AdHocRun, FunctionRun, RunOptions
from polycall.errors import InvalidArgument
from polycall.names import ExecutionName
from polycall.services.execution_requests import read_call, read_execute, read_list, read_run, read_wait
from polycall.v1 import execution_pb2, execution_service_pb2
from tests.unit.services.fakes import ID

UUID = "0198c2d4-7f1e-7cc3-98c4-dc0c0c07398f"


def violations(read: Callable[[], object]) -> list[str]:
    with pytest.raises(InvalidArgument) as caught:
        read()
    return [f"{v.field}: {v.description}" for v in caught.value.violations]


def test_an_execute_request_says_everything() -> None:
    request = execution_service_pb2.ExecuteRequest(
        language=execution_pb2.LANGUAGE_PYTHON,
        code="code",
        convention=execution_pb2.CONVENTION_KEYWORDS,
        entrypoint="run",
        input_json='{"n": 9007199254740993}',
        env={"A": "1"},
        files=[execution_service_pb2.InputFile(path="a/b", contents=b"\xff")],
        limits=execution_pb2.Limits(
            timeout=duration_pb2.Duration(seconds=1, nanos=1),
            memory_mib=64,
            processes=2,
            open_files=20,
            disk_mib=3,
            result_kib=4,
            stdout_kib=0,
            stderr_kib=6,
        ),
        stdin=b"in",
        args=["x"],
        request_id=UUID.upper(),
        validate_only=True,
    )
    assert read_execute(request, 12.5) == (
        AdHocRun(
            code="code",
            convention=Convention.KEYWORDS,
            entrypoint="run",
            input=b'{"n": 9007199254740993}',
            env={"A": "1"},
            files=(InputFile("a/b", b"\xff"),),
            limits=LimitOverrides(
                timeout_ms=1001,
                memory_bytes=64 << 20,
                processes=2,
                open_files=20,
                disk_bytes=3 << 20,
                result_bytes=4 << 10,
                stdout_bytes=0,
                stderr_bytes=6 << 10,
            ),
            stdin=b"in",
            args=("x",),
        ),
        RunOptions(request_id=UUID, expires_at=12.5, validate_only=True),
    )


def test_what_is_not_set_has_its_documented_default() -> None:
    run, options = read_execute(execution_service_pb2.ExecuteRequest(code="code"))
    assert run == AdHocRun(
        code="code", language=Language.PYTHON, convention=Convention.INPUT, entrypoint="execute", input=b"null"
    )
    assert options == RunOptions()


def test_all_that_is_wrong_is_said_at_once() -> None:
    request = execution_service_pb2.ExecuteRequest(
        language=9,  # type: ignore[arg-type]
        convention=execution_pb2.CONVENTION_SCRIPT,
        entrypoint="run",
        request_id="1",
    )
    assert violations(lambda: read_execute(request)) == [
        "language: 9 is not a value that this server knows",
        "entrypoint: is not for scripts: the file itself is run",
        "request_id: must be a UUID such as 0198c2d4-7f1e-7cc3-98c4-dc0c0c07398f",
    ]


def test_an_unknown_convention_is_refused() -> None:
    request = execution_service_pb2.ExecuteRequest(convention=77)  # type: ignore[arg-type]
    assert violations(lambda: read_execute(request)) == ["convention: 77 is not a value that this server knows"]


def test_a_run_names_its_function() -> None:
    request = execution_service_pb2.RunFunctionRequest(
        function="packages/p/versions/-/functions/f", input_json="[]", limits=execution_pb2.Limits(memory_mib=32)
    )
    assert read_run(request, 3.0) == (
        FunctionRun(package_id="p", function="f", input=b"[]", limits=LimitOverrides(memory_bytes=32 << 20)),
        RunOptions(expires_at=3.0),
    )


def test_a_call_has_a_deadline_and_attempts() -> None:
    request = execution_service_pb2.CallRequest(
        function="packages/p/versions/1/functions/f",
        deadline=timestamp_pb2.Timestamp(seconds=5, nanos=1),
        max_attempts=10,
        request_id=UUID,
    )
    assert read_call(request) == (
        FunctionRun(package_id="p", version_id="1", function="f"),
        RunOptions(request_id=UUID, deadline=5001, max_attempts=10),
    )


def test_a_call_says_all_that_is_wrong_at_once() -> None:
    request = execution_service_pb2.CallRequest(
        function="f", deadline=timestamp_pb2.Timestamp(nanos=-1), max_attempts=11, request_id="1"
    )
    assert [text.partition(":")[0] for text in violations(lambda: read_call(request))] == [
        *("max_attempts", "request_id", "deadline", "function")
    ]


@pytest.mark.parametrize(
    ("timeout", "seconds"),
    [(None, 60.0), (duration_pb2.Duration(), 0.0), (duration_pb2.Duration(seconds=600), 600.0)],
)
def test_a_wait_lasts_as_long_as_is_asked(timeout: duration_pb2.Duration | None, seconds: float) -> None:
    request = execution_service_pb2.WaitExecutionRequest(name=f"executions/{ID}", timeout=timeout)
    assert read_wait(request) == (ExecutionName(ID), seconds)


@pytest.mark.parametrize("timeout", [duration_pb2.Duration(seconds=-1), duration_pb2.Duration(seconds=601)])
def test_a_wait_out_of_range_is_refused(timeout: duration_pb2.Duration) -> None:
    request = execution_service_pb2.WaitExecutionRequest(name="x", timeout=timeout)
    assert violations(lambda: read_wait(request)) == [
        "name: must be executions/{UUID}, got 'x'",
        "timeout: must be 0 to 600 s",
    ]


def test_a_list_is_filtered() -> None:
    request = execution_service_pb2.ListExecutionsRequest(
        page_size=2000,
        page_token="t",
        states=[
            execution_pb2.Execution.STATE_FAILED,
            execution_pb2.Execution.STATE_QUEUED,
            execution_pb2.Execution.STATE_FAILED,
        ],
        parent="packages/p/versions/1/functions/f",
        created_after=timestamp_pb2.Timestamp(seconds=1),
        created_before=timestamp_pb2.Timestamp(seconds=2),
    )
    where = ExecutionFilter(
        states=(ExecutionState.FAILED, ExecutionState.QUEUED),
        package_id="p",
        version_id="1",
        function="f",
        queued_after=1000,
        queued_before=2000,
    )
    assert read_list(request) == (where, 1000, "t")
    assert read_list(execution_service_pb2.ListExecutionsRequest()) == (ExecutionFilter(), 50, "")


def test_a_list_says_all_that_is_wrong_at_once() -> None:
    request = execution_service_pb2.ListExecutionsRequest(
        page_size=-1,
        states=[0, 99],  # type: ignore[list-item]
        parent="p",
        created_after=timestamp_pb2.Timestamp(nanos=-1),
        created_before=timestamp_pb2.Timestamp(seconds=2**60),
    )
    assert [text.partition(":")[0] for text in violations(lambda: read_list(request))] == [
        *("states[0]", "states[1]", "page_size", "parent", "created_after", "created_before")
    ]


READERS: list[tuple[type[Message], Callable[[Any], object]]] = [
    (execution_service_pb2.ExecuteRequest, read_execute),
    (execution_service_pb2.RunFunctionRequest, read_run),
    (execution_service_pb2.CallRequest, read_call),
    (execution_service_pb2.WaitExecutionRequest, read_wait),
    (execution_service_pb2.ListExecutionsRequest, read_list),
]


@given(st.binary(max_size=200))
def test_any_message_is_read_or_refused(data: bytes) -> None:
    for message, read in READERS:
        try:
            request = message.FromString(data)
        except DecodeError:
            continue
        try:
            read(request)
        except InvalidArgument as error:
            refusal = error
        else:
            continue
        assert refusal.violations
        assert all(violation.field for violation in refusal.violations)
