"""Admission: how many runs at once, how many may wait, for how long."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from polycall.domain import Reason
from polycall.errors import DeadlineExceeded, QueueFull

__all__ = ["Admission"]

_GUESS_S = 0.05  # what a run is taken to last before any has ended; only Retry-After depends on it
_WEIGHT = 0.1  # of the newest run in the moving average


class Admission:
    """A bounded first-in-first-out queue before a fixed number of slots.

    Nothing of a run has started while it waits, so being refused or cancelled here is always safe to repeat.
    """

    def __init__(self, slots: int, queue: int) -> None:
        self.slots = slots
        self.queue = queue
        self._free = slots
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._average_s = _GUESS_S

    @property
    def busy(self) -> int:
        """How many slots are taken."""
        return self.slots - self._free

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    @asynccontextmanager
    async def slot(self, expires_at: float | None = None, *, bounded: bool = True) -> AsyncIterator[float]:
        """Hold a slot; yields the seconds waited.

        ``expires_at`` (``time.monotonic``) bounds the wait. ``bounded=False`` is for Calls, which were accepted already
        and are bounded by their dispatcher. Raises QueueFull, DeadlineExceeded (phase queue).
        """
        since = time.monotonic()
        await self._take(expires_at, bounded)
        begun = time.monotonic()
        try:
            yield begun - since
        finally:
            self._average_s += _WEIGHT * (time.monotonic() - begun - self._average_s)
            self._give()

    async def _take(self, expires_at: float | None, bounded: bool) -> None:
        if self._free > 0:
            self._free -= 1
            return
        if bounded and len(self._waiting) >= self.queue:
            after = max(0.1, self._average_s * (len(self._waiting) + 1) / self.slots)
            raise QueueFull(
                f"{len(self._waiting)} runs wait for {self.slots} slots; nothing ran. Retry in {after:.1f} s.",
                subject="queue",
                retry_after_s=after,
                metadata={"waiting": str(len(self._waiting)), "slots": str(self.slots)},
            )
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            timeout = None if expires_at is None else max(0.0, expires_at - time.monotonic())
            async with asyncio.timeout(timeout):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self._give()  # the slot came in the same moment: pass it on
            else:
                with suppress(ValueError):  # _give may have dropped it already
                    self._waiting.remove(turn)
            if isinstance(error, TimeoutError):
                raise DeadlineExceeded(
                    "The deadline passed while the run waited for a slot; nothing ran. "
                    "Retry, or raise the server's `slots`.",
                    reason=Reason.QUEUE_TIMEOUT,
                    metadata={"phase": "queue"},
                ) from None
            raise

    def _give(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
