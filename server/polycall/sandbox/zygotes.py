"""The zygotes over time: one that forks, old ones that end with their last child, dead ones that are replaced."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from polycall.sandbox.child import Child
from polycall.sandbox.spawner import Spawner

__all__ = ["Zygotes"]

# Old zygotes that still have warm workers; each costs some 10 MiB. Beyond this the oldest one's workers have to go.
_MOST_RETIRED = 3


class Zygotes:
    """Sees to it that there is a young zygote.

    ``make`` makes one, given what to call if it dies. ``died`` is called when one has died, ``crowded`` with one whose
    idle children should be ended.
    """

    def __init__(
        self,
        make: Callable[[Callable[[Spawner], None]], Spawner],
        *,
        most_forks: int,
        most_age_s: float,
        died: Callable[[], None],
        crowded: Callable[[Spawner], None],
    ) -> None:
        self._make = make
        self._most_forks = most_forks
        self._most_age_s = most_age_s
        self._died = died
        self._crowded = crowded
        self._current: Spawner | None = None
        self._retired: list[Spawner] = []
        self._dead: list[Spawner] = []
        self._starting = False

    @property
    def current(self) -> Spawner | None:
        """The one that can fork; None while there is none."""
        current = self._current
        return current if current is not None and current.alive else None

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes that were started, in their order; those that have died are not among them."""
        return tuple(spawner.pid for spawner in (*self._retired, self._current) if spawner is not None)

    @property
    def childless(self) -> bool:
        """Whether none of them has a child, nor is one about to start."""
        return not self._starting and not any(spawner.children for spawner in self._all())

    def own(self, child: Child) -> bool:
        """Whether a child is one of theirs, not reaped yet."""
        return any(spawner.owns(child) for spawner in self._all())

    def _all(self) -> list[Spawner]:
        return [*self._retired, *self._dead, *([self._current] if self._current is not None else [])]

    async def renew(self) -> bool:
        """Start a zygote if there is none or it is old; end retired ones without children. Return whether one started.

        Raises SpawnerError, OSError if none can be started.
        """
        current = self.current
        if current is not None and current.forks < self._most_forks and current.age_s < self._most_age_s:
            await self._sweep()
            return False
        fresh = self._make(self._on_death)
        self._starting = True
        try:
            await fresh.start()
        finally:
            self._starting = False
        self._current = fresh
        if current is not None and current.alive:
            self._retired.append(current)
        await self._sweep()
        return True

    async def _sweep(self) -> None:
        for spawner in [spawner for spawner in self._retired if spawner.children == 0]:
            await spawner.stop()
            self._retired.remove(spawner)
        for spawner in self._retired[:-_MOST_RETIRED]:
            self._crowded(spawner)
        while self._dead:
            await self._dead[-1].stop()
            self._dead.pop()

    def _on_death(self, spawner: Spawner) -> None:
        if self._current is spawner:
            self._current = None
        if spawner in self._retired:
            self._retired.remove(spawner)
        self._dead.append(spawner)
        spawner.lose_children()
        self._died()

    async def stop(self) -> None:
        """End all of them and their children. May be called again, to go on with a stop that was cancelled."""
        self._dead = self._all()  # known until they have ended: nobody else tells their children that they have
        self._current = None
        self._retired = []
        await asyncio.gather(*(spawner.stop() for spawner in self._dead))
        self._dead = []
