"""Turns at analysing: few at once, whatever language and step, so that runs never wait for analyses.

What is analysed may import for half a minute what its author likes, so of these few a project has but one: otherwise
one that always asks would have all of them, and nobody else could deploy.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from polycall.errors import QueueFull

__all__ = ["ProjectTurns", "Turns"]

_AT_ONCE = 2  # beside the slots of runs, so that a deployment never waits for somebody's long run either
_TURN_S = 10.0
_SOURCES = "sources"
_PROJECT_TURN_S = 30.0  # who has sources of its own before it waits for as long as one of them may take


class Turns:
    """Lets two analyse at a time; who has waited ten seconds for it is sent away. See also ``ProjectTurns``."""

    def __init__(self, at_once: int = _AT_ONCE, wait_s: float = _TURN_S, what: str = _SOURCES) -> None:
        self._turns = asyncio.Semaphore(at_once)
        self._wait_s = wait_s
        self._what = what

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn and hold it. Raises QueueFull."""
        async with _held(self._turns, self._wait_s, self._what):
            yield


class ProjectTurns:
    """Lets each project analyse one source at a time."""

    def __init__(self, what: str = _SOURCES) -> None:
        self._what = what
        # kept by those who hold one or wait for it
        self._turns: weakref.WeakValueDictionary[str, asyncio.Semaphore] = weakref.WeakValueDictionary()

    @asynccontextmanager
    async def turn(self, project_id: str, wait_s: float = _PROJECT_TURN_S) -> AsyncIterator[None]:
        """Wait for a project's turn, no longer than that, and hold it. Raises QueueFull."""
        turn = self._turns.get(project_id)
        if turn is None:
            turn = self._turns[project_id] = asyncio.Semaphore(1)
        async with _held(turn, wait_s, self._what):
            yield


@asynccontextmanager
async def _held(turns: asyncio.Semaphore, wait_s: float, what: str = _SOURCES) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(wait_s):
            await turns.acquire()
    except TimeoutError:
        raise QueueFull(
            f"Too many {what} are being analysed; try again.", subject="analysis", retry_after_s=wait_s
        ) from None
    try:
        yield
    finally:
        turns.release()
