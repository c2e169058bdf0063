"""The Calls that run here: each from its claim to its end in the store, or back to the queue."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from polycall.domain import Execution, ExecutionError, ExecutionState, Reason, Usage
from polycall.engine.admission import Slot
from polycall.engine.beside import Beside
from polycall.engine.complaints import complain
from polycall.engine.engine import Engine
from polycall.engine.finishing import RETRY_S, Finishing
from polycall.engine.live import LiveRun
from polycall.engine.preparation import Preparation, Prepared
from polycall.engine.retries import Retries
from polycall.engine.running import CANCELLED, FAULT, LEASE_LOST, SHUT_DOWN, perform
from polycall.errors import DeadlineExceeded, PolycallError, Unavailable
from polycall.ids import now_ms

__all__ = ["TOO_LATE", "Calls"]

_OUTPUT_EVERY_S = 1.0  # output of a running Call is stored at most this often

TOO_LATE = ExecutionError(
    reason=Reason.EXECUTION_TIMEOUT, message="The deadline passed before a slot was free; nothing ran."
)

log = logging.getLogger(__name__)


class Calls:
    """Runs Calls that were claimed, at most ``slots`` at once. ``over``: what is done when one of a project is."""

    def __init__(
        self,
        engine: Engine,
        preparation: Preparation,
        finishing: Finishing,
        retries: Retries,
        *,
        slots: int,
        over: Callable[[str], None],
    ) -> None:
        self._engine = engine
        self._preparation = preparation
        self._finishing = finishing
        self._retries = retries
        self._slots = slots
        self._over = over
        self._running: dict[asyncio.Task[None], LiveRun] = {}
        self.forsaken: dict[uuid.UUID, int] = {}  # attempts that were stopped here, and not handed back yet

    @property
    def room(self) -> int:
        """How many more may run."""
        return self._slots - len(self._running)

    @property
    def running(self) -> dict[asyncio.Task[None], LiveRun]:
        """What runs now, by the tasks that see to it."""
        return dict(self._running)

    def start(self, group: asyncio.TaskGroup, execution: Execution, slot: Slot, asked_at: float) -> None:
        """Run a Call in a task of its own, as ``run`` does."""
        live = self.open(execution)
        self.keep(live, group.create_task(self.run(live, slot, asked_at)))

    def open(self, execution: Execution) -> LiveRun:
        """Return the run of a Call that was claimed."""
        usage = Usage(queue_us=max(0, now_ms() - execution.queued_at) * 1000)
        return self._engine.live.open(replace(execution, usage=usage, isolation=self._engine.isolation))

    def keep(self, live: LiveRun, task: asyncio.Task[None]) -> None:
        """Count a run among those that run now, until its task is done."""
        self._running[task] = live
        task.add_done_callback(self._done)

    async def run(self, live: LiveRun, slot: Slot, asked_at: float) -> None:
        """Run a Call that was claimed after ``asked_at`` (``time.monotonic``), and see it to its end."""
        stored: Execution | None = None
        output = Beside(partial(self._finishing.append_if_possible, live), _OUTPUT_EVERY_S)
        try:
            final = await self._ended(live, slot, _on_monotonic(live.execution, asked_at))
            slot.release()
            await output.finish()  # what is being written must not be written twice
            if final.attempt < final.max_attempts:
                if final.error is SHUT_DOWN:
                    return  # `stop` hands it back
                if final.error is LEASE_LOST:
                    self.forsaken[final.id] = final.attempt  # if it is still ours once the database is back
                    return
            if final.error is not None and await self._retries.again(live, final, final.error):
                return
            stored = await self._finishing.finish(live, final)
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
                complain(log, f"the companion of execution {final.id} did not take its end", error)

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
            return live.ended_as(ExecutionState.TIMEOUT, TOO_LATE)
        try:
            prepared = await live.unless_stopped(self._prepared(execution))
        except PolycallError as error:  # the package may be gone, or the operator's limits lower by now
            why = ExecutionError(reason=error.reason, message=error.message)
            return live.ended_as(ExecutionState.FAILED, why)
        if live.stopped is not None or prepared is None:
            return live.ended_as(*(live.stopped or (ExecutionState.FAILED, FAULT)))
        live.execution = replace(live.execution, limits=prepared.limits)
        runner, job = self._engine.runner, prepared.job
        if not runner.ready(job):
            try:
                await live.unless_stopped(slot.lend(partial(runner.get_ready, job), expires_at, bounded=False))
            except DeadlineExceeded:
                return live.ended_as(ExecutionState.TIMEOUT, TOO_LATE)
            usage = replace(live.execution.usage, start_us=int(slot.lent_s * 1e6))
            live.execution = replace(live.execution, usage=usage)
        return await perform(runner, live, job, expires_at)

    async def _prepared(self, execution: Execution) -> Prepared:
        """Prepare, however long the database is away. Raises as ``Preparation.again``, other than Unavailable."""
        while True:
            try:
                return await self._preparation.again(execution)
            except Unavailable as error:
                log.warning("cannot prepare execution %s: %s", execution.id, error)
                await asyncio.sleep(RETRY_S)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._over(self._running.pop(task).execution.project_id)


def _on_monotonic(execution: Execution, asked_at: float) -> float | None:
    """Return when a Call is to end. By the database's clock it was claimed after ``asked_at``, whenever we heard."""
    if execution.deadline is None:
        return None
    claimed_at = execution.started_at if execution.started_at is not None else now_ms()
    return asked_at + (execution.deadline - claimed_at) / 1000
