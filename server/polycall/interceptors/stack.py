"""Lays the layers around the methods, outermost first.

One gRPC interceptor for all of them: each of gRPC's own costs a coroutine a call, and none could hand the principal to
the service. A method is wrapped when it is first called, once.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Protocol, TypeAlias

import grpc
import grpc.aio
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError, Message

from polycall.errors import Code, FieldViolation, InvalidArgument, PayloadTooLarge, PolycallError
from polycall.interceptors.rpc import Layer, Rpc, Stream, Unary, Unread
from polycall.interceptors.telemetry import Telemetry
from polycall.status import no_such_method

__all__ = ["Entry", "Gate", "Stack"]

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Handler: TypeAlias = grpc.RpcMethodHandler
Reader: TypeAlias = Callable[[bytes], Message]

_NATIVE = "/polycall.v1."
_FACES = "/polycall.faces."

# What clients call methods that do not exist is theirs: it counts as one method, and the log shows what it can bear.
_UNKNOWN = "unknown"
_SHOWN = re.compile(r"[\w./-]{1,128}", re.ASCII)


def _generated(_: str) -> None:
    """Leave a method's messages to what gRPC generates."""


class Gate(Protocol):
    """Decides by the head of a call alone."""

    async def refusal(self, metadata: Iterable[tuple[str, str | bytes]]) -> PolycallError | None:
        """Return why a call's message is not to be read; None: it is."""


class Entry(Gate, Protocol):
    """A gate that knows our own way to say who is asking."""

    async def lets_in(self, rpc: Rpc) -> bool:
        """Tell whether a native call's message is to be read, and say in ``rpc`` who is asking, or why it is not."""


