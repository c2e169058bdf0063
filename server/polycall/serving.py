"""What whoever serves has in common, one process or several: what is told of it, and what the operator asks for."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import signal
from collections.abc import Coroutine, Iterator
from dataclasses import field
from pathlib import Path
from typing import Any, TypeVar

from polycall.domain import IsolationLevel
from polycall.engine.tasks import end
from polycall.quick import dataclass
from polycall.sandbox.installed import Interpreter

__all__ = ["Ready", "ServeError", "Signals", "listening", "unless"]

T = TypeVar("T")


class ServeError(Exception):
    """Raised when the server cannot start; says what, why, and what to do."""

    @classmethod
    def of(cls, error: Exception, data_dir: Path) -> ServeError:
        """Return what is said of an error of the start: in words where the system has only a number."""
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return cls(f"The disk of {data_dir} is full. Make room there, or set POLYCALL_DATA_DIR to another disk.")
        return cls(str(error))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """What is told once calls are served."""

    rest_address: str  # "" without the gateway
    grpc_address: str
    isolation: IsolationLevel
    interpreters: tuple[Interpreter, ...]
    key: str  # the bootstrap key
    key_file: Path | None  # where it is kept, if the server made it
    seconds: float  # from the start of `serve`
    processes: int = 1


@dataclass(frozen=True, slots=True)
class Signals:
    """What the operator asked for: first to stop, then to stop now."""

    stop: asyncio.Event = field(default_factory=asyncio.Event)
    now: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self) -> None:
        """Take a signal: the first to stop, the second to stop now."""
        (self.now if self.stop.is_set() else self.stop).set()

    def hurry(self) -> None:
        """Take the signal to stop now."""
        self.stop.set()
        self.now.set()


@contextlib.contextmanager
def listening(*, supervised: bool = False) -> Iterator[Signals]:
    """Listen to SIGTERM, SIGINT and SIGHUP for the length of a block.

    SIGHUP, the end of the terminal, is to stop, however often it comes: from the system and from the shell. Who was
    started with it ignored (nohup) goes on ignoring it.
    ``supervised``: SIGTERM is to stop, however often it comes; a service manager sends it to all processes, and the
    supervisor sends it too. SIGINT, which only the supervisor sends, is to stop now. After the block neither does
    anything: what is left to say of the end must be said.
    """
    signals = Signals()
    loop = asyncio.get_running_loop()
    meanings = {
        signal.SIGTERM: signals.stop.set if supervised else signals.take,
        signal.SIGINT: signals.hurry if supervised else signals.take,
    }
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        meanings[signal.SIGHUP] = signals.stop.set
    for number, meaning in meanings.items():
        loop.add_signal_handler(number, meaning)
    try:
        yield signals
    finally:
        for number in meanings:
            loop.remove_signal_handler(number)
            if supervised:
                signal.signal(number, signal.SIG_IGN)


async def unless(event: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """Return what ``work`` returns; if the event comes first, cancel it, wait for its end, return None."""
    doing = asyncio.create_task(work)
    waiting = asyncio.create_task(event.wait())
    try:
        await asyncio.wait((doing, waiting), return_when=asyncio.FIRST_COMPLETED)
        return doing.result() if doing.done() else None
    finally:
        await end(waiting)
        await end(doing)
