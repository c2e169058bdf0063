"""Who waits for the ends of executions that do not run here, and how they hear of them.

What begins or ends in this process wakes who waits here. Servers say to each other what is waited for with them, and
whoever ends it says so: what nobody waits for is told to nobody. Either may be lost, so all that is waited for here is
looked at in the database every few seconds, in one query.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
import uuid
from collections import OrderedDict
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice

from polycall.engine.complaints import complain
from polycall.engine.siblings import EndsAwaited, ExecutionsEnded, Siblings
from polycall.engine.tasks import end
from polycall.store.protocol import ExecutionStore

__all__ = ["Ends", "Listener"]

_LOOK_S = 5.0  # how long an end is unseen whose news was lost; give or take a fifth, or all servers would look at once
_JITTER = 0.2
_SAY_S = 0.005  # what begins to be waited for within so long is said together; much of it runs here by then, or is over
_NAMED = 100  # ids in one notice, 4 KB; PostgreSQL takes 8
_LOOKED_AT = 500  # ids in one statement; SQLite of old takes 999 values
_AWAITED_S = 3 * _LOOK_S  # whoever still waits says so at every look
_MOST = 10_000  # ids that others wait for, and ends that somebody may still ask for; beyond them the look has to do

log = logging.getLogger(__name__)


class Listener:
    """Hears of one execution. ``ended``: it has heard that this has ended, which the database may show later."""

    __slots__ = ("_came", "ended")

    def __init__(self) -> None:
        self._came = asyncio.Event()
        self.ended = False

    def come(self, *, ended: bool) -> None:
        """Wake who waits."""
        self.ended = self.ended or ended
        self._came.set()

    async def wait(self, timeout_s: float) -> None:
        """Return once there is news that was not waited for, at once if it has come already, or after a while."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._came.wait()
        self._came.clear()


class Ends:
    """Wakes who waits for executions, wherever these run."""

    def __init__(self, store: ExecutionStore, siblings: Siblings) -> None:
        self._store = store
        self._siblings = siblings
        self.here: dict[uuid.UUID, set[Listener]] = {}  # what is waited for in this process
        self.elsewhere: OrderedDict[uuid.UUID, float] = OrderedDict()  # in others, until when (time.monotonic)
        self._lately: OrderedDict[uuid.UUID, None] = OrderedDict()  # ended here: others may not have asked yet
        self._unsaid: set[uuid.UUID] = set()
        self._saying: asyncio.TimerHandle | None = None
        self._now = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None
        self.closed = False

    @contextmanager
    def listening(self, execution_id: uuid.UUID) -> Iterator[Listener]:
        """Hear of an execution from now on: whoever reads it after this misses nothing."""
        listener = Listener()
        self.here.setdefault(execution_id, set()).add(listener)
        if self._looking is None and not self.closed:
            self._looking = asyncio.get_running_loop().create_task(self._look_at_all())
        if self._siblings.some:
            self._unsaid.add(execution_id)
            if self._saying is None:
                self._saying = asyncio.get_running_loop().call_later(_SAY_S, self._say)
        try:
            yield listener
        finally:
            waiting = self.here[execution_id]
            waiting.discard(listener)
            if not waiting:
                del self.here[execution_id]

    def began(self, execution_id: uuid.UUID) -> None:
        """Take note of one that runs here now."""
        self._wake(execution_id, ended=False)

    def ended(self, execution_id: uuid.UUID) -> None:
        """Take note of one that has ended here, once that can be read here."""
        self._wake(execution_id, ended=True)
        if not self._siblings.some:
            return
        if self._awaited_elsewhere().pop(execution_id, None) is not None:
            self._siblings.hint(ExecutionsEnded((execution_id,)))
        self._lately[execution_id] = None
        if len(self._lately) > _MOST:
            self._lately.popitem(last=False)

    def some_ended(self) -> None:
        """Take note that some have ended, and nobody knows which."""
        self.look()
        if self._awaited_elsewhere():
            self._siblings.hint(ExecutionsEnded(()))

    def look(self) -> None:
        """Look at all that is waited for here now: ends may have been missed."""
        if self.here:
            self._now.set()

    # what others say

    def asked(self, ids: Collection[uuid.UUID]) -> None:
        """Take note of what is waited for in another process."""
        over = tuple(execution_id for execution_id in ids if execution_id in self._lately)
        if over:
            self._siblings.hint(ExecutionsEnded(over))
        until = time.monotonic() + _AWAITED_S
        awaited = self._awaited_elsewhere()
        for execution_id in ids:
            if execution_id not in self._lately and (execution_id in awaited or len(awaited) < _MOST):
                awaited[execution_id] = until
                awaited.move_to_end(execution_id)

    def heard(self, ids: Collection[uuid.UUID]) -> None:
        """Take note of what has ended in another process; (): of some that it cannot name."""
        for execution_id in ids:
            self._wake(execution_id, ended=True)
        if not ids:
            self.look()

    async def close(self) -> None:
        """Wake all who wait here, for the last time: this server ends. Harmless twice."""
        self.closed = True
        for execution_id in tuple(self.here):
            self._wake(execution_id, ended=False)
        if self._saying is not None:
            self._saying.cancel()
        if self._looking is not None:
            await end(self._looking)

    # within

    def _wake(self, execution_id: uuid.UUID, *, ended: bool) -> None:
        for listener in self.here.get(execution_id, ()):
            listener.come(ended=ended)

    def _awaited_elsewhere(self) -> OrderedDict[uuid.UUID, float]:
        """Return what others wait for, without what they have not asked for in a while."""
        awaited, now = self.elsewhere, time.monotonic()
        while awaited and next(iter(awaited.values())) <= now:
            awaited.popitem(last=False)
        return awaited

    def _say(self) -> None:
        """Say to the others what is waited for here."""
        self._saying = None
        for ids in _in_pieces([of for of in self._unsaid if of in self.here], _NAMED):
            self._siblings.hint(EndsAwaited(ids))
        self._unsaid.clear()

    async def _look_at_all(self) -> None:
        """Look for ends whose news was lost, as long as anything is waited for."""
        while self.here:
            pause_s = _LOOK_S * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311  no secret depends on it
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._now.wait()
            self._now.clear()
            try:
                for ids in _in_pieces(tuple(self.here), _LOOKED_AT):
                    for execution_id in await self._store.ended(ids):
                        self._wake(execution_id, ended=True)
            except Exception as error:
                complain(log, "cannot look after executions that are waited for", error)
            if self._siblings.some:  # also to those who have come meanwhile
                self._unsaid.update(self.here)
                self._say()
        self._looking = None


def _in_pieces(ids: Sequence[uuid.UUID], most: int) -> Iterator[tuple[uuid.UUID, ...]]:
    rest = iter(ids)
    while piece := tuple(islice(rest, most)):
        yield piece
