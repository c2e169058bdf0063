"""Warm workers that idle: found by what they have loaded, ended after a while, least recently used first."""

from __future__ import annotations

import asyncio
import collections
import time
from collections.abc import Callable
from dataclasses import dataclass

from polycall.sandbox.child import Child
from polycall.sandbox.job import WorkerKey
from polycall.sandbox.orders import Program

__all__ = ["Shelf"]

# A run is over when its answer is there. What goes on working behind it, for the five minutes that a worker is kept,
# does so on everybody's processors and within nobody's time limit: so idle workers are looked at this often, and those
# with other processes, or with more than this share of a processor, are ended.
_LOOK_S, _MOST_SHARE = 1.0, 0.1


@dataclass(slots=True)
class _Idle:
    key: WorkerKey
    program: Program
    since: float  # time.monotonic
    looked: float = 0.0
    cpu_us: int | None = None  # when it was looked at


class Shelf:
    """Keeps at most ``most`` children, each for ``idle_s`` seconds.

    What leaves it otherwise than by ``take`` or ``forget`` is killed.
    """

    def __init__(self, most: int, idle_s: float) -> None:
        self._most = most
        self._idle_s = idle_s
        self._children: collections.OrderedDict[Child, _Idle] = collections.OrderedDict()  # longest unused first
        self._sweeper: asyncio.TimerHandle | None = None  # one for all

    def __len__(self) -> int:
        return len(self._children)

    def put(self, child: Child, key: WorkerKey, program: Program) -> None:
        """Keep a child that has ``program`` loaded."""
        self._children[child] = _Idle(key, program, time.monotonic())
        if self._sweeper is None:
            self._sweep_after(_LOOK_S)
        while len(self._children) > self._most:
            self.end_oldest()

    def take(self, program: Program) -> Child | None:
        """Return the child used last of those that have ``program`` loaded."""
        for child in reversed(self._children):
            if self._children[child].program == program and child.usable:
                self.forget(child)
                return child
        return None

    def forget(self, child: Child) -> None:
        """Keep a child no longer; it is left as it is. Unknown ones are no error."""
        self._children.pop(child, None)

    def end_oldest(self) -> bool:
        """End the least recently used; False if there is none."""
        for child in self._children:
            self._end(child)
            return True
        return False

    def end_where(self, condition: Callable[[Child, WorkerKey], bool]) -> None:
        """End all that meet a condition."""
        for child in [child for child, idle in self._children.items() if condition(child, idle.key)]:
            self._end(child)

    def close(self) -> None:
        """End all of them, and look after none any more."""
        self.end_where(lambda *_: True)
        if self._sweeper is not None:
            self._sweeper.cancel()

    def _sweep(self) -> None:
        self._sweeper = None
        now = time.monotonic()
        for child, idle in list(self._children.items()):
            if now >= idle.since + self._idle_s or _is_restless(child, idle, now):
                self._end(child)
        if self._children:
            self._sweep_after(_LOOK_S)

    def _sweep_after(self, seconds: float) -> None:
        self._sweeper = asyncio.get_running_loop().call_later(min(seconds, self._idle_s), self._sweep)

    def _end(self, child: Child) -> None:
        self.forget(child)
        child.kill()


def _is_restless(child: Child, idle: _Idle, now: float) -> bool:
    group = child.slot.group
    try:
        if group is not None and group.processes > 1:
            return True
    except OSError:
        return True  # what cannot be seen is not kept
    before, since = idle.cpu_us, idle.looked
    idle.cpu_us, idle.looked = child.cpu_us(), now
    if before is None or idle.cpu_us is None:
        return False
    return idle.cpu_us - before > (now - since) * 1_000_000 * _MOST_SHARE
