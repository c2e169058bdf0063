"""Work that has to be seen to its end, whatever happens to whoever waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["end", "ended", "through"]

T = TypeVar("T")


async def end(task: asyncio.Task[Any]) -> None:
    """Cancel a task and wait until it has ended; what it raises is dropped. Harmless if it has ended already."""
    task.cancel()
    await ended(task)


async def through(work: Coroutine[Any, Any, T]) -> T:
    """Return what ``work`` returns. If the caller is cancelled, the work goes on, and CancelledError is raised after.

    For a write and what must follow it: the database may have committed by the time that its caller goes away.
    """
    task = asyncio.get_running_loop().create_task(work)
    await ended(task)
    return task.result()


async def ended(task: asyncio.Task[Any]) -> None:
    """Wait until a task has ended, also if the caller is cancelled meanwhile; CancelledError is raised after."""
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:  # as often as it comes; the wait is as long as the task's end takes
            cancelled = error
    if not task.cancelled():
        task.exception()  # retrieved
    if cancelled is not None:
        raise cancelled
