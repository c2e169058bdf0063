"""Calls that wait in gRPC's core are taken before a server stops."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import grpc
import grpc.aio

from polycall.services.settling import settled

CALLS = 40


class Echo(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    """Answers everything that is called Echo."""

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        if not details.method.endswith("/Echo"):
            return None
        return grpc.unary_unary_rpc_method_handler(self._echo)

    async def _echo(self, request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
        return request


async def test_what_waits_in_the_core_is_answered_before_the_server_stops() -> None:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Echo(),))
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    assert await settled(address, 10)
    with grpc.insecure_channel(address) as channel:  # its calls come while the loop does nothing
        grpc.channel_ready_future(channel).result(10)
        echo = channel.unary_unary("/test.Service/Echo")
        calls = [echo.future(b"%d" % number, timeout=30) for number in range(CALLS)]
        time.sleep(0.3)
        assert not any(call.done() for call in calls)
        assert await settled(address, 10)
        await server.stop(5)
        answers = await asyncio.to_thread(lambda: [call.result() for call in calls])
    assert answers == [b"%d" % number for number in range(CALLS)]


async def test_a_server_that_does_not_answer_is_not_waited_for() -> None:
    assert not await settled("127.0.0.1:1", 0.5)
