"""What is in use is looked up anew before it is too old to be gone by, while its users are served from memory.

So a database that goes away for some seconds is not missed: whatever was used lately is known for half its time longer,
at least, and nothing is gone by for longer than its time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Hashable

from polycall.errors import PolycallError

__all__ = ["CACHE_S", "Renewals"]

CACHE_S = 30.0  # how old another machine's change may be unseen, where its news was lost (durability: at most 30 s)
_EARLY_S = CACHE_S / 2
_AGAIN_S = 1.0  # after a look-up that failed
_MOST = 100  # at once; what is not looked up now is at its next use

log = logging.getLogger(__name__)


class Renewals:
    """Looks things up in the background, each once at a time."""

    def __init__(self) -> None:
        self._under_way: dict[Hashable, asyncio.Task[None]] = {}

    def use(self, key: Hashable, until: float, look_up: Callable[[], Awaitable[object]]) -> None:
        """Take note of a use of what may be gone by ``until`` (time.monotonic); ``look_up`` replaces it."""
        if until - time.monotonic() > _EARLY_S or key in self._under_way or len(self._under_way) >= _MOST:
            return
        task = asyncio.get_running_loop().create_task(self._looked_up(look_up))
        self._under_way[key] = task
        task.add_done_callback(lambda _: self._under_way.pop(key))

    async def close(self) -> None:
        """Stop looking up."""
        tasks = tuple(self._under_way.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _looked_up(self, look_up: Callable[[], Awaitable[object]]) -> None:
        try:
            await look_up()
        except PolycallError:  # the database is away, or it is gone: whoever needs it then is told
            await asyncio.sleep(_AGAIN_S)
        except Exception:
            log.exception("what is kept in memory could not be renewed")
            await asyncio.sleep(_AGAIN_S)
