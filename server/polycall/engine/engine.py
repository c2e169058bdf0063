"""The verbs: execute, run, call; and what can be done to an execution afterwards.

One engine, whoever asks: services and faces are thin coats over it. A synchronous execution is killed when its caller
goes away; a Call outlives caller and server. Every execution gets exactly one record, whatever happens to it.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from polycall.domain import (
    Convention,
    Execution,
    ExecutionError,
    ExecutionFilter,
    ExecutionKind,
    ExecutionState,
    IsolationLevel,
    OutputChunk,
    Principal,
    Reason,
    Scope,
    Stream,
    Usage,
)
from polycall.engine.admission import Admission
from polycall.engine.backlog import Backlog
from polycall.engine.keys import KeyRing, require
from polycall.engine.limits import LimitPolicy
from polycall.engine.live import Finished, LiveRun, LiveRuns, Started, StreamEvent
from polycall.engine.outcomes import ended
from polycall.engine.preparation import Preparation, Prepared, spec_of
from polycall.engine.registry import Registry
from polycall.engine.requests import AdHocRun, FunctionRun, RunOptions
from polycall.errors import DeadlineExceeded, IsolationUnavailable, PolycallError, Unavailable
from polycall.ids import new_id, now_ms
from polycall.sandbox.job import Job, Runner
from polycall.store.protocol import ExecutionStore, Page

__all__ = ["Engine", "EngineSettings"]

# A caller's deadline is met by stopping the run this much before it, so that the answer still gets out.
_ANSWER_MARGIN_S = 0.02
_VISIBLE_AFTER_S = 1.0  # a synchronous run that lasts longer is recorded as RUNNING (durability: visible after 1 s)
_FIRST_POLL_S = 0.005
_POLL_S = 0.5  # how often an execution that runs elsewhere is looked at while somebody waits for it
_CALL_ATTEMPTS = 3  # a Call is started again only if the server that ran it was lost
_CANCELLED = ExecutionError(reason=Reason.EXECUTION_CANCELLED, message="The execution was cancelled.")
_SHUT_DOWN = ExecutionError(
    reason=Reason.WORKER_LOST, message="The server was shut down before the run ended; what it did is not known."
)
_LOST = ExecutionError(reason=Reason.WORKER_LOST, message="The sandbox that ran the code was lost.")
_LATE = ExecutionError(reason=Reason.EXECUTION_TIMEOUT, message="")
_CLIENT_GONE = ExecutionError(reason=Reason.CANCELLED_BY_CLIENT, message="The caller went away; the run was killed.")


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """What the engine is told."""

    isolation_floor: IsolationLevel
    missing: str = ""  # what keeps this machine from a higher level, in words
    call_queue: int = 10_000  # Calls of one project that may wait


class Engine:
    """The one engine under every contract."""

    def __init__(
        self,
        settings: EngineSettings,
        *,
        runner: Runner,
        store: ExecutionStore,
        registry: Registry,
        keys: KeyRing,
        limits: LimitPolicy,
        preparation: Preparation,
        admission: Admission,
    ) -> None:
        self.registry = registry
        self.keys = keys
        self.limits = limits
        self.admission = admission
        self.live = LiveRuns()
        self._settings = settings
        self._runner = runner
        self._store = store
        self._preparation = preparation
        self._backlog = Backlog(store, settings.call_queue)
        self._first: dict[tuple[str, str], asyncio.Future[Execution]] = {}  # request ids under way
        self._draining = False
        self._closed = False
        self.on_enqueue: Callable[[], None] = lambda: None  # the dispatcher's bell

    @property
    def isolation(self) -> IsolationLevel:
        """The level at which code runs here."""
        return self._runner.isolation

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
        prepared = self._preparation.ad_hoc(run)
        return await self._synchronous(who, prepared, options)

    async def run(self, who: Principal, run: FunctionRun, options: RunOptions = RunOptions()) -> Execution:
        """Run a function and return its execution. Raises as ``execute``, and NotFound, NotReady."""
        require(who, Scope.RUN)
        prepared = await self._preparation.function(who.project_id, run)
        return await self._synchronous(who, prepared, options)

    async def call(self, who: Principal, run: FunctionRun, options: RunOptions = RunOptions()) -> Execution:
        """Accept a run of a function and return it QUEUED, durable by then.

        Raises as ``run``; QueueFull when too many Calls of the project wait.
        """
        require(who, Scope.RUN)
        prepared = await self._preparation.function(who.project_id, run)
        self._check_open()
        execution = self._queued(who, prepared, options, ExecutionKind.CALL)
        if options.validate_only:
            return execution
        await self._backlog.admit(who.project_id)
        accepted = await self._store.enqueue(execution)
        self.on_enqueue()
        return accepted

    # executions

    async def get(self, who: Principal, execution_id: uuid.UUID) -> Execution:
        """Return an execution. Raises PermissionDenied, NotFound."""
        require(who, Scope.READ)
        live = self.live.get(who.project_id, execution_id)
        if live is not None and live.finished is None:
            return _so_far(live)
        return await self._store.get(who.project_id, execution_id)

    async def find(self, who: Principal, face: str, alias: str) -> Execution:
        """Return the execution that a face knows by another id. Raises PermissionDenied, NotFound."""
        require(who, Scope.READ)
        return await self._store.find_alias(who.project_id, face, alias)

    async def list(
        self, who: Principal, where: ExecutionFilter, page_size: int, page_token: str = ""
    ) -> Page[Execution]:
        """Return a page, newest first. Raises PermissionDenied, InvalidArgument (page token)."""
        require(who, Scope.READ)
        return await self._store.list(who.project_id, where, page_size, page_token)

    async def wait(self, who: Principal, execution_id: uuid.UUID, timeout_s: float) -> Execution:
        """Return an execution once it has ended, or as it is after ``timeout_s``. Raises PermissionDenied, NotFound."""
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
                    return _so_far(live)
            execution = await self._store.get(who.project_id, execution_id)
            if execution.state.final or left <= 0:
                return execution
            await asyncio.sleep(min(pause, max(0.0, left)))
            pause = min(_POLL_S, pause * 2)

    async def cancel(self, who: Principal, execution_id: uuid.UUID) -> Execution:
        """Stop an execution; one that has ended is returned as it is. Raises PermissionDenied, NotFound."""
        require(who, Scope.RUN)
        live = self.live.get(who.project_id, execution_id)
        if live is None or live.execution.kind is not ExecutionKind.SYNC:
            execution = await self._store.request_cancel(who.project_id, execution_id, now_ms())
            if live is None:
                return execution
        live.stop(ExecutionState.CANCELLED, _CANCELLED)
        return await live.wait()

    async def output(self, who: Principal, execution_id: uuid.UUID) -> tuple[OutputChunk, ...]:
        """Return what was written, in the order it was read, also while it runs. Raises PermissionDenied, NotFound."""
        require(who, Scope.READ)
        live = self.live.get(who.project_id, execution_id)
        if live is not None:
            return tuple(live.output)
        chunks = await self._store.output(who.project_id, execution_id)
        return chunks or _chunks(await self._store.get(who.project_id, execution_id))

    async def stream(self, who: Principal, execution_id: uuid.UUID) -> AsyncIterator[StreamEvent]:
        """Follow an execution; leaving the iteration does not stop it. Raises PermissionDenied, NotFound."""
        require(who, Scope.READ)
        live = self.live.get(who.project_id, execution_id)
        if live is None:
            execution = await self._store.get(who.project_id, execution_id)
            yield Started(execution)
            live, execution = await self._begun(execution)
            if live is None:
                for chunk in await self.output(who, execution_id):
                    yield chunk
                yield Finished(execution)
                return
            async for event in live.events():
                if not isinstance(event, Started):
                    yield event
            return
        async for event in live.events():
            yield event

    async def stream_execute(
        self, who: Principal, run: AdHocRun, options: RunOptions = RunOptions()
    ) -> AsyncIterator[StreamEvent]:
        """Run ad-hoc code and follow it; leaving the iteration kills it. Raises as ``execute``."""
        require(who, Scope.RUN)
        async for event in self._stream_new(who, self._preparation.ad_hoc(run), options):
            yield event

    async def stream_run(
        self, who: Principal, run: FunctionRun, options: RunOptions = RunOptions()
    ) -> AsyncIterator[StreamEvent]:
        """Run a function and follow it; leaving the iteration kills it. Raises as ``run``."""
        require(who, Scope.RUN)
        prepared = await self._preparation.function(who.project_id, run)
        async for event in self._stream_new(who, prepared, options):
            yield event

    # the run itself, shared with the dispatcher

    async def perform(self, live: LiveRun, job: Job, *, expires_at: float | None = None) -> Execution:
        """Run a job in a slot that the caller holds and return its execution as it ended; records nothing.

        ``expires_at`` (``time.monotonic``) shortens the time limit. ``live.stop`` ends the run as it says. Cancelling
        the awaiting task kills the run, waits for the kill, and raises CancelledError.
        """
        if expires_at is not None:
            left_ms = max(1, int((expires_at - time.monotonic()) * 1000))
            if left_ms < job.limits.timeout_ms:
                job = replace(job, limits=replace(job.limits, timeout_ms=left_ms))
        job = _with_context(job, live.execution)
        outcome = await live.unless_stopped(self._runner.run(job, live.add))
        if outcome is None:
            state, error = live.stopped or (ExecutionState.FAILED, _LOST)
            return stopped(live, state, error)
        return ended(live.execution, outcome, now_ms(), script=job.convention is Convention.SCRIPT)

    async def drain(self, grace_s: float) -> None:
        """Refuse new work, give what runs its time, then kill the synchronous rest."""
        self._draining = True
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self._quiet()
        self._closed = True
        for run in self._synchronous_runs():
            run.stop(ExecutionState.FAILED, _SHUT_DOWN)
        await self._quiet()

    # within

    def _synchronous_runs(self) -> tuple[LiveRun, ...]:
        return tuple(run for run in self.live.all() if run.execution.kind is ExecutionKind.SYNC)

    async def _quiet(self) -> None:
        """Return once no synchronous run is left, those that waited for a slot included."""
        while runs := self._synchronous_runs():
            await runs[0].wait()
            await asyncio.sleep(0)  # its slot goes to the next in the queue

    def _lives(self, who: Principal, execution_id: uuid.UUID) -> bool:
        return self.live.get(who.project_id, execution_id) is not None

    def _check_open(self) -> None:
        if self._draining:
            raise Unavailable(
                "This server is shutting down; nothing ran. Retry: another one, or its successor, answers."
            )
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

    def _queued(self, who: Principal, prepared: Prepared, options: RunOptions, kind: ExecutionKind) -> Execution:
        asked = {"id": new_id(), "state": ExecutionState.QUEUED, "queued_at": now_ms()}
        return self._execution(who, prepared, options, kind, **asked)

    def _execution(
        self, who: Principal, prepared: Prepared, options: RunOptions, kind: ExecutionKind, **progress: Any
    ) -> Execution:
        is_call = kind is ExecutionKind.CALL
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
            max_attempts=(options.max_attempts or _CALL_ATTEMPTS) if is_call else 1,
            created_by=who.key_id,
            input=kept.input if kept is not None else None,
            limits=prepared.limits,
            spec=spec_of(kept) if kept is not None else None,
            face_data=options.face_data,
        )

    async def _synchronous(self, who: Principal, prepared: Prepared, options: RunOptions) -> Execution:
        self._check_open()
        if options.validate_only:
            return self._queued(who, prepared, options, ExecutionKind.SYNC)
        if options.request_id is None:
            return await self._performed(who, prepared, options)
        return await self._once(who, prepared, options, options.request_id)

    async def _once(self, who: Principal, prepared: Prepared, options: RunOptions, request_id: str) -> Execution:
        """Run unless the project has used this request id; then return the first answer, waiting for it if need be."""
        key = (who.project_id, request_id)
        under_way = self._first.get(key)
        if under_way is not None:
            return await asyncio.shield(under_way)
        answer = self._first[key] = asyncio.get_running_loop().create_future()
        try:
            earlier = await self._store.find_request(*key)
            final = earlier or await self._performed(who, prepared, options)
            answer.set_result(final)
            return final
        except BaseException as error:
            # those who wait for the same answer learn that there is none; repeating the request runs it
            if isinstance(error, PolycallError):
                answer.set_exception(error)
                answer.exception()  # retrieved: nobody may be waiting
            else:
                answer.set_exception(Unavailable("The first request with this id was cancelled; repeat it."))
                answer.exception()
            raise
        finally:
            del self._first[key]

    async def _performed(
        self,
        who: Principal,
        prepared: Prepared,
        options: RunOptions,
        opened: Callable[[LiveRun], None] | None = None,
    ) -> Execution:
        """Wait for a slot, run, record."""
        job = prepared.job
        expires_at = None if options.expires_at is None else options.expires_at - _ANSWER_MARGIN_S
        execution_id, queued_at = new_id(), now_ms()
        slot = self.admission.slot(expires_at, project_id=who.project_id, size=_held(job))
        async with slot as waited_s:
            if self._closed:
                raise Unavailable("This server is shutting down; nothing ran. Retry.")
            running = self._execution(
                who,
                prepared,
                options,
                ExecutionKind.SYNC,
                id=execution_id,
                state=ExecutionState.RUNNING,
                queued_at=queued_at,
                started_at=now_ms(),
                attempt=1,
                usage=Usage(queue_us=int(waited_s * 1e6)),
                isolation=self.isolation,
            )
            live = self.live.open(running)
            if opened is not None:
                opened(live)
            visible = asyncio.get_running_loop().call_later(_VISIBLE_AFTER_S, self._store.record, running)
            bound_s = None if expires_at is None else expires_at - time.monotonic()
            final = None
            try:
                final = await self.perform(live, job, expires_at=expires_at)
            finally:
                visible.cancel()
                final = final or stopped(live, ExecutionState.CANCELLED, _CLIENT_GONE)
                if late := _is_late(final, bound_s, job):
                    final = replace(final, error=replace(_LATE, message=_late_message(final)))
                self._store.record(final)
                self.live.close(live, final)
        if late:
            raise DeadlineExceeded(
                _late_message(final),
                reason=Reason.EXECUTION_TIMEOUT,
                metadata={"phase": "run", "execution": f"executions/{final.id}"},
            )
        return final

    async def _stream_new(self, who: Principal, prepared: Prepared, options: RunOptions) -> AsyncIterator[StreamEvent]:
        self._check_open()
        loop = asyncio.get_running_loop()
        opened: asyncio.Future[LiveRun] = loop.create_future()
        work = loop.create_task(self._performed(who, prepared, options, opened.set_result))
        try:
            await asyncio.wait((opened, work), return_when=asyncio.FIRST_COMPLETED)
            if opened.done():
                async for event in opened.result().events():
                    if not isinstance(event, Finished):
                        yield event
            yield Finished(await work)
        finally:
            if not work.done():
                work.cancel()
                await asyncio.wait([work])

    async def _begun(self, execution: Execution) -> tuple[LiveRun | None, Execution]:
        """Wait until an execution runs in this process, or has ended."""
        pause = _FIRST_POLL_S
        while not execution.state.final:
            live = self.live.get(execution.project_id, execution.id)
            if live is not None:
                return live, execution
            await asyncio.sleep(pause)
            pause = min(_POLL_S, pause * 2)
            execution = await self._store.get(execution.project_id, execution.id)
        return None, execution


def _held(job: Job) -> int:
    """Return how many bytes of its request a job holds in memory while it waits."""
    return len(job.payload) + len(job.stdin) + sum(len(file.data) for file in job.files)


def stopped(live: LiveRun, state: ExecutionState, error: ExecutionError) -> Execution:
    """Return the execution of a run that was stopped from outside, with the output it has written."""
    return replace(_so_far(live), state=state, ended_at=now_ms(), error=error, owner=None)


def _is_late(final: Execution, bound_s: float | None, job: Job) -> bool:
    """Tell whether a timeout was the caller's deadline rather than the run's own limit."""
    timed_out = final.state is ExecutionState.TIMEOUT
    return timed_out and bound_s is not None and bound_s * 1000 < job.limits.timeout_ms


def _late_message(execution: Execution) -> str:
    ran = ((execution.ended_at or 0) - (execution.started_at or 0)) / 1000
    return (
        f"Execution stopped after {ran:.2f} s: the caller's deadline. Output so far is in executions/{execution.id}; "
        "raise the deadline, or use Call."
    )


def _with_context(job: Job, execution: Execution) -> Job:
    """Add what HANDLE functions are told: their call's ids, as text."""
    if job.convention is not Convention.HANDLE:
        return job
    info = {"function_id": execution.package_id or "", "call_id": execution.alias or str(execution.id)}
    context = msgspec.json.decode(job.context, type=dict[str, msgspec.Raw])
    context.setdefault("secrets", msgspec.Raw(b"{}"))
    context["function_call_info"] = msgspec.Raw(msgspec.json.encode(info))
    return replace(job, context=msgspec.json.encode(context))


def _so_far(live: LiveRun) -> Execution:
    """Return a running execution with the output it has written."""
    return replace(
        live.execution,
        stdout=b"".join(c.data for c in live.output if c.stream is Stream.STDOUT),
        stderr=b"".join(c.data for c in live.output if c.stream is Stream.STDERR),
    )


def _chunks(execution: Execution) -> tuple[OutputChunk, ...]:
    at = execution.ended_at or execution.queued_at
    pairs = ((Stream.STDOUT, execution.stdout), (Stream.STDERR, execution.stderr))
    return tuple(OutputChunk(stream, at, data) for stream, data in pairs if data)
