"""Native gRPC and gRPC-Web through Envoy."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from google.protobuf import message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc

from polycall_gateway import Contract
from tests.gateway.client import ask
from tests.gateway.conftest import FACES, Gateway
from tests.gateway.upstream import message_pool

pytestmark = pytest.mark.asyncio(loop_scope="session")

POOL = message_pool(Contract.load())


def method(channel: grpc.aio.Channel, service: str, name: str, *, stream: bool = False) -> tuple[Any, Any]:
    """Return a callable of ``channel`` and the class of its request."""
    found = POOL.FindServiceByName(service).FindMethodByName(name)
    request, response = (message_factory.GetMessageClass(kind) for kind in (found.input_type, found.output_type))
    make = channel.unary_stream if stream else channel.unary_unary
    path = f"/{service}/{name}"
    return make(path, request_serializer=request.SerializeToString, response_deserializer=response.FromString), request


@pytest_asyncio.fixture(loop_scope="session")
async def channel(gateway: Gateway) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(gateway.mesh) as made:
        yield made


async def test_a_unary_call_arrives_and_is_answered(gateway: Gateway, channel: grpc.aio.Channel) -> None:
    get, request = method(channel, "polycall.v1.ExecutionService", "GetExecution")
    answer = await get(request(name="executions/e"), metadata=[("x-test-answer", '{"name": "executions/e"}')])
    assert answer.name == "executions/e"
    assert gateway.last.request.name == "executions/e"


async def test_a_stream_arrives_event_by_event(channel: grpc.aio.Channel) -> None:
    follow, request = method(channel, "polycall.v1.ExecutionService", "StreamExecution", stream=True)
    events = '[{"started": {"name": "executions/e"}}, {"finished": {"name": "executions/e"}}]'
    call = follow(request(name="executions/e"), metadata=[("x-test-answers", events)])
    assert [event.WhichOneof("event") async for event in call] == ["started", "finished"]


async def test_a_status_keeps_its_details(channel: grpc.aio.Channel) -> None:
    get, request = method(channel, "polycall.v1.ExecutionService", "GetExecution")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await get(request(), metadata=[("x-test-abort", "NOT_FOUND"), ("x-test-details", b"\x08\x05".hex())])
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.NOT_FOUND, "refused by the server")
    assert dict(caught.value.trailing_metadata())["grpc-status-details-bin"] == b"\x08\x05"


async def test_internal_headers_are_taken_off_and_a_deadline_is_kept(
    gateway: Gateway, channel: grpc.aio.Channel
) -> None:
    get, request = method(channel, "polycall.v1.ExecutionService", "GetExecution")
    said = [("x-http-status", "599"), ("x-polycall-face", "riza"), ("x-envoy-retry-on", "5xx"), ("x-mine-bin", b"\0")]
    await get(request(), metadata=[*said, ("authorization", "Bearer k")], timeout=30)
    metadata = gateway.last.metadata
    assert not {"x-http-status", "x-polycall-face", "x-envoy-retry-on"} & set(metadata)
    assert (metadata["authorization"], metadata["x-mine-bin"]) == ("Bearer k", b"\0")
    assert gateway.last.time_remaining is not None
    assert 0 < gateway.last.time_remaining < 31  # gRPC rounds up


async def test_a_deadline_cancels_the_call(gateway: Gateway, channel: grpc.aio.Channel) -> None:
    get, request = method(channel, "polycall.v1.ExecutionService", "GetExecution")
    assert gateway.upstream is not None
    before = len(gateway.upstream.calls)
    for seconds in (0.3, 3, 10):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await get(request(), metadata=[("x-test-delay", "20")], timeout=seconds)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        if len(gateway.upstream.calls) > before:  # on a busy machine it may not have come so far
            break
    async with asyncio.timeout(60):
        while not gateway.last.cancelled:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("face", FACES)
async def test_the_faces_are_closed(gateway: Gateway, channel: grpc.aio.Channel, face: str) -> None:
    assert gateway.upstream is not None
    before = len(gateway.upstream.calls)
    for service in Contract.load().services[face]:
        call, request = method(channel, service, POOL.FindServiceByName(service).methods[0].name, stream=True)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in call(request()):
                pass
        assert (caught.value.code(), len(gateway.upstream.calls)) == (grpc.StatusCode.UNIMPLEMENTED, before)


async def test_paths_that_only_look_otherwise_are_closed_too(gateway: Gateway) -> None:
    assert gateway.upstream is not None
    before = len(gateway.upstream.calls)
    for path in (
        "/polycall.v1.ExecutionService/../polycall.faces.riza.v1.RizaService/ExecuteFunction",
        "//polycall.faces.riza.v1.RizaService/ExecuteFunction",
        "/%70olycall.faces.riza.v1.RizaService/ExecuteFunction",
        "/v1/execute-function",
    ):
        await ask(gateway.mesh, "POST", path, b"", {"content-type": "application/grpc-web"})
    assert len(gateway.upstream.calls) == before


async def test_health_is_open(channel: grpc.aio.Channel) -> None:
    answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_grpc_web_is_spoken(gateway: Gateway) -> None:
    answer = await ask(
        gateway.mesh,
        "POST",
        "/polycall.v1.ExecutionService/GetExecution",
        struct.pack(">BI", 0, 0),
        {"content-type": "application/grpc-web+proto", "x-test-answer": '{"name": "executions/e"}'},
    )
    assert answer.status == 200
    message = b"\x0a\x0cexecutions/e"
    assert answer.body.startswith(struct.pack(">BI", 0, len(message)) + message + b"\x80")
    assert b"grpc-status:0" in answer.body


async def test_without_a_server_it_is_unavailable_with_words(orphan: Gateway) -> None:
    async with grpc.aio.insecure_channel(orphan.mesh) as channel:
        get, request = method(channel, "polycall.v1.ExecutionService", "GetExecution")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await get(request())
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert caught.value.details() == "The server is not reachable; nothing was run. Try again in a second."


async def test_a_connection_outlives_callers_who_have_no_more_time(gateway: Gateway, channel: grpc.aio.Channel) -> None:
    get, request = method(channel, "polycall.v1.ExecutionService", "GetExecution")
    kept = get(request(), metadata=[("x-test-delay", "4"), ("x-test-answer", '{"name": "executions/kept"}')])
    assert gateway.upstream is not None
    for _ in range(2):
        before = len(gateway.upstream.calls)
        given_up = [get(request(), metadata=[("x-test-delay", "60")]) for _ in range(900)]
        async with asyncio.timeout(60):
            while len(gateway.upstream.calls) < before + 900:
                await asyncio.sleep(0.01)
        await asyncio.sleep(1.2)  # from when each of them has begun: what ends sooner is taken for an attack
        for call in given_up:
            call.cancel()
        await asyncio.gather(*given_up, return_exceptions=True)
    # on the same connection, which the library that speaks HTTP/2 would have closed, and Envoy
    assert (await kept).name == "executions/kept"
