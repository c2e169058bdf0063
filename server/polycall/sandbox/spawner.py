"""The server's handle on one zygote process: starts it, asks it for children, hears how they ended."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import functools
import itertools
import json
import logging
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from polycall.quick import dataclass
from polycall.sandbox.child import Child, Exit, in_one_line
from polycall.sandbox.deno import Deno
from polycall.sandbox.disk import Disk
from polycall.sandbox.image import Platform
from polycall.sandbox.platforms import TRAITS
from polycall.sandbox.rooms import Tenancy
from polycall.sandbox.slots import Slot

__all__ = ["Spawner", "SpawnerError", "interpreter"]

_log = logging.getLogger(__name__)

_PACKET = 1 << 16
_ANCILLARY = socket.CMSG_SPACE(struct.calcsize("3i"))
# Exec, preload and the first namespaces take some 0.2 s; a machine under full load several times that.
_START_S = 15.0
# From the control socket's end to the last process's: the kernel empties a pid namespace within some 0.1 s.
_END_S = 5.0
_POLL_S = 0.02
_PIPE_MODE = 0o622
# A call with an argument of a MiB leaves in one write, not in six that each wait for the process to read; the kernel
# gives as much of it as its operator allows (net.core.wmem_max).
_SEND_BYTES = 1 << 20
# How often it is looked whether children that are to end have ended, and after how many looks their zygote is taken
# for one that stands still, or was taken over; the kernel needs some 0.1 s. By looks and not by a clock, which goes on
# while the server itself stands still. Guests get least, and who has not even made the child no more than it had for
# that; else it may be the machine that is slow, and with the zygote all its runs end.
_LOOK_S = 1.0
_GUESTS_LOOKS, _UNMADE_LOOKS, _OWN_LOOKS = 5, 10, 30
# Then others have their turn.
_AT_ONCE = 64


class _Nonsense(Exception):
    """Raised for what no zygote of ours says."""


class SpawnerError(Exception):
    """Raised when a zygote does not start, or is gone."""


def interpreter() -> str:
    """Return the real binary behind ``sys.executable``: not a virtual environment's link, not a version manager's."""
    base: str = getattr(sys, "_base_executable", None) or sys.executable
    return os.path.realpath(base)


@dataclass(frozen=True, slots=True, kw_only=True)
class ZygoteConfig:
    """What a zygote is told at its start."""

    confinement: Mapping[str, object]
    entry: str  # "none", "own" or "range"; see ``zygote``
    uids: range
    slots: range
    preload: Sequence[str]
    guests: Sequence[str] = ()  # modules that others wrote, imported after it has locked itself; see ``lodging``
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)  # of its children, beside what all have
    platform: Platform = Platform.PYTHON
    path: str = ""  # of the image's environment, on the host
    trusted: Sequence[str] = ()  # files of certificates for runs with a way out
    certificate: str = ""  # and one more
    deno: Deno | None = None  # DENO: what its children become

    def packet(self) -> bytes:
        """Return the first message to a zygote."""
        return json.dumps(
            {
                "confinement": self.confinement,
                "slots": [self.slots.start, self.slots.stop],
                "preload": list(self.preload),
                "guests": list(self.guests),
                "environment": dict(self.environment),
                "platform": self.platform,
                "path": self.path,
                "trusted": list(self.trusted),
                "certificate": self.certificate,
                "deno": dataclasses.asdict(self.deno) if self.deno is not None else None,
            }
        ).encode()


class _Message(msgspec.Struct, forbid_unknown_fields=True):
    """What a zygote says. One with guests may say anything."""

    op: Literal["ready", "spawned", "exited"]
    id: int = 0
    pid: int | None = None
    status: int = 0
    cpu_us: Annotated[int, msgspec.Meta(ge=0)] = 0
    peak_kib: Annotated[int, msgspec.Meta(ge=0, le=1 << 50)] = 0


_decode = msgspec.json.Decoder(_Message).decode


class Spawner:
    """One zygote. ``died`` is called once if it ends unasked.

    ``distrust`` is told why if it does not get ready, or does what ours does not.

    ``tenancy`` has the cgroups of a zygote with guests and of its children, nobody else's until ``stop`` is over. What
    it says that cannot be ends it, and so does a child that it does not end.
    """

    _numbers = itertools.count(1)

    def __init__(
        self,
        executable: str,
        config: ZygoteConfig,
        died: Callable[[Spawner], None],
        distrust: Callable[[str], None],
        tenancy: Tenancy | None = None,
    ) -> None:
        self._executable = executable
        self._config = config
        self._died = died
        self._distrust = distrust
        self._tenancy = tenancy
        self._children: dict[int, Child] = {}
        self._ending: dict[int, int] = {}  # children that it was told to end, and for how many looks more they may take
        self._watch: asyncio.TimerHandle | None = None
        self._outbox: collections.deque[tuple[bytes, list[int]]] = collections.deque()
        self._closing = False
        self.alive = False  # whether it can fork
        self._born = 0.0
        self.forks = 0

    def _end(self) -> None:
        if self._tenancy is not None:
            self._tenancy.over = True

    @property
    def children(self) -> int:
        """How many of its children have not been reaped."""
        return len(self._children)

    def owns(self, child: Child) -> bool:
        """Whether a child is one of its own, not reaped yet."""
        return child.number in self._children

    @property
    def pid(self) -> int:
        """The process that was started; the one that forks is its child where there are namespaces."""
        return self._process.pid

    @property
    def age_s(self) -> float:
        """Seconds since it started."""
        return self._loop.time() - self._born

    async def start(self) -> None:
        """Start the process and wait until it can fork. Raises SpawnerError.

        Call on the event loop's own thread: the zygote dies with the thread that started it (PR_SET_PDEATHSIG).
        """
        self._loop = asyncio.get_running_loop()
        self._started: asyncio.Future[None] = self._loop.create_future()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                self._process = self._execute(theirs.fileno())
            except BaseException:
                self._control.close()
                self._end()
                raise
        self._control.setblocking(False)
        self._control.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._loop.add_reader(self._control, self._hear)
        self._send(self._config.packet(), self._tenancy.lodging.open_procs() if self._tenancy is not None else [])
        try:
            async with asyncio.timeout(_START_S):
                await asyncio.shield(self._started)
        except BaseException as error:
            if isinstance(error, SpawnerError | TimeoutError):
                self._distrust("its zygote did not get ready")
            await self.stop()
            if isinstance(error, TimeoutError):
                raise SpawnerError(f"the zygote did not start within {_START_S:g} s") from None
            raise
        self._born = self._loop.time()

    def _execute(self, control: int) -> subprocess.Popen[bytes]:
        script = str(Path(__file__).with_name("zygote.py"))
        entry, uids = self._config.entry, self._config.uids
        return subprocess.Popen(
            [self._executable, "-I", "-S", "-X", "utf8", script, str(control), entry, str(uids.start), str(len(uids))],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd="/",
            # one arena: each further one would count 64 MiB of address space against a run
            env={"MALLOC_ARENA_MAX": "1"},
            pass_fds=[control],
            start_new_session=True,  # Ctrl-C in a terminal is for the server, which drains first
        )

    def spawn(self, slot: Slot, disk: Disk, *, egress: bool = False) -> Child:
        """Ask for a child; it is neither connected nor ready yet. ``egress``: it is to reach the server's proxy.

        Raises SpawnerError, OSError: nothing was asked then.
        """
        if not self.alive:
            raise SpawnerError("the zygote is gone")
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            vacate = None
            if self._tenancy is not None:
                group = self._tenancy.take()
                vacate = functools.partial(self._tenancy.give_back, group)
                ours.callback(vacate)
                slot = dataclasses.replace(slot, group=group)
            near, far = socket.socketpair()
            ours.callback(near.close)
            theirs.callback(far.close)
            near.setblocking(False)
            near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BYTES)
            reads, fds = [], [far.fileno()]
            for _ in range(2):
                read, write = os.pipe2(os.O_CLOEXEC)
                ours.callback(os.close, read)
                theirs.callback(os.close, write)
                os.set_blocking(read, False)
                # a pipe belongs to who made it; this lets the child open /dev/stdout
                os.fchmod(write, _PIPE_MODE)
                reads.append(read)
                fds.append(write)
            if slot.group is not None:
                for fd in slot.group.open_procs():
                    theirs.callback(os.close, fd)
                    fds.append(fd)
            traits = TRAITS[self._config.platform]
            child = Child(next(self._numbers), slot, traits, disk, near, *reads, egress=egress)
            asked = [disk.bytes, disk.files]
            message = {"op": "spawn", "id": child.number, "uid": slot.uid, "disk": asked, "egress": egress}
            # duplicates: a full socket may keep the message waiting
            self._send(json.dumps(message).encode(), [os.dup(fd) for fd in fds])
            ours.pop_all()
        child.end = functools.partial(self._kill, child.number)
        child.deny_end = self._deny_end
        child.has_guests = bool(self._config.guests)
        child.vacate = vacate or child.vacate
        self._children[child.number] = child
        self.forks += 1
        return child

    def _kill(self, number: int) -> None:
        child = self._children.get(number)
        if child is None:
            return
        self._send(json.dumps({"op": "kill", "id": number}).encode(), [])
        own = _UNMADE_LOOKS if child.pid is None else _OWN_LOOKS
        self._ending.setdefault(number, _GUESTS_LOOKS if self._config.guests else own)
        if self._watch is None:
            self._watch = self._loop.call_later(_LOOK_S, self._look)

    def _look(self) -> None:
        self._watch = None
        if self._closing:
            return
        self._ending = {number: left - 1 for number, left in self._ending.items() if number in self._children}
        if any(left < 0 for left in self._ending.values()):
            self._fault("it does not end what it is told to")
        elif self._ending:
            self._watch = self._loop.call_later(_LOOK_S, self._look)

    def _deny_end(self) -> None:
        if not self._closing:
            self._fault("it says that a child has ended which has not")

    def _fault(self, what: str) -> None:
        """End a zygote that does what ours does not: its guests have taken it over, or it has lost its mind."""
        self._distrust("its zygote was taken over")
        _log.warning("zygote %d is ended: %s", self._process.pid, what)
        self._process.kill()
        self._ended()

    def _send(self, packet: bytes, fds: list[int]) -> None:
        if self._control.fileno() < 0:
            for fd in fds:
                os.close(fd)
            return
        self._outbox.append((packet, fds))
        if len(self._outbox) == 1:
            self._flush()

    def _flush(self) -> None:
        while self._outbox:
            packet, fds = self._outbox[0]
            try:
                socket.send_fds(self._control, [packet], fds)
            except BlockingIOError:
                self._loop.add_writer(self._control, self._flush)
                return
            except OSError:
                pass  # gone: the end of the control socket tells
            self._outbox.popleft()
            for fd in fds:
                os.close(fd)
        self._loop.remove_writer(self._control)

    def _hear(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                packet, ancillary, _, _ = self._control.recvmsg(_PACKET, _ANCILLARY)
            except BlockingIOError:
                return
            except OSError:
                packet = b""
            if not packet:
                self._ended()
                return
            try:
                self._obey(_decode(packet), ancillary)
            except (msgspec.DecodeError, UnicodeDecodeError, _Nonsense):
                self._fault("what it says makes no sense")
                return

    def _obey(self, message: _Message, ancillary: list[tuple[int, int, bytes]]) -> None:
        if message.op == "ready":
            if self._started.done():
                raise _Nonsense
            self._started.set_result(None)
            self.alive = not self._closing
        elif message.op == "spawned":
            child = self._children.get(message.id)
            if child is None or child.pid is not None:
                raise _Nonsense
            # a number that somebody else gave would be anybody's
            child.pid = _pid_in(ancillary) if self._config.entry != "none" else message.pid
        else:
            child = self._children.pop(message.id, None)
            if child is None:
                raise _Nonsense
            child.on_exit(Exit(message.status, message.cpu_us, message.peak_kib * 1024))

    def _ended(self) -> None:
        """Take the end of the control socket: the zygote has ended, or is about to."""
        self._loop.remove_reader(self._control)
        self._loop.remove_writer(self._control)
        if not self._started.done():
            self._started.set_exception(SpawnerError(self._last_words()))
            return
        if self._closing:
            return
        self._closing, self.alive = True, False
        _log.warning("zygote %d died: %s", self._process.pid, self._last_words())
        self._died(self)

    def _last_words(self) -> str:
        assert self._process.stderr is not None  # noqa: S101
        os.set_blocking(self._process.stderr.fileno(), False)
        text = (self._process.stderr.read() or b"").strip()
        return in_one_line(text.rpartition(b"\n")[2]) or "it left no message"

    async def stop(self) -> None:
        """End the zygote and everything in its namespaces; return when they are gone. May be called again."""
        self._closing, self.alive = True, False
        if self._control.fileno() >= 0:
            self._loop.remove_reader(self._control)
            self._loop.remove_writer(self._control)
            self._control.close()
        deadline = self._loop.time() + _END_S
        while self._process.poll() is None:
            if self._loop.time() > deadline:
                _log.warning("a zygote (pid %d) did not end by itself and was killed", self._process.pid)
                self._process.kill()
                deadline += _END_S
            await asyncio.sleep(_POLL_S)
        if self._process.stderr is not None:
            self._process.stderr.close()
        for _, fds in self._outbox:
            for fd in fds:
                os.close(fd)
        self._outbox.clear()
        self._end()
        self.lose_children()

    def lose_children(self) -> None:
        """Tell the children of a zygote that has ended that nobody will know how they ended."""
        children, self._children = self._children, {}
        for child in children.values():
            child.on_exit(None)


def _pid_in(ancillary: list[tuple[int, int, bytes]]) -> int | None:
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
            pid: int = struct.unpack_from("3i", data)[0]
            return pid or None
    return None
