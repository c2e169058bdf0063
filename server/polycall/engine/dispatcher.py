"""The dispatcher: takes Calls from the queue and runs them.

The executions table is the queue. A Call is claimed once a slot is held, so RUNNING means running; it runs in a slot of
the same admission as everything else, got in its project's turn, and is finished by a statement that is fenced on owner
and attempt. What is still running when the server stops is handed back, or ends as FAILED if it may not be started
again.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import random
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Protocol

from polycall.domain import Attempt, Execution, ExecutionError, ExecutionState, Reason, RetryPolicy, Usage, is_retryable
from polycall.engine.admission import Slot
from polycall.engine.beside import Beside
from polycall.engine.engine import Engine
from polycall.engine.live import LiveRun
from polycall.engine.preparation import Preparation, Prepared
from polycall.engine.running import CANCELLED, FAULT, LEASE_LOST, SHUT_DOWN, perform
from polycall.engine.siblings import ALONE, CallAccepted, Siblings
from polycall.errors import DeadlineExceeded, PolycallError, Unavailable
from polycall.ids import now_ms
from polycall.store.protocol import ExecutionStore, PolicyStore

__all__ = ["Dispatcher"]

_POLL_S = 1.0  # the bell is a hint; the queue is looked at this often anyway (durability, section 7)
_OUTPUT_EVERY_S = 1.0  # output of a running Call is stored at most this often
_RETRY_S = 0.2  # between attempts while the database is away
# After a claim that failed: a statement that was cut off may be committed until the database gives it up (30 s).
_UNCLEAR_S = 60.0
_EXACT_MS = 10_000  # a wait of at most that is timed, others are up to `_POLL_S` longer
_CONTENDED_S = 0.025  # after which what another server was claiming is looked at again; a claim takes some milliseconds
_TOO_LATE = ExecutionError(
    reason=Reason.EXECUTION_TIMEOUT, message="The deadline passed before a slot was free; nothing ran."
)

log = logging.getLogger(__name__)


class DispatcherStore(ExecutionStore, PolicyStore, Protocol):
    """What a dispatcher needs of the store."""


class Dispatcher:
    """Runs Calls, at most ``slots`` at once. ``node`` is the name of this boot of this server.

    ``entitled`` tells whether what is claimed now is this server's, as the others see it.
    """

    def __init__(
        self,
        engine: Engine,
        store: DispatcherStore,
        preparation: Preparation,
        *,
        slots: int,
        node: str,
        siblings: Siblings = ALONE,
        entitled: Callable[[], bool] = lambda: True,
    ) -> None:
        self._entitled = entitled
        self._forsaken: dict[uuid.UUID, int] = {}  # attempts that were stopped here, and not handed back yet
        self._refused: set[uuid.UUID] = set()  # ran here, and the store took no end of them
        self._unclear_until = 0.0  # time.monotonic: until then there may be claims that were not heard of
        self._siblings = siblings
        self._engine = engine
        self._store = store
        self._preparation = preparation
        self._slots = slots
        self._node = node
        self._bell = asyncio.Event()
        self._looking = asyncio.Event()
        self._claiming = asyncio.Lock()
        self._due: dict[str, int] = {}  # projects that have Calls in the queue, and how often they were heard of
        self._heard = 0
        self._limited: set[str] = set()  # projects that have limits: when something has ended, there may be room
        self._ask = 1  # how many to claim at once: more, as long as there are more
        self._running: dict[asyncio.Task[None], LiveRun] = {}
        self.retried = 0  # failures that are tried again, as their policy has it
        self.fenced = 0  # ends that were dropped: others had taken the executions over
        self._stopping = False
        self._closed = False
        self.unreleased = False  # `stop` could not hand back what is not finished
        self._accepting: set[uuid.UUID] = set()  # what is being accepted with a slot, and may be claimed by now
        self._heard_of_all = asyncio.Event()  # it is none
        self._heard_of_all.set()
        self._group: asyncio.TaskGroup | None = None  # while it runs
        self._context = contextvars.copy_context()
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
        """Claim nothing more, let what runs end, kill the rest: it goes back to the queue, or ends as FAILED."""
        self._stopping = True
        self._bell.set()
        async with self._claiming:  # what is being claimed now is still run
            await self._heard_of_all.wait()
            running = dict(self._running)
        if running:
            await asyncio.wait(running, timeout=grace_s)
        self._closed = True
        for live in running.values():
            live.stop(ExecutionState.FAILED, SHUT_DOWN)
        if running:
            await asyncio.wait(running)
        try:
            await self._store.release(self._node)
        except PolycallError as error:
            self.unreleased = True
            log.warning("unfinished calls go back to the queue by this server's lease, or its next start: %s", error)

    # claiming

    def _accepted(self, project_id: str) -> None:
        """Take note of a Call that was accepted here; where there is no slot for it, others may have one."""
        self.enqueued(project_id)
        admission = self._engine.admission
        if len(self._running) >= self._slots or admission.busy >= admission.slots:
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
        """Look at the queue of every project now: something was queued again."""
        self._looking.set()

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
                    self._start(group, execution, slots[execution.project_id].pop(), asked_at)
            for project_id in claimed.contended:
                asyncio.get_running_loop().call_later(_CONTENDED_S, self.enqueued, project_id)
            for project_id in [project_id for project_id, left in slots.items() if left]:
                if self._due.get(project_id, 0) <= heard:  # nothing was added meanwhile
                    self._due.pop(project_id, None)
            full = not any(slots.values())
            self._ask = 2 * asked if full else 1
            return bool(self._due)
        except Exception as error:
            self._unclear_until = time.monotonic() + _UNCLEAR_S
            _complain("cannot claim calls", error)
            return False
        finally:
            for slot in [slot for left in slots.values() for slot in left]:
                slot.release()

    @property
    def _room(self) -> int:
        return self._slots - len(self._running) - len(self._accepting)

    def _isolated(self) -> bool:
        # what was accepted on a better machine, or before the operator raised the floor, waits for better days
        return self._engine.isolation >= self._engine.isolation_floor

    def _start(self, group: asyncio.TaskGroup, execution: Execution, slot: Slot, asked_at: float) -> None:
        live = self._opened(execution)
        self._runs(group.create_task(self._one(live, slot, _on_monotonic(execution, asked_at))), live)

    def _opened(self, execution: Execution) -> LiveRun:
        usage = Usage(queue_us=max(0, now_ms() - execution.queued_at) * 1000)
        return self._engine.live.open(replace(execution, usage=usage, isolation=self._engine.isolation))

    def _runs(self, task: asyncio.Task[None], live: LiveRun) -> None:
        self._running[task] = live
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        live = self._running.pop(task)
        if live.execution.project_id in self._limited:
            self._accepted(live.execution.project_id)
        self._bell.set()

    # claiming what is accepted

    def _take(self, execution: Execution) -> asyncio.Future[Execution] | None:
        """Have a Call accepted, and claimed with that, if it could start now; None: it is to be queued.

        What is returned has the Call as ``Engine.accept`` returns it. It goes on if nobody waits for that.
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
        told = asyncio.get_running_loop().create_future()
        self._accepting.add(execution.id)
        self._heard_of_all.clear()
        # a task of the dispatcher's, which its run goes on in: the request it comes from may go away, and is no context
        self._group.create_task(self._taken(execution, slot, told), context=self._context.copy())
        return told

    async def _taken(self, execution: Execution, slot: Slot, told: asyncio.Future[Execution]) -> None:
        """Accept a Call, tell so, and run it if it was claimed."""
        live: LiveRun | None = None
        asked_at = time.monotonic()
        try:
            accepted = await self._store.accept(execution, owner=self._node)
            if accepted.claimed:
                live = self._opened(accepted.execution)
                task = asyncio.current_task()
                assert task is not None  # noqa: S101  coroutines run in tasks
                self._runs(task, live)
        except BaseException as error:
            if isinstance(error, Unavailable) or not isinstance(error, PolycallError):
                self._unclear_until = time.monotonic() + _UNCLEAR_S
            if isinstance(error, Exception):
                _tell(told, error)
                return
            told.cancel()  # this server ends
            raise
        finally:
            self._accepting.discard(execution.id)
            if not self._accepting:
                self._heard_of_all.set()
            if live is None:
                slot.release()
                self._bell.set()
        if live is None:
            _tell(told, accepted.execution)
            self._accepted(execution.project_id)
        else:
            _tell(told, execution)  # as it was accepted
            await self._one(live, slot, _on_monotonic(live.execution, asked_at))

    async def _watch(self) -> None:
        """Look at the queue; expire what waited too long; stop what another server was asked to cancel."""
        while True:
            try:
                for project_id in await self._store.due():
                    if project_id not in self._due:
                        self.enqueued(project_id)
                self._bell.set()  # also for what could not be claimed the last time
                if self._forsaken:
                    await self._store.release(self._node, forsaken := dict(self._forsaken))
                    self._forsaken = dict(self._forsaken.items() - forsaken.items())
                await self._unclaim()
                await self._store.expire(_TOO_LATE)
                for execution_id in await self._store.cancelled(self._node):
                    if (live := self._engine.live.find(execution_id)) is not None:
                        live.stop(ExecutionState.CANCELLED, CANCELLED)
            except Exception as error:
                _complain("cannot look after calls", error)
            self._looking.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_POLL_S):
                    await self._looking.wait()

    async def _unclaim(self) -> None:
        """Give back what was claimed without our knowledge. Raises Unavailable.

        A claim can be committed while its answer is lost with the connection. As long as this server lives nobody else
        would take these.
        """
        if time.monotonic() >= self._unclear_until:
            return
        async with self._claiming:  # what is claimed is known from here on
            known = {live.execution.id for live in self._engine.live.all()} | self._refused | self._accepting
            if count := await self._store.unclaim(self._node, tuple(known)):
                log.warning("gave back %d calls: the answer to their claim was lost", count)

    # one Call

    async def _one(self, live: LiveRun, slot: Slot, expires_at: float | None) -> None:
        stored: Execution | None = None
        output = Beside(partial(self._append_if_possible, live), _OUTPUT_EVERY_S)
        try:
            final = await self._ended(live, slot, expires_at)
            slot.release()
            await output.finish()  # what is being written must not be written twice
            if final.attempt < final.max_attempts:
                if final.error is SHUT_DOWN:
                    return  # `stop` hands it back
                if final.error is LEASE_LOST:
                    self._forsaken[final.id] = final.attempt  # if it is still ours once the database is back
                    return
            if final.error is not None and await self._tried_again(live, final, final.error):
                self.retried += 1
                return
            stored = await self._stored(live, final)
            if stored is not None and stored.completion_url is not None:
                self._engine.webhooks.on_due()
            await self._accompanied(final)
        finally:
            slot.release()
            await output.stop()
            self._engine.live.close(live, stored)

    async def _accompanied(self, final: Execution) -> None:
        companion = self._preparation.companions.get(final.face or "")
        if companion is not None:
            try:
                await companion.ended(final)
            except Exception as error:
                _complain(f"the companion of execution {final.id} did not take its end", error)

    async def _ended(self, live: LiveRun, slot: Slot, expires_at: float | None) -> Execution:
        """Run a Call; return it as it ended. Nothing it raises is known: that is a fault of ours, and its end too."""
        try:
            return await self._performed(live, slot, expires_at)
        except Exception:
            log.exception("execution %s failed", live.execution.id)
            return live.ended_as(ExecutionState.FAILED, FAULT)

    async def _performed(self, live: LiveRun, slot: Slot, expires_at: float | None) -> Execution:
        execution = live.execution
        if execution.cancel_requested:
            return live.ended_as(ExecutionState.CANCELLED, CANCELLED)
        if expires_at is not None and time.monotonic() >= expires_at:
            return live.ended_as(ExecutionState.TIMEOUT, _TOO_LATE)
        try:
            prepared = await self._prepared(live)
        except PolycallError as error:  # the package may be gone, or the operator's limits lower by now
            why = ExecutionError(reason=error.reason, message=error.message)
            return live.ended_as(ExecutionState.FAILED, why)
        live.execution = replace(live.execution, limits=prepared.limits)
        runner, job = self._engine.runner, prepared.job
        if not runner.ready(job):
            try:
                await live.unless_stopped(slot.lend(partial(runner.get_ready, job), expires_at, bounded=False))
            except DeadlineExceeded:
                return live.ended_as(ExecutionState.TIMEOUT, _TOO_LATE)
            usage = replace(live.execution.usage, start_us=int(slot.lent_s * 1e6))
            live.execution = replace(live.execution, usage=usage)
        return await perform(runner, live, job, expires_at)

    async def _prepared(self, live: LiveRun) -> Prepared:
        """Prepare, however long the database is away. Raises as ``Preparation.again``."""
        while True:
            try:
                return await self._preparation.again(live.execution)
            except Unavailable as error:
                if live.stopped is not None:
                    raise
                log.warning("cannot prepare execution %s: %s", live.execution.id, error)
                await asyncio.sleep(_RETRY_S)

    # trying again

    async def _tried_again(self, live: LiveRun, final: Execution, error: ExecutionError) -> bool:
        """Queue a Call again if its attempt failed and its policy, or its function's, lets it be tried again."""
        if live.stopped is not None or not is_retryable(error.reason):
            return False
        earlier = Attempt(
            number=final.attempt,
            started_at=final.started_at,
            ended_at=final.ended_at,
            error=replace(error, traceback=""),
        )
        again = replace(final, attempts=(*final.attempts, earlier))
        while True:
            try:
                policy = await self._policy(final)
                if policy is None or final.attempt >= policy.max_attempts or error.reason not in policy.reasons:
                    return False
                await self._append(live)  # an attempt that ends has all of its output; this one's is kept here
                wait_ms = policy.wait_ms(final.attempt, random.random())  # noqa: S311  no secret depends on it
                if not await self._store.retry(again, owner=self._node, wait_ms=wait_ms):
                    return False
            except Unavailable as unavailable:
                log.warning("cannot try execution %s again: %s", final.id, unavailable)
                if self._closed:
                    return True
                await asyncio.sleep(_RETRY_S)
            except Exception as problem:  # what cannot be kept of an attempt: it ends with what can be
                _complain(f"execution {final.id} cannot be tried again", problem)
                return False
            else:
                # a longer wait is seen to by the look at the queue: there may be a million of them, a day each
                if wait_ms <= _EXACT_MS:
                    asyncio.get_running_loop().call_later(wait_ms / 1000, self.enqueued, final.project_id)
                return True

    async def _policy(self, final: Execution) -> RetryPolicy | None:
        """Return what says how a Call is tried again. Raises Unavailable."""
        if final.retry is not None or final.face is not None:  # the vendors' contracts know no second run
            return final.retry
        return await self._store.find_retry(final.project_id, final.package_id or "", final.function or "")

    # what is stored of it

    async def _append_if_possible(self, live: LiveRun) -> None:
        """Store output while the run goes on, so that it can be read from anywhere."""
        with contextlib.suppress(Unavailable):
            await self._append(live)

    async def _append(self, live: LiveRun) -> None:
        """Store the output that is not stored yet. Raises Unavailable."""
        pieces = live.output[live.stored :]
        if not pieces:
            return
        try:
            await self._store.append_output(live.execution.id, live.execution.attempt, pieces)
        except Unavailable:
            raise
        except PolycallError as error:  # the end has the output as well
            log.error("output of execution %s is refused: %s", live.execution.id, error)
        live.stored += len(pieces)

    async def _stored(self, live: LiveRun, final: Execution) -> Execution | None:
        """Store an end and return it; None if it is not this server's any more, or cannot be stored."""
        bare = replace(final, state=ExecutionState.FAILED, error=FAULT, result=None, stdout=b"", stderr=b"")
        for execution in (final, bare):
            try:
                return execution if await self._finish(live, execution) else None
            except Exception as error:
                _complain(f"the end of execution {final.id} is refused", error)
        self._refused.add(final.id)
        return None

    async def _finish(self, live: LiveRun, execution: Execution) -> bool:
        """Write an end, however long the database is away; only the end of the drain stops the attempts."""
        while True:
            try:
                await self._append(live)
                if await self._store.finish(execution, owner=self._node):
                    return True
                self.fenced += 1
                log.warning("execution %s was finished by another server; this end is dropped", execution.id)
                return False
            except Unavailable as error:
                log.warning("cannot finish execution %s: %s", execution.id, error)
                if self._closed:
                    return False
                await asyncio.sleep(_RETRY_S)


def _tell(told: asyncio.Future[Execution], what: Execution | Exception) -> None:
    if told.done():  # whoever asked has gone away
        return
    if isinstance(what, Exception):
        told.set_exception(what)
    else:
        told.set_result(what)


def _complain(what: str, error: Exception) -> None:
    """Log: one line for what is foreseen, the traceback for a fault of ours."""
    log.log(
        logging.WARNING if isinstance(error, Unavailable) else logging.ERROR,
        "%s: %s",
        what,
        error,
        exc_info=not isinstance(error, PolycallError),
    )


def _on_monotonic(execution: Execution, asked_at: float) -> float | None:
    """Return when a Call is to end. By the database's clock it was claimed after ``asked_at``, whenever we heard."""
    if execution.deadline is None:
        return None
    claimed_at = execution.started_at if execution.started_at is not None else now_ms()
    return asked_at + (execution.deadline - claimed_at) / 1000
