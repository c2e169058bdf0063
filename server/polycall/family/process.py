"""A server process as its supervisor sees it: started by exec, told what it is, watched, ended."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys

import msgspec

from polycall.config import PREFIX, Settings
from polycall.domain import IsolationLevel
from polycall.member import Member, encode_member
from polycall.quick import dataclass
from polycall.sandbox.installed import Interpreter

__all__ = ["Process", "ProcessFailed", "Said", "encode_said"]

_START_S = 60.0  # measured: 0.8 s; a machine under full load takes many times that
_LAST_WORD_S = 10.0  # it is in the pipe when the process has ended; this is for a loop that is late
_LONGEST_LINE = 64 << 10


class ProcessFailed(Exception):
    """Raised when a process does not come to serve; says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a process says: that it serves, or why it does not; at its end, what was wrong with it, if anything was."""

    grpc_address: str
    isolation: IsolationLevel = IsolationLevel.PROCESS
    interpreters: tuple[Interpreter, ...] = ()
    error: str = ""


_decode = msgspec.json.Decoder(Said).decode


def encode_said(said: Said) -> bytes:
    """Return it as a line."""
    return msgspec.json.encode(said) + b"\n"


class Process:
    """One server process. It is killed when the thread that made it ends: make it in the main thread."""

    def __init__(self, member: Member, settings: Settings) -> None:
        self.member = member
        environment = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        self._loop = asyncio.get_running_loop()
        # -P: no module of the working directory. A session of its own keeps Ctrl-C on the terminal away from it.
        self._popen = subprocess.Popen(
            [sys.executable, "-P", "-m", "polycall.family", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
        self._exited = asyncio.Event()
        self._asked = False  # to end
        self._words: asyncio.StreamReader | None = None
        self._pipe: asyncio.ReadTransport | None = None
        self._pidfd = os.pidfd_open(self._popen.pid)
        self._loop.add_reader(self._pidfd, self._reap)
        assert self._popen.stdin is not None  # noqa: S101
        try:
            with self._popen.stdin as stream:  # a pipe takes it at once: it is smaller than the pipe
                stream.write(encode_member(member, settings))
        except BrokenPipeError:
            pass  # its end tells

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._popen.pid

    @property
    def alive(self) -> bool:
        """Whether it has not been reaped."""
        return not self._exited.is_set()

    async def ready(self) -> Said:
        """Wait until it serves. Raises ProcessFailed."""
        try:
            async with asyncio.timeout(_START_S):
                line = await self._line()
                if not line:
                    raise ProcessFailed(_in_words(await self.wait()))
        except TimeoutError:
            raise ProcessFailed(f"It does not serve after {_START_S:.0f} s.") from None
        said = _decode(line)
        if said.error:
            raise ProcessFailed(said.error)
        return said

    async def wait(self) -> int:
        """Wait for its end; return its status, negative for a signal."""
        await self._exited.wait()
        return self._popen.returncode

    async def fault(self) -> str:
        """Wait for its end; return what was wrong with that, "" if nothing was. Call it once, last."""
        status = await self.wait()
        try:
            return await self._fault(status)
        finally:
            if self._pipe is not None:
                self._pipe.close()

    async def _fault(self, status: int) -> str:
        if status == 0 or (status == -signal.SIGTERM and self._asked):
            return ""  # before it listens to signals it has nothing that could be lost
        try:
            async with asyncio.timeout(_LAST_WORD_S):
                line = await self._line()
            return _decode(line).error if line else _in_words(status)
        except (TimeoutError, msgspec.DecodeError):
            return _in_words(status)

    def terminate(self) -> None:
        """Ask it to drain and end."""
        self._asked = True
        self._signal(signal.SIGTERM)

    def hurry(self) -> None:
        """Ask it not to wait for what runs."""
        self._signal(signal.SIGINT)

    def kill(self) -> None:
        """End it and everything below it."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self.alive:
            signal.pidfd_send_signal(self._pidfd, number)

    async def _line(self) -> bytes:
        if self._words is None:
            assert self._popen.stdout is not None  # noqa: S101
            self._words = reader = asyncio.StreamReader(_LONGEST_LINE)
            self._pipe, _ = await self._loop.connect_read_pipe(
                lambda: asyncio.StreamReaderProtocol(reader), self._popen.stdout
            )
        return await self._words.readline()

    def _reap(self) -> None:
        self._loop.remove_reader(self._pidfd)
        self._popen.wait()
        os.close(self._pidfd)
        self._exited.set()


def _in_words(status: int) -> str:
    if status >= 0:
        return f"It ended with status {status}; see the log."
    try:
        name = signal.Signals(-status).name
    except ValueError:  # a real-time signal
        name = f"signal {-status}"
    return f"It was killed by {name}."
