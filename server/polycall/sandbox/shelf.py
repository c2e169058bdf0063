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


@dataclass(frozen=True, slots=True)
class _Idle:
    key: WorkerKey
    program: Program
    since: float  # time.monotonic


class Shelf:
    """Keeps at most ``most`` children, each for ``idle_s`` seconds.

    What leaves it otherwise than by ``take`` or ``forget`` is killed.
    """

    def __init__(self, most: int, idle_s: float) -> None:
        self._most = most
        self._idle_s = idle_s
        self._children: collections.OrderedDict[Child, _Idle] = collections.OrderedDict()  # longest unused first
        self._sweeper: asyncio.TimerHandle | None = None  # one for all: most leave long before their time is up

    def __len__(self) -> int:
        return len(self._children)

    def put(self, child: Child, key: WorkerKey, program: Program) -> None:
        """Keep a child that has ``program`` loaded."""
        self._children[child] = _Idle(key, program, time.monotonic())
        if self._sweeper is None:
            self._sweep_after(self._idle_s)
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
        while self._children:
            child, idle = next(iter(self._children.items()))
            left = idle.since + self._idle_s - time.monotonic()
            if left > 0:
                self._sweep_after(left)
                return
            self._end(child)

    def _sweep_after(self, seconds: float) -> None:
        self._sweeper = asyncio.get_running_loop().call_later(seconds, self._sweep)

    def _end(self, child: Child) -> None:
        self.forget(child)
        child.kill()
