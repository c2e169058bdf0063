"""Exit codes are a contract with scripts: every way an execution or an RPC can end has one."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from polycall.cli.exits import Exit, exit_of
from polycall.cli.failures import rpc_failure
from polycall.cli.show import execution_exit
from polycall.domain import ExecutionState, Reason
from polycall.v1 import execution_pb2


class Refusal(grpc.RpcError):  # type: ignore[misc]
    """An RPC error as a server of polycall sends it, or as the gRPC library makes it (reason "")."""

    def __init__(self, code: grpc.StatusCode, details: str, reason: str = "", *, retry_s: int | None = None) -> None:
        self._code, self._details = code, details
        self._status = status_pb2.Status(code=code.value[0], message=details)
        if reason:
            info = any_pb2.Any()
            info.Pack(error_details_pb2.ErrorInfo(reason=reason, domain="polycall"))
            self._status.details.append(info)
        if retry_s is not None:
            retry = error_details_pb2.RetryInfo()
            retry.retry_delay.seconds = retry_s
            packed = any_pb2.Any()
            packed.Pack(retry)
            self._status.details.append(packed)

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._details

    def trailing_metadata(self) -> tuple[tuple[str, bytes], ...]:
        return (("grpc-status-details-bin", self._status.SerializeToString()),)


@pytest.mark.parametrize(
    ("state", "reason", "expected"),
    [
        ("COMPLETED", "", Exit.OK),
        ("FAILED", "USER_EXCEPTION", Exit.FAILED),
        ("FAILED", "USER_EXIT", Exit.FAILED),
        ("FAILED", "OUTPUT_NOT_SERIALIZABLE", Exit.FAILED),
        ("FAILED", "KILLED_BY_SIGNAL", Exit.FAILED),
        ("CANCELLED", "EXECUTION_CANCELLED", Exit.FAILED),
        ("TIMEOUT", "EXECUTION_TIMEOUT", Exit.LIMIT),
        ("FAILED", "OUT_OF_MEMORY", Exit.LIMIT),
        ("FAILED", "RESULT_TOO_LARGE", Exit.LIMIT),
        ("FAILED", "OUTPUT_TOO_LARGE", Exit.LIMIT),
        ("FAILED", "WORKER_LOST", Exit.UNREACHABLE),
        ("RUNNING", "", Exit.LIMIT),
        ("QUEUED", "", Exit.LIMIT),
    ],
)
def test_an_execution_means_an_exit_code(state: str, reason: str, expected: Exit) -> None:
    execution = execution_pb2.Execution(
        state=f"STATE_{state}",
        error=execution_pb2.ExecutionError(reason=f"ERROR_REASON_{reason or 'UNSPECIFIED'}"),
    )
    assert (exit_of(state, reason), execution_exit(execution)) == (expected, expected)


def test_no_state_of_an_execution_but_completed_means_ok() -> None:
    assert [state.name for state in ExecutionState if exit_of(state.name) is Exit.OK] == ["COMPLETED"]


@pytest.mark.parametrize(
    ("code", "reason", "expected"),
    [
        ("INVALID_ARGUMENT", Reason.INVALID_INPUT, Exit.USAGE),
        ("INVALID_ARGUMENT", Reason.LIMIT_OUT_OF_RANGE, Exit.LIMIT),
        ("UNAUTHENTICATED", Reason.API_KEY_INVALID, Exit.DENIED),
        ("PERMISSION_DENIED", Reason.SCOPE_MISSING, Exit.DENIED),
        ("NOT_FOUND", Reason.FUNCTION_NOT_FOUND, Exit.USAGE),
        ("FAILED_PRECONDITION", Reason.FUNCTION_NOT_READY, Exit.USAGE),
        ("ALREADY_EXISTS", Reason.ALREADY_EXISTS, Exit.USAGE),
        ("RESOURCE_EXHAUSTED", Reason.QUEUE_FULL, Exit.LIMIT),
        ("DEADLINE_EXCEEDED", Reason.QUEUE_TIMEOUT, Exit.LIMIT),
        ("UNAVAILABLE", Reason.DRAINING, Exit.UNREACHABLE),
        ("INTERNAL", Reason.INTERNAL, Exit.UNREACHABLE),
    ],
)
def test_a_refusal_of_the_server_means_an_exit_code(code: str, reason: Reason, expected: Exit) -> None:
    failure = rpc_failure(Refusal(grpc.StatusCode[code], "What, where, why.", reason.value), "host:1")
    assert (failure.code, failure.reason) == (expected, reason)
    assert failure.message.startswith("What, where, why.")


def test_a_full_queue_says_when_to_come_back() -> None:
    error = Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "64 calls are queued.", "QUEUE_FULL", retry_s=2)
    assert rpc_failure(error, "host:1").message == "64 calls are queued. Retry in 2 s."


def test_a_missing_key_says_how_to_give_one() -> None:
    error = Refusal(grpc.StatusCode.UNAUTHENTICATED, "No API key.", "API_KEY_MISSING")
    assert rpc_failure(error, "host:1").message == "No API key. Give one with --key or POLYCALL_API_KEY."


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("UNAVAILABLE", Exit.UNREACHABLE),
        ("UNIMPLEMENTED", Exit.UNREACHABLE),
        ("UNKNOWN", Exit.UNREACHABLE),
        ("DEADLINE_EXCEEDED", Exit.LIMIT),
        ("RESOURCE_EXHAUSTED", Exit.LIMIT),
        ("CANCELLED", Exit.INTERRUPTED),
    ],
)
def test_an_error_that_is_not_polycalls_says_so(code: str, expected: Exit) -> None:
    failure = rpc_failure(Refusal(grpc.StatusCode[code], "failed to connect: Connection refused"), "host:1")
    assert (failure.code, failure.reason) == (expected, "")


def test_details_that_cannot_be_parsed_are_not_trusted() -> None:
    error = Refusal(grpc.StatusCode.NOT_FOUND, "?")
    error.trailing_metadata = lambda: (("grpc-status-details-bin", b"\xff\xff"),)  # type: ignore[method-assign]
    assert rpc_failure(error, "host:1").code is Exit.UNREACHABLE
