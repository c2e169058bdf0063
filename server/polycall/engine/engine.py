"""The verbs: execute, run, call; each makes an execution.

One engine, whoever asks: services and faces are thin coats over it. A synchronous execution is killed when its caller
goes away; a Call outlives caller and server. Whatever happens to an execution, it gets one record: a synchronous one
if the operator wants it kept (``Recording``), and by default it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import Protocol

from polycall.domain import Execution, ExecutionKind, IsolationLevel, Principal, Scope
from polycall.engine.admission import Admission
from polycall.engine.backlog import Backlog
from polycall.engine.checks import check_json
from polycall.engine.ends import Ends
from polycall.engine.executions import Executions
from polycall.engine.floor import Floor
from polycall.engine.following import Following
from polycall.engine.keys import KeyRing, require
from polycall.engine.limits import LimitPolicy
from polycall.engine.live import Finished, LiveRun, LiveRuns, StreamEvent
from polycall.engine.making import made, queued
from polycall.engine.objects import Objects
from polycall.engine.policies import Policies, PoliciesStore
from polycall.engine.preparation import Preparation, Prepared
from polycall.engine.recording import ALL, Recording
from polycall.engine.references import refers
from polycall.engine.registry import Registry
from polycall.engine.requests import AdHocRun, FunctionRun, RunOptions
from polycall.engine.resealing import Resealing
from polycall.engine.schedules import Schedules
from polycall.engine.secrets import Secrets
from polycall.engine.siblings import ALONE, Siblings
from polycall.engine.synchronous import Synchronous, shutting_down
from polycall.engine.tasks import end
from polycall.engine.webhooks.webhooks import Webhooks
from polycall.quick import dataclass
from polycall.sandbox.job import Job, Runner
from polycall.store.protocol import ExecutionStore

__all__ = ["Engine", "EngineSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """What the engine is told."""

    isolation_floor: IsolationLevel
    missing: str = ""  # what keeps this machine from a higher level, in words
    call_queue: int = 10_000  # Calls of one project that may wait
    node: str = ""  # who owns what runs here
    recording: Recording = ALL


class EngineStore(ExecutionStore, PoliciesStore, Protocol):
    """What the engine itself needs of the store."""


class Engine:
    """The one engine under every contract."""

    def __init__(
        self,
        settings: EngineSettings,
        *,
        runner: Runner,
        store: EngineStore,
        registry: Registry,
        secrets: Secrets,
        resealing: Resealing,
        keys: KeyRing,
        limits: LimitPolicy,
        preparation: Preparation,
        admission: Admission,
        objects: Objects,
        schedules: Schedules,
        webhooks: Webhooks,
        siblings: Siblings = ALONE,
    ) -> None:
        self.objects = objects
        self.schedules = schedules
        self.webhooks = webhooks
        self.registry = registry
        self.runtimes = registry.runtimes
        self.secrets = secrets
        self.resealing = resealing
        self.keys = keys
        self.limits = limits
        self.admission = admission
        self.ends = Ends(store, siblings)
        self.live = LiveRuns(self.ends)
        self.runner = runner
        self.isolation_floor = settings.isolation_floor
        self._floor = Floor(runner, settings.isolation_floor, settings.missing)
        self._store = store
        self._preparation = preparation
        self._backlog = Backlog(store, settings.call_queue)
        self._synchronous = Synchronous(
            *(runner, store, self.live, admission),
            node=settings.node,
            shared=siblings.some,
            recording=settings.recording,
        )
        self._draining = False
        self.executions = Executions(store, self.live, self.ends, siblings)
        self.following = Following(self.executions, self.live, self.ends)
        self.policies = Policies(store, registry, siblings, lambda project_id: self.on_enqueue(project_id))
        self.on_enqueue: Callable[[str], None] = lambda _: None  # the dispatcher's bell
        # the dispatcher has it accepted and starts it, if it has room: what `accept` returns
        self.take: Callable[[Execution], Awaitable[Execution] | None] = lambda _: None

    @property
    def isolation(self) -> IsolationLevel:
        """The level at which code runs here."""
        return self.runner.isolation

    @property
    def draining(self) -> bool:
        """Whether new work is refused because the server is about to end."""
        return self._draining

    @property
    def slots(self) -> int:
        """How many runs at once."""
        return self.admission.slots

    # verbs

    async def execute(self, who: Principal, run: AdHocRun, options: RunOptions = RunOptions()) -> Execution:
        """Run ad-hoc code and return its execution. Cancelling the awaiting task kills the run.

        Raises PermissionDenied, InvalidArgument, LimitOutOfRange, RuntimeMissing, IsolationUnavailable, QueueFull,
        DeadlineExceeded (the caller's deadline), Unavailable (draining).
        """
        require(who, Scope.RUN)
        prepared = await self._ad_hoc(who, run)
        return await self._awaited(who, prepared, options)

    async def run(self, who: Principal, run: FunctionRun, options: RunOptions = RunOptions()) -> Execution:
        """Run a function and return its execution. Raises as ``execute``, and NotFound, NotReady."""
        require(who, Scope.RUN)
        prepared = await self._preparation.function(who.project_id, run)
        return await self._awaited(who, prepared, options)

    async def call(self, who: Principal, run: FunctionRun, options: RunOptions = RunOptions()) -> Execution:
        """Accept a run of a function and return it QUEUED, durable by then.

        Raises as ``run``; QueueFull when too many Calls of the project wait.
        """
        if options.completion_url is not None:
            await self.webhooks.check(who.project_id, options.completion_url)
        execution = await self.prepare_call(who, run, options)
        return execution if options.validate_only else await self.accept(execution, delay_s=options.delay_s)

    async def prepare_call(
        self,
        who: Principal,
        run: FunctionRun,
        options: RunOptions = RunOptions(),
        kind: ExecutionKind = ExecutionKind.CALL,
    ) -> Execution:
        """Return a QUEUED execution that can be accepted. Raises as ``call``."""
        require(who, Scope.RUN)
        prepared = await self._preparation.function(who.project_id, run)
        self._check(prepared.job)
        execution = queued(who, prepared, options, kind)
        if not options.validate_only:
            await self._backlog.admit(who.project_id)
        return execution

    async def accept(self, execution: Execution, *, delay_s: float = 0.0) -> Execution:
        """Store what ``prepare_call`` returned, and have it run, after a while if so asked. Raises AlreadyExists."""
        taken = self.take(execution) if not delay_s else None
        if taken is not None:
            return await taken
        accepted = await self._store.enqueue(execution, delay_ms=int(delay_s * 1000))
        self.on_enqueue(execution.project_id)
        return accepted

    async def stream_execute(
        self, who: Principal, run: AdHocRun, options: RunOptions = RunOptions()
    ) -> AsyncIterator[StreamEvent]:
        """Run ad-hoc code and follow it; leaving the iteration kills it. Raises as ``execute``."""
        require(who, Scope.RUN)
        prepared = await self._ad_hoc(who, run)
        async with aclosing(self._stream_new(who, prepared, options)) as events:
            async for event in events:
                yield event

    async def stream_run(
        self, who: Principal, run: FunctionRun, options: RunOptions = RunOptions()
    ) -> AsyncIterator[StreamEvent]:
        """Run a function and follow it; leaving the iteration kills it. Raises as ``run``."""
        require(who, Scope.RUN)
        prepared = await self._preparation.function(who.project_id, run)
        async with aclosing(self._stream_new(who, prepared, options)) as events:
            async for event in events:
                yield event

    # the end

    async def drain(self, grace_s: float) -> None:
        """Refuse new work, give synchronous runs their time, those that wait for a slot too, then kill the rest."""
        self._draining = True
        await self.ends.close()
        await self._synchronous.drain(grace_s)

    # within

    async def _ad_hoc(self, who: Principal, run: AdHocRun) -> Prepared:
        check_json(run.input, "input_json")
        prepared = self._preparation.ad_hoc(run, who.project_id)
        if refers(run.secret_env, run.egress):
            # who has code of their own read a secret, or sends it to a host of their own, knows it
            require(who, Scope.DEPLOY)
            prepared = await self._preparation.with_secrets(who.project_id, prepared, run.secret_env)
        return await self._preparation.equipped(who.project_id, prepared, run.runtime) if run.runtime else prepared

    def _check(self, job: Job) -> None:
        """Raise what new work is refused with: Unavailable (draining), IsolationUnavailable."""
        if self._draining:
            raise shutting_down()
        self._floor.check(job)

    async def _awaited(self, who: Principal, prepared: Prepared, options: RunOptions) -> Execution:
        self._check(prepared.job)
        if options.validate_only:
            return queued(who, prepared, options, ExecutionKind.SYNC)
        make = partial(made, who, prepared, options, ExecutionKind.SYNC)
        return await self._synchronous.once(who.project_id, make, prepared.job, options)

    async def _stream_new(
        self, who: Principal, prepared: Prepared, options: RunOptions
    ) -> AsyncGenerator[StreamEvent, None]:
        self._check(prepared.job)
        make = partial(made, who, prepared, options, ExecutionKind.SYNC)
        loop = asyncio.get_running_loop()
        opened: asyncio.Future[LiveRun] = loop.create_future()
        work = loop.create_task(self._synchronous.run(who.project_id, make, prepared.job, options, opened.set_result))
        try:
            await asyncio.wait((opened, work), return_when=asyncio.FIRST_COMPLETED)
            if opened.done():
                async with aclosing(opened.result().events()) as events:
                    async for event in events:
                        if not isinstance(event, Finished):
                            yield event
            yield Finished(await work)
        finally:
            await end(work)
