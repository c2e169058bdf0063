"""The verbs: execute, run, call; and what can be done to an execution afterwards.

One engine, whoever asks: services and faces are thin coats over it. A synchronous execution is killed when its caller
goes away; a Call outlives caller and server. Whatever happens to an execution, it gets one record: a synchronous one
if the operator wants it kept (``Recording``), and by default it is.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from polycall.domain import (
    Execution,
    ExecutionFilter,
    ExecutionKind,
    ExecutionState,
    IsolationLevel,
    OutputChunk,
    Principal,
    Scope,
    Stream,
)
from polycall.engine.admission import Admission
from polycall.engine.backlog import Backlog
from polycall.engine.checks import check_json
from polycall.engine.keys import KeyRing, require
from polycall.engine.limits import LimitPolicy
from polycall.engine.live import Finished, LiveRun, LiveRuns, Moved, Started, StreamEvent
from polycall.engine.objects import Objects
from polycall.engine.policies import Policies, PoliciesStore
from polycall.engine.preparation import Preparation, Prepared, spec_of
from polycall.engine.recording import ALL, Recording
from polycall.engine.references import refers
from polycall.engine.registry import Registry
from polycall.engine.requests import AdHocRun, FunctionRun, RunOptions
from polycall.engine.resealing import Resealing
from polycall.engine.running import CANCELLED
from polycall.engine.schedules import Schedules
from polycall.engine.secrets import Secrets
from polycall.engine.siblings import ALONE, CancelAsked, RecordAsked, Siblings
from polycall.engine.synchronous import Synchronous, shutting_down
from polycall.engine.tasks import end
from polycall.engine.webhooks.webhooks import Webhooks
from polycall.errors import InvalidArgument, IsolationUnavailable, NotFound, Unavailable
from polycall.ids import new_id, now_ms
from polycall.quick import dataclass
from polycall.sandbox.job import Job, Runner
from polycall.store.protocol import ExecutionStore, Page, Read

__all__ = ["Engine", "EngineSettings"]

_FIRST_POLL_S = 0.005
_POLL_S = 0.5  # how often an execution that runs elsewhere is looked at while somebody waits for it
_STOP_S = 3.0  # from being told to stop a run to its end in the store: 2 s for the kill, and a flush
_CALL_ATTEMPTS = 3  # a Call is started again only if the server that ran it was lost


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
        self.live = LiveRuns()
        self.runner = runner
        self._settings = settings
        self._store = store
        self._preparation = preparation
        self._backlog = Backlog(store, settings.call_queue)
        self._siblings = siblings
        self._synchronous = Synchronous(
            *(runner, store, self.live, admission),
            node=settings.node,
            shared=siblings.some,
            recording=settings.recording,
        )
        self._draining = False
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
    def isolation_floor(self) -> IsolationLevel:
        """The lowest level at which code is run."""
        return self._settings.isolation_floor

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
        self._check_open()
        self._check_egress(prepared.job)
        execution = self._queued(who, prepared, options, kind)
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

    # executions

    async def get(self, who: Principal, execution_id: uuid.UUID) -> Execution:
        """Return an execution. Raises PermissionDenied, NotFound."""
        require(who, Scope.READ)
        live = self.live.get(who.project_id, execution_id)
        return live.so_far() if live is not None else await self._stored(who.project_id, execution_id)

    async def attempt(self, who: Principal, execution: Execution, number: int) -> Execution:
        """Return an execution with times, error and output of an attempt, which may be an earlier one.

        Raises PermissionDenied, InvalidArgument: there is none of that number.
        """
        earlier = next((attempt for attempt in execution.attempts if attempt.number == number), None)
        if earlier is None and number == execution.attempt:
            return execution
        if earlier is None:
            there = ", ".join(str(attempt.number) for attempt in execution.attempts) or "there are none"
            raise InvalidArgument.of("attempt", f"must be one of its earlier attempts ({there}), got {number}")
        chunks = await self.output(who, execution.id, number)
        return replace(
            execution,
            attempt=number,
            started_at=earlier.started_at,
            ended_at=earlier.ended_at,
            error=earlier.error,
            result=None,
            stdout=b"".join(chunk.data for chunk in chunks if chunk.stream is Stream.STDOUT),
            stderr=b"".join(chunk.data for chunk in chunks if chunk.stream is Stream.STDERR),
        )

    async def find(self, who: Principal, face: str, alias: str) -> Execution:
        """Return the execution that a face knows by another id. Raises PermissionDenied, NotFound."""
        require(who, Scope.READ)
        try:
            return await self._store.find_alias(who.project_id, face, alias)
        except NotFound:
            if not self._siblings.some:
                raise
        # whoever has it writes it now, or has done so in this moment
        await self._siblings.tell(RecordAsked(who.project_id, face=face, alias=alias))
        return await self._store.find_alias(who.project_id, face, alias)

    async def list(
        self,
        who: Principal,
        where: ExecutionFilter,
        page_size: int,
        page_token: str = "",
        *,
        ascending: bool = False,
    ) -> Page[Execution]:
        """Return a page, newest (or oldest) first. Raises PermissionDenied, InvalidArgument (page token)."""
        require(who, Scope.READ)
        return await self._store.list(who.project_id, where, page_size, page_token, ascending=ascending)

    async def list_with_bodies(self, who: Principal, where: ExecutionFilter, count: int) -> Sequence[Read]:
        """Return the newest, with their bodies where these are small; others are to be got one by one.

        What has been answered here is among them, even if that was a moment ago. Raises PermissionDenied.
        """
        require(who, Scope.READ)
        await self._store.flush()
        return await self._store.list_with_bodies(who.project_id, where, count)

    async def wait(self, who: Principal, execution_id: uuid.UUID, timeout_s: float) -> Execution:
        """Return an execution once it has ended, or as it is after ``timeout_s``.

        Raises PermissionDenied, NotFound; Unavailable for one that does not end here, when this server shuts down.
        """
        require(who, Scope.READ)
        until = time.monotonic() + timeout_s
        pause = _FIRST_POLL_S
        while True:
            live = self.live.get(who.project_id, execution_id)
            left = until - time.monotonic()
            if live is not None:
                try:
                    async with asyncio.timeout(max(0.0, left)):
                        return await live.wait()
                except TimeoutError:
                    return live.so_far()
                except Moved:
                    continue
            execution = await self._stored(who.project_id, execution_id)
            if execution.state.final or left <= 0:
                return execution
            if self._draining:  # whoever waits here would be cut off: another server tells how it ends
                raise shutting_down()
            await asyncio.sleep(min(pause, max(0.0, left)))
            pause = min(_POLL_S, pause * 2)

    async def cancel(self, who: Principal, execution_id: uuid.UUID) -> Execution:
        """Stop an execution; one that has ended is returned as it is. Raises PermissionDenied, NotFound.

        One that runs on another machine is returned RUNNING, with its cancel requested.
        """
        require(who, Scope.RUN)
        live = self.live.get(who.project_id, execution_id)
        if live is None and await self._siblings.tell(CancelAsked(who.project_id, str(execution_id))):
            return await self.wait(replace(who, scopes=who.scopes | {Scope.READ}), execution_id, _STOP_S)
        if live is None or live.execution.kind is not ExecutionKind.SYNC:
            # asked for in the store as well, where it outlives this server
            execution = await self._store.request_cancel(who.project_id, execution_id, now_ms())
            live = self.live.get(who.project_id, execution_id)
            if live is None:
                return execution
            live.execution = replace(live.execution, cancel_requested=execution.cancel_requested)
        live.stop(ExecutionState.CANCELLED, CANCELLED)
        try:
            return await live.wait()
        except Moved:
            return await self._store.get(who.project_id, execution_id)

    async def output(
        self, who: Principal, execution_id: uuid.UUID, attempt: int | None = None
    ) -> tuple[OutputChunk, ...]:
        """Return what was written, in the order it was read, also while it runs. Raises PermissionDenied, NotFound.

        ``attempt``: of that one alone, which may be an earlier one of a Call.
        """
        require(who, Scope.READ)
        live = self.live.get(who.project_id, execution_id)
        if live is not None and attempt in (None, live.execution.attempt):
            return tuple(live.output)
        chunks = await self._store.output(who.project_id, execution_id, attempt)
        if chunks:
            return chunks
        execution = await self._stored(who.project_id, execution_id)
        return _chunks(execution) if attempt in (None, execution.attempt) else ()

    async def stream(self, who: Principal, execution_id: uuid.UUID) -> AsyncIterator[StreamEvent]:
        """Follow an execution; leaving the iteration does not stop it.

        One that is started anew, because its server was lost or it is tried again, tells Started once more.
        Raises PermissionDenied, NotFound; Unavailable if it was handed back because this server shuts down.
        """
        require(who, Scope.READ)
        live = self.live.get(who.project_id, execution_id)
        execution = live.execution if live is not None else await self._stored(who.project_id, execution_id)
        yield Started(execution)
        attempt, seen = max(1, execution.attempt), 0  # what was told: of which attempt how many pieces of output
        while True:
            if live is None:
                async with aclosing(self._elsewhere(who, execution, attempt, seen)) as found:
                    async for news in found:
                        if isinstance(news, LiveRun):
                            live = news
                            break
                        if isinstance(news, Started):
                            attempt, seen = news.execution.attempt, 0
                        elif isinstance(news, OutputChunk):
                            seen += 1
                        yield news
            if live is None:
                return
            if live.execution.attempt > attempt:
                yield Started(live.execution)
                attempt, seen = live.execution.attempt, 0
            try:
                async with aclosing(live.events(seen)) as events:
                    async for event in events:
                        if not isinstance(event, Started):
                            yield event
                return
            except Moved:
                if self._draining:
                    why = "This server is shutting down; the execution goes on. Follow it anew."
                    raise Unavailable(why) from None
            # it is tried again, here or elsewhere
            seen, live = len(live.output), None
            execution = await self._stored(who.project_id, execution_id)

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

    async def _stored(self, project_id: str, execution_id: uuid.UUID) -> Execution:
        """Return an execution from the store, or from another process that has not written it yet. Raises NotFound."""
        try:
            return await self._store.get(project_id, execution_id)
        except NotFound:
            if not self._siblings.some:
                raise
        # whoever has it writes it now, or has done so in this moment
        await self._siblings.tell(RecordAsked(project_id, str(execution_id)))
        return await self._store.get(project_id, execution_id)

    # the end

    async def drain(self, grace_s: float) -> None:
        """Refuse new work, give synchronous runs their time, those that wait for a slot too, then kill the rest."""
        self._draining = True
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

    def _check_open(self) -> None:
        if self._draining:
            raise shutting_down()
        if self.isolation < self._settings.isolation_floor:
            raise IsolationUnavailable(
                f"This machine offers isolation level {int(self.isolation)}, the floor is "
                f"{int(self._settings.isolation_floor)}: {self._settings.missing or 'see `polycall doctor`'}. "
                "The operator can lower it with POLYCALL_ISOLATION_FLOOR.",
                subject="isolation",
                metadata={
                    "level": str(int(self.isolation)),
                    "floor": str(int(self._settings.isolation_floor)),
                    "missing": self._settings.missing,
                },
            )

    def _check_egress(self, job: Job) -> None:
        if job.egress is not None and self.isolation < IsolationLevel.NAMESPACED:
            needed = int(IsolationLevel.NAMESPACED)
            raise IsolationUnavailable(
                f"Code can reach hosts at isolation level {needed} and above only; this machine "
                f"offers {int(self.isolation)}: {self._settings.missing or 'see `polycall doctor`'}.",
                subject="egress",
                metadata={"level": str(int(self.isolation)), "missing": self._settings.missing},
            )

    def _queued(self, who: Principal, prepared: Prepared, options: RunOptions, kind: ExecutionKind) -> Execution:
        asked = {"id": options.execution_id or new_id(), "state": ExecutionState.QUEUED, "queued_at": now_ms()}
        return self._execution(who, prepared, options, kind, **asked)

    def _execution(
        self, who: Principal, prepared: Prepared, options: RunOptions, kind: ExecutionKind, **progress: Any
    ) -> Execution:
        is_call = kind is not ExecutionKind.SYNC
        kept = prepared.run if is_call else None
        return Execution(
            **progress,
            project_id=who.project_id,
            kind=kind,
            language=prepared.language,
            package_id=prepared.package_id,
            version_id=prepared.version_id,
            function=prepared.function,
            face=options.face,
            alias=options.alias,
            request_id=options.request_id,
            deadline=options.deadline,
            max_attempts=_most_attempts(options) if is_call else 1,
            created_by=who.key_id,
            input=kept.input if kept is not None else None,
            limits=prepared.limits,
            spec=spec_of(kept) if kept is not None else None,
            face_data=options.face_data,
            sealed=options.sealed,
            completion_url=options.completion_url if is_call else None,
            priority=options.priority,
            retry=options.retry,
        )

    async def _awaited(self, who: Principal, prepared: Prepared, options: RunOptions) -> Execution:
        self._check_open()
        self._check_egress(prepared.job)
        if options.validate_only:
            return self._queued(who, prepared, options, ExecutionKind.SYNC)
        make = partial(self._execution, who, prepared, options, ExecutionKind.SYNC)
        return await self._synchronous.once(who.project_id, make, prepared.job, options)

    async def _stream_new(
        self, who: Principal, prepared: Prepared, options: RunOptions
    ) -> AsyncGenerator[StreamEvent, None]:
        self._check_open()
        self._check_egress(prepared.job)
        make = partial(self._execution, who, prepared, options, ExecutionKind.SYNC)
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

    async def _elsewhere(
        self, who: Principal, execution: Execution, attempt: int, seen: int
    ) -> AsyncGenerator[Started | OutputChunk | Finished | LiveRun, None]:
        """Follow an execution in the store, to its end or until it runs in this process.

        ``seen`` pieces of the output of ``attempt`` were told, which is 1 before the first too. The output of a Call
        comes as whoever runs it stores it, that of other runs at their end.
        """
        pause = _FIRST_POLL_S
        while True:
            live = self.live.get(execution.project_id, execution.id)
            if live is not None and live.finished is None and not live.moved and not execution.state.final:
                yield live
                return
            if execution.attempt > attempt:  # it was started again, and so was its output
                yield Started(execution)
                seen, attempt = 0, execution.attempt
            begun = max(1, execution.attempt) == attempt  # else its last claim was given back
            chunks = await self.output(who, execution.id, execution.attempt) if begun else ()
            for chunk in chunks[seen:]:
                yield chunk
            seen = max(seen, len(chunks))
            if execution.state.final:
                yield Finished(execution)
                return
            if self._draining:
                raise Unavailable("This server is shutting down; the execution goes on. Follow it anew.")
            await asyncio.sleep(pause)
            pause = min(_POLL_S, pause * 2)
            execution = await self._store.get(execution.project_id, execution.id)


def _most_attempts(options: RunOptions) -> int:
    """Return how often a Call may be started if servers are lost: as often as for other reasons, if nobody says."""
    tries = options.retry.max_attempts if options.retry is not None else 0
    return options.max_attempts or max(_CALL_ATTEMPTS, tries)


def _chunks(execution: Execution) -> tuple[OutputChunk, ...]:
    at = execution.ended_at or execution.queued_at
    pairs = ((Stream.STDOUT, execution.stdout), (Stream.STDERR, execution.stderr))
    return tuple(OutputChunk(stream, at, data) for stream, data in pairs if data)
