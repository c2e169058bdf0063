"""Executions that run in this process: their output as it comes, their end, and the way to stop them."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
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
    task: asyncio.Task[Outcome] | None = None  # the sandbox's part; cancelling it kills the process tree
    stopped: tuple[ExecutionState, ExecutionError] | None = None  # how `stop` ends it
    output: list[OutputChunk] = field(default_factory=list)
    stored: int = 0  # how many pieces of output the store has
    finished: Execution | None = None
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, chunk: OutputChunk) -> None:
        """Take a piece of output (an OutputSink)."""
        self.output.append(chunk)
        self._wake()

    def finish(self, execution: Execution) -> None:
        """Take the end."""
        self.finished = execution
        self._wake()

    def stop(self, state: ExecutionState, error: ExecutionError) -> None:
        """Kill the run; it ends in that state with that error, unless it has ended already."""
        self.stopped = (state, error)
        if self.task is not None:
            self.task.cancel()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def wait(self) -> Execution:
        """Return the execution once it has ended."""
        while self.finished is None:
            await self._news.wait()
        return self.finished

    async def events(self) -> AsyncIterator[StreamEvent]:
        """Yield Started, every piece of output from the beginning, Finished."""
        yield Started(self.execution)
        seen = 0
        while True:
            news = self._news
            while seen < len(self.output):
                seen += 1
                yield self.output[seen - 1]
            if self.finished is not None and seen == len(self.output):
                yield Finished(self.finished)
                return
            await news.wait()


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
