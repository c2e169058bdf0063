"""Admission: how many runs at once, how many may wait, for how long, and who comes first."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass

from polycall.domain import Reason
from polycall.errors import DeadlineExceeded, QueueFull

__all__ = ["Admission", "Slot"]

_GUESS_S = 0.05  # what a run is taken to last before any has ended; only Retry-After depends on it
_WEIGHT = 0.1  # of the newest run in the moving average
_QUEUE_BYTES = 256 << 20


class Slot:
    """A place to run, until it is released. ``waited_s``: how long it took to get it."""

    __slots__ = ("_admission", "_project_id", "_since", "waited_s")

    def __init__(self, admission: Admission, project_id: str, waited_s: float) -> None:
        self.waited_s = waited_s
        self._admission: Admission | None = admission
        self._project_id = project_id
        self._since = time.monotonic()

    def release(self) -> None:
        """Let the next one in; harmless the second time."""
        admission, self._admission = self._admission, None
        if admission is not None:
            admission._release(self._project_id, time.monotonic() - self._since)


@dataclass(slots=True, eq=False)
class _Turn:
    came: asyncio.Future[None]
    project_id: str
    size: int
    bounded: bool


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
        self._turns: dict[_Turn, None] = {}  # in the order of asking
        self._bounded = 0  # how many of them
        self._held = 0  # bytes
        self._average_s = _GUESS_S

    @property
    def busy(self) -> int:
        """How many slots are taken."""
        return self.slots - self._free

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._turns)

    async def take(
        self, expires_at: float | None = None, *, project_id: str = "", size: int = 0, bounded: bool = True
    ) -> Slot:
        """Take a slot, to be released by the caller.

        ``expires_at`` (``time.monotonic``) bounds the wait; ``size`` is what the request holds in memory, bytes.
        ``bounded=False`` is for Calls: they were accepted already, and their dispatcher bounds how many ask at once.
        Raises QueueFull, DeadlineExceeded (phase queue).
        """
        since = time.monotonic()
        if expires_at is not None and expires_at <= since:
            raise _too_late()
        slot = self.take_now(project_id=project_id)
        if slot is not None:
            return slot
        if bounded and self._is_full(size):
            raise self._full()
        await self._turn_of(project_id, size, bounded, None if expires_at is None else expires_at - since)
        return Slot(self, project_id, time.monotonic() - since)

    def take_now(self, *, project_id: str = "") -> Slot | None:
        """Take a slot if one is free."""
        if self._free <= 0:
            return None
        self._free -= 1
        self._running[project_id] += 1
        return Slot(self, project_id, 0.0)

    async def _turn_of(self, project_id: str, size: int, bounded: bool, timeout_s: float | None) -> None:
        turn = _Turn(asyncio.get_running_loop().create_future(), project_id, size, bounded)
        self._turns[turn] = None
        self._bounded += bounded
        self._held += size
        try:
            async with asyncio.timeout(timeout_s):
                await turn.came
        except BaseException as error:
            if turn in self._turns:
                self._leave(turn)
            else:
                self._give(project_id)  # the slot came in the same moment: pass it on
            if isinstance(error, TimeoutError):
                raise _too_late() from None
            raise

    def _leave(self, turn: _Turn) -> None:
        del self._turns[turn]
        self._bounded -= turn.bounded
        self._held -= turn.size

    def _release(self, project_id: str, held_s: float) -> None:
        self._average_s += _WEIGHT * (held_s - self._average_s)
        self._give(project_id)

    def _give(self, project_id: str) -> None:
        """Take a slot back from a project, and give it to the next."""
        self._running[project_id] -= 1
        if not self._running[project_id]:
            del self._running[project_id]
        if not self._turns:
            self._free += 1
            return
        turn = min(self._turns, key=lambda turn: self._running[turn.project_id])  # the first of equals
        self._leave(turn)
        self._running[turn.project_id] += 1
        if not turn.came.done():
            turn.came.set_result(None)

    def _is_full(self, size: int) -> bool:
        too_much = self._held > 0 and self._held + size > self.queue_bytes
        return self._bounded >= self.queue or too_much

    def _full(self) -> QueueFull:
        after = max(0.1, self._average_s * (self._bounded + 1) / self.slots)
        return QueueFull(
            f"{self._bounded} runs wait for {self.slots} slots; nothing ran. Retry in {after:.1f} s.",
            subject="queue",
            retry_after_s=after,
            metadata={"waiting": str(self._bounded), "slots": str(self.slots)},
        )


def _too_late() -> DeadlineExceeded:
    return DeadlineExceeded(
        "The deadline passed before the run had a slot; nothing ran. Retry, or raise the server's `slots`.",
        reason=Reason.QUEUE_TIMEOUT,
        metadata={"phase": "queue"},
    )
