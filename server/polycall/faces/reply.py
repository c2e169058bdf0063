"""What a face answers, and what it was asked."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import field
from typing import Protocol

from google.protobuf.message import Message

from polycall.errors import Code, PolycallError
from polycall.faces.aside import aside
from polycall.faces.wire import gunzip
from polycall.quick import dataclass

__all__ = ["HTTP_OF", "Face", "Handler", "Inbound", "Reply", "retry_after"]

_RETRY_AFTER_S = 1.0  # where the engine has no guess of its own

# How the gateway's transcoder maps a gRPC code to an HTTP status; any other status travels in x-http-status.
HTTP_OF: Mapping[Code, int] = {
    Code.OK: 200,
    Code.CANCELLED: 499,
    Code.UNKNOWN: 500,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.DATA_LOSS: 500,
    Code.UNAUTHENTICATED: 401,
}


def retry_after(seconds: float | None) -> tuple[tuple[str, str], ...]:
    """Return the header that says when to come back: whole seconds, for HTTP has no others, and never 0."""
    return (("retry-after", str(max(1, math.ceil(seconds or _RETRY_AFTER_S)))),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One HTTP answer. ``code`` is the honest gRPC code: it goes to logs and metrics, never to the HTTP client."""

    body: bytes
    status: int = 200
    code: Code = Code.OK
    message: str = ""
    content_type: str = "application/json"
    headers: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbound:
    """One HTTP request, as a face sees it.

    ``message`` holds the path variables (percent-decoded), ``body`` the request body as it came, ``headers`` the
    request headers in lower case, ``query`` the raw query string, ``expires_at`` the deadline on the
    ``time.monotonic`` clock. ``unread`` is why ``message`` and ``body`` are empty, if they were not read: who asks for
    what is in them is told that instead.
    """

    method: str  # the RPC's name
    message: Message
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    query: str = ""
    expires_at: float | None = None
    received_at: int = 0  # ms since the epoch
    body_limit: int = 64 * 1024 * 1024  # bytes, after gunzip
    unread: PolycallError | None = None

    async def read(self, limit: int | None = None) -> bytes:
        """Return the body without its content encoding. To be called once the caller is known, not before.

        ``limit``: the most bytes of it, unpacked, where that is less than the face's; the gateway counts them packed.
        Raises PayloadTooLarge, Malformed, UnsupportedEncoding (``polycall.faces.wire``), and what ``unread`` says.
        """
        if self.unread is not None:
            raise self.unread
        most = self.body_limit if limit is None else min(limit, self.body_limit)
        encoding = self.headers.get("content-encoding", "")
        # what is packed may be a thousand times as large unpacked: its size says nothing
        size = most if encoding and self.body else 0
        return await aside(size, gunzip, self.body, encoding, most)

    def variable(self, name: str) -> str:
        """Return a path variable. Raises what ``unread`` says."""
        if self.unread is not None:
            raise self.unread
        return str(getattr(self.message, name))


Handler = Callable[[Inbound], Awaitable[Reply]]


class Face(Protocol):
    """One vendor's REST contract."""

    @property
    def name(self) -> str:
        """The face's name, as in its package: ``polycall.faces.<name>.v1``."""

    @property
    def body_limit(self) -> int:
        """The largest request body after gunzip, bytes."""

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """The handler of every RPC of the face's service, by name."""

    def failure(self, error: PolycallError, inbound: Inbound) -> Reply:
        """Word an error the vendor's way. Called for every PolycallError a handler raises; must not raise."""
