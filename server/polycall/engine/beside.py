"""Work that is done beside a run every so often, as long as the run lasts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from polycall.engine.tasks import end

__all__ = ["Beside"]


class Beside:
    """Does some work every ``every_s`` seconds, the first time after as many; nothing but a timer until then.

    Most runs are over before, and a task for each would cost them more than all else that is done about their output.
    """

    def __init__(self, work: Callable[[], Awaitable[None]], every_s: float) -> None:
        self._work = work
        self._every_s = every_s
        self._over = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(every_s, self._begin)

    async def finish(self) -> None:
        """Begin no more, and wait for what is being done."""
        self._timer.cancel()
        self._over.set()
        if self._task is not None:
            await asyncio.wait([self._task])

    async def stop(self) -> None:
        """Cancel what is being done. Harmless after ``finish``."""
        self._timer.cancel()
        if self._task is not None:
            await end(self._task)

    def _begin(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        while not self._over.is_set():
            await self._work()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._every_s):
                    await self._over.wait()
