"""Watches a run from outside where no limit of the kernel holds it.

CPU time is watched at every level: the kernel only knows whole seconds of single processes. It costs nothing while a
run cannot have used it up: the first look is when it could. Without a cgroup memory is looked at, and what else nobody
counts; each look is some microseconds of the event loop's.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
import os
import resource
from collections.abc import Callable

from polycall.domain import Limits
from polycall.quick import dataclass
from polycall.sandbox import processes
from polycall.sandbox.cgroup import HEADROOM
from polycall.sandbox.child import Child
from polycall.sandbox.disk import Disk
from polycall.sandbox.trees import measure
from polycall.sandbox.verdict import Stop

__all__ = ["Gaps", "Guard", "bound_cpu", "is_needed", "may_be_out_of_cpu"]

# How often memory and processes are looked at. A program that takes pages as fast as the kernel gives them gets some
# 100 MiB in that time.
_LOOK_S = 0.05
# CPU time is looked at when it may be used up, all processors busy; near the limit that is at once.
_SHORTEST_S = 0.01
# A directory is walked in a thread: no more often than this, and for no more than one part of so many of its time.
_WALK_S, _WALK_SHARE = 0.25, 20
# Where processes are not counted by the kernel: more than this of one run are not even looked at.
_MOST_PROCESSES = 4096
_PROCESSORS = len(os.sched_getaffinity(0))
# The server stops a run first, and says why; this is for the case that it cannot.
_KERNEL_SLACK_S = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Gaps:
    """What the kernel does not bound for the runs of a sandbox, and the guard has to."""

    memory: bool = False  # of the whole tree
    processes: bool = False  # and threads
    forks: bool = False  # a run may have several processes, whose CPU time no cgroup counts
    work_root: str = ""  # where runs have their directories if these are no file systems of their own


def bound_cpu(child: Child, limits: Limits) -> None:
    """Have the kernel end a process that used more CPU time than its run may; for processes of one run only."""
    if limits.cpu_ms == 0:
        return
    seconds = math.ceil(limits.cpu_ms / 1000) + _KERNEL_SLACK_S
    with contextlib.suppress(OSError, ValueError):  # gone, or its own limit is lower
        resource.prlimit(child.sure_pid(), resource.RLIMIT_CPU, (seconds, seconds))


def may_be_out_of_cpu(used_us: int, limits: Limits) -> bool:
    """Whether it may be for ``bound_cpu`` that a process that used so much was killed.

    The kernel holds processes to that by its ticks, which on a busy machine count a good deal more than is told later.
    """
    return limits.cpu_ms > 0 and used_us * 2 >= limits.cpu_ms * 1000


def is_needed(limits: Limits, gaps: Gaps) -> bool:
    """Whether a run can go beyond any limit that only a guard holds: most cannot where there is a cgroup."""
    if gaps.memory or gaps.processes or gaps.work_root:
        return True
    return 0 < limits.cpu_ms < limits.timeout_ms * _PROCESSORS


class Guard:
    """Looks after one run of a child. ``stop`` is called, at most once, with the limit that the run went beyond."""

    def __init__(self, child: Child, limits: Limits, gaps: Gaps, stop: Callable[[Stop], None]) -> None:
        self._child = child
        self._limits = limits
        self._gaps = gaps
        self._stop = stop
        self._loop = asyncio.get_running_loop()
        self._cpu_before: int | None = None
        self._look_timer: asyncio.TimerHandle | None = None
        self._walk_timer: asyncio.TimerHandle | None = None
        self._closed = False

    def start(self, cpu_before: int | None) -> None:
        """Begin; call before the run has its job. ``cpu_before``: what the child had used by then, microseconds."""
        child, gaps = self._child, self._gaps
        self._cpu_before = cpu_before
        if gaps.memory and child.resting_bytes is None and child.pid is not None:
            resting = processes.taken(child.pid)
            child.resting_bytes = resting.memory_bytes if resting is not None else 0
        self._look_again(0)
        if gaps.work_root:
            self._walk_timer = self._loop.call_later(_WALK_S, self._walk)

    def close(self) -> None:
        """Look no more."""
        self._closed = True
        for timer in (self._look_timer, self._walk_timer):
            if timer is not None:
                timer.cancel()

    def _exceeded(self, what: Stop) -> None:
        if not self._closed:
            self.close()
            self._stop(what)

    def _look(self) -> None:
        pid, limits = self._child.pid, self._limits
        if pid is None:
            return  # it has ended
        pids = processes.tree(pid, _MOST_PROCESSES) if self._gaps.forks else [pid]
        used_us = self._cpu_used(pids)
        if limits.cpu_ms and used_us >= limits.cpu_ms * 1000:
            self._exceeded(Stop.OUT_OF_CPU_TIME)
            return
        if self._gaps.memory or self._gaps.processes:
            seen = [found for one in pids if (found := processes.taken(one)) is not None]
            if self._gaps.processes and sum(one.threads for one in seen) > limits.processes:
                self._exceeded(Stop.TOO_MANY_PROCESSES)
                return
            if self._gaps.memory and self._memory_of(seen) > self._most_memory():
                self._out_of_memory(pids)
                return
        self._look_again(used_us)

    def _look_again(self, used_us: int) -> None:
        pause = math.inf
        if self._limits.cpu_ms and self._cpu_before is not None:
            left_s = self._limits.cpu_ms / 1000 - used_us / 1e6
            pause = max(_SHORTEST_S, left_s / _PROCESSORS)
        if self._gaps.memory or self._gaps.processes:
            pause = min(pause, _LOOK_S)
        if pause < self._limits.timeout_ms / 1000:  # otherwise the time is up first
            self._look_timer = self._loop.call_later(pause, self._look)

    def _cpu_used(self, pids: list[int]) -> int:
        now = sum(map(processes.cpu_us, pids)) if self._gaps.forks else self._child.cpu_us()
        return 0 if now is None or self._cpu_before is None else now - self._cpu_before

    def _memory_of(self, seen: list[processes.Taken]) -> int:
        # what all had from the zygote is the zygote's
        resting = self._child.resting_bytes or 0
        return sum(max(0, one.memory_bytes - resting) for one in seen)

    def _most_memory(self) -> int:
        return self._limits.memory_bytes + HEADROOM

    def _out_of_memory(self, pids: list[int]) -> None:
        if len(pids) == 1:
            self._exceeded(Stop.OUT_OF_MEMORY)
            return
        # several processes share pages, which were counted several times; that is found out in a thread: it may take
        # milliseconds, and has to wait for who is changing its memory
        exact = self._loop.run_in_executor(None, processes.shared_out, pids)
        exact.add_done_callback(functools.partial(self._counted, used_us=self._cpu_used(pids)))

    def _counted(self, exact: asyncio.Future[int], used_us: int) -> None:
        if self._closed or exact.cancelled():
            return
        # what cannot be counted now can be at the next look
        if exact.exception() is None and exact.result() > self._most_memory():
            self._exceeded(Stop.OUT_OF_MEMORY)
        else:
            self._look_again(used_us)

    def _walk(self) -> None:
        directory = os.path.join(self._gaps.work_root, str(self._child.number))
        most = self._child.disk  # with what it was given
        walk = self._loop.run_in_executor(None, measure, directory, most)
        walk.add_done_callback(functools.partial(self._walked, most=most, began=self._loop.time()))

    def _walked(self, walk: asyncio.Future[Disk], most: Disk, began: float) -> None:
        if self._closed or walk.cancelled():
            return
        if walk.exception() is None:
            found = walk.result()
            if found.bytes > most.bytes or found.files > most.files:
                self._exceeded(Stop.OUT_OF_DISK)
                return
        pause = max(_WALK_S, (self._loop.time() - began) * _WALK_SHARE)
        self._walk_timer = self._loop.call_later(pause, self._walk)
