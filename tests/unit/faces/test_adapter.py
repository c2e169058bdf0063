"""How a face is mounted: what it is handed, and what leaves."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
import pytest
import pytest_asyncio
from google.api.httpbody_pb2 import HttpBody

from polycall.domain import Reason
from polycall.errors import Code, NotFound, NotReady, PolycallError, QueueFull, Unavailable
from polycall.faces.adapter import bearer, mount
from polycall.faces.reply import Handler, Inbound, Reply
from polycall.faces.riza.v1 import riza_pb2
from polycall.status import short

_SERVICE = riza_pb2.DESCRIPTOR.services_by_name["RizaService"]
_METHODS = tuple(method.name for method in _SERVICE.methods)


@dataclass
class Face:
    """A face that does as it is told."""

    name: str = "riza"
    body_limit: int = 100
    does: Handler | None = None
    asked: list[Inbound] = field(default_factory=list)
    methods: tuple[str, ...] = _METHODS

    @property
    def handlers(self) -> Mapping[str, Handler]:
        return dict.fromkeys(self.methods, self.handle)

    async def handle(self, inbound: Inbound) -> Reply:
        self.asked.append(inbound)
        assert self.does is not None
        return await self.does(inbound)

    def failure(self, error: PolycallError, inbound: Inbound) -> Reply:
        return Reply(body=type(error).__name__.encode(), status=418, code=Code.UNKNOWN, message=error.message)


@dataclass
class Mounted:
    """A server with the face, and a channel to it."""

    face: Face
    call: Any

    async def ask(self, does: Handler, body: bytes = b"", metadata: Any = ()) -> tuple[bytes, dict[str, str], Any]:
        """Return the body, the initial metadata, and the call, which knows code and details."""
        self.face.does = does
        request = riza_pb2.ExecuteFunctionRequest(body=HttpBody(data=body))
        call = self.call(request, metadata=metadata)
        answer = [message async for message in _messages(call)]
        return answer[0].data, dict(await call.initial_metadata()), call


async def _messages(call: Any) -> AsyncIterator[Any]:
    try:
        async for message in call:
            yield message
    except grpc.aio.AioRpcError:
        pass  # the code is asked for apart


@pytest_asyncio.fixture
async def mounted() -> AsyncIterator[Mounted]:
    face, server = Face(), grpc.aio.server()
    mount(server, _SERVICE, face)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", [("grpc.max_receive_message_length", -1)]) as channel:
        call = channel.unary_stream(
            f"/{_SERVICE.full_name}/ExecuteFunction",
            request_serializer=riza_pb2.ExecuteFunctionRequest.SerializeToString,
            response_deserializer=HttpBody.FromString,
        )
        yield Mounted(face, call)
    await server.stop(None)


async def test_a_face_that_lacks_a_method_or_has_one_too_many_is_not_mounted() -> None:
    server = grpc.aio.server()
    for methods in (_METHODS[1:], (*_METHODS, "OneTooMany")):
        with pytest.raises(ValueError, match="face riza: handlers differ"):
            mount(server, _SERVICE, Face(methods=methods))


async def test_body_code_and_status_leave_together(mounted: Mounted) -> None:
    async def teapot(inbound: Inbound) -> Reply:
        return Reply(body=b"x", status=418, code=Code.NOT_FOUND, message="gone", headers=(("retry-after", "3"),))

    body, headers, call = await mounted.ask(teapot)
    assert (body, headers["x-http-status"], headers["retry-after"]) == (b"x", "418", "3")
    assert (await call.code(), await call.details()) == (grpc.StatusCode.NOT_FOUND, "gone")


async def test_a_status_that_the_gateway_derives_is_not_sent(mounted: Mounted) -> None:
    async def missing(inbound: Inbound) -> Reply:
        return Reply(body=b"", status=404, code=Code.NOT_FOUND)

    _, headers, _ = await mounted.ask(missing)
    assert "x-http-status" not in headers


async def test_what_goes_into_a_header_is_short(mounted: Mounted) -> None:
    async def wordy(inbound: Inbound) -> Reply:
        return Reply(body=b"x", status=404, code=Code.NOT_FOUND, message="m" * 100_000)

    body, _, call = await mounted.ask(wordy)
    assert (body, await call.details()) == (b"x", short("m" * 100_000))


async def test_a_handler_sees_body_headers_query_and_deadline(mounted: Mounted) -> None:
    async def echo(inbound: Inbound) -> Reply:
        return Reply(body=await inbound.read())

    body, _, _ = await mounted.ask(echo, b"{}", [("x-polycall-query", "a=b"), ("x-mine", "1")])
    (inbound,) = mounted.face.asked
    assert body == b"{}"
    assert (inbound.method, inbound.query, inbound.headers["x-mine"]) == ("ExecuteFunction", "a=b", "1")
    assert (inbound.expires_at, inbound.body_limit) == (None, 100)


async def test_the_face_words_every_error(mounted: Mounted, caplog: pytest.LogCaptureFixture) -> None:
    async def refuse(inbound: Inbound) -> Reply:
        raise NotFound(Reason.FUNCTION_NOT_FOUND, "t", "f")

    async def break_down(inbound: Inbound) -> Reply:
        raise RuntimeError("secret")

    async def talk(inbound: Inbound) -> Reply:
        return Reply(body=bytes((64 << 20) + 1))

    async def read(inbound: Inbound) -> Reply:
        return Reply(body=await inbound.read())

    assert (await mounted.ask(refuse))[0] == b"NotFound"
    with caplog.at_level(logging.CRITICAL, logger="polycall.faces.adapter"):
        body, _, call = await mounted.ask(break_down)
    assert (body, await call.details()) == (b"Internal", "Internal error.")
    assert (await mounted.ask(talk))[0] == b"PayloadTooLarge"
    assert (await mounted.ask(read, bytes(101)))[0] == b"PayloadTooLarge"
    assert (await mounted.ask(read, b"", [("content-encoding", "br")]))[0] == b"UnsupportedEncoding"


async def test_a_gateway_is_told_what_another_server_may_be_asked(mounted: Mounted) -> None:
    for error, unrun in ((QueueFull("full"), True), (Unavailable("ends"), True), (NotReady("not yet"), False)):

        async def fails(inbound: Inbound, error: PolycallError = error) -> Reply:
            raise error

        _, headers, _ = await mounted.ask(fails)
        assert ("x-polycall-unrun" in headers) is unrun


async def test_a_caller_that_goes_away_cancels_the_handler(mounted: Mounted) -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def wait(inbound: Inbound) -> Reply:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError

    mounted.face.does = wait
    call = mounted.call(riza_pb2.ExecuteFunctionRequest())
    await asyncio.wait_for(begun.wait(), 10)
    call.cancel()
    await asyncio.wait_for(cancelled.wait(), 10)


@pytest.mark.parametrize(
    ("header", "token"),
    [
        ("Bearer k", "k"),
        ("bearer  a b ", "a b"),
        ("Bearer", None),
        ("Bearer ", None),
        ("Basic k", None),
        ("k", None),
        ("", None),
        (None, None),
    ],
)
def test_a_bearer_token_is_what_follows_the_word(header: str | None, token: str | None) -> None:
    assert bearer({} if header is None else {"authorization": header}) == token
