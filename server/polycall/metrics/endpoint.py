"""Serves ``GET /metrics`` over HTTP/1.1 from the event loop: one answer a connection, everything bounded.

There is no key: it is for the operator's own network, and what is shown has no word of a client in it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from polycall.serving import ServeError

__all__ = ["MetricsEndpoint", "NotYet", "listen"]

_LAST_PORT = 65_535
_HEAD_BYTES = 8 << 10
_HEAD_S = 5.0  # for a request to arrive
_ANSWER_S = 10.0  # for an answer to be made and to leave: Prometheus gives up after as long by default
_AT_ONCE = 16  # connections; a scrape takes milliseconds, and nobody needs more scrapers

log = logging.getLogger(__name__)


async def listen(address: str, index: int) -> MetricsEndpoint:
    """Return one that listens; of several processes the ``index``-th so many ports further. Raises ServeError."""
    host, _, port = address.rpartition(":")
    number = int(port) + (index if int(port) else 0)  # 0 is any free one
    endpoint = MetricsEndpoint(host.strip("[]"), number)
    try:
        if number > _LAST_PORT:
            raise OSError("there is no such port")  # uvloop would take any other
        await endpoint.start()
    except OSError as error:
        raise ServeError(
            f"Cannot listen on {host}:{number} for metrics: {getattr(error, 'strerror', None) or error}. "
            "Stop what uses it, or set POLYCALL_METRICS_ADDRESS."
        ) from None
    return endpoint


async def _not_yet() -> tuple[str, bytes]:
    raise NotYet


class NotYet(Exception):
    """Raised by ``expose`` before there is something to show."""


class MetricsEndpoint:
    """Answers with what ``expose`` returns, content type and body; 503 until it is set.

    The address is taken before a server does any work: one that cannot have it has started nothing.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self.expose: Callable[[], Awaitable[tuple[str, bytes]]] = _not_yet
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """Where it listens, once it does."""
        assert self._server is not None  # noqa: S101
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def start(self) -> None:
        """Listen. Raises OSError."""
        self._server = await asyncio.start_server(self._accept, self._host, self._port, limit=_HEAD_BYTES)

    async def stop(self) -> None:
        """Stop listening, and end what is under way."""
        if self._server is not None:
            self._server.close()
        for task in tuple(self._open):
            task.cancel()
        if self._open:
            await asyncio.wait(self._open)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101
        if len(self._open) >= _AT_ONCE:
            writer.transport.abort()
            return
        self._open.add(task)
        try:
            async with asyncio.timeout(_HEAD_S):
                head = await reader.readuntil(b"\r\n\r\n")
            async with asyncio.timeout(_ANSWER_S):
                writer.write(await self._answer(head))
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError, OSError):
            pass  # whoever asks like that needs no answer
        except asyncio.CancelledError:
            pass  # the end of the server
        finally:
            self._open.discard(task)
            writer.transport.abort()

    async def _answer(self, head: bytes) -> bytes:
        method, _, rest = head.partition(b"\r\n")[0].partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0]
        if path != b"/metrics":
            return _response("404 Not Found", "text/plain", b"There is /metrics here.\n")
        if method not in (b"GET", b"HEAD"):
            return _response("405 Method Not Allowed", "text/plain", b"GET it.\n", b"Allow: GET, HEAD\r\n")
        try:
            kind, body = await self.expose()
        except NotYet:
            return _response("503 Service Unavailable", "text/plain", b"The server is starting.\n")
        except Exception:
            log.exception("metrics could not be made")
            return _response("500 Internal Server Error", "text/plain", b"See the server's log.\n")
        return _response("200 OK", kind, body, headless=method == b"HEAD")


def _response(status: str, kind: str, body: bytes, more: bytes = b"", *, headless: bool = False) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
    return head.encode("ascii") + more + b"\r\n" + (b"" if headless else body)
