"""A server for the gateway to talk to: every service of the descriptor set, served generically.

A test says in request headers what the answer has to be (``x-test-*``); the answer of a face tells what arrived.
``python -m tests.gateway.upstream SOCKET`` serves in a process of its own, to be killed.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import grpc
from google.api import httpbody_pb2
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from polycall_gateway.descriptors import NATIVE, Contract

# Twice the largest request head of the gateway, and a little more than its largest body.
OPTIONS = (
    ("grpc.max_metadata_size", 64 << 10),
    ("grpc.absolute_max_metadata_size", 64 << 10),
    ("grpc.max_receive_message_length", 80 << 20),
    ("grpc.max_send_message_length", 80 << 20),
)


@dataclass
class Call:
    """One call as it reached the server. ``method`` is ``package.Service.Method``."""

    method: str
    request: Any
    metadata: Mapping[str, str | bytes]
    time_remaining: float | None
    sent: int = 0
    finished: bool = False
    cancelled: bool = False

    def option(self, name: str, default: str = "") -> str:
        return str(self.metadata.get(f"x-test-{name}", default))


def message_pool(contract: Contract) -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(contract.descriptors).file:
        pool.Add(file)
    return pool


class Upstream:
    """Serves on a Unix socket; ``calls`` are all that came, health checks aside."""

    def __init__(self, contract: Contract, path: Path) -> None:
        self.calls: list[Call] = []
        self.pool = message_pool(contract)
        self._health = health.aio.HealthServicer()
        self._server = grpc.aio.server(options=OPTIONS)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        for face, services in contract.services.items():
            for service in services:
                methods = self.pool.FindServiceByName(service).methods
                handlers = {method.name: self._handler(method, face != NATIVE) for method in methods}
                self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
        self._server.add_insecure_port(f"unix:{path}")

    async def __aenter__(self) -> Self:
        await self._server.start()
        await self.serve(True)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop(0)

    async def serve(self, serving: bool) -> None:
        """Say SERVING or NOT_SERVING to health checks."""
        status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        await self._health.set("", status)

    def _handler(self, method: MethodDescriptor, is_face: bool) -> grpc.RpcMethodHandler:
        request_type = message_factory.GetMessageClass(method.input_type)
        response_type = message_factory.GetMessageClass(method.output_type)

        async def face(request: Message, context: Any) -> AsyncIterator[Message]:
            call = self._arrived(method, request, context)
            await _obey(call, context)
            yield httpbody_pb2.HttpBody(content_type=call.option("type", "application/json"), data=_body(call))
            if call.option("code"):
                context.set_code(grpc.StatusCode[call.option("code")])
            call.finished = True

        async def typed(request: Message, context: Any) -> Message:
            call = self._arrived(method, request, context)
            await _obey(call, context)
            return json_format.Parse(call.option("answer", "{}"), response_type())

        async def stream(request: Message, context: Any) -> AsyncIterator[Message]:
            call = self._arrived(method, request, context)
            await _obey(call, context)
            pieces = [
                json_format.ParseDict(piece, response_type()) for piece in json.loads(call.option("answers", "[{}]"))
            ]
            for piece in pieces * int(call.option("times", "1")):
                yield piece
                call.sent += piece.ByteSize()
                await asyncio.sleep(float(call.option("pause", "0")))
            call.finished = True

        make = {"request_deserializer": request_type.FromString, "response_serializer": _bytes}
        if is_face:
            return grpc.unary_stream_rpc_method_handler(face, **make)
        if method.server_streaming:
            return grpc.unary_stream_rpc_method_handler(stream, **make)
        return grpc.unary_unary_rpc_method_handler(typed, **make)

    def _arrived(self, method: MethodDescriptor, request: Message, context: Any) -> Call:
        call = Call(method.full_name, request, dict(context.invocation_metadata()), context.time_remaining())
        self.calls.append(call)
        return call


def _bytes(message: Message) -> bytes:
    return message.SerializeToString()


def _body(call: Call) -> bytes:
    if "x-test-empty" in call.metadata:
        return b""
    if "x-test-echo" in call.metadata:
        return bytes(call.request.body.data)
    request = json_format.MessageToDict(call.request, preserving_proto_field_name=True)
    metadata = {key: value for key, value in call.metadata.items() if isinstance(value, str)}
    return json.dumps({"method": call.method, "request": request, "metadata": metadata, "pid": os.getpid()}).encode()


async def _obey(call: Call, context: Any) -> None:
    try:
        await asyncio.sleep(float(call.option("delay", "0")))
    except asyncio.CancelledError:
        call.cancelled = True
        raise
    headers = [(name, call.option(name)) for name in ("retry-after", "www-authenticate") if call.option(name)]
    if call.option("status"):
        headers.append(("x-http-status", call.option("status")))
    if headers:
        await context.send_initial_metadata(headers)
    if call.option("abort"):
        if call.option("details"):
            context.set_trailing_metadata((("grpc-status-details-bin", bytes.fromhex(call.option("details"))),))
        await context.abort(grpc.StatusCode[call.option("abort")], "refused by the server")


async def main(path: Path) -> None:
    async with Upstream(Contract.load(), path):
        print("serving", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
