"""Work that is done whenever it is wanted, by a task of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from polycall.sandbox.spawner import SpawnerError

__all__ = ["Keeper"]

_log = logging.getLogger(__name__)

# A host that is out of processes for a moment is asked again soon, one that stays so is not asked all the time.
_FIRST_BACKOFF_S, _MOST_BACKOFF_S = 0.05, 5.0


class Keeper:
    """Does some work whenever it is wanted; when it fails (SpawnerError, OSError), again after a while.

    ``failure`` says why it failed last, "" once it has succeeded.
    """

    def __init__(self, work: Callable[[], Awaitable[None]]) -> None:
        self._work = work
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._stopped = False
        self.failure = ""

    def want(self) -> None:
        """Have the work done soon; the first time starts the task. Nothing happens once it is stopped."""
        self._wanted.set()
        if self._task is None and not self._stopped:
            self._task = asyncio.get_running_loop().create_task(self._keep())

    async def stop(self) -> None:
        """End the task, in the middle of its work if need be."""
        self._stopped = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _keep(self) -> None:
        backoff = _FIRST_BACKOFF_S
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                await self._work()
                backoff, self.failure = _FIRST_BACKOFF_S, ""
            except (SpawnerError, OSError) as error:
                self.failure = str(error)
                _log.warning("cannot start sandboxed processes, next try in %.2f s: %s", backoff, error)
                await asyncio.sleep(backoff)
                backoff = min(backoff * 2, _MOST_BACKOFF_S)
                self._wanted.set()
