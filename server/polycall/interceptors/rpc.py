"""One RPC on its way through the server, and what can be laid around it."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Any, NoReturn, Protocol

import grpc
import grpc.aio
from google.protobuf.message import Message
from google.rpc import status_pb2

from polycall.domain import Execution, Principal
from polycall.errors import Code, PolycallError
from polycall.ids import random_hex
from polycall.quick import dataclass
from polycall.status import DETAILS_KEY

__all__ = ["Layer", "Rpc", "Stream", "Unary", "Unread"]

_STATUS = {code.value[0]: code for code in grpc.StatusCode}
_REQUEST_ID = re.compile(r"[\w.:/+=-]{1,128}", re.ASCII)
_TRACE_ID = re.compile(r"00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")  # W3C Trace Context, traceparent

# Said by the gateway of all that comes to it as HTTP. The first alone may be another proxy's.
_PATH, _FACE = "x-envoy-original-path", "x-polycall-face"


class Rpc:
    """One RPC: what services are given instead of gRPC's context.

    ``request_id`` is the caller's ``x-request-id``, else a new one. ``came_at``, when its head came, and
    ``expires_at``, its deadline, are on the ``time.monotonic`` clock. ``path``, with its query, is the one by which it
    came to the gateway as HTTP; None: it came as gRPC. ``known`` is set once the call is authenticated. ``unread`` is
    why the call's message was not read, if it was not. Services leave the execution that they
    answer with in ``execution``: telemetry tells of it.
    """

    __slots__ = (
        "_trailing",
        "authorization",
        "came_at",
        "code",
        "context",
        "execution",
        "expires_at",
        "known",
        "method",
        "path",
        "request_id",
        "revocations",
        "trace_id",
        "unread",
    )

    context: grpc.aio.ServicerContext[Any, Any]  # from ``enter`` on

    def __init__(self, method: str, metadata: Iterable[tuple[str, str | bytes]] | None) -> None:
        self.method = method
        self.came_at = time.monotonic()
        self.authorization = ""
        self.request_id = ""
        self.trace_id = ""
        path, through_the_gateway = "", False
        for name, value in metadata or ():
            if name == "authorization":
                self.authorization = str(value)
            elif name == "x-request-id" and _REQUEST_ID.fullmatch(str(value)):
                self.request_id = str(value)
            elif name == "traceparent" and (trace := _TRACE_ID.fullmatch(str(value))):
                self.trace_id = trace[1]
            elif name == _PATH:
                path = str(value)
            elif name == _FACE:
                through_the_gateway = True
        self.path = path if through_the_gateway else None
        self.request_id = self.request_id or random_hex()
        self.expires_at: float | None = None
        self.revocations = 0  # how many there had been when it was found out who is asking
        self.unread: PolycallError | None = None
        self.code: Code | None = None  # None: not failed
        self.execution: Execution | None = None
        self._trailing: list[tuple[str, str | bytes]] = [("x-request-id", self.request_id)]
        self.known: Principal | None = None  # who is asking, once the call is authenticated

    @classmethod
    def of(cls, method: str, context: grpc.aio.ServicerContext[Any, Any]) -> Rpc:
        """Return an RPC whose head was not looked at before."""
        rpc = cls(method, context.invocation_metadata())
        rpc.enter(context)
        return rpc

    def enter(self, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        """Take what gRPC gives to a method: the message is there, the call goes on."""
        self.context = context
        remaining = context.time_remaining()
        if remaining is not None:
            self.expires_at = time.monotonic() + remaining

    @property
    def who(self) -> Principal:
        """Who is asking. Raises LookupError before authentication: nothing is done for nobody."""
        if self.known is None:
            raise LookupError(f"{self.method} was not authenticated")
        return self.known

    def take_unread(self) -> PolycallError:
        """Return why the message was not read, to be raised: kept here, it would keep the frames that it passes."""
        why, self.unread = self.unread, None
        if why is None:
            raise LookupError(f"the message of {self.method} was read")
        return why

    def remaining_s(self) -> float | None:
        """Return the seconds left to the RPC's deadline; None without one."""
        return None if self.expires_at is None else self.expires_at - time.monotonic()

    def add_trailing(self, *metadata: tuple[str, str]) -> None:
        """Add to the metadata that leaves after the answer."""
        self._trailing += metadata

    def set_trailing(self, metadata: Sequence[tuple[str, str]]) -> None:
        """Add to the trailing metadata and hand it over; it leaves with the status."""
        self._trailing += metadata
        self.context.set_trailing_metadata(tuple(self._trailing))

    async def fail(self, status: status_pb2.Status) -> NoReturn:
        """End the RPC with that status and its details."""
        self.code = Code(status.code)
        trailing = (*self._trailing, (DETAILS_KEY, status.SerializeToString()))
        await self.context.abort(_STATUS[status.code], status.message, trailing)
        raise AssertionError("abort always raises")


@dataclass(frozen=True, slots=True)
class Unread:
    """Stands for the message of a face's call that was not read, and says why not."""

    why: PolycallError


Unary = Callable[[Message, Rpc], Awaitable[Message]]
Stream = Callable[[Message, Rpc], AsyncIterator[Message]]


class Layer(Protocol):
    """Something laid around a method, once, when it is first called."""

    def unary(self, inner: Unary) -> Unary:
        """Wrap a method with one answer."""

    def stream(self, inner: Stream) -> Stream:
        """Wrap a method with a stream of answers."""
