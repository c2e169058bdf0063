"""What a run prints: read as it comes, kept up to a limit, thrown away beyond it, never waited for."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import select
import struct
import termios
from collections.abc import Callable

from polycall.domain import Limits, OutputChunk, Stream
from polycall.ids import now_ms
from polycall.sandbox.job import OutputSink

__all__ = ["Output"]

# The default capacity of a pipe: one read empties it.
_CHUNK = 1 << 16
# A program that writes byte by byte would have the server read, keep and store byte by byte: the work of a server is
# paid by everybody. So many pieces below this size are read as they come; after that a stream is looked at every 10 ms,
# until so much has gathered that it was worth it.
_SMALL, _MOST_SMALL, _PAUSE_S = 4096, 16, 0.01
# A run that answers within this is not listened to: what it printed is read with its answer. Most are that short, and
# to listen and to stop listening costs more than all else that is done about output.
_QUIET_S, _PATIENCE = 0.005, 4


class _Pipe:
    def __init__(self, fd: int, stream: Stream, limit: int) -> None:
        self.fd = fd
        self.stream = stream
        self.limit = limit
        self.kept = bytearray()
        self.taken = 0
        self.truncated = False
        self.open = True
        self.small = 0  # pieces in a row
        self.pause: asyncio.TimerHandle | None = None


class Output:
    """Reads both streams of one run. ``flooded`` is called once when they exceed ``most`` bytes together.

    ``poll`` watches the two descriptors. ``streamed``: what comes on stdout is given to the sink and not kept.
    """

    def __init__(
        self,
        stdout: int,
        stderr: int,
        poll: select.poll,
        limits: Limits,
        sink: OutputSink | None,
        most: int,
        flooded: Callable[[], None],
        loop: asyncio.AbstractEventLoop,
        *,
        streamed: bool = False,
    ) -> None:
        self._fds = stdout, stderr
        self._limits = limits
        self._opened: tuple[_Pipe, ...] = ()  # most runs print nothing
        self._poll = poll
        self._sink = sink
        self._streamed = streamed
        self._left = most
        self._flooded = flooded
        self._loop = loop
        self._null = -1
        self._listening = False
        self._discard_stale()
        self._quiet = loop.call_later(_QUIET_S, self._begin)

    @property
    def _pipes(self) -> tuple[_Pipe, ...]:
        if not self._opened:
            (stdout, stderr), limits = self._fds, self._limits
            self._opened = (
                _Pipe(stdout, Stream.STDOUT, limits.stdout_bytes),
                _Pipe(stderr, Stream.STDERR, limits.stderr_bytes),
            )
        return self._opened

    def _discard_stale(self) -> None:
        """Throw away what a warm worker printed between two calls: it is nobody's."""
        if self._poll.poll(0):
            for pipe in self._pipes:
                self._read(pipe, _waiting(pipe.fd), keep=False)

    def _readable(self, pipe: _Pipe) -> None:
        count = self._read(pipe, _CHUNK)
        pipe.small = pipe.small + 1 if count < _SMALL else 0
        if pipe.open and pipe.small > _MOST_SMALL:
            self._loop.remove_reader(pipe.fd)
            pipe.pause = self._loop.call_later(_PAUSE_S, self._resume, pipe)

    def _resume(self, pipe: _Pipe) -> None:
        pipe.pause = None
        self._loop.add_reader(pipe.fd, self._readable, pipe)

    def _read(self, pipe: _Pipe, most: int, *, keep: bool = True) -> int:
        """Read once, at most ``most`` bytes; return how many, 0 at the end or when there is nothing."""
        if most <= 0:
            return 0
        room = pipe.limit - pipe.taken if keep else 0
        try:
            if room > 0:
                data = os.read(pipe.fd, min(most, _CHUNK))
                count = len(data)
            else:
                # the program's exit code stays its own: keep draining, without a copy
                count, data = os.splice(pipe.fd, self._sinkhole(), most), b""
        except BlockingIOError:
            return 0
        except OSError:
            count, data = 0, b""
        if count == 0:
            self._stop(pipe)
            return 0
        if keep:
            self._keep(pipe, data, count, room)
        return count

    def _keep(self, pipe: _Pipe, data: bytes, count: int, room: int) -> None:
        pipe.truncated = pipe.truncated or count > room
        data = data[:room] if room > 0 else b""
        if data:
            pipe.taken += len(data)
            if not (self._streamed and pipe.stream is Stream.STDOUT):
                pipe.kept += data
            if self._sink is not None:
                self._sink(OutputChunk(pipe.stream, now_ms(), data))
        flooded = self._left >= 0
        self._left -= count
        if flooded and self._left < 0:
            self._flooded()

    def _sinkhole(self) -> int:
        if self._null < 0:
            self._null = os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)
        return self._null

    def _stop(self, pipe: _Pipe) -> None:
        if pipe.open:
            pipe.open = False
            if self._listening:
                self._loop.remove_reader(pipe.fd)
            if pipe.pause is not None:
                pipe.pause.cancel()

    def _begin(self) -> None:
        """Listen if there is anything to hear yet, else a moment later: on a busy machine short runs last so long."""
        if self._poll.poll(0):
            self.listen()
        else:
            self._quiet = self._loop.call_later(_QUIET_S * _PATIENCE, self.listen)

    def listen(self) -> None:
        """Read what is printed as it comes, from now on. Without it, that begins after a moment."""
        self._quiet.cancel()
        if not self._listening:
            self._listening = True
            for pipe in self._pipes:
                if pipe.open:
                    self._loop.add_reader(pipe.fd, self._readable, pipe)

    @property
    def ended(self) -> bool:
        """Whether both streams have ended: nobody holds their other ends any more."""
        return not any(pipe.open for pipe in self._pipes)

    def drain(self) -> None:
        """Read what is in the pipes at this moment, without waiting and without reading on what still comes."""
        if not self._poll.poll(0):
            return
        for pipe in self._pipes:
            left = _waiting(pipe.fd) if pipe.open else 0
            while left > 0 and (count := self._read(pipe, left)):
                left -= count

    def close(self) -> None:
        """Stop reading; the descriptors stay open."""
        self._quiet.cancel()
        for pipe in self._opened:
            self._stop(pipe)
        if self._null >= 0:
            os.close(self._null)
            self._null = -1

    def texts(self) -> tuple[bytes, bool, bytes, bool]:
        """Return what was kept of standard output, whether there was more, and the same of standard error."""
        if not self._opened:
            return b"", False, b"", False
        stdout, stderr = self._opened
        return bytes(stdout.kept), stdout.truncated, bytes(stderr.kept), stderr.truncated


def _waiting(fd: int) -> int:
    with contextlib.suppress(OSError):
        return int(struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, b"\0\0\0\0"))[0])
    return 0
