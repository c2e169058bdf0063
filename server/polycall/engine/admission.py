"""Admission: how many runs at once, how many may wait, for how long."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass

from polycall.domain import Reason
from polycall.errors import DeadlineExceeded, QueueFull

__all__ = ["Admission"]

_GUESS_S = 0.05  # what a run is taken to last before any has ended; only Retry-After depends on it
_WEIGHT = 0.1  # of the newest run in the moving average
_QUEUE_BYTES = 256 << 20


@dataclass(slots=True, eq=False)
class _Turn:
    came: asyncio.Future[None]
    project_id: str
    size: int


class Admission:
    """A bounded queue before a fixed number of slots.

    Each project's runs get their slots in the order of asking; between projects, the one with the fewest runs comes
    first, so that nobody waits behind all that another project has asked for. ``queue_bytes`` bounds what the waiting
    requests hold in memory together; one alone may always wait.

    Nothing of a run has started while it waits, so being refused or cancelled here is always safe to repeat.
    """

    def __init__(self, slots: int, queue: int, queue_bytes: int = _QUEUE_BYTES) -> None:
        self.slots = slots
        self.queue = queue
        self.queue_bytes = queue_bytes
        self._free = slots
        self._running: Counter[str] = Counter()  # by project
        self._waiting: dict[_Turn, None] = {}  # in the order of asking
        self._held = 0  # bytes
        self._average_s = _GUESS_S

    @property
    def busy(self) -> int:
        """How many slots are taken."""
        return self.slots - self._free

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def slot(
        self, expires_at: float | None = None, *, project_id: str = "", size: int = 0, bounded: bool = True
    ) -> _Slot:
        """Hold a slot in an ``async with``, which yields the seconds waited.

        ``expires_at`` (``time.monotonic``) bounds the wait; ``size`` is what the request holds in memory, bytes.
        ``bounded=False`` is for Calls, which were accepted already and are bounded by their dispatcher. Raises
        QueueFull, DeadlineExceeded (phase queue).
        """
        return _Slot(self, expires_at, project_id, size, bounded)

    async def take(self, expires_at: float | None, project_id: str, size: int, bounded: bool) -> None:
        """Wait for a slot; ``slot`` says more."""
        if self._free > 0:
            self._free -= 1
            self._running[project_id] += 1
            return
        too_many = len(self._waiting) >= self.queue
        too_much = bool(self._waiting) and self._held + size > self.queue_bytes
        if bounded and (too_many or too_much):
            after = max(0.1, self._average_s * (len(self._waiting) + 1) / self.slots)
            raise QueueFull(
                f"{len(self._waiting)} runs wait for {self.slots} slots; nothing ran. Retry in {after:.1f} s.",
                subject="queue",
                retry_after_s=after,
                metadata={"waiting": str(len(self._waiting)), "slots": str(self.slots)},
            )
        turn = _Turn(asyncio.get_running_loop().create_future(), project_id, size)
        self._waiting[turn] = None
        self._held += size
        try:
            timeout = None if expires_at is None else max(0.0, expires_at - time.monotonic())
            async with asyncio.timeout(timeout):
                await turn.came
        except BaseException as error:
            if turn in self._waiting:
                self._leave(turn)
            else:
                self._give(project_id)  # the slot came in the same moment: pass it on
            if isinstance(error, TimeoutError):
                raise DeadlineExceeded(
                    "The deadline passed while the run waited for a slot; nothing ran. "
                    "Retry, or raise the server's `slots`.",
                    reason=Reason.QUEUE_TIMEOUT,
                    metadata={"phase": "queue"},
                ) from None
            raise

    def _leave(self, turn: _Turn) -> None:
        del self._waiting[turn]
        self._held -= turn.size

    def give(self, project_id: str, used_s: float) -> None:
        """Take a slot back from a project that had it for so long, and give it to the next."""
        self._average_s += _WEIGHT * (used_s - self._average_s)
        self._give(project_id)

    def _give(self, project_id: str) -> None:
        self._running[project_id] -= 1
        if not self._running[project_id]:
            del self._running[project_id]
        if not self._waiting:
            self._free += 1
            return
        turn = min(self._waiting, key=lambda turn: self._running[turn.project_id])  # the first of equals
        self._leave(turn)
        self._running[turn.project_id] += 1
        if not turn.came.done():
            turn.came.set_result(None)


class _Slot:
    """A slot from its being asked for to its end: an ``asynccontextmanager`` costs three times as much."""

    __slots__ = ("_admission", "_asked", "_begun", "_project_id")

    def __init__(
        self, admission: Admission, expires_at: float | None, project_id: str, size: int, bounded: bool
    ) -> None:
        self._admission = admission
        self._project_id = project_id
        self._asked = (expires_at, project_id, size, bounded)
        self._begun = 0.0

    async def __aenter__(self) -> float:
        since = time.monotonic()
        await self._admission.take(*self._asked)
        self._begun = time.monotonic()
        return self._begun - since

    async def __aexit__(self, *_: object) -> None:
        self._admission.give(self._project_id, time.monotonic() - self._begun)
