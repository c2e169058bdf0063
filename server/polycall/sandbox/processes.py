"""What processes take, read from outside: for those whose memory and number no cgroup bounds.

Everything here is one short read of /proc a process; none waits for locks that a program can hold, but for
``shared_out``.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable

from polycall.quick import dataclass

__all__ = ["Taken", "cpu_us", "shared_out", "taken", "tree"]

_TICK_US = 1_000_000 // os.sysconf("SC_CLK_TCK")
# proc(5), status: what a program has to itself, on no file system. Sizes are in kB.
_MEMORY = (b"RssAnon", b"RssShmem", b"VmSwap")
# smaps_rollup: the same, but a page of several processes counts in parts
_SHARES = (b"Pss_Anon", b"Pss_Shmem", b"SwapPss")


@dataclass(frozen=True, slots=True)
class Taken:
    """What one process has now: memory in bytes, files and libraries apart, and threads."""

    memory_bytes: int
    threads: int


def taken(pid: int) -> Taken | None:
    """Return what a process has; None if it is gone."""
    text = _read(f"/proc/{pid}/status")
    if not text:
        return None
    memory = sum(_number(text, name) for name in _MEMORY) * 1024
    return Taken(memory, _number(text, b"Threads"))


def tree(pid: int, most: int) -> list[int]:
    """Return a process and what descends from it, ``most`` at most. Orphans that others adopted are not seen."""
    found = [pid]
    for parent in found:
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{parent}/task"):
                found += map(int, _read(f"/proc/{parent}/task/{thread}/children").split())
                if len(found) >= most:
                    return found[:most]
    return found


def cpu_us(pid: int) -> int:
    """Return the CPU time of a process and of its children that it has waited for, in microseconds."""
    # the name, in parentheses, may hold anything; behind it utime, stime, cutime and cstime are the 12th to 15th
    words = _read(f"/proc/{pid}/stat").rpartition(b") ")[2].split()
    return sum(map(int, words[11:15])) * _TICK_US


def shared_out(pids: Iterable[int]) -> int:
    """Return the memory of processes together, bytes, every page counted once. Slow, and may wait for them."""
    rollups = (_read(f"/proc/{pid}/smaps_rollup") for pid in pids)
    return sum(_number(text, name) for text in rollups for name in _SHARES) * 1024


def _number(text: bytes, name: bytes) -> int:
    """Return the number of a line ``name:  4711 kB``, which is never the first; 0 if there is none."""
    _, found, rest = text.partition(b"\n" + name + b":")
    return int(rest[: rest.index(b"\n")].split()[0]) if found else 0


def _read(path: str) -> bytes:
    """Read a file of /proc; what has gone is empty."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(fd, 1 << 16)
    except OSError:
        return b""
    finally:
        os.close(fd)
