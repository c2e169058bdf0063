"""What comes to no method leaves its line and its count too: unknown methods, and messages that are none."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import grpc.aio
import pytest

from polycall.errors import Code
from polycall.faces.cognite.requests import FILE_BYTES
from polycall.interceptors.telemetry import Telemetry
from polycall.services import native as native_module
from polycall.services import options
from polycall.services.settling import settled
from polycall.v1 import execution_service_pb2
from tests.unit.interceptors.test_layers import logged
from tests.unit.services.fakes import ADA, Native, details_of, running, status_of_call

EXECUTE = "/polycall.v1.ExecutionService/Execute"
STREAM = "/polycall.v1.ExecutionService/StreamExecution"


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[str, Code]]:
    """Count what the server counts."""
    counted: Counter[tuple[str, Code]] = Counter()
    monkeypatch.setattr(native_module, "Telemetry", lambda _: Telemetry(counted))
    return counted


@pytest.mark.parametrize(
    ("method", "shown"),
    [
        ("/polycall.v1.ExecutionService/Nope", "/polycall.v1.ExecutionService/Nope"),
        ("/a/b/c", "/a/b/c"),
        ("/polycall.v1.X/Y code=OK", "-"),
        ("/" + "x" * 127, "/" + "x" * 127),
        ("/" + "x" * 128, "-"),
    ],
)
async def test_a_method_that_does_not_exist_counts_as_one_whatever_it_is_called(
    method: str, shown: str, counts: Counter[tuple[str, Code]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with running() as native:
        await status_of_call(native.channel.unary_unary(method)(b"", metadata=(("x-request-id", "r-1"),)))
        (line,) = await logged(caplog)
    assert float(line.pop("ms")) >= 0
    assert line == {"method": "unknown", "code": "UNIMPLEMENTED", "request": "r-1", "asked": shown}
    assert counts == {("unknown", Code.UNIMPLEMENTED): 1}


async def test_what_the_server_asks_itself_at_its_end_leaves_no_line(
    counts: Counter[tuple[str, Code]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with running() as native:
        assert await settled(native.address, 20)
    assert (await logged(caplog, 0), counts) == ([], {})


def message(size: int) -> bytes:
    """Return a request of so many bytes."""
    more = execution_service_pb2.ExecuteRequest(code="x" * size).ByteSize() - size
    return execution_service_pb2.ExecuteRequest(code="x" * (size - more)).SerializeToString()


async def test_a_message_that_is_too_large_is_refused_with_its_line_count_and_reason(
    counts: Counter[tuple[str, Code]], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(native_module, "LARGEST_REQUEST", 5000)
    async with running() as native:
        assert len(message(5000)) == 5000
        await native.do(native.channel.unary_unary(EXECUTE), message(5000))
        native.engine.asked.clear()
        for method in (native.channel.unary_unary(EXECUTE), native.channel.unary_stream(STREAM)):
            status = await native.refused(method, message(5001))
            details = details_of(status)
            assert (status.code, details["ErrorInfo"].reason) == (Code.RESOURCE_EXHAUSTED, "PAYLOAD_TOO_LARGE")
            assert details["ErrorInfo"].metadata == {"size": "5001", "limit": "5000"}
            assert details["QuotaFailure"].violations[0].subject == "message size"
        told = (await logged(caplog, 3))[1:]
    assert [(line["method"], line["code"], line["key"]) for line in told] == [
        (EXECUTE, "RESOURCE_EXHAUSTED", ADA.key_id),
        (STREAM, "RESOURCE_EXHAUSTED", ADA.key_id),
    ]
    assert counts[EXECUTE, Code.RESOURCE_EXHAUSTED] == counts[STREAM, Code.RESOURCE_EXHAUSTED] == 1
    assert native.engine.asked == []


def test_a_contracts_largest_file_is_read() -> None:
    assert dict(options.server_options())["grpc.max_receive_message_length"] - FILE_BYTES == 1 << 20


async def never() -> AsyncIterator[bytes]:
    await asyncio.Event().wait()
    yield b""


async def gone(native: Native, method: str) -> None:
    """Go away before there is a message."""
    call = native.channel.stream_unary(method)(never(), metadata=native.metadata)
    async with asyncio.timeout(60):
        while not native.engine.keys.looks:
            await asyncio.sleep(0.01)
    call.cancel()


async def vast(native: Native, method: str) -> None:
    """Send what not even gRPC reads."""
    call: Any = native.channel.stream_unary(method)(_pieces(b"x" * 10_001), metadata=native.metadata, timeout=20)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    yield data


@pytest.mark.parametrize("method", [EXECUTE, STREAM])
@pytest.mark.parametrize("ends", [gone, vast])
async def test_a_call_whose_message_does_not_come_leaves_its_line_and_count(
    ends: Callable[[Native, str], Any],
    method: str,
    counts: Counter[tuple[str, Code]],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(options, "_LARGEST_READ", 10_000)
    async with running() as native:
        await ends(native, method)
        (line,) = await logged(caplog)
    assert [line[name] for name in ("method", "code", "key", "message")] == [method, "CANCELLED", ADA.key_id, "none"]
    assert counts == {(method, Code.CANCELLED): 1}
    assert native.engine.asked == []
    assert not [record for record in caplog.records if record.levelno > logging.INFO]
