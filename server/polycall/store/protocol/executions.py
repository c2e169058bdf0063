"""What is needed of the store for executions: their records, and the queue."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from polycall.domain import Execution, ExecutionError, ExecutionFilter, ExecutionState, OutputChunk
from polycall.quick import dataclass
from polycall.store.protocol.pages import Page

__all__ = ["Accepted", "Claimed", "ExecutionStore", "Read"]


class Accepted(NamedTuple):
    """A Call as it is stored, or the earlier one of its request id. ``claimed``: it is the owner's, who runs it now."""

    execution: Execution
    claimed: bool


@dataclass(frozen=True, slots=True)
class Claimed:
    """What was taken from the queue, and what else was seen there.

    ``contended``: projects of which another server was claiming at this moment, so that there may be more for who asks
    again. ``limited``: projects that have limits, so that there may be more when something of theirs has ended.
    """

    executions: tuple[Execution, ...] = ()
    contended: frozenset[str] = frozenset()
    limited: frozenset[str] = frozenset()

    def __iter__(self) -> Iterator[Execution]:
        return iter(self.executions)

    def __len__(self) -> int:
        return len(self.executions)


class Read(NamedTuple):
    """An execution of a list that has bodies. ``whole``: all of them; else a large one is missing."""

    execution: Execution
    whole: bool


class ExecutionStore(Protocol):
    """Execution records, and the queue that they are."""

    def record(self, execution: Execution) -> None:
        """Take a synchronous execution (finished, or still RUNNING after a second) for the next flush. Never waits.

        An end takes the place of RUNNING and is never replaced. Of two with one request id the first keeps it.
        """

    async def settle(self, project_id: str, execution_id: uuid.UUID) -> bool:
        """Write a record now that another process looks for; False if it is not in the buffer."""

    async def settle_alias(self, project_id: str, face: str, alias: str) -> bool:
        """Write a record now that another process looks for by its alias; False if it is not in the buffer."""

    async def enqueue(self, execution: Execution, *, delay_ms: int = 0) -> Execution:
        """Commit a QUEUED (or, with an owner, RUNNING) execution before returning.

        Returns the stored one; if the project already has one with that ``request_id``, the first one instead.
        Raise AlreadyExists for a taken (face, alias).
        """

    async def accept(self, execution: Execution, *, owner: str) -> Accepted:
        """Enqueue a QUEUED one, and claim it in the same commit: RUNNING, attempt 1, by the database's clock.

        It is not claimed, and waits as any other, where one of its project waits that could start, or where the
        project has limits, or had any a moment ago. Raises as ``enqueue``.
        """

    async def get(self, project_id: str, execution_id: uuid.UUID) -> Execution:
        """Return, from the record buffer or the store; raise NotFound. A miss younger than two flushes looks again."""

    async def find_alias(self, project_id: str, face: str, alias: str) -> Execution:
        """Return the execution a face knows by another id; raise NotFound."""

    async def find_request(self, project_id: str, request_id: str) -> Execution | None:
        """Return the execution that a request id made, buffered ones too."""

    async def list(
        self, project_id: str, where: ExecutionFilter, page_size: int, page_token: str = "", *, ascending: bool = False
    ) -> Page[Execution]:
        """Return a page without inputs, results and output, newest first (or oldest first).

        Raise InvalidArgument (token).
        """

    async def list_with_bodies(self, project_id: str, where: ExecutionFilter, rows: int) -> Sequence[Read]:
        """Return the newest, with their bodies where these are small; others are to be got one by one."""

    async def due(self) -> Sequence[str]:
        """Return the projects that have something QUEUED. Crosses projects, for the dispatcher."""

    async def claim(self, owner: str, wanted: Mapping[str, int]) -> Claimed:
        """Take up to so many due QUEUED ones of each project: RUNNING, attempt + 1, owner; with input and spec.

        Within a project the highest priority comes first, of equals what was due first. No limit is exceeded.
        """

    async def finish(self, execution: Execution, *, owner: str) -> bool:
        """Write the end of a claimed execution.

        False: fenced off (another owner, another attempt, or a final state); drop it.
        """

    async def retry(self, execution: Execution, *, owner: str, wait_ms: int) -> bool:
        """Write that an attempt failed (``error``, ``attempts``) and queue it again, to be started after a while.

        False: fenced off, its cancel was requested, or its deadline comes before. ``finish`` it then.
        """

    async def append_output(self, execution_id: uuid.UUID, attempt: int, chunks: Sequence[OutputChunk]) -> None:
        """Append output of a running Call; raise NotFound."""

    async def output(
        self, project_id: str, execution_id: uuid.UUID, attempt: int | None = None
    ) -> tuple[OutputChunk, ...]:
        """Return the output chunks of an attempt, or of the current one, in order; raise NotFound."""

    async def request_cancel(self, project_id: str, execution_id: uuid.UUID, now_ms: int) -> Execution:
        """QUEUED -> CANCELLED (error EXECUTION_CANCELLED); RUNNING: set ``cancel_requested``; final: unchanged.

        Raise NotFound.
        """

    async def cancelled(self, owner: str) -> Sequence[uuid.UUID]:
        """Return the RUNNING ones of an owner whose cancel was requested."""

    async def ended(self, ids: Sequence[uuid.UUID]) -> Sequence[uuid.UUID]:
        """Return which of these have ended, as the database has it. Crosses projects, for who waits: 500 at most."""

    async def expire(self, error: ExecutionError) -> int:
        """QUEUED past their deadline, on the database's clock -> TIMEOUT with that error; returns how many."""

    async def reserve(self, execution: Execution) -> Execution | None:
        """Commit a RUNNING synchronous execution before it runs: where others may get the same request id.

        Returns it, or the earlier one of its project and request id; None if that has let go of the id meanwhile.
        """

    async def recover(self, error: ExecutionError, living: Sequence[str] = ()) -> Mapping[ExecutionState, int]:
        """At boot of the embedded store: every RUNNING row is of an earlier boot, but for those of living owners.

        To QUEUED if attempts are left, else FAILED with ``error`` (CANCELLED if that was requested; synchronous ones
        are never queued). Returns counts.
        """

    async def release(self, owner: str, only: Mapping[uuid.UUID, int] | None = None) -> int:
        """Hand claimed but unfinished ones with attempts left back to the queue; returns how many.

        ``only``: of these, each at its attempt.
        """

    async def unclaim(self, owner: str, known: Sequence[uuid.UUID]) -> int:
        """Undo claims of an owner that it never heard of: the answer to ``claim`` was lost with its connection.

        All RUNNING Calls of the owner but the ``known`` ones are QUEUED again, and that attempt was none. Returns how
        many.
        """

    async def waiting(self, project_id: str, most: int) -> int:
        """Return how many of a project are QUEUED, due or not; counting stops at ``most``."""

    async def backlog(self) -> int:
        """Return how many are QUEUED and due."""

    async def flush(self) -> None:
        """Write the record buffer now."""
