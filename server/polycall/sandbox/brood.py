"""Fresh children of one kind: those that wait for runs, and runs that wait for those being started."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import time
from collections.abc import Awaitable, Callable

from polycall.sandbox.child import Child
from polycall.sandbox.keeper import Keeper

__all__ = ["Brood"]

# More would only compete with the runs for the cores.
_FORKS_AT_ONCE = 2


class Brood:
    """Keeps ``most`` children waiting.

    ``room`` says how many more may be started at this moment, ``fork`` starts one, or none if there is no room after
    all. Children that end while they wait are to be told by ``forget``.
    """

    def __init__(self, most: int, room: Callable[[], int], fork: Callable[[], Awaitable[Child | None]]) -> None:
        self._most = most
        self._room = room
        self._fork = fork
        self._waiting: collections.deque[Child] = collections.deque()
        self._coming = 0  # children that are being started, to wait
        self._takers: collections.deque[asyncio.Future[Child | None]] = collections.deque()  # runs that get them
        self._keeper = Keeper(self._refill)
        self.used = time.monotonic()  # when a run asked last

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def busy(self) -> bool:
        """Whether children are being started or waited for."""
        return self._coming > 0 or bool(self._takers)

    async def take(self) -> Child | None:
        """Return a child that waits, or the next to come that nobody else waits for; None if there is none."""
        self.used = time.monotonic()
        child = self._waiting.popleft() if self._waiting else await self._next_to_come()
        if child is not None and not self._waiting:
            self._keeper.want()  # otherwise only after the run: on few cores a fork competes with it
        return child

    def put(self, child: Child) -> None:
        """Let a child wait."""
        self._arrive(child)

    def forget(self, child: Child) -> None:
        """Let a child wait no longer; it is left as it is. Unknown ones are no error."""
        with contextlib.suppress(ValueError):
            self._waiting.remove(child)

    def fill(self) -> None:
        """Have children started in the background if some are missing."""
        if self._missing() > 0:
            self._keeper.want()

    def end_one(self) -> bool:
        """End a child that waits; False if there is none."""
        if not self._waiting:
            return False
        self._waiting.pop().kill()
        return True

    async def stop(self) -> None:
        """Start no more, and end those that wait."""
        await self._keeper.stop()
        while self.end_one():
            pass

    async def _next_to_come(self) -> Child | None:
        if self._coming <= len(self._takers):
            return None
        taker: asyncio.Future[Child | None] = asyncio.get_running_loop().create_future()
        self._takers.append(taker)
        try:
            return await taker
        except asyncio.CancelledError:
            if taker.cancelled():
                with contextlib.suppress(ValueError):  # _arrive may have dropped it already
                    self._takers.remove(taker)
            elif (child := taker.result()) is not None:
                self._arrive(child)  # it came in the same moment
            raise

    def _arrive(self, child: Child | None) -> None:
        """Take a child that was started; None: it was not to be, and who has waited for it starts one for itself."""
        while self._takers:
            taker = self._takers.popleft()
            if not taker.done():  # cancelled in the same moment
                taker.set_result(child)
                return
        if child is not None:
            self._waiting.append(child)

    def _missing(self) -> int:
        at_once = 1 if self._waiting else _FORKS_AT_ONCE
        return min(self._most - len(self._waiting), self._room(), at_once)

    async def _refill(self) -> None:
        while (forks := self._missing()) > 0:
            done = await asyncio.gather(*(self._refill_one() for _ in range(forks)), return_exceptions=True)
            for failure in filter(None, done):
                raise failure

    async def _refill_one(self) -> None:
        child: Child | None = None
        self._coming += 1
        try:
            child = await self._fork()
        finally:
            self._coming -= 1
            self._arrive(child)
