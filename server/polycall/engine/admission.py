"""Admission: how many runs at once, how many may wait, for how long, and who comes first."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator
from dataclasses import field

from polycall.domain import Reason
from polycall.errors import DeadlineExceeded, QueueFull
from polycall.quick import dataclass

__all__ = ["Admission", "Slot"]

_GUESS_S = 0.05  # what a run is taken to last before any has ended; only Retry-After depends on it
_WEIGHT = 0.1  # of the newest run in the moving average
_QUEUE_BYTES = 256 << 20
_LEAST_RETRY_S = 0.1  # what a client's own clock and the way to here can tell apart
_LINES = 4096  # projects that are remembered while they neither run nor wait; to make one anew costs a microsecond


class Slot:
    """A place to run, until it is released.

    ``waited_s``: how long it took to get it; ``lent_s``: for how long it was lent.
    """

    __slots__ = ("_admission", "_line", "_since", "lent_s", "waited_s")

    def __init__(self, admission: Admission, line: _Line, waited_s: float) -> None:
        self.waited_s = waited_s
        self.lent_s = 0.0
        self._admission: Admission | None = admission
        self._line = line
        self._since = time.monotonic()

    @property
    def project_id(self) -> str:
        """The project that has it."""
        return self._line.project_id

    async def lend(
        self, work: Callable[[], Awaitable[None]], expires_at: float | None = None, *, bounded: bool = True
    ) -> None:
        """Do something that needs no slot, such as to start what a process is made of, and let others run meanwhile.

        The slot comes back before any other run of its project gets one. ``bounded``: only so many as may wait lend
        theirs at once, and of one project no more than others still could. Raises QueueFull, DeadlineExceeded (phase
        start, or queue), and what ``work`` raises: the slot is gone then.
        """
        admission, self._admission = self._admission, None
        if admission is not None:
            await admission._lend(self, self._line, work, expires_at, bounded)
            self._admission = admission
            self._since = time.monotonic()

    def release(self) -> None:
        """Let the next one in; harmless the second time."""
        admission, self._admission = self._admission, None
        if admission is not None:
            admission._release(self._line, time.monotonic() - self._since)


@dataclass(slots=True, eq=False)
class _Turn:
    came: asyncio.Future[None]
    size: int = 0
    line: _Line | None = None  # that has got it a slot


@dataclass(slots=True, eq=False)
class _Line:
    """One project: what it runs, and what it has waiting, in the order of asking."""

    project_id: str
    running: int = 0
    served: int = 0  # when it got its last slot from the queue, counted in slots
    call_last: bool = False  # that slot was for a Call
    held: int = 0  # bytes of what waits
    lent: int = 0  # slots that come back
    lends: int = 0  # of these those that are bounded
    turns: deque[_Turn] = field(default_factory=deque)


class Admission:
    """A bounded queue before a fixed number of slots, shared fairly between projects.

    A project's runs get their slots in the order of asking. Between projects, the one with the fewest runs comes first,
    of equals the one that was served longest ago: nobody waits behind all that another project has asked for, and a
    project of long runs gets no more slots than one of short ones. ``project_slots`` is the most that one project may
    have, 0 for all.

    ``queue`` runs may wait, ``project_queue`` of them from one project (0: no bound of its own); ``queue_bytes`` bounds
    what the waiting requests hold in memory together, one alone may always wait. When the queue is full, the project
    with most in it gives way to one with less: its newest is refused instead.

    Nothing of a run has started while it waits, so being refused or cancelled here is always safe to repeat.
    """

    def __init__(
        self,
        slots: int,
        queue: int,
        queue_bytes: int = _QUEUE_BYTES,
        *,
        project_slots: int = 0,
        project_queue: int = 0,
    ) -> None:
        self.slots = slots
        self.queue = queue
        self.queue_bytes = queue_bytes
        self.project_slots = min(project_slots or slots, slots)
        self.project_queue = min(project_queue or queue, queue)
        self._free = slots
        self._lines: dict[str, _Line] = {}
        self._waiting: dict[_Line, None] = {}  # those with turns
        self._call: tuple[_Turn, Collection[str]] | None = None  # the turn of Calls, and whose there are
        self._waits = 0  # turns
        self._held = 0  # bytes
        self._served = 0
        self._lent = 0
        self._average_s = _GUESS_S

    @property
    def busy(self) -> int:
        """How many slots are taken."""
        return self.slots - self._free

    @property
    def waiting(self) -> int:
        """How many wait."""
        return self._waits + (self._call is not None)

    async def take(self, expires_at: float | None = None, *, project_id: str = "", size: int = 0) -> Slot:
        """Take a slot, to be released by the caller.

        ``expires_at`` (``time.monotonic``) bounds the wait; ``size`` is what the request holds in memory, bytes.
        Raises QueueFull, DeadlineExceeded (phase queue).
        """
        since = time.monotonic()
        if expires_at is not None and expires_at <= since:
            raise _too_late()
        slot = self.take_now(project_id)
        if slot is not None:
            return slot
        line = self._line(project_id)
        self._make_room(line, size)
        await self._turn_of(line, size, None if expires_at is None else expires_at - since)
        return Slot(self, line, time.monotonic() - since)

    def take_now(self, project_id: str = "") -> Slot | None:
        """Take a slot if one is free for a project."""
        # whoever waits while one is free has all that its project may have: nobody is passed
        line = self._lines.get(project_id) or self._line(project_id)
        if self._free <= 0 or line.running >= self.project_slots:
            return None
        self._free -= 1
        line.running += 1
        return Slot(self, line, 0.0)

    # for Calls: they were accepted already, so they take no place in the queue; their dispatcher asks for one at a time

    async def take_for(self, projects: Collection[str]) -> Slot:
        """Take a slot for a Call of one of these projects, the one whose turn it is; the slot says which.

        The collection may change meanwhile; ``look`` has to be called when something was added.
        """
        since = time.monotonic()
        slot = self.take_now_for(projects)
        if slot is not None:
            return slot
        turn = _Turn(asyncio.get_running_loop().create_future())
        self._call = turn, projects
        try:
            await turn.came
        except BaseException:
            if turn.line is None:
                self._call = None
            else:
                self._give(turn.line)  # the slot came in the same moment: pass it on
            raise
        assert turn.line is not None  # noqa: S101  it comes with the slot
        return Slot(self, turn.line, time.monotonic() - since)

    def take_now_for(self, projects: Collection[str]) -> Slot | None:
        """Take a slot for a Call of one of these projects, if one is free for any of them."""
        line = self._first(self._below_their_most(projects))
        if line is None or self._free <= 0:
            return None
        self._served += 1
        line.served = self._served  # where Calls follow each other, nobody waits here: they take turns all the same
        return self.take_now(line.project_id)

    def look(self) -> None:
        """Give free slots to Calls of projects that were added to what somebody waits with."""
        while self._free > 0 and self._next():
            self._free -= 1

    # within

    def _line(self, project_id: str) -> _Line:
        line = self._lines.get(project_id)
        if line is None:
            if len(self._lines) >= _LINES:
                busy = (line for line in self._lines.values() if line.running or line.turns or line.lent)
                self._lines = {line.project_id: line for line in busy}
            line = self._lines[project_id] = _Line(project_id)
        return line

    async def _lend(
        self,
        slot: Slot,
        line: _Line,
        work: Callable[[], Awaitable[None]],
        expires_at: float | None,
        bounded: bool,
    ) -> None:
        since = time.monotonic()
        self._give(line)
        left = max(self.queue, self.slots) - self._lent
        if bounded and (left <= 0 or line.lends > left):
            raise self._full(line, left > 0)
        self._lent += bounded
        line.lends += bounded
        line.lent += 1
        try:
            try:
                async with asyncio.timeout(None if expires_at is None else max(0.0, expires_at - since)):
                    await work()
            except TimeoutError:
                raise _too_late("start") from None
            back = time.monotonic()
            slot.lent_s += back - since
            if self.take_now(line.project_id) is None:
                await self._turn_of(line, 0, None if expires_at is None else max(0.0, expires_at - back), first=True)
            slot.waited_s += time.monotonic() - back
        finally:
            self._lent -= bounded
            line.lends -= bounded
            line.lent -= 1

    async def _turn_of(self, line: _Line, size: int, timeout_s: float | None, *, first: bool = False) -> None:
        turn = _Turn(asyncio.get_running_loop().create_future(), size)
        if first:
            line.turns.appendleft(turn)
        else:
            line.turns.append(turn)
        line.held += size
        self._waiting[line] = None
        self._waits += 1
        self._held += size
        try:
            if timeout_s is None:
                await turn.came
            else:
                async with asyncio.timeout(timeout_s):
                    await turn.came
        except BaseException as error:
            if turn.line is not None:
                self._give(line)  # the slot came in the same moment: pass it on
            elif turn in line.turns:
                self._leave(line, turn)
            if isinstance(error, TimeoutError):
                raise _too_late() from None
            raise

    def _leave(self, line: _Line, turn: _Turn) -> None:
        line.turns.remove(turn)  # mostly the first
        line.held -= turn.size
        if not line.turns:
            del self._waiting[line]
        self._waits -= 1
        self._held -= turn.size

    def _release(self, line: _Line, held_s: float) -> None:
        self._average_s += _WEIGHT * (held_s - self._average_s)
        self._give(line)

    def _give(self, line: _Line) -> None:
        """Take a slot back from a project, and give it to the next."""
        line.running -= 1
        if not (self._waiting or self._call) or not self._next():
            self._free += 1

    def _next(self) -> bool:
        """Give a slot to whose turn it is; False if there is nobody who may have it."""
        run = self._first(line for line in self._waiting if line.running < self.project_slots)
        if self._call is not None:
            turn, projects = self._call
            call = self._first(self._below_their_most(projects))
            if call is not None and (run is None or _before(call, run)):
                self._call = None
                self._serve(call, turn, is_call=True)
                return True
        if run is None:
            return False
        turn = run.turns[0]
        self._leave(run, turn)
        self._serve(run, turn, is_call=False)
        return True

    def _serve(self, line: _Line, turn: _Turn, *, is_call: bool) -> None:
        self._served += 1
        line.served = self._served
        line.call_last = is_call
        line.running += 1
        turn.line = line
        if not turn.came.done():  # else it was cancelled in this moment, and passes the slot on when it is told
            turn.came.set_result(None)

    @staticmethod
    def _first(lines: Iterable[_Line]) -> _Line | None:
        return min(lines, key=_rank, default=None)

    def _below_their_most(self, projects: Collection[str]) -> Iterator[_Line]:
        for line in map(self._line, projects):
            if line.running < self.project_slots:
                yield line

    # a full queue

    def _make_room(self, line: _Line, size: int) -> None:
        """Let the projects with most in the queue give way. Raises QueueFull if none has more than this one."""
        if len(line.turns) >= self.project_queue:
            raise self._full(line, self.project_queue < self.queue)
        if self._waits < self.queue and self._fits(self._held, size):
            return
        leaving: list[tuple[_Line, _Turn]] = []
        held, waits = self._held, self._waits
        for most in sorted(self._waiting, key=lambda other: (-len(other.turns), -other.held)):
            left = len(most.turns)
            for turn in reversed(most.turns):
                if waits < self.queue and self._fits(held, size):
                    break
                if left <= len(line.turns) + 1:  # it has no more than this project would have
                    break
                leaving.append((most, turn))
                left, held, waits = left - 1, held - turn.size, waits - 1
        if waits >= self.queue or not self._fits(held, size):
            raise self._full(line, False)
        for other, turn in leaving:
            self._leave(other, turn)
            if not turn.came.done():
                turn.came.set_exception(self._full(other, False))

    def _fits(self, held: int, size: int) -> bool:
        return held <= 0 or held + size <= self.queue_bytes

    def _full(self, line: _Line, of_project: bool) -> QueueFull:
        """Refuse; say when whoever asks now would have had a slot, at the pace of late and in this project's share."""
        share = min(self.project_slots, self.slots / len({line, *self._waiting}))
        after = max(_LEAST_RETRY_S, self._average_s * (len(line.turns) + 1) / share)
        waiting = len(line.turns) if of_project else self._waits
        whose = " of this project" if of_project else ""
        why = f"{waiting} runs{whose} wait for {self.slots} slots" if waiting else "Every slot is taken, none may wait"
        return QueueFull(
            f"{why}; nothing ran. Retry in {after:.1f} s.",
            subject="project_queue" if of_project else "queue",
            retry_after_s=after,
            metadata={"waiting": str(waiting), "slots": str(self.slots)},
        )


def _rank(line: _Line) -> tuple[int, int]:
    return line.running, line.served


def _before(call: _Line, run: _Line) -> bool:
    if call is run:
        return not call.call_last  # a project's Calls and what it waits for take turns
    return _rank(call) < _rank(run)


def _too_late(phase: str = "queue") -> DeadlineExceeded:
    why = {
        "queue": "before the run had a slot; nothing ran. Retry, or raise the server's `slots`.",
        "start": "while its runtime was being started; nothing ran. Retry: it is there by then.",
    }
    return DeadlineExceeded(f"The deadline passed {why[phase]}", reason=Reason.QUEUE_TIMEOUT, metadata={"phase": phase})
