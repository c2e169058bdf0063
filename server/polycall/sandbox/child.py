"""The server's handle on one sandboxed process."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import time
from collections.abc import Callable, Iterable

from polycall.quick import dataclass
from polycall.sandbox.disk import Disk
from polycall.sandbox.doorway import take_doorway
from polycall.sandbox.egress.streams import readable
from polycall.sandbox.frames import FrameError, FrameParser, Reply
from polycall.sandbox.platforms import Traits
from polycall.sandbox.slots import Slot

__all__ = ["Child", "Exit", "in_one_line"]

# clock_getcpuclockid(3): the CPU-time clock of another process; CPUCLOCK_SCHED of <linux/posix-timers.h>
_CPU_CLOCK = 2
_LAST_WORDS = 4096
_WEIGH_S = 1.0
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended, from wait4(2)."""

    status: int
    cpu_us: int
    peak_bytes: int


class Child(asyncio.Protocol):
    """One process: its connection, its output pipes, its end.

    ``ready`` is done once the process has locked itself in. ``exited`` is done once it was reaped; with None if its
    zygote died, and nobody can know how it ended. ``free`` is set while nobody reads from it. ``usable`` holds while it
    lives and nothing odd has come from it. ``traits`` are those of its platform, ``disk`` is what its file system may
    hold. ``listener`` is the socket of an egress child's proxy, which it sends first.
    """

    def __init__(
        self,
        number: int,
        slot: Slot,
        traits: Traits,
        disk: Disk,
        job: socket.socket,
        stdout: int,
        stderr: int,
        *,
        egress: bool = False,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.number = number
        self.slot = slot
        self.traits = traits
        self.disk = disk
        self.stdout = stdout
        self.stderr = stderr
        self.printed = select.poll()  # tells of both at once
        for pipe in (stdout, stderr):
            self.printed.register(pipe, select.POLLIN)
        self.pid: int | None = None  # as the server sees it
        self.has_guests = False  # in its zygote, which may then name anybody's pid for it
        self.resting_bytes: int | None = None  # what it had in memory before its first run, where that is watched
        self.calls = 0
        self.born = time.monotonic()
        self.weight = 0  # bytes of its own, when it was weighed last
        self.growth = 0  # how much more that is than after its first call
        self._first_weight: int | None = None
        self._weighed = 0.0
        self.ready: asyncio.Future[Reply] = loop.create_future()
        self.exited: asyncio.Future[Exit | None] = loop.create_future()
        self.free = asyncio.Event()
        self.free.set()
        self.usable = True
        self.end: Callable[[], None] = _nothing  # asks the zygote for its death
        self.vacate: Callable[[], None] = _nothing  # gives back what only its zygote may have again
        self.deny_end: Callable[[], None] = _nothing  # says that it lives although its zygote said that it has ended
        self._listener: Callable[[Reply | FrameError | None], None] | None = None
        self._parser = FrameParser()
        self._socket = job
        self._link = traits.link(job)
        self._egress = egress
        self.listener: socket.socket | None = None

    async def connect(self) -> None:
        """Begin to listen to it. Raises OSError if it is gone already, or does not send its listener."""
        if self._egress:
            # before the link, which would take the message and drop the socket
            while self.listener is None:
                await readable(self._socket)
                self.listener = take_doorway(self._socket)
        await self._link.connect(self)

    # asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        """Take bytes of a frame."""
        try:
            reply = self._parser.feed(data)
            while reply is not None and reply.kind == "ask" and self._listener is not None:
                self._listener(reply)  # and goes on to listen: the answer to the call is still to come
                reply = self._parser.feed(b"")
        except FrameError as error:
            self._tell(error)
            self._silence()
            return
        if reply is not None:
            if self.ready.done():
                self._tell(reply)
            else:
                self.ready.set_result(reply)
        # one frame a call; what else comes nobody asked for
        if self._listener is None and self._parser.pending:
            self._silence()

    def connection_lost(self, exc: Exception | None) -> None:
        """Learn that the process ended, or closed its end."""
        self.usable = False
        self._fail_ready()
        self._tell(None)

    def _tell(self, event: Reply | FrameError | None) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener(event)
        else:
            self._silence()

    def _silence(self) -> None:
        """Listen to it no longer: what a process sends that nobody reads would fill the server's memory."""
        self.usable = False
        self._link.close()
        if not self.exited.done():
            self.end()

    def _fail_ready(self) -> None:
        if not self.ready.done():
            self.ready.set_exception(ConnectionError("the process ended before it was ready"))
            self.ready.exception()  # whoever waited for it may be gone

    # for its owner

    def send(
        self,
        buffers: Iterable[bytes],
        most_result: int,
        listener: Callable[[Reply | FrameError | None], None],
        most_ask: int = 0,
    ) -> None:
        """Send frames. ``listener`` gets the answer, the FrameError it deserves, or None when the connection ends.

        Before the answer it gets whatever the code asks of the server. The payload of the answer may have at most
        ``most_result`` bytes, that of each ask ``most_ask``.
        """
        self._parser.most_result = most_result
        self._parser.most_ask = most_ask
        self._listener = listener
        self._link.write(buffers)

    def write(self, buffers: Iterable[bytes]) -> None:
        """Send more to the call that it is busy with; to one that has ended meanwhile nothing is sent."""
        if self.usable:
            self._link.write(buffers)

    def kill(self) -> None:
        """Have the process killed, and all that came of it. ``exited`` tells when that is done."""
        self.usable = False
        self._listener = None
        if not self.exited.done():
            self.end()

    def cpu_us(self) -> int | None:
        """Return the CPU time used so far, from the kernel; None if that is not known.

        Of the whole tree where its cgroup counts it, otherwise of the threads of this process.
        """
        group = self.slot.group
        try:
            if group is not None and (used := group.cpu_us()) is not None:
                return used
        except OSError:
            pass
        if self.pid is None:
            return None
        try:
            return time.clock_gettime_ns((~self.pid << 3) | _CPU_CLOCK) // 1000
        except OSError:
            return None

    def sure_pid(self) -> int:
        """Return the pid for what changes the process. Raises OSError if it has ended, or may be another's."""
        pid, group = self.pid, self.slot.group
        if pid is None or (self.has_guests and (group is None or not group.holds(pid))):
            raise ProcessLookupError("the process has ended")
        return pid

    def weigh(self, now: float) -> None:
        """Look how much memory it holds, by itself: once a second at most, whatever the number of calls."""
        if now < self._weighed + _WEIGH_S:
            return
        self._weighed = now
        try:
            self.weight = self.slot.group.usage if self.slot.group is not None else self._anonymous()
        except (OSError, ValueError):
            return  # it is about to be gone
        self._first_weight = self._first_weight or self.weight
        self.growth = self.weight - self._first_weight

    def _anonymous(self) -> int:
        """Return what it holds that is no file: with the pages that it still shares with its zygote."""
        with open(f"/proc/{self.pid}/statm", "rb") as stream:
            pages = stream.read().split()  # proc(5): size resident shared text lib data dt
        return (int(pages[1]) - int(pages[2])) * _PAGE

    def last_words(self) -> str:
        """Return what a child that did not get ready wrote of it, in one line: it goes into the server's log."""
        try:
            return in_one_line(os.read(self.stderr, _LAST_WORDS))
        except OSError:
            return ""

    def on_exit(self, exit: Exit | None) -> None:
        """Take the news that the process is gone (from its spawner)."""
        self.usable = False
        self.pid = None  # may be another's from now on
        if not self.exited.done():
            self.exited.set_result(exit)
        self._fail_ready()

    def close(self) -> None:
        """Close the server's ends. Call once, when the process is gone and the child is free."""
        self._link.close()
        if self.listener is not None:
            self.listener.close()
        os.close(self.stdout)
        os.close(self.stderr)


def in_one_line(text: bytes) -> str:
    """Return what a process wrote without anything that could pass for a line of ours, or steer a terminal."""
    words = " ".join(text.decode(errors="replace").split())
    return "".join(character if character.isprintable() else "?" for character in words)


def _nothing() -> None:
    pass
