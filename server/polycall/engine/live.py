"""Executions that run in this process: their output as it comes, their end, and the way to stop them."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass, field

from polycall.domain import Execution, ExecutionError, ExecutionState, OutputChunk
from polycall.sandbox.job import Outcome

__all__ = ["Finished", "LiveRun", "LiveRuns", "Started", "StreamEvent"]


@dataclass(frozen=True, slots=True)
class Started:
    """The first event of a stream: the execution as it was when the stream began."""

    execution: Execution


@dataclass(frozen=True, slots=True)
class Finished:
    """The last event of a stream: the execution as it ended."""

    execution: Execution


StreamEvent = Started | OutputChunk | Finished


@dataclass(slots=True)
class LiveRun:
    """One run in progress.

    Output is bounded by the run's own limits on stdout and stderr, which the sandbox enforces before it gets here.
    """

    execution: Execution
    stopped: tuple[ExecutionState, ExecutionError] | None = None  # how `stop` ends it
    output: list[OutputChunk] = field(default_factory=list)
    stored: int = 0  # how many pieces of output the store has
    finished: Execution | None = None
    _task: asyncio.Task[object] | None = None  # what waits for the sandbox; cancelling it kills the process tree
    _followers: list[asyncio.Future[None]] = field(default_factory=list)

    def add(self, chunk: OutputChunk) -> None:
        """Take a piece of output (an OutputSink)."""
        self.output.append(chunk)
        self._wake()

    def finish(self, execution: Execution) -> None:
        """Take the end."""
        self.finished = execution
        self._wake()

    def stop(self, state: ExecutionState, error: ExecutionError) -> None:
        """Kill the run; it ends in that state with that error, unless it has ended or was stopped already."""
        if self.stopped is None:
            self.stopped = (state, error)
            if self._task is not None:
                self._task.cancel()

    async def unless_stopped(self, work: Awaitable[Outcome]) -> Outcome | None:
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

    def _wake(self) -> None:
        followers, self._followers = self._followers, []
        for follower in followers:
            if not follower.done():
                follower.set_result(None)

    async def _news(self) -> None:
        follower = asyncio.get_running_loop().create_future()
        self._followers.append(follower)
        await follower

    async def wait(self) -> Execution:
        """Return the execution once it has ended."""
        while self.finished is None:
            await self._news()
        return self.finished

    async def events(self) -> AsyncIterator[StreamEvent]:
        """Yield Started, every piece of output from the beginning, Finished."""
        yield Started(self.execution)
        seen = 0
        while True:
            while seen < len(self.output):
                seen += 1
                yield self.output[seen - 1]
            if self.finished is not None and seen == len(self.output):
                yield Finished(self.finished)
                return
            await self._news()


class LiveRuns:
    """The runs of this process, by id."""

    def __init__(self) -> None:
        self._runs: dict[uuid.UUID, LiveRun] = {}

    def __len__(self) -> int:
        return len(self._runs)

    def open(self, execution: Execution) -> LiveRun:
        """Begin one."""
        run = self._runs[execution.id] = LiveRun(execution)
        return run

    def close(self, run: LiveRun, execution: Execution) -> None:
        """End one."""
        run.finish(execution)
        self._runs.pop(execution.id, None)

    def get(self, project_id: str, execution_id: uuid.UUID) -> LiveRun | None:
        """Return the run of a project; None if it does not run here."""
        run = self._runs.get(execution_id)
        return run if run is not None and run.execution.project_id == project_id else None

    def find(self, execution_id: uuid.UUID) -> LiveRun | None:
        """Return a run of any project, for the dispatcher."""
        return self._runs.get(execution_id)

    def all(self) -> tuple[LiveRun, ...]:
        """Return all, for the drain."""
        return tuple(self._runs.values())
