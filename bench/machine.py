"""The machine under the measurement: how busy it is with other things, and what process trees take of it."""

from __future__ import annotations

import contextlib
import os
import platform
import time
from dataclasses import dataclass

import psutil

__all__ = ["Memory", "cpu_s", "describe", "fixed_loop_ms", "load_average", "memory_of", "serving_cpu_s", "tree_cpu_s"]

# clock_getcpuclockid(3): the CPU clock of another process; CPUCLOCK_SCHED of <linux/posix-timers.h>
_CPU_CLOCK = 2
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Memory:
    """Of a process tree, in MiB. Forked processes share most of their pages: PSS counts each page once."""

    pss: float
    rss: float


def fixed_loop_ms() -> float:
    """Return how long a fixed piece of Python takes, the best of three: more than usual, and others are busy."""
    best = float("inf")
    for _ in range(3):
        since = time.perf_counter()
        total = 0
        for number in range(200_000):
            total += number & 7
        best = min(best, (time.perf_counter() - since) * 1000)
    return best


def load_average() -> float:
    """Return the load average of the last minute."""
    return os.getloadavg()[0]


def cpu_s(pid: int) -> float:
    """Return the CPU time of a process so far, to the nanosecond. Raises OSError if it is gone."""
    return time.clock_gettime_ns((~pid << 3) | _CPU_CLOCK) / 1e9


def serving_cpu_s(pid: int) -> float:
    """Return the CPU time of a server so far: of its process, and of those that it has serve in its place."""
    total = cpu_s(pid)
    for process in psutil.Process(pid).children():
        with contextlib.suppress(psutil.Error, OSError):
            if "polycall.family" in process.cmdline():
                total += cpu_s(process.pid)
    return total


def tree_cpu_s(pid: int) -> float:
    """Return the CPU time of a process and all below it, of those that have ended and were waited for too."""
    total = 0.0
    for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
        with contextlib.suppress(psutil.Error, OSError):
            ended = process.cpu_times()
            total += cpu_s(process.pid) + ended.children_user + ended.children_system
    return total


def memory_of(pid: int, without: str = "envoy") -> Memory:
    """Return the memory of a process and all below it, but for those with ``without`` in their names."""
    pss = rss = 0.0
    for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
        with contextlib.suppress(psutil.Error):
            if without not in process.name():
                full = process.memory_full_info()
                pss, rss = pss + full.pss / _MIB, rss + full.rss / _MIB
    return Memory(pss, rss)


def describe() -> dict[str, object]:
    """Return what to know of this machine when figures of it are read."""
    return {
        "processors": os.cpu_count(),
        "memory_mib": psutil.virtual_memory().total // _MIB,
        "kernel": platform.release(),
        "python": platform.python_version(),
    }
