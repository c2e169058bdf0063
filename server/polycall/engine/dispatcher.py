"""The dispatcher: takes Calls from the queue and runs them.

The executions table is the queue. A Call is claimed (RUNNING, owned by this node), run in a slot of the same admission
as everything else, and finished by a statement that is fenced on owner and attempt. What is still running when the
server stops is handed back or, at the next boot, recovered.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace

from polycall.domain import Execution, ExecutionError, ExecutionState, Reason, Usage
from polycall.engine.engine import Engine, stopped
from polycall.engine.live import LiveRun
from polycall.engine.preparation import Preparation, Prepared
from polycall.errors import PolycallError, Unavailable
from polycall.ids import now_ms
from polycall.store.protocol import ExecutionStore

__all__ = ["Dispatcher"]

_POLL_S = 1.0  # the bell is a hint; the queue is looked at this often anyway (durability, section 7)
_OUTPUT_EVERY_S = 1.0  # output of a running Call is stored at most this often
_RETRY_S = 0.2  # between attempts to write an end while the database is away
_CANCELLED = ExecutionError(reason=Reason.EXECUTION_CANCELLED, message="The execution was cancelled.")
_TOO_LATE = ExecutionError(
    reason=Reason.EXECUTION_TIMEOUT, message="The deadline passed before a slot was free; nothing ran."
)

log = logging.getLogger(__name__)


class Dispatcher:
    """Runs Calls, at most ``slots`` at once. ``node`` is the name of this boot of this server."""

    def __init__(
        self, engine: Engine, store: ExecutionStore, preparation: Preparation, *, slots: int, node: str
    ) -> None:
        self._engine = engine
        self._store = store
        self._preparation = preparation
        self._slots = slots
        self._node = node
        self._bell = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()
        self._stopping = False
        engine.on_enqueue = self._bell.set

    async def run(self) -> None:
        """Claim and run until ``stop``. Cancelling kills what runs."""
        async with asyncio.TaskGroup() as group:
            watch = group.create_task(self._watch())
            while not self._stopping:
                self._bell.clear()
                await self._claim(group)
                try:
                    async with asyncio.timeout(_POLL_S):
                        await self._bell.wait()
                except TimeoutError:
                    continue
            watch.cancel()

    async def stop(self, grace_s: float) -> None:
        """Claim nothing more, let what runs end, kill the rest and hand it back to the queue."""
        self._stopping = True
        self._bell.set()
        if self._running:
            await asyncio.wait(self._running, timeout=grace_s)
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)
        try:
            await self._store.release(self._node)
        except Unavailable:
            log.warning("the database is away: unfinished calls are recovered at the next start")

    async def _claim(self, group: asyncio.TaskGroup) -> None:
        free = self._slots - len(self._running)
        if free <= 0:
            return
        try:
            claimed = await self._store.claim(self._node, free)
        except Unavailable as error:
            log.warning("cannot claim calls: %s", error)
            return
        for execution in claimed:
            task = group.create_task(self._one(execution))
            self._running.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._bell.set()

    async def _watch(self) -> None:
        """Expire what waited too long; stop what another server was asked to cancel."""
        while True:
            await asyncio.sleep(_POLL_S)
            try:
                await self._store.expire(now_ms(), _TOO_LATE)
                for execution_id in await self._store.cancelled(self._node):
                    if (live := self._engine.live.find(execution_id)) is not None:
                        live.stop(ExecutionState.CANCELLED, _CANCELLED)
            except Unavailable as error:
                log.warning("cannot look after calls: %s", error)

    async def _one(self, execution: Execution) -> None:
        try:
            await self._perform(execution)
        except Exception:
            # one Call that goes wrong in an unforeseen way must not take the others down with the group
            log.exception("execution %s failed", execution.id)
            error = ExecutionError(reason=Reason.INTERNAL, message="Internal error; see the server's log.")
            await self._finish(replace(execution, state=ExecutionState.FAILED, ended_at=now_ms(), error=error))

    async def _perform(self, execution: Execution) -> None:
        if execution.cancel_requested:
            await self._finish(_unstarted(execution, ExecutionState.CANCELLED, _CANCELLED))
            return
        try:
            prepared = await self._preparation.again(execution)
        except PolycallError as error:
            why = ExecutionError(reason=error.reason, message=error.message)
            await self._finish(_unstarted(execution, ExecutionState.FAILED, why))
            return
        expires_at = _on_monotonic(execution.deadline)
        async with self._engine.admission.slot(project_id=execution.project_id, bounded=False) as waited_s:
            if expires_at is not None and time.monotonic() >= expires_at:
                await self._finish(_unstarted(execution, ExecutionState.TIMEOUT, _TOO_LATE))
                return
            await self._run(execution, prepared, waited_s, expires_at)

    async def _run(self, execution: Execution, prepared: Prepared, waited_s: float, expires_at: float | None) -> None:
        usage = Usage(queue_us=int(waited_s * 1e6) + (now_ms() - execution.queued_at) * 1000)
        running = replace(execution, usage=usage, limits=prepared.limits, isolation=self._engine.isolation)
        live = self._engine.live.open(running)
        pump = asyncio.create_task(self._pump(live))
        final = stopped(live, ExecutionState.FAILED, _CANCELLED)
        try:
            final = await self._engine.perform(live, prepared.job, expires_at=expires_at)
            pump.cancel()
            await asyncio.wait([pump])
            await self._append(live)
            await self._finish(final)
        finally:
            pump.cancel()
            await asyncio.wait([pump])
            self._engine.live.close(live, final)

    async def _pump(self, live: LiveRun) -> None:
        """Store output while the run goes on, so that it can be read from anywhere."""
        while True:
            await asyncio.sleep(_OUTPUT_EVERY_S)
            await self._append(live)

    async def _append(self, live: LiveRun) -> None:
        chunks = live.output[live.stored :]
        if not chunks:
            return
        try:
            await self._store.append_output(live.execution.id, live.execution.attempt, chunks)
            live.stored += len(chunks)
        except Unavailable as error:
            log.warning("cannot store output of %s: %s", live.execution.id, error)

    async def _finish(self, execution: Execution) -> None:
        """Write an end, however long the database is away; only being killed stops the attempts."""
        while True:
            try:
                if not await self._store.finish(execution, owner=self._node):
                    log.warning("execution %s was finished by another server; this end is dropped", execution.id)
                return
            except Unavailable as error:
                log.warning("cannot finish execution %s: %s", execution.id, error)
                await asyncio.sleep(_RETRY_S)


def _unstarted(execution: Execution, state: ExecutionState, error: ExecutionError) -> Execution:
    return replace(execution, state=state, ended_at=now_ms(), error=error)


def _on_monotonic(deadline: int | None) -> float | None:
    return None if deadline is None else time.monotonic() + (deadline - now_ms()) / 1000
