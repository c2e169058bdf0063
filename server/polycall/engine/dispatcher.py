"""The dispatcher: takes Calls from the queue and runs them.

The executions table is the queue. A Call is claimed once a slot is held, so RUNNING means running; it runs in a slot of
the same admission as everything else, got in its project's turn, and is finished by a statement that is fenced on owner
and attempt. What is still running when the server stops is handed back, or ends as FAILED if it may not be started
again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping

from polycall.domain import Execution, ExecutionState
from polycall.engine.accepting import Accepting
from polycall.engine.admission import Slot
from polycall.engine.calls import TOO_LATE, Calls
from polycall.engine.complaints import complain
from polycall.engine.engine import Engine
from polycall.engine.finishing import Finishing
from polycall.engine.live import LiveRun
from polycall.engine.preparation import Preparation
from polycall.engine.retries import Retries, RetryStore
from polycall.engine.running import CANCELLED, SHUT_DOWN
from polycall.engine.siblings import ALONE, CallAccepted, Siblings
from polycall.errors import PolycallError

__all__ = ["Dispatcher"]

_POLL_S = 1.0  # the bell is a hint; the queue is looked at this often anyway (durability, section 7)
# After a claim that failed: a statement that was cut off may be committed until the database gives it up (30 s).
_UNCLEAR_S = 60.0
_KILL_S = 10.0  # how long a stop waits for kills and the ends of what is killed; the sandbox gives each process 2 s
_CANCEL_S = 5.0  # and then for what did not end by that, once it is cancelled: its process is killed again
_CONTENDED_S = 0.025  # after which what another server was claiming is looked at again; a claim takes some milliseconds

log = logging.getLogger(__name__)


class Dispatcher:
    """Runs Calls, at most ``slots`` at once. ``node`` is the name of this boot of this server.

    ``entitled`` tells whether what is claimed now is this server's, as the others see it.
    """

    def __init__(
        self,
        engine: Engine,
        store: RetryStore,
        preparation: Preparation,
        *,
        slots: int,
        node: str,
        siblings: Siblings = ALONE,
        entitled: Callable[[], bool] = lambda: True,
    ) -> None:
        self._entitled = entitled
        self._unclear_until = 0.0  # time.monotonic: until then there may be claims that were not heard of
        self._siblings = siblings
        self._engine = engine
        self._store = store
        self._node = node
        self._bell = asyncio.Event()
        self._looking = asyncio.Event()
        self._claiming = asyncio.Lock()
        self._due: dict[str, int] = {}  # projects that have Calls in the queue, and how often they were heard of
        self._heard = 0
        self._limited: set[str] = set()  # projects that have limits: when something has ended, there may be room
        self._ask = 1  # how many to claim at once: more, as long as there are more
        self._stopping = False
        self._left: set[asyncio.Task[None]] = set()  # what `stop` does not wait for any more
        self.unreleased = False  # `stop` could not hand back what is not finished
        self._group: asyncio.TaskGroup | None = None  # while it runs
        self.finishing = Finishing(store, node)
        self.retries = Retries(store, node, self.finishing, self.enqueued)
        self._calls = Calls(engine, preparation, self.finishing, self.retries, slots=slots, over=self._over)
        self._accepting = Accepting(
            store, self._calls, node, unclear=self._unclear, queued=self._accepted, freed=self._bell.set
        )
        engine.on_enqueue = self._accepted
        engine.take = self._take

    async def run(self) -> None:
        """Claim and run until ``stop``. Cancelling kills what runs; its rows are recovered at the next start."""
        if not self._isolated():
            log.warning("calls stay in the queue: the isolation level of this machine is below the floor")
        async with asyncio.TaskGroup() as group:
            watch = group.create_task(self._watch())
            self._group = group
            try:
                while not self._stopping:
                    self._bell.clear()
                    if not await self._claim(group):
                        await self._bell.wait()
            finally:
                self._group = None
            watch.cancel()

    async def stop(self, grace_s: float) -> None:
        """Claim nothing more, let what runs end, kill the rest: it goes back to the queue, or ends as FAILED.

        What does not end even so is not waited for, and not handed back while it may go on: it goes back to the queue
        by this server's lease, or at its next start.
        """
        self._stopping = True
        self._bell.set()
        async with self._claiming:  # what is being claimed now is still run
            await self._accepting.heard_of_all()
            running = {task: live for task, live in self._calls.running.items() if task not in self._left}
        if running:
            await asyncio.wait(running, timeout=grace_s)
        self.finishing.closed = True
        for live in running.values():
            live.stop(ExecutionState.FAILED, SHUT_DOWN)
        self._left |= await _without_end(running)
        self.unreleased = bool(self._left)
        try:
            await self._store.release(self._node, _attempts(running, self._left) if self._left else None)
        except PolycallError as error:
            self.unreleased = True
            log.warning("unfinished calls go back to the queue by this server's lease, or its next start: %s", error)

    # claiming

    def _accepted(self, project_id: str) -> None:
        """Take note of a Call that was accepted here; where there is no slot for it, others may have one."""
        self.enqueued(project_id)
        admission = self._engine.admission
        if self._calls.room <= 0 or admission.busy >= admission.slots:
            self._siblings.hint(CallAccepted(project_id))

    def enqueued(self, project_id: str) -> None:
        """Take note that a project has Calls in the queue."""
        known = project_id in self._due
        self._heard += 1
        self._due[project_id] = self._heard
        self._bell.set()
        if not known:
            self._engine.admission.look()

    def look(self) -> None:
        """Look at the queue of every project now: something was queued again, or has ended."""
        self._looking.set()
        self._engine.ends.some_ended()

    async def _claim(self, group: asyncio.TaskGroup) -> bool:
        """Claim as many as there are slots for; tells whether there may be more."""
        if self._room <= 0 or not self._due or not self._isolated() or not self._entitled():
            return False
        admission = self._engine.admission
        slots = defaultdict[str, list[Slot]](list)
        try:
            slot: Slot | None = await admission.take_for(self._due)
            asked = 0
            while slot is not None:
                slots[slot.project_id].append(slot)
                asked += 1
                more = asked < min(self._ask, self._room)
                slot = admission.take_now_for(self._due) if more else None
            async with self._claiming:
                if self._stopping:
                    return False
                heard = self._heard
                asked_at = time.monotonic()
                claimed = await self._store.claim(self._node, Counter({p: len(s) for p, s in slots.items()}))
                self._limited = (self._limited - slots.keys()) | claimed.limited
                for execution in claimed:
                    self._calls.start(group, execution, slots[execution.project_id].pop(), asked_at)
            for project_id in claimed.contended:
                asyncio.get_running_loop().call_later(_CONTENDED_S, self.enqueued, project_id)
            for project_id in [project_id for project_id, left in slots.items() if left]:
                if self._due.get(project_id, 0) <= heard:  # nothing was added meanwhile
                    self._due.pop(project_id, None)
            full = not any(slots.values())
            self._ask = 2 * asked if full else 1
            return bool(self._due)
        except Exception as error:
            self._unclear()
            complain(log, "cannot claim calls", error)
            return False
        finally:
            for slot in [slot for left in slots.values() for slot in left]:
                slot.release()

    @property
    def _room(self) -> int:
        return self._calls.room - len(self._accepting)

    def _isolated(self) -> bool:
        # what was accepted on a better machine, or before the operator raised the floor, waits for better days
        return self._engine.isolation >= self._engine.isolation_floor

    # claiming what is accepted

    def _take(self, execution: Execution) -> asyncio.Future[Execution] | None:
        """Have a Call accepted, and claimed with that, if it could start now; None: it is to be queued.

        Returns as ``Accepting.begin``.
        """
        if (
            self._stopping  # which has counted what it waits for
            or self._group is None
            or self._room <= 0
            or self._due  # they come first, whoever's they are
            or execution.project_id in self._limited
            or time.monotonic() < self._unclear_until  # what is not known of is given back meanwhile
            or not self._isolated()
            or not self._entitled()
        ):
            return None
        slot = self._engine.admission.take_now_for((execution.project_id,))
        if slot is None:
            return None
        return self._accepting.begin(self._group, execution, slot)

    def _over(self, project_id: str) -> None:
        """Take note that a Call's task is done: there is room for another one."""
        if project_id in self._limited:
            self._accepted(project_id)
        self._bell.set()

    def _unclear(self) -> None:
        """Take note that there may be a claim that was not heard of."""
        self._unclear_until = time.monotonic() + _UNCLEAR_S

    # looking after what is queued, claimed and running

    async def _watch(self) -> None:
        """Look at the queue; expire what waited too long; stop what another server was asked to cancel."""
        while True:
            try:
                for project_id in await self._store.due():
                    if project_id not in self._due:
                        self.enqueued(project_id)
                self._bell.set()  # also for what could not be claimed the last time
                await self._give_back()
                await self._unclaim()
                if await self._store.expire(TOO_LATE):
                    self._engine.ends.some_ended()
                for execution_id in await self._store.cancelled(self._node):
                    if (live := self._engine.live.find(execution_id)) is not None:
                        live.stop(ExecutionState.CANCELLED, CANCELLED)
            except Exception as error:
                complain(log, "cannot look after calls", error)
            self._looking.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_POLL_S):
                    await self._looking.wait()

    async def _give_back(self) -> None:
        """Queue again what was stopped here because its lease was lost, if it is still ours. Raises Unavailable."""
        if forsaken := dict(self._calls.forsaken):
            await self._store.release(self._node, forsaken)
            self._calls.forsaken = dict(self._calls.forsaken.items() - forsaken.items())

    async def _unclaim(self) -> None:
        """Give back what was claimed without our knowledge. Raises Unavailable.

        A claim can be committed while its answer is lost with the connection. As long as this server lives nobody else
        would take these.
        """
        if time.monotonic() >= self._unclear_until:
            return
        async with self._claiming:  # what is claimed is known from here on
            running = {live.execution.id for live in self._engine.live.all()}
            known = running | self.finishing.refused | self._accepting.ids
            if count := await self._store.unclaim(self._node, tuple(known)):
                log.warning("gave back %d calls: the answer to their claim was lost", count)


async def _without_end(running: Mapping[asyncio.Task[None], LiveRun]) -> set[asyncio.Task[None]]:
    """Wait for runs that were told to stop, cancel those that go on, and return those that go on after that."""
    if not running:
        return set()
    _, left = await asyncio.wait(running, timeout=_KILL_S)
    if not left:
        return left
    for task in left:
        log.error("execution %s did not end within %g s of its kill", running[task].execution.id, _KILL_S)
        task.cancel()
    _, left = await asyncio.wait(left, timeout=_CANCEL_S)
    for task in left:
        log.error("execution %s does not end; its lease is left to lapse", running[task].execution.id)
    return left


def _attempts(
    running: Mapping[asyncio.Task[None], LiveRun], left: Collection[asyncio.Task[None]]
) -> Mapping[uuid.UUID, int]:
    """Return the attempts of the runs that are not left."""
    over = [live.execution for task, live in running.items() if task not in left]
    return {execution.id: execution.attempt for execution in over}
