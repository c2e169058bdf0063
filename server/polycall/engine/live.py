"""Executions that run in this process: their output as it comes, their end, and the way to stop them."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import field, replace
from typing import TypeVar

from polycall.domain import (
    Execution,
    ExecutionError,
    ExecutionKind,
    ExecutionState,
    OutboundRequest,
    OutputChunk,
    Stream,
)
from polycall.engine.ends import Ends
from polycall.ids import now_ms
from polycall.quick import dataclass
from polycall.structs import cstruct

__all__ = ["Finished", "LiveRun", "LiveRuns", "Moved", "Started", "StreamEvent"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Started:
    """The first event of a stream: the execution as it was when the stream began."""

    execution: Execution


@dataclass(frozen=True, slots=True)
class Finished:
    """The last event of a stream: the execution as it ended."""

    execution: Execution


StreamEvent = Started | OutputChunk | Finished


class Moved(Exception):
    """Raised where an end was waited for that will not come here: the Call was handed back, or belongs to another."""


@cstruct(slots=True, eq=False)
class LiveRun:
    """One run in progress, from before its sandbox starts until its end can be read from the store.

    Output is bounded, in bytes and in pieces, by the sandbox before it gets here.
    """

    execution: Execution
    stopped: tuple[ExecutionState, ExecutionError] | None = None  # how `stop` ends it
    late: str = ""  # the phase (start, run) in which a deadline stopped it, other than its own time limit
    output: list[OutputChunk] = field(default_factory=list)
    stored: int = 0  # how many pieces of a Call's output the store has
    finished: Execution | None = None
    moved: bool = False
    shown: bool = False  # the store has it as RUNNING, so it gets its end too
    outbound: tuple[tuple[OutboundRequest, ...], int] = ((), 0)
    _task: asyncio.Task[object] | None = None  # what waits for the sandbox; cancelling it kills the process tree
    _begun_at: float | None = None  # time.monotonic
    _followers: list[asyncio.Future[None]] = field(default_factory=list)

    @property
    def begun(self) -> bool:
        """True once a process has the job."""
        return self._begun_at is not None

    def begin(self) -> None:
        """Take note that a process gets the job now."""
        self._begun_at = time.monotonic()

    def add(self, chunk: OutputChunk) -> None:
        """Take a piece of output (an OutputSink)."""
        self.output.append(chunk)
        self._wake()

    def ask(self, requests: tuple[OutboundRequest, ...], omitted: int) -> None:
        """Take what a run that is stopped has asked of other hosts."""
        self.outbound = requests, omitted

    def stop(self, state: ExecutionState, error: ExecutionError) -> None:
        """Kill the run; it ends in that state with that error, unless it has ended, or been stopped, already."""
        if self.stopped is None:
            self.stopped = (state, error)
            if self._task is not None:
                self._task.cancel()

    async def unless_stopped(self, work: Awaitable[T]) -> T | None:
        """Return what ``work`` gives, None if ``stop`` ended it.

        ``stop`` cancels the task that awaits this, and this takes that back: a task of its own would cost every run
        what only few need. Raises CancelledError if somebody else cancelled the task.
        """
        self._task = task = asyncio.current_task()
        assert task is not None  # noqa: S101  coroutines run in tasks
        cancelled = task.cancelling()
        try:
            return await work
        except asyncio.CancelledError:
            if self.stopped is not None and task.uncancel() <= cancelled:
                return None
            raise
        finally:
            self._task = None

    def so_far(self) -> Execution:
        """Return the execution with the output it has written."""
        stdout, stderr = (self._text(stream) for stream in (Stream.STDOUT, Stream.STDERR))
        limits = self.execution.limits
        # Only the sandbox knows whether more was written than was kept; what fills its limit is said to be cut.
        return replace(
            self.execution,
            stdout=stdout,
            stderr=stderr,
            stdout_truncated=limits is not None and 0 < limits.stdout_bytes <= len(stdout),
            stderr_truncated=limits is not None and 0 < limits.stderr_bytes <= len(stderr),
        )

    def ended_as(self, state: ExecutionState, error: ExecutionError) -> Execution:
        """Return the execution as it is when it is stopped now, with the output it has written."""
        run_us = 0 if self._begun_at is None else int((time.monotonic() - self._begun_at) * 1e6)
        usage = replace(self.execution.usage, run_us=run_us)
        requests, omitted = self.outbound
        return replace(
            self.so_far(),
            state=state,
            ended_at=now_ms(),
            error=error,
            owner=None,
            usage=usage,
            outbound=requests,
            outbound_omitted=omitted,
        )

    def finish(self, execution: Execution | None) -> None:
        """Take the end; None: it ends elsewhere."""
        self.finished = execution
        self.moved = execution is None
        if self._followers:
            self._wake()

    async def wait(self) -> Execution:
        """Return the execution once it has ended. Raises Moved."""
        while self.finished is None:
            if self.moved:
                raise Moved
            await self._news()
        return self.finished

    async def events(self, seen: int = 0) -> AsyncGenerator[StreamEvent, None]:
        """Yield Started, every piece of output after the first ``seen``, Finished. Raises Moved."""
        yield Started(self.execution)
        while True:
            while seen < len(self.output):
                seen += 1
                yield self.output[seen - 1]
            if self.moved:
                raise Moved
            if self.finished is not None:
                yield Finished(self.finished)
                return
            await self._news()

    def _text(self, stream: Stream) -> bytes:
        return b"".join(chunk.data for chunk in self.output if chunk.stream is stream)

    def _wake(self) -> None:
        followers, self._followers = self._followers, []
        for follower in followers:
            if not follower.done():
                follower.set_result(None)

    async def _news(self) -> None:
        follower = asyncio.get_running_loop().create_future()
        self._followers.append(follower)
        await follower


class LiveRuns:
    """The runs of this process, by id."""

    def __init__(self, ends: Ends | None = None) -> None:
        self._ends = ends
        self._runs: dict[int, LiveRun] = {}  # by the ids' numbers: to hash a UUID is a call of Python code
        self.on_end: Callable[[Execution], None] = lambda _: None  # it counts

    def __len__(self) -> int:
        return len(self._runs)

    def open(self, execution: Execution) -> LiveRun:
        """Begin one."""
        run = self._runs[execution.id.int] = LiveRun(execution)
        if self._ends is not None and self._ends.here:
            self._ends.began(execution.id)
        return run

    def close(self, run: LiveRun, execution: Execution | None) -> None:
        """End one, once the store has its end; None: it ends elsewhere."""
        number = run.execution.id.int
        if self._runs.get(number) is run:  # else a later attempt runs here
            del self._runs[number]
        if execution is not None:
            self.on_end(execution)
            ends = self._ends
            # a synchronous run that nobody has asked for is known to its caller alone
            if ends is not None and (
                run.shown or ends.here or ends.elsewhere or execution.kind is not ExecutionKind.SYNC
            ):
                ends.ended(execution.id)
        run.finish(execution)

    def get(self, project_id: str, execution_id: uuid.UUID) -> LiveRun | None:
        """Return the run of a project; None if it does not run here."""
        run = self._runs.get(execution_id.int)
        return run if run is not None and run.execution.project_id == project_id else None

    def find(self, execution_id: uuid.UUID) -> LiveRun | None:
        """Return a run of any project, for the dispatcher."""
        return self._runs.get(execution_id.int)

    def all(self) -> tuple[LiveRun, ...]:
        """Return all, for the drain."""
        return tuple(self._runs.values())
