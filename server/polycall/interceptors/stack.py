"""Lays the layers around the methods, outermost first.

One gRPC interceptor for all of them: each of gRPC's own costs a coroutine a call, and none could hand the principal to
the service. A method is wrapped when it is first called, once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Protocol, TypeAlias

import grpc
import grpc.aio
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from polycall.errors import Unauthenticated
from polycall.interceptors.rpc import Layer, Rpc, Stream, Unary
from polycall.status import no_such_method

__all__ = ["Gate", "Stack"]

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Handler: TypeAlias = grpc.RpcMethodHandler
Reader: TypeAlias = Callable[[bytes], Message]

_NATIVE = "/polycall.v1."
_FACES = "/polycall.faces."


def _generated(_: str) -> None:
    """Leave a method's messages to what gRPC generates."""


class Gate(Protocol):
    """Decides by the head of a call alone."""

    async def admits(self, metadata: Iterable[tuple[str, str | bytes]]) -> bool:
        """Tell whether a call's message is to be read."""


class Stack(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # grpc has no types
    """Lays ``native`` around our services, which take a ``Rpc``, and ``faces`` around the faces', which do not.

    Others (health, reflection) pass untouched. A method that does not exist is UNIMPLEMENTED, with its reason.

    What ``gate`` does not admit passes the layers and the faces, which say why, but its message is never read: a
    stranger's requests would fill the server's memory otherwise, 64 MiB each, before anybody asks who sent them.
    ``doors``: gates of methods, by path, that are asked without a key. ``reader_of``: returns what reads a method's
    messages; None for what gRPC generates.
    """

    def __init__(
        self,
        *,
        native: Sequence[Layer],
        faces: Sequence[Layer],
        gate: Gate,
        doors: Mapping[str, Gate] | None = None,
        reader_of: Callable[[str], Reader | None] = _generated,
    ) -> None:
        self._gate = gate
        self._reader_of = reader_of
        self._doors = doors or {}
        self._layers: Mapping[str, Sequence[Layer]] = {_NATIVE: native, _FACES: faces}
        self._wrapped: dict[str, Handler] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """Return the handler of a method with its layers around it."""
        method: str = handler_call_details.method
        wrapped = self._wrapped.get(method)
        if wrapped is None:
            handler: Handler | None = await continuation(handler_call_details)
            if handler is None:
                return _unknown(method)
            wrapped = self._wrapped[method] = self._wrap(method, handler)
        if method.startswith((_NATIVE, _FACES)) and not await self._doors.get(method, self._gate).admits(
            handler_call_details.invocation_metadata
        ):
            return self._unread(method) if method.startswith(_NATIVE) else _unread(wrapped)
        return wrapped

    def _unread(self, method: str) -> Handler:
        async def core(_: Message, rpc: Rpc) -> AsyncIterator[Message]:
            raise Unauthenticated("This API key was not valid a moment ago.")
            yield Empty()

        stream: Stream = core
        for layer in reversed(self._layers[_NATIVE]):
            stream = layer.stream(stream)

        async def edge(_: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
            async with aclosing(stream(Empty(), Rpc(method, context))) as answers:  # type: ignore[type-var]
                async for answer in answers:
                    yield answer.SerializeToString()

        return grpc.stream_stream_rpc_method_handler(edge)

    def _wrap(self, method: str, handler: Handler) -> Handler:
        layers = next((layers for prefix, layers in self._layers.items() if method.startswith(prefix)), None)
        if layers is None:
            return handler
        native = method.startswith(_NATIVE)
        reader = self._reader_of(method) or handler.request_deserializer
        if handler.unary_unary is not None:
            unary = _unary_core(handler.unary_unary, native)
            for layer in reversed(layers):
                unary = layer.unary(unary)
            return grpc.unary_unary_rpc_method_handler(_unary_edge(method, unary), reader, handler.response_serializer)
        stream = _stream_core(handler.unary_stream, native)
        for layer in reversed(layers):
            stream = layer.stream(stream)
        return grpc.unary_stream_rpc_method_handler(_stream_edge(method, stream), reader, handler.response_serializer)


def _unary_core(behaviour: Callable[..., Awaitable[Message]], native: bool) -> Unary:
    async def core(request: Message, rpc: Rpc) -> Message:
        return await behaviour(request, rpc if native else rpc.context)

    return core


def _stream_core(behaviour: Callable[..., AsyncIterator[Message]], native: bool) -> Stream:
    def core(request: Message, rpc: Rpc) -> AsyncIterator[Message]:
        return behaviour(request, rpc if native else rpc.context)

    return core


def _unary_edge(method: str, inner: Unary) -> Callable[[Message, Context], Awaitable[Message]]:
    async def edge(request: Message, context: Context) -> Message:
        try:
            return await inner(request, Rpc(method, context))
        except grpc.aio.AbortError as error:
            del request
            _let_go(error)
            raise

    return edge


def _stream_edge(method: str, inner: Stream) -> Callable[[Message, Context], AsyncIterator[Message]]:
    async def edge(request: Message, context: Context) -> AsyncIterator[Message]:
        try:
            async with aclosing(inner(request, Rpc(method, context))) as answers:  # type: ignore[type-var]
                async for answer in answers:
                    yield answer
        except grpc.aio.AbortError as error:
            del request
            _let_go(error)
            raise

    return edge


def _let_go(error: grpc.aio.AbortError) -> None:
    """Forget the frames that it came through: gRPC keeps it in a cycle, and they keep the request.

    A collector that comes by once in a while would find requests of 64 MiB there, refused long ago.
    """
    error.__context__ = None
    error.__traceback__ = None


def _unknown(method: str) -> Handler:
    async def refuse(_: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
        await Rpc(method, context).fail(no_such_method(method))
        yield b""

    return grpc.stream_stream_rpc_method_handler(refuse)


def _unread(handler: Handler) -> Handler:
    """Have a face answer without what was sent: it asks who is there before it looks at anything else."""

    async def edge(_: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
        nothing = handler.request_deserializer(b"")
        async with aclosing(handler.unary_stream(nothing, context)) as answers:
            async for answer in answers:
                yield handler.response_serializer(answer)

    return grpc.stream_stream_rpc_method_handler(edge)
