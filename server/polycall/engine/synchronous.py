"""Executions that somebody waits for: a slot, a run, and a record, one at most, whatever happens."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TypeAlias

from polycall.domain import Execution, ExecutionKind, ExecutionState, Reason, Usage
from polycall.engine.admission import Admission
from polycall.engine.live import LiveRun, LiveRuns
from polycall.engine.recording import ALL, Recording
from polycall.engine.repeats import Repeats
from polycall.engine.requests import RunOptions
from polycall.engine.running import CLIENT_GONE, FAULT, SHUT_DOWN, perform
from polycall.errors import DeadlineExceeded, Unavailable
from polycall.ids import new_id, now_ms
from polycall.sandbox.job import Job, Runner
from polycall.store.protocol import ExecutionStore

__all__ = ["Synchronous", "shutting_down"]

# A run is stopped this much before its caller's deadline, so that the answer still gets out: a tenth of the time that
# is left, and never more than it takes to kill a large process tree on a busy machine.
_ANSWER_SHARE, _ANSWER_MOST_S = 0.1, 0.1
_VISIBLE_AFTER_S = 1.0  # a run that lasts longer is recorded as RUNNING (durability: visible after 1 s)
_KILL_S = 10.0  # how long a drain waits for kills; the sandbox gives each process 2 s

_FIRST_POLL_S, _POLL_S = 0.005, 0.1  # how often a run of another process is looked at

# Makes an execution of its request from what has become of it so far, as keywords of Execution: id, state, times.
Make: TypeAlias = Callable[..., Execution]

log = logging.getLogger(__name__)


class RequestTaken(Exception):
    """Raised when a request id is another execution's already."""


