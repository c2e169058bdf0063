"""Warm workers that idle: found by what they have loaded, ended after a while, least recently used first."""

from __future__ import annotations

import asyncio
import collections
import time
from collections.abc import Callable, Iterable

from polycall.domain import WarmPolicy
from polycall.quick import dataclass
from polycall.sandbox.child import Child
from polycall.sandbox.job import WorkerKey
from polycall.sandbox.orders import Program
from polycall.structs import cstruct

__all__ = ["Shelf", "ShelfConfig"]

# A run is over when its answer is there. What goes on working behind it, for the five minutes that a worker is kept,
# does so on everybody's processors and within nobody's time limit: so idle workers are looked at this often, and those
# with other processes, or with more than this share of a processor, are ended.
_LOOK_S, _MOST_SHARE = 1.0, 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class ShelfConfig:
    """How many workers idle, of all versions and of one (0: no bound of its own), how long, and in how much memory.

    ``memory_bytes`` bounds what all warm workers hold, busy ones included; ``idle_s`` is for versions that say nothing.
    """

    most: int
    idle_s: float
    memory_bytes: int
    most_of_version: int = 0


@cstruct(slots=True)
class _Idle:
    key: WorkerKey
    program: Program
    policy: WarmPolicy
    since: float  # time.monotonic
    looked: float = 0.0
    cpu_us: int | None = None  # when it was looked at


class Shelf:
    """Keeps children; what leaves it otherwise than by ``take`` or ``forget`` is killed.

    ``busy`` gives the warm workers that run, with their keys. ``reserved`` says how many of a program are to be ready:
    these do not end for being idle, and after all others where there are too many. ``worn`` says whether a child has
    lived long enough.
    """

    def __init__(
        self,
        config: ShelfConfig,
        *,
        busy: Callable[[], Iterable[tuple[Child, WorkerKey]]],
        reserved: Callable[[Program], int],
        worn: Callable[[Child, float], bool],
    ) -> None:
        self._config = config
        self._busy = busy
        self._reserved = reserved
        self._worn = worn
        self._children: collections.OrderedDict[Child, _Idle] = collections.OrderedDict()  # longest unused first
        self._by_key: dict[WorkerKey, list[Child]] = {}  # longest unused first
        self._sweeper: asyncio.TimerHandle | None = None  # one for all

    def __len__(self) -> int:
        return len(self._children)

    @property
    def memory_bytes(self) -> int:
        """What all warm workers held when they were weighed last, busy ones included."""
        return sum(child.weight for child in self._children) + sum(child.weight for child, _ in self._busy())

    @property
    def full(self) -> bool:
        """Whether one more would cost another its place."""
        return len(self._children) >= self._config.most or self.memory_bytes >= self._config.memory_bytes

    def put(self, child: Child, key: WorkerKey, program: Program, policy: WarmPolicy, now: float) -> None:
        """Keep a child that has ``program`` loaded, unless its version has its most of them."""
        most = policy.max or self._config.most_of_version
        if most and self._of_version(key) >= most:
            child.kill()
            return
        self._children[child] = _Idle(key, program, policy, now)
        self._by_key.setdefault(key, []).append(child)
        if self._sweeper is None:
            self._sweep_after(_LOOK_S)
        if len(self._children) > self._config.most:
            self.end_oldest()
        if child.calls == 1:  # new: it counts from now on
            self._fit()

    def take(self, key: WorkerKey, program: Program) -> Child | None:
        """Return the child used last of those that have ``program`` loaded."""
        for child in reversed(self._by_key.get(key, ())):
            if self._children[child].program == program and child.usable:
                self.forget(child)
                return child
        return None

    def forget(self, child: Child) -> None:
        """Keep a child no longer; it is left as it is. Unknown ones are no error."""
        idle = self._children.pop(child, None)
        if idle is None:
            return
        children = self._by_key[idle.key]
        children.remove(child)
        if not children:
            del self._by_key[idle.key]

    def count(self, program: Program) -> int:
        """How many idle with a program."""
        return sum(1 for idle in self._children.values() if idle.program == program)

    def end_oldest(self) -> bool:
        """End the least recently used, of those that are to be ready only if there is no other; False if none is."""
        child = next((child for child, idle in self._children.items() if not self._is_reserved(idle)), None)
        child = child or next(iter(self._children), None)
        if child is not None:
            self._end(child)
        return child is not None

    def end_where(self, condition: Callable[[Child, WorkerKey], bool]) -> None:
        """End all that meet a condition."""
        for child in [child for child, idle in self._children.items() if condition(child, idle.key)]:
            self._end(child)

    def close(self) -> None:
        """End all of them, and look after none any more."""
        self.end_where(lambda *_: True)
        if self._sweeper is not None:
            self._sweeper.cancel()

    def _of_version(self, key: WorkerKey) -> int:
        keys = [idle.key for idle in self._children.values()] + [other for _, other in self._busy()]
        return sum(1 for other in keys if other.version == key.version)

    def _is_reserved(self, idle: _Idle) -> bool:
        wanted = self._reserved(idle.program)
        return wanted > 0 and self.count(idle.program) <= wanted

    def _fit(self) -> None:
        """End the least recently used until the others fit into the memory that they may have."""
        while self._children and self.memory_bytes > self._config.memory_bytes:
            self.end_oldest()

    def _sweep(self) -> None:
        self._sweeper = None
        now = time.monotonic()
        for child, _ in self._busy():
            child.weigh(now)
        for child, idle in list(self._children.items()):
            child.weigh(now)
            late = now >= idle.since + (idle.policy.idle_ms / 1000 or self._config.idle_s)
            if self._worn(child, now) or _is_restless(child, idle, now) or (late and not self._is_reserved(idle)):
                self._end(child)
        self._fit()
        if self._children:
            self._sweep_after(_LOOK_S)

    def _sweep_after(self, seconds: float) -> None:
        self._sweeper = asyncio.get_running_loop().call_later(min(seconds, self._config.idle_s), self._sweep)

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
