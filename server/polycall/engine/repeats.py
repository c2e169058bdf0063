"""Requests with an id that are repeated while the first is under way: one run, and its answer for all who ask."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from polycall.domain import Execution
from polycall.engine.tasks import end
from polycall.errors import DeadlineExceeded
from polycall.quick import dataclass

__all__ = ["Repeats"]

Key = tuple[str, str]  # project, request id


@dataclass(slots=True, eq=False)
class _Shared:
    work: asyncio.Task[Execution]
    callers: int = 0


class Repeats:
    """The requests with an id that are under way."""

    def __init__(self) -> None:
        self._under_way: dict[Key, _Shared] = {}

    def __len__(self) -> int:
        return len(self._under_way)

    async def __call__(self, key: Key, work: Callable[[], Coroutine[Any, Any, Execution]]) -> Execution:
        """Return what ``work`` returns, or what an earlier request with this key is about to return.

        The work goes on while anybody waits for it; when the last one is cancelled, so is the work, and its end is
        waited for. What the work raises, all get; only the deadline of one is not that of the others, who begin anew.
        """
        while True:
            shared = self._under_way.get(key)
            first = shared is None
            if shared is None:
                shared = self._under_way[key] = _Shared(asyncio.get_running_loop().create_task(work()))
                shared.work.add_done_callback(partial(self._forget, key, shared))
            try:
                return await self._joined(key, shared)
            except DeadlineExceeded:
                if first:
                    raise

    async def _joined(self, key: Key, shared: _Shared) -> Execution:
        shared.callers += 1
        try:
            return await asyncio.shield(shared.work)
        except asyncio.CancelledError:
            if shared.callers == 1:
                self._forget(
                    key, shared, shared.work
                )  # before the end: who comes now is not to join what is being killed
                await end(shared.work)
            raise
        finally:
            shared.callers -= 1

    def _forget(self, key: Key, shared: _Shared, _: asyncio.Task[Execution]) -> None:
        if self._under_way.get(key) is shared:
            del self._under_way[key]