class Synchronous:
    """Runs jobs while their callers wait; a caller that is cancelled has its run killed first.

    ``node`` owns the runs. ``shared``: other processes may be asked for the same executions, and get the same requests.
    """

    def __init__(
        self,
        runner: Runner,
        store: ExecutionStore,
        live: LiveRuns,
        admission: Admission,
        *,
        node: str = "",
        shared: bool = False,
        recording: Recording = ALL,
    ) -> None:
        self._recording = recording
        self._keeps_everything = recording.everything
        self._runner = runner
        self._store = store
        self._live = live
        self._admission = admission
        self._node = node or None
        self._shared = shared
        self._repeats = Repeats()
        self._under_way = 0  # those that wait for a slot included
        self._idle: asyncio.Event | None = None  # somebody waits until there are none
        self._closed = False

    def once(self, project_id: str, make: Make, job: Job, options: RunOptions) -> Awaitable[Execution]:
        """Return, to be awaited, a run's execution as it ended, or the answer that its request id has already.

        Raises QueueFull, DeadlineExceeded (the caller's deadline), Unavailable (the drain is over).
        """
        if options.request_id is None:
            return self.run(project_id, make, job, options)
        key = (project_id, options.request_id)
        return self._repeats(key, lambda: self._unless_answered(key, make, job, options))

    async def run(
        self,
        project_id: str,
        make: Make,
        job: Job,
        options: RunOptions,
        opened: Callable[[LiveRun], None] | None = None,
        *,
        reserve: bool = False,
    ) -> Execution:
        """Run, whatever the request id; ``opened`` is told of the run once it has a slot. Raises as ``once``.

        ``reserve``: raises RequestTaken if another process has begun to run this request id.
        """
        self._under_way += 1
        try:
            execution_id, queued_at = options.execution_id or new_id(), now_ms()
            expires_at = _before(options.expires_at) if options.expires_at is not None else None
            started_at = queued_at
            slot = self._admission.take_now(project_id) if expires_at is None else None
            if slot is None:
                slot = await self._admission.take(expires_at, project_id=project_id, size=_held(job))
                started_at = now_ms()
            try:
                if not self._runner.ready(job):
                    await slot.lend(partial(self._runner.get_ready, job), expires_at)
                    started_at = now_ms()
                if self._closed:
                    raise shutting_down()
                execution = make(
                    id=execution_id,
                    state=ExecutionState.RUNNING,
                    queued_at=queued_at,
                    started_at=started_at,
                    attempt=1,
                    usage=Usage(queue_us=int(slot.waited_s * 1e6), start_us=int(slot.lent_s * 1e6)),
                    isolation=self._runner.isolation,
                    owner=self._node,
                )
                if reserve:
                    kept = await self._store.reserve(execution)
                    if kept is None or kept.id != execution_id:
                        raise RequestTaken
                live = self._live.open(execution)
                if opened is not None:
                    opened(live)
                return await self._recorded(live, job, expires_at)
            finally:
                slot.release()
        finally:
            self._under_way -= 1
            if self._under_way == 0 and self._idle is not None:
                self._idle.set()

    async def drain(self, grace_s: float) -> None:
        """Give what runs and what waits its time, then kill it and refuse all. Harmless twice."""
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self._ended()
        self._closed = True  # what still waits for a slot is refused when it gets one
        for live in self._live.all():
            if live.execution.kind is ExecutionKind.SYNC:
                live.stop(ExecutionState.FAILED, SHUT_DOWN)
        try:
            async with asyncio.timeout(_KILL_S):
                await self._ended()
        except TimeoutError:
            log.error("%d executions did not end when they were killed", self._under_way)

    async def _ended(self) -> None:
        """Wait until nothing is under way."""
        self._idle = self._idle or asyncio.Event()
        while self._under_way:
            self._idle.clear()
            await self._idle.wait()

    async def _unless_answered(self, key: tuple[str, str], make: Make, job: Job, options: RunOptions) -> Execution:
        pause_s = _FIRST_POLL_S
        while True:
            earlier = await self._store.find_request(*key)
            if earlier is None:
                try:
                    return await self.run(key[0], make, job, options, reserve=self._shared)
                except RequestTaken:
                    continue
            if earlier.state.final or not self._shared:
                return earlier
            # another process runs it; if it ends without an answer, the id is free again
            left_s = _POLL_S if options.expires_at is None else options.expires_at - time.monotonic()
            if left_s <= 0:
                raise _late(earlier, "run")
            await asyncio.sleep(min(pause_s, left_s))
            pause_s = min(_POLL_S, pause_s * 2)

    async def _recorded(self, live: LiveRun, job: Job, expires_at: float | None) -> Execution:
        loop = asyncio.get_running_loop()
        # what is not kept is not shown before its end either, unless somebody asks for it (``LiveRun.shown``)
        visible = loop.call_later(_VISIBLE_AFTER_S, self._show, live) if self._keeps_everything else None
        final: Execution | None = None
        answered = False
        try:
            final = await perform(self._runner, live, job, expires_at)
            if live.late:
                raise _late(final, live.late, kept=live.shown or self._recording.keeps(final))
            answered = True
            return final
        except asyncio.CancelledError:
            live.stop(ExecutionState.CANCELLED, CLIENT_GONE)
            raise
        finally:
            if visible is not None:
                visible.cancel()
            if final is None:
                final = live.ended_as(*(live.stopped or (ExecutionState.FAILED, FAULT)))
            if self._keeps_everything or live.shown or self._recording.keeps(final):
                # a request id stands for an answer: where there was none, a repeat runs (AIP-155)
                self._store.record(final if answered else replace(final, request_id=None))
            self._live.close(live, final)

    def _show(self, live: LiveRun) -> None:
        live.shown = True
        self._store.record(live.execution)


def shutting_down() -> Unavailable:
    """Return what new work is refused with during the drain."""
    return Unavailable("This server is shutting down; nothing ran. Retry: another one, or its successor, answers.")


def _held(job: Job) -> int:
    """Return how many bytes of its request a job holds in memory while it waits."""
    told = len(job.payload) + len(job.stdin) + len(job.context) + len(job.adapter_options)
    return told + sum(len(file.data) for file in job.files) if job.files else told


def _before(expires_at: float) -> float:
    """Return when to stop so that a caller's deadline is met."""
    left_s = max(0.0, expires_at - time.monotonic())
    return expires_at - min(_ANSWER_MOST_S, left_s * _ANSWER_SHARE)


def _late(execution: Execution, phase: str, *, kept: bool = True) -> DeadlineExceeded:
    ran_s = ((execution.ended_at or now_ms()) - (execution.started_at or 0)) / 1000
    where = f"Output so far is in executions/{execution.id}" if kept else "This server keeps no record of it"
    return DeadlineExceeded(
        f"Execution stopped after {ran_s:.2f} s: the caller's deadline. {where}; raise the deadline, or use Call.",
        reason=Reason.EXECUTION_TIMEOUT,
        metadata={"phase": phase, "execution": f"executions/{execution.id}"},
    )
