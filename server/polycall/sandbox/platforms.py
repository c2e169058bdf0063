"""What the server has to know of the processes of each platform."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Mapping
from dataclasses import replace

from polycall.domain import Limits
from polycall.quick import dataclass
from polycall.sandbox.image import Platform
from polycall.sandbox.links import Link, PipeLink, SocketLink

__all__ = ["TRAITS", "Traits"]

_MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What differs between platforms.

    ``link`` makes the connection of a process from the server's end of its job socket. ``memory_bytes``, ``threads``
    and ``files`` are the interpreter's own: a run may have its limits beside them. ``bounds_itself``: the process sets
    its own resource limits when it loads a program, before anything of that program runs; others are bound from
    outside. ``gives_up``: the signals by which the interpreter ends itself when it cannot have the memory it needs.
    """

    link: Callable[[socket.socket], Link]
    memory_bytes: int = 0
    threads: int = 0
    files: int = 0
    bounds_itself: bool = True
    gives_up: tuple[int, ...] = ()

    def with_its_own(self, limits: Limits) -> Limits:
        """Return what the processes of a run may have together."""
        if self.memory_bytes == 0 and self.threads == 0:
            return limits
        memory, processes = limits.memory_bytes + self.memory_bytes, limits.processes + self.threads
        return replace(limits, memory_bytes=memory, processes=processes)


TRAITS: Mapping[Platform, Traits] = {
    Platform.PYTHON: Traits(link=SocketLink),
    # A Deno process that waits has 15 MiB that nobody shares, up to 8 threads and 13 open files; its pool of threads
    # for files grows by as many as are needed at once. V8 ends with a trap, Rust aborts, and what aborts as process 1
    # of its namespace ends with a fault.
    Platform.DENO: Traits(
        link=PipeLink,
        memory_bytes=16 * _MIB,
        threads=32,
        files=16,
        bounds_itself=False,
        gives_up=(signal.SIGTRAP, signal.SIGABRT, signal.SIGSEGV),
    ),
}