class Stack(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # grpc has no types
    """Lays ``native`` around our services, which take a ``Rpc``, and ``faces`` around the faces', which do not.

    Others (health, reflection) pass untouched. A method that does not exist is UNIMPLEMENTED, with its reason;
    ``telemetry`` tells of it, unless it is one of ``ours``, which we ask for that answer.

    What ``entry`` refuses passes the layers and the faces, which say why, but its message is never read: a stranger's
    requests would fill the server's memory otherwise, 64 MiB each, before anybody asks who sent them.
    ``doors``: gates of methods, by path, that are asked without a key. ``reader_of``: returns what reads a method's
    messages; None for what gRPC generates. ``largest``: the largest message that a native method takes, bytes.
    """

    def __init__(
        self,
        *,
        native: Sequence[Layer],
        faces: Sequence[Layer],
        entry: Entry,
        telemetry: Telemetry,
        largest: int,
        doors: Mapping[str, Gate] | None = None,
        reader_of: Callable[[str], Reader | None] = _generated,
        ours: Collection[str] = (),
    ) -> None:
        self._entry = entry
        self._reader_of = reader_of
        self._doors = doors or {}
        self._native, self._faces = native, faces
        self._telemetry = telemetry
        self._largest = largest
        self._ours = ours
        self._wrapped: dict[str, Handler | _Native] = {}

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
                return self._unknown(method)
            wrapped = self._wrapped[method] = self._wrap(method, handler)
        if isinstance(wrapped, _Native):
            rpc = Rpc(method, handler_call_details.invocation_metadata)
            return _Call(wrapped, rpc) if await self._entry.lets_in(rpc) else self._unread(rpc)
        if method.startswith(_FACES):
            gate = self._doors.get(method, self._entry)
            refusal = await gate.refusal(handler_call_details.invocation_metadata)
            if refusal is not None:
                return _unread(wrapped, Unread(refusal))
        return wrapped

    def _unread(self, rpc: Rpc) -> Handler:
        stream = _around_stream(_nothing, self._native)

        async def edge(_: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
            rpc.enter(context)
            async with aclosing(stream(Empty(), rpc)) as answers:  # type: ignore[type-var]
                async for answer in answers:
                    yield answer.SerializeToString()

        return grpc.stream_stream_rpc_method_handler(edge)

    def _unknown(self, method: str) -> Handler:
        async def refuse(_: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
            rpc = Rpc.of(_UNKNOWN, context)
            try:
                await rpc.fail(no_such_method(method))
            finally:
                if method not in self._ours:
                    shown = method if _SHOWN.fullmatch(method) else "-"
                    self._telemetry.tell(rpc, Code.UNIMPLEMENTED, ("asked", shown))
            yield b""

        return grpc.stream_stream_rpc_method_handler(refuse)

    def _wrap(self, method: str, handler: Handler) -> Handler | _Native:
        reader = self._reader_of(method) or handler.request_deserializer
        if method.startswith(_NATIVE):
            return _Native(handler, _fitting(reader, self._largest), self._native, self._telemetry)
        if not method.startswith(_FACES):
            return handler
        stream = _around_stream(_behind_context(handler.unary_stream), self._faces)
        return grpc.unary_stream_rpc_method_handler(_face_edge(method, stream), reader, handler.response_serializer)


async def _nothing(_: Message, rpc: Rpc) -> AsyncIterator[Message]:
    raise LookupError(f"{rpc.method} was let through to a message that was not read")
    yield Empty()


def _refusing(why: PolycallError) -> Stream:
    async def core(_: Message, rpc: Rpc) -> AsyncIterator[Message]:
        raise why
        yield Empty()

    return core


def _fitting(reader: Reader, largest: int) -> Callable[[bytes], Message | PolycallError]:
    # what gRPC does with what cannot be read is UNKNOWN without a word, a traceback in the log, and no line of ours
    def read(data: bytes) -> Message | PolycallError:
        if len(data) > largest:
            return PayloadTooLarge(
                f"The request has {len(data)} bytes; at most {largest} are taken. Send less, or in several requests.",
                subject="message size",
                metadata={"size": str(len(data)), "limit": str(largest)},
            )
        try:
            return reader(data)
        except DecodeError:
            return InvalidArgument([FieldViolation("", "The request is no message of this method's type.")])

    return read


def _around_stream(inner: Stream, layers: Sequence[Layer]) -> Stream:
    for layer in reversed(layers):
        inner = layer.stream(inner)
    return inner


class _Native:
    """A method of ours with its layers around it."""

    def __init__(
        self,
        handler: Handler,
        reader: Callable[[bytes], Message | PolycallError],
        layers: Sequence[Layer],
        telemetry: Telemetry,
    ) -> None:
        self.reader = reader
        self.telemetry = telemetry
        self._layers = layers
        self.writer: Callable[[Message], bytes] = handler.response_serializer
        self.unary: Unary | None = handler.unary_unary
        self.stream: Stream | None = handler.unary_stream
        if self.unary is not None:
            for layer in reversed(layers):
                self.unary = layer.unary(self.unary)
        elif self.stream is not None:
            self.stream = _around_stream(self.stream, layers)

    def refusal(self, why: PolycallError) -> Stream:
        """Return what answers to a message that is none."""
        return _around_stream(_refusing(why), self._layers)


class _Call(grpc.RpcMethodHandler):  # type: ignore[misc]
    """What gRPC handles one call of a method of ours with: it knows the head of the call already.

    It is also what answers. gRPC asks of that whether it is asynchronous, and of a coroutine function it finds that out
    by eight functions of ``inspect`` at each call; what can be awaited is at the first of them.
    """

    __slots__ = ("_method", "_rpc", "_taken", "request_deserializer", "response_serializer", "response_streaming")

    request_streaming = False

    def __init__(self, method: _Native, rpc: Rpc) -> None:
        self._method, self._rpc = method, rpc
        self._taken = False
        self.response_streaming = method.stream is not None
        self.request_deserializer = method.reader
        self.response_serializer = method.writer

    def __del__(self) -> None:
        # Who asked is gone, or has sent more than gRPC reads: it lets go of the call then, and tells nobody.
        if not self._taken:
            self._method.telemetry.tell(self._rpc, Code.CANCELLED, ("message", "none"))

    @property
    def unary_unary(self) -> _Call:
        """What answers."""
        return self

    def __await__(self) -> Iterator[Any]:
        """Be told from a function that blocks; nobody awaits it."""
        raise NotImplementedError

    async def __call__(self, request: Message | PolycallError, context: Context) -> Message:
        """Answer."""
        self._taken = True
        rpc, unary = self._rpc, self._method.unary
        assert unary is not None  # noqa: S101  gRPC asks whether it streams
        rpc.enter(context)
        try:
            if isinstance(request, PolycallError):
                return await anext(self._method.refusal(request)(Empty(), rpc))
            return await unary(request, rpc)
        except grpc.aio.AbortError as error:
            del request
            _let_go(error)
            raise

    async def unary_stream(self, request: Message | PolycallError, context: Context) -> AsyncIterator[Message]:
        """Stream answers."""
        self._taken = True
        rpc, stream = self._rpc, self._method.stream
        assert stream is not None  # noqa: S101  gRPC asks whether it streams
        rpc.enter(context)
        try:
            if isinstance(request, PolycallError):
                stream, request = self._method.refusal(request), Empty()
            async with aclosing(stream(request, rpc)) as answers:  # type: ignore[type-var]
                async for answer in answers:
                    yield answer
        except grpc.aio.AbortError as error:
            del request
            _let_go(error)
            raise


def _behind_context(behaviour: Callable[..., AsyncIterator[Message]]) -> Stream:
    def core(request: Message, rpc: Rpc) -> AsyncIterator[Message]:
        return behaviour(request, rpc.context)

    return core


def _face_edge(method: str, inner: Stream) -> Callable[[Message, Context], AsyncIterator[Message]]:
    async def edge(request: Message, context: Context) -> AsyncIterator[Message]:
        try:
            async with aclosing(inner(request, Rpc.of(method, context))) as answers:  # type: ignore[type-var]
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


def _unread(handler: Handler, unread: Unread) -> Handler:
    """Have a face answer without what was sent: it asks who is there before it looks at anything else."""

    async def edge(_: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
        async with aclosing(handler.unary_stream(unread, context)) as answers:
            async for answer in answers:
                yield handler.response_serializer(answer)

    return grpc.stream_stream_rpc_method_handler(edge)
