"""Bytes to and from one peer, plain or through TLS.

On sockets, not on transports: nothing is read that nobody asked for, so what is buffered is bounded by what is asked
for, and a connection can be looked at before it is decided what it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from typing import Protocol

__all__ = ["CHUNK", "SocketStream", "Stream", "TlsStream", "readable"]

# What is read at once, and so what a connection holds in each direction: as much as a TLS record (RFC 8446, 5.1) four
# times over.
CHUNK = 1 << 16


async def readable(sock: socket.socket) -> None:
    """Return when a socket that does not block has something to read, or to accept."""
    loop = asyncio.get_running_loop()
    came: asyncio.Future[None] = loop.create_future()

    def tell() -> None:
        if not came.done():
            came.set_result(None)

    loop.add_reader(sock, tell)
    try:
        await came
    finally:
        loop.remove_reader(sock)


class Stream(Protocol):
    """A connection. Both methods raise OSError when it breaks."""

    async def read(self) -> bytes:
        """Return what there is, at most ``CHUNK`` bytes, waiting for some; empty at the end."""

    async def write(self, data: bytes) -> None:
        """Send all of it."""

    async def end(self) -> None:
        """Say that nothing more is sent."""


class SocketStream:
    """A socket that does not block. Its owner closes it."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._loop = asyncio.get_running_loop()
        self._writing = asyncio.Lock()
        self._returned = b""

    async def read(self) -> bytes:
        """See ``Stream``."""
        if self._returned:
            data, self._returned = self._returned, b""
            return data
        # where there is always something to read and room to write, nothing else would ever get its turn
        await asyncio.sleep(0)
        return await self._loop.sock_recv(self._socket, CHUNK)

    def give_back(self, data: bytes) -> None:
        """Have the next ``read`` return what was read too much."""
        self._returned = data + self._returned

    async def write(self, data: bytes) -> None:
        """See ``Stream``."""
        async with self._writing:
            await self._loop.sock_sendall(self._socket, data)

    async def end(self) -> None:
        """See ``Stream``."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    @property
    def idle(self) -> bool:
        """Whether it is open with nothing to read. A connection at rest that is not was closed by its peer."""
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return not self._returned
        except OSError:
            return False
        return False


class TlsStream:
    """TLS over another stream."""

    def __init__(self, stream: SocketStream, context: ssl.SSLContext, *, server_hostname: str | None) -> None:
        self._stream = stream
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_hostname is None, server_hostname=server_hostname
        )
        self._flushing = asyncio.Lock()

    async def shake_hands(self) -> None:
        """Agree on keys, and check the certificate as the context says. Raises OSError; ssl.SSLError is one."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                await self._fill()
            except ssl.SSLError:
                with contextlib.suppress(OSError):
                    await self._flush()  # the alert that says why
                raise
            else:
                await self._flush()
                return

    async def read(self) -> bytes:
        """See ``Stream``."""
        while True:
            try:
                data = self._tls.read(CHUNK)
            except ssl.SSLWantReadError:
                pass
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                # Not every server says good-bye before it hangs up; a body that was cut short HTTP itself knows of.
                return b""
            else:
                if self._outgoing.pending:
                    await self._flush()
                return data
            if self._outgoing.pending:
                await self._flush()
            await self._fill()

    async def write(self, data: bytes) -> None:
        """See ``Stream``."""
        view = memoryview(data)
        while view:
            # a piece at a time: what was encrypted waits in memory
            self._tls.write(view[:CHUNK])
            view = view[CHUNK:]
            await self._flush()

    async def end(self) -> None:
        """See ``Stream``."""
        with contextlib.suppress(OSError):
            self._tls.unwrap()
        with contextlib.suppress(OSError):
            await self._flush()
        await self._stream.end()

    async def _fill(self) -> None:
        data = await self._stream.read()
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    async def _flush(self) -> None:
        async with self._flushing:
            while self._outgoing.pending:
                await self._stream.write(self._outgoing.read(CHUNK))
