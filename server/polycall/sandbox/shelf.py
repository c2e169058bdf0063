"""Warm workers that idle: found by what they have loaded, ended after a while, least recently used first."""

from __future__ import annotations

import asyncio
import collections
from collections.abc import Callable
from dataclasses import dataclass

from polycall.sandbox.child import Child
from polycall.sandbox.job import WorkerKey

__all__ = ["Shelf"]


@dataclass(frozen=True, slots=True)
class _Idle:
    key: WorkerKey
    program: str
    timer: asyncio.TimerHandle


class Shelf:
    """Keeps at most ``most`` children, each for ``idle_s`` seconds.

    What leaves it otherwise than by ``take`` or ``forget`` is killed.
    """

    def __init__(self, most: int, idle_s: float) -> None:
        self._most = most
        self._idle_s = idle_s
        self._children: collections.OrderedDict[Child, _Idle] = collections.OrderedDict()  # longest unused first

    def __len__(self) -> int:
        return len(self._children)

    def put(self, child: Child, key: WorkerKey, program: str) -> None:
        """Keep a child that has ``program`` loaded."""
        timer = asyncio.get_running_loop().call_later(self._idle_s, self._end, child)
        self._children[child] = _Idle(key, program, timer)
        while len(self._children) > self._most:
            self.end_oldest()

    def take(self, program: str) -> Child | None:
        """Return the child used last of those that have ``program`` loaded."""
        for child in reversed(self._children):
            if self._children[child].program == program and child.usable:
                self.forget(child)
                return child
        return None

    def forget(self, child: Child) -> None:
        """Keep a child no longer; it is left as it is. Unknown ones are no error."""
        idle = self._children.pop(child, None)
        if idle is not None:
            idle.timer.cancel()

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

    def _end(self, child: Child) -> None:
        self.forget(child)
        child.kill()
