"""The server's handle on one sandboxed process."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from polycall.sandbox.frames import FrameError, FrameParser, Reply
from polycall.sandbox.slots import Slot

if TYPE_CHECKING:
    from polycall.sandbox.spawner import Spawner

__all__ = ["Child", "Exit"]

# clock_getcpuclockid(3): the CPU-time clock of another process; CPUCLOCK_SCHED of <linux/posix-timers.h>
_CPU_CLOCK = 2

_LAST_WORDS = 4096


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended, from wait4(2)."""

    status: int
    cpu_us: int
    peak_bytes: int


class Child(asyncio.Protocol):
    """One process: its job socket, its output pipes, its end.

    ``listener`` gets the first frame of a call, or the FrameError it deserves, or None when the connection is gone.
    ``ready`` is done once the process has locked itself in; ``exited`` once it was reaped, with None if its zygote died
    and nobody can know how it ended.
    """

    def __init__(self, number: int, spawner: Spawner, slot: Slot, disk: int, stdout: int, stderr: int) -> None:
        loop = asyncio.get_running_loop()
        self.number = number
        self.spawner = spawner
        self.slot = slot
        self.disk = disk
        self.stdout = stdout
        self.stderr = stderr
        self.pid: int | None = None  # as the server sees it
        self.calls = 0
        self.owner: object = None  # the program that it has loaded
        self.ready: asyncio.Future[Reply] = loop.create_future()
        self.exited: asyncio.Future[Exit | None] = loop.create_future()
        self.listener: Callable[[Reply | FrameError | None], None] | None = None
        self.usable = True  # nothing odd has come from it, and it is alive
        self._parser = FrameParser()
        self._transport: asyncio.Transport | None = None

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Take bytes of a frame."""
        try:
            reply = self._parser.feed(data)
        except FrameError as error:
            self._tell(error)
            return
        if reply is None:
            return
        if not self.ready.done():
            self.ready.set_result(reply)
        else:
            self._tell(reply)
        # one frame a call: what is behind it nobody asked for
        if self._parser.pending:
            self.usable = False

    def connection_lost(self, exc: Exception | None) -> None:
        """Learn that the process ended or closed its end."""
        self._tell(None)

    def _tell(self, event: Reply | FrameError | None) -> None:
        listener, self.listener = self.listener, None
        if listener is None or not isinstance(event, Reply):
            self.usable = False
        if listener is not None:
            listener(event)
        elif not self.ready.done():
            self.ready.set_exception(ConnectionError("the process ended before it was ready"))
            self.ready.exception()  # whoever waits for it may be gone

    # for its owner

    def send(self, buffers: Iterable[bytes], most_result: int) -> None:
        """Send frames; the reply may have at most ``most_result`` bytes of payload."""
        self._parser.most_result = most_result
        if self._transport is not None:
            self._transport.writelines(buffers)

    def kill(self) -> None:
        """Kill the process and all that came of it. ``exited`` tells when that is done."""
        self.usable = False
        if not self.exited.done():
            self.spawner.kill(self)

    def cpu_us(self) -> int | None:
        """Return the CPU time used so far by all threads, from the kernel."""
        if self.pid is None:
            return None
        try:
            return time.clock_gettime_ns((~self.pid << 3) | _CPU_CLOCK) // 1000
        except OSError:
            return None

    def last_words(self) -> str:
        """Return what a child that did not get ready wrote of it."""
        try:
            return os.read(self.stderr, _LAST_WORDS).decode(errors="replace").strip()
        except OSError:
            return ""

    def on_exit(self, exit: Exit | None) -> None:
        """Take the news that the process is gone (from its spawner)."""
        self.usable = False
        if not self.exited.done():
            self.exited.set_result(exit)
        if not self.ready.done():
            self.ready.set_exception(ConnectionError("the process ended before it was ready"))
            self.ready.exception()

    def close(self) -> None:
        """Close the server's ends. Call once, after the process is gone and nobody reads its output."""
        if self._transport is not None:
            self._transport.abort()
        os.close(self.stdout)
        os.close(self.stderr)
