"""Standing orders: programs that are to have warm workers ready, before anybody calls."""

from __future__ import annotations

import collections
import time
from collections.abc import Awaitable, Callable

from polycall.quick import dataclass
from polycall.sandbox.job import Job
from polycall.sandbox.keeper import Keeper
from polycall.sandbox.orders import Program, program_of

__all__ = ["Standing"]

# A program that does not load now will not load in a moment; what it needs may come back, so it is tried again.
_AGAIN_S = 60.0


@dataclass(slots=True)
class _Order:
    job: Job
    count: int
    program: Program
    not_before: float = 0.0  # time.monotonic


class Standing:
    """Sees to it that so many workers of a package's program idle or run. One is started at a time.

    ``have`` counts them, ``room`` says whether one more than so many takes nobody's place, ``warm`` makes one; False if
    the program does not load. Projects take turns: one that asks for more gets no more than others while these lack
    some.
    """

    def __init__(
        self,
        *,
        have: Callable[[Program], int],
        room: Callable[[int], bool],
        warm: Callable[[Job], Awaitable[bool]],
    ) -> None:
        self._have = have
        self._room = room
        self._warm = warm
        self._orders: dict[tuple[str, str], _Order] = {}  # by project and package
        self._keeper = Keeper(self._fill)

    def order(self, project_id: str, package_id: str, job: Job | None, count: int) -> None:
        """Replace what a package is to have ready; nothing with no job."""
        self._orders.pop((project_id, package_id), None)
        if job is not None and count > 0:
            self._orders[project_id, package_id] = _Order(job, count, program_of(job))
            self._keeper.want()

    def reserved(self, program: Program) -> int:
        """How many workers of a program are to be ready."""
        return max((order.count for order in self._orders.values() if order.program == program), default=0)

    def look(self) -> None:
        """Start what is missing."""
        if self._orders:
            self._keeper.want()

    async def stop(self) -> None:
        """Start nothing more."""
        await self._keeper.stop()

    async def _fill(self) -> None:
        while self._room(self.ready) and (order := self._next()) is not None:
            before = self._have(order.program)
            if not await self._warm(order.job) or self._have(order.program) <= before:  # or it was not kept
                order.not_before = time.monotonic() + _AGAIN_S

    @property
    def ready(self) -> int:
        """How many workers there are because of orders."""
        return sum(min(self._have(order.program), order.count) for order in self._orders.values())

    def _next(self) -> _Order | None:
        """Return an order that lacks a worker, of the project that has fewest ready."""
        now = time.monotonic()
        ready = collections.Counter[str]()
        lacking = []
        for (project_id, _), order in self._orders.items():
            have = self._have(order.program)
            ready[project_id] += min(have, order.count)
            if have < order.count and now >= order.not_before:
                lacking.append((project_id, order))
        return min(lacking, key=lambda pair: ready[pair[0]], default=("", None))[1]
