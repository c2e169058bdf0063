"""What can be done to an execution once it is made: it is read, waited for and stopped, wherever it runs."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Sequence
from dataclasses import replace

from polycall.domain import (
    Execution,
    ExecutionFilter,
    ExecutionKind,
    ExecutionState,
    OutputChunk,
    Principal,
    Scope,
    Stream,
)
from polycall.engine.ends import Ends
from polycall.engine.keys import require
from polycall.engine.live import LiveRuns, Moved
from polycall.engine.running import CANCELLED
from polycall.engine.siblings import CancelAsked, RecordAsked, Siblings
from polycall.engine.synchronous import shutting_down
from polycall.errors import InvalidArgument, NotFound
from polycall.ids import now_ms
from polycall.store.protocol import ExecutionStore, Page, Read

__all__ = ["Executions"]

_READS = 32  # at once, of those who have waited: what many wait for ends at one moment, and others read too
_STOP_S = 3.0  # from being told to stop a run to its end in the store: 2 s for the kill, and a flush


class Executions:
    """The executions of all projects."""

    def __init__(self, store: ExecutionStore, live: LiveRuns, ends: Ends, siblings: Siblings) -> None:
        self._store = store
        self._live = live
        self._ends = ends
        self._siblings = siblings
        self._reads = asyncio.Semaphore(_READS)

    async def get(self, who: Principal, execution_id: uuid.UUID) -> Execution:
        """Return an execution. Raises PermissionDenied, NotFound."""
        require(who, Scope.READ)
        live = self._live.get(who.project_id, execution_id)
        return live.so_far() if live is not None else await self.stored(who.project_id, execution_id)

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
        while True:
            live = self._live.get(who.project_id, execution_id)
            if live is not None:
                try:
                    async with asyncio.timeout(max(0.0, until - time.monotonic())):
                        return await live.wait()
                except TimeoutError:
                    return live.so_far()
                except Moved:
                    continue
            if (execution := await self._elsewhere(who.project_id, execution_id, until)) is not None:
                return execution

    async def cancel(self, who: Principal, execution_id: uuid.UUID) -> Execution:
        """Stop an execution; one that has ended is returned as it is. Raises PermissionDenied, NotFound.

        One that runs on another machine is returned RUNNING, with its cancel requested.
        """
        require(who, Scope.RUN)
        live = self._live.get(who.project_id, execution_id)
        if live is None and await self._siblings.tell(CancelAsked(who.project_id, str(execution_id))):
            told = await self.wait(replace(who, scopes=who.scopes | {Scope.READ}), execution_id, _STOP_S)
            if told.state.final:
                return told
            # that server may be lost before the end is written, and then nobody would know of the cancel
        if live is None or live.execution.kind is not ExecutionKind.SYNC:
            # asked for in the store as well, where it outlives this server
            execution = await self._store.request_cancel(who.project_id, execution_id, now_ms())
            if execution.state.final:
                self._ends.ended(execution_id)
            live = self._live.get(who.project_id, execution_id)
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
        live = self._live.get(who.project_id, execution_id)
        if live is not None and attempt in (None, live.execution.attempt):
            return tuple(live.output)
        chunks = await self._store.output(who.project_id, execution_id, attempt)
        if chunks:
            return chunks
        execution = await self.stored(who.project_id, execution_id)
        return _chunks(execution) if attempt in (None, execution.attempt) else ()

    async def stored(self, project_id: str, execution_id: uuid.UUID) -> Execution:
        """Return an execution from the store, or from another process that has not written it yet. Raises NotFound."""
        try:
            return await self._store.get(project_id, execution_id)
        except NotFound:
            if not self._siblings.some:
                raise
        # whoever has it writes it now, or has done so in this moment
        await self._siblings.tell(RecordAsked(project_id, str(execution_id)))
        return await self._store.get(project_id, execution_id)

    async def _elsewhere(self, project_id: str, execution_id: uuid.UUID, until: float) -> Execution | None:
        """Wait for an execution that does not run here, as ``wait`` does; None: it runs here now."""
        with self._ends.listening(execution_id) as listener:
            execution = await self.stored(project_id, execution_id)
            while not execution.state.final and (left := until - time.monotonic()) > 0:
                if self._ends.closed:  # whoever waits here would be cut off: another server tells how it ends
                    raise shutting_down()
                if listener.ended:  # with a server that has not written it yet
                    listener.ended = False
                    await self._siblings.tell(RecordAsked(project_id, str(execution_id)))
                else:
                    await listener.wait(left)
                if self._live.get(project_id, execution_id) is not None:
                    return None
                async with self._reads:
                    execution = await self.stored(project_id, execution_id)
            return execution


def _chunks(execution: Execution) -> tuple[OutputChunk, ...]:
    at = execution.ended_at or execution.queued_at
    pairs = ((Stream.STDOUT, execution.stdout), (Stream.STDERR, execution.stderr))
    return tuple(OutputChunk(stream, at, data) for stream, data in pairs if data)
