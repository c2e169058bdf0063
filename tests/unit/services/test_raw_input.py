"""polycall.services.raw_input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf import duration_pb2, timestamp_pb2
from google.protobuf.message import DecodeError, Message

from polycall.services.execution_requests import read_call, read_execute, read_run
from polycall.services.raw_input import input_of, reader_of
from polycall.v1 import execution_pb2, execution_service_pb2, policy_pb2

SERVICE = "/polycall.v1.ExecutionService"
TEXT = '{"ä": "\\u0000\U0001f600"}'
LIMITS = execution_pb2.Limits(timeout=duration_pb2.Duration(seconds=1, nanos=5), memory_mib=64)
RUN = execution_service_pb2.RunFunctionRequest(function="packages/p/functions/f", input_json=TEXT, limits=LIMITS)
EXECUTE = execution_service_pb2.ExecuteRequest(
    code="ä",
    language=execution_pb2.LANGUAGE_TYPESCRIPT,
    input_json=TEXT,
    env={"A": "1"},
    files=[execution_service_pb2.InputFile(path="a", contents=b"\xff")],
    limits=LIMITS,
    egress=execution_pb2.EgressPolicy(rules=[execution_pb2.EgressRule(host="example.org")]),
)
CALL = execution_service_pb2.CallRequest(
    function="packages/p/functions/f",
    input_json=TEXT,
    deadline=timestamp_pb2.Timestamp(seconds=5, nanos=7),
    retry_policy=policy_pb2.RetryPolicy(max_attempts=2, initial_backoff=duration_pb2.Duration(seconds=3)),
)


@pytest.mark.parametrize(
    ("method", "request_", "read"),
    [("Execute", EXECUTE, read_execute), ("RunFunction", RUN, read_run), ("Call", CALL, read_call)],
)
def test_a_request_means_the_same_however_its_input_is_read(
    method: str, request_: Message, read: Callable[[Any], object]
) -> None:
    twin = _read(method, request_.SerializeToString())
    assert twin.input_json == TEXT.encode()
    assert input_of(twin) == input_of(request_) == TEXT.encode()  # type: ignore[arg-type]
    assert read(twin) == read(request_)
    assert twin.SerializeToString(deterministic=True) == request_.SerializeToString(deterministic=True)


def test_a_stream_reads_what_it_starts_alike() -> None:
    request = execution_service_pb2.StreamExecutionRequest(run_function=RUN)
    twin = _read("StreamExecution", request.SerializeToString())
    assert twin.WhichOneof("target") == "run_function"
    assert input_of(twin.run_function) == TEXT.encode()


def test_nothing_but_the_input_is_read_otherwise() -> None:
    for method, message in (("Execute", EXECUTE), ("RunFunction", RUN), ("Call", CALL)):
        other = _fields(_read(method, b"").DESCRIPTOR)
        own = _fields(message.DESCRIPTOR)
        assert {name for name in own if own[name] != other[name]} == {"input_json"}
        assert own.keys() == other.keys()


def test_other_text_is_still_checked_to_be_text() -> None:
    with pytest.raises(DecodeError):
        _read("RunFunction", RUN.SerializeToString().replace(b"packages/p", b"packages/\xff"))


def test_methods_without_an_input_are_read_as_ever() -> None:
    for method in (f"{SERVICE}/GetExecution", "/polycall.v1.KeyService/CreateApiKey", ""):
        assert reader_of(method) is None


def _read(method: str, data: bytes) -> Any:
    reader = reader_of(f"{SERVICE}/{method}")
    assert reader is not None
    return reader(data)


def _fields(descriptor: Any) -> dict[str, tuple[object, ...]]:
    return {
        field.name: (field.number, field.type, field.json_name, field.is_repeated, field.has_presence)
        for field in descriptor.fields
    }
