"""How frames go to a sandboxed process and come from it: a socket, or two pipes for those that cannot inherit one."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import fcntl
import os
import socket
from collections.abc import Iterable
from typing import Protocol, cast

__all__ = ["Link", "PipeLink", "SocketLink"]

_READ = 1 << 18
_PIPES = 2
_PIPE = 1 << 20  # what anybody may ask for (pipe(7), pipe-max-size)


class Link(Protocol):
    """The server's end of a process's connection."""

    async def connect(self, receiver: asyncio.Protocol) -> None:
        """Begin to listen: ``receiver`` gets what comes, and ``connection_lost`` once it is over."""

    def write(self, buffers: Iterable[bytes]) -> None:
        """Send bytes, all that cannot be sent now later."""

    def close(self) -> None:
        """Close it at once. May be called again."""


class SocketLink:
    """Both directions over the job socket: the process inherited its other end."""

    def __init__(self, job: socket.socket) -> None:
        self._socket = job
        self._transport: asyncio.Transport | None = None

    async def connect(self, receiver: asyncio.Protocol) -> None:
        """Begin to listen."""
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_unix_connection(lambda: receiver, sock=self._socket)

    def write(self, buffers: Iterable[bytes]) -> None:
        """Send bytes."""
        transport = self._transport
        if transport is None:
            return
        buffers = list(buffers)
        if len(buffers) == 1 and transport.get_write_buffer_size() == 0 and not transport.is_closing():
            # at once: the transport would send at the end of the loop's turn, when all that is ready has been done
            try:
                sent = self._socket.send(buffers[0])
            except OSError:  # full; or gone, which the transport will tell
                sent = 0
            if sent == len(buffers[0]):
                return
            buffers[0] = buffers[0][sent:]
        transport.writelines(buffers)

    def close(self) -> None:
        """Close it at once."""
        if self._transport is not None:
            self._transport.abort()
        else:
            self._socket.close()


class PipeLink:
    """A named pipe for each direction.

    The process makes both in its own file system, sends the server's ends over the job socket, and only then becomes
    what it is to be: a program that can open a file by its name, but use no descriptor that it has not opened itself.
    """

    def __init__(self, job: socket.socket) -> None:
        self._socket = job
        self._loop = asyncio.get_running_loop()
        self._receiver: asyncio.Protocol | None = None
        self._calls = self._answers = -1
        self._unsent: collections.deque[memoryview] = collections.deque()

    async def connect(self, receiver: asyncio.Protocol) -> None:
        """Take the ends of the pipes and begin to listen. Raises ConnectionError if they do not come."""
        fds = await self._received()
        if len(fds) != _PIPES:
            for fd in fds:
                os.close(fd)
            raise ConnectionError("the process ended before it was ready")
        self._calls, self._answers = fds
        for fd in fds:
            os.set_blocking(fd, False)
            # fewer turns for large payloads; an ordinary user's pipes may be so large only up to a number
            with contextlib.suppress(OSError):
                fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, _PIPE)
        self._receiver = receiver
        self._loop.add_reader(self._answers, self._read)

    async def _received(self) -> list[int]:
        arrived: asyncio.Future[list[int]] = self._loop.create_future()

        def receive() -> None:
            self._loop.remove_reader(self._socket)
            fds: list[int] = []
            with contextlib.suppress(OSError):
                _, fds, _, _ = socket.recv_fds(self._socket, 1, _PIPES, socket.MSG_CMSG_CLOEXEC)
            if arrived.done():
                for fd in fds:
                    os.close(fd)
            else:
                arrived.set_result(fds)

        self._loop.add_reader(self._socket, receive)
        try:
            return await arrived
        finally:
            if self._socket.fileno() >= 0:
                self._loop.remove_reader(self._socket)
                self._socket.close()

    def _read(self) -> None:
        try:
            data = os.read(self._answers, _READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            cast("asyncio.Protocol", self._receiver).data_received(data)
        else:
            self._lose()

    def _lose(self) -> None:
        receiver, self._receiver = self._receiver, None
        self.close()
        if receiver is not None:
            receiver.connection_lost(None)

    def write(self, buffers: Iterable[bytes]) -> None:
        """Send bytes."""
        if self._calls < 0:
            return
        idle = not self._unsent
        self._unsent.extend(memoryview(buffer) for buffer in buffers if buffer)
        if idle:
            self._flush()

    def _flush(self) -> None:
        while self._unsent:
            head = self._unsent[0]
            try:
                sent = os.write(self._calls, head)
            except BlockingIOError:
                self._loop.add_writer(self._calls, self._flush)
                return
            except OSError:  # nobody reads there any more
                self._lose()
                return
            if sent == len(head):
                self._unsent.popleft()
            else:
                self._unsent[0] = head[sent:]
        self._loop.remove_writer(self._calls)

    def close(self) -> None:
        """Close it at once."""
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._socket.close()
        if self._calls >= 0:
            self._loop.remove_writer(self._calls)
            self._loop.remove_reader(self._answers)
            os.close(self._calls)
            os.close(self._answers)
            self._calls = self._answers = -1
        self._unsent.clear()
