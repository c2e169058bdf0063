"""Turns at analysing: few at once, whatever language and step, so that runs never wait for analyses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from polycall.errors import QueueFull

__all__ = ["Turns"]

_AT_ONCE = 2  # beside the slots of runs, so that a deployment never waits for somebody's long run either
_TURN_S = 10.0


class Turns:
    """Lets two analyse at a time; who has waited ten seconds for it is sent away."""

    def __init__(self, at_once: int = _AT_ONCE, wait_s: float = _TURN_S) -> None:
        self._turns = asyncio.Semaphore(at_once)
        self._wait_s = wait_s

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn and hold it. Raises QueueFull."""
        try:
            async with asyncio.timeout(self._wait_s):
                await self._turns.acquire()
        except TimeoutError:
            raise QueueFull(
                "Too many sources are being analysed; try again.", subject="analysis", retry_after_s=self._wait_s
            ) from None
        try:
            yield
        finally:
            self._turns.release()
