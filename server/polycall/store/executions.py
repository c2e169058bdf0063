"""Executions: records, the queue, and how they are read."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Concatenate, ParamSpec

import msgspec
import sqlalchemy as sa

from polycall.domain import (
    Execution,
    ExecutionError,
    ExecutionFilter,
    ExecutionKind,
    ExecutionState,
    OutputChunk,
    Reason,
    Stream,
)
from polycall.errors import NotFound, Unavailable
from polycall.ids import now_ms
from polycall.store import acceptance, claims, queue
from polycall.store.bodies import Bodies
from polycall.store.buffer import RecordBuffer, RecordCounts
from polycall.store.config import StoreConfig
from polycall.store.executor import Executor
from polycall.store.failures import Conflict
from polycall.store.lanes import LimitedProjects
from polycall.store.listing import list_statement
from polycall.store.outside import Damaged, Outside
from polycall.store.paging import page_of, read_token
from polycall.store.protocol import Accepted, Claimed, Page, Read
from polycall.store.records import RecordWriter
from polycall.store.rows import (
    BODIES,
    Placed,
    execution_without_blobs,
    has_blobs,
    listed_execution,
    read_executions,
)
from polycall.store.tables import executions, output_chunks

__all__ = ["SqlExecutions"]

P = ParamSpec("P")

_CLAIM_S = 20.0  # for the input of a claimed Call; longer than an object store that works takes for 64 MiB
_AGAIN_MS = 2000  # and when it is tried again, if that was not enough
_LOOK_AGAIN_FLUSHES = 2  # a record that another server holds back is written within that many intervals

_e = executions.c
_encode_chunks = msgspec.msgpack.Encoder().encode
_decode_chunks = msgspec.msgpack.Decoder(list[tuple[Stream, int, bytes]]).decode


class SqlExecutions:
    """The executions of all projects; see ``polycall.store.protocol.ExecutionStore``."""

    def __init__(self, executor: Executor, config: StoreConfig, outside: Outside, limited: LimitedProjects) -> None:
        self._executor = executor
        self._far = config.database_url.startswith("postgres")  # each statement is a round trip
        self._limited = limited
        self._bodies = Bodies(outside)
        self._inline_bytes = config.inline_bytes
        self._flush_s = config.flush_ms / 1000
        self._buffer = RecordBuffer(rows=config.buffer_rows, size=config.buffer_bytes)
        self._records = RecordWriter(
            executor,
            self._buffer,
            flush_s=self._flush_s,
            flush_rows=config.flush_rows,
            inline_bytes=config.inline_bytes,
            bodies=self._bodies,
        )

    @property
    def record_counts(self) -> RecordCounts:
        """What became of the records taken so far."""
        return self._buffer.counts

    @property
    def records_waiting(self) -> int:
        """How many records wait to be written."""
        return len(self._buffer)

    # records

    def record(self, execution: Execution) -> None:
        """Take a synchronous execution for the next flush. Never waits.

        A later record of the same execution takes the place of one that is RUNNING; an end stands.
        """
        self._records.add(execution)

    async def flush(self) -> None:
        """Write what was recorded; raise Unavailable."""
        await self._records.flush()

    async def reserve(self, execution: Execution) -> Execution | None:
        """Commit a synchronous execution that is about to run, for the sake of its request id; raise Unavailable.

        Returns it, or the earlier one of its project and request id; None if that has let go of the id meanwhile.
        """
        recorded = self._buffer.find_request(execution.project_id, execution.request_id or "")
        if recorded is not None:
            return recorded
        placed = await self._bodies.placed(execution)
        stored = await self._executor.write(acceptance.reserve, placed, self._inline_bytes)
        return execution if stored is placed else stored and await self._bodies.whole(stored)

    async def settle(self, project_id: str, execution_id: uuid.UUID) -> bool:
        """Write an execution now if it is in the buffer, and return whether it was; raise Unavailable."""
        waits = self._buffer.find(project_id, execution_id) is not None
        if waits:
            await self.flush()
        return waits

    async def settle_alias(self, project_id: str, face: str, alias: str) -> bool:
        """Do the same for an execution that a face knows by another id; raise Unavailable."""
        waits = self._buffer.find_alias(project_id, face, alias) is not None
        if waits:
            await self.flush()
        return waits

    # reading

    async def get(self, project_id: str, execution_id: uuid.UUID) -> Execution:
        """Return an execution with all it holds; raise NotFound, Unavailable."""
        found = await self._find(project_id, execution_id)
        if found is None and self._may_be_on_its_way(execution_id):
            await asyncio.sleep(self._flush_s)
            found = await self._find(project_id, execution_id)
        if found is None:
            raise _not_found(execution_id)
        return found

    async def find_alias(self, project_id: str, face: str, alias: str) -> Execution:
        """Return the execution that a face knows by another id; raise NotFound, Unavailable."""
        found = self._buffer.find_alias(project_id, face, alias)
        if found is None:
            same = sa.and_(_e.project_id == project_id, _e.face == face, _e.alias == alias)
            found = await self._select(same)
        if found is None:
            raise _not_found(alias)
        return found

    async def find_request(self, project_id: str, request_id: str) -> Execution | None:
        """Return the execution that a request id made, None if there is none; raise Unavailable."""
        found = self._buffer.find_request(project_id, request_id)
        if found is None:
            same = sa.and_(_e.project_id == project_id, _e.request_id == request_id)
            found = await self._select(same)
        return found

    async def list(
        self, project_id: str, where: ExecutionFilter, page_size: int, page_token: str = "", *, ascending: bool = False
    ) -> Page[Execution]:
        """Return a page without bodies, newest first; raise InvalidArgument (token), Unavailable.

        Records appear after their flush.
        """
        scope = ("executions", project_id, where, ascending)
        after = read_token(scope, page_token, uuid.UUID)
        statement, values = list_statement(project_id, where, after, page_size + 1, ascending=ascending)
        return page_of(scope, await self._executor.read(_listed, statement, values), page_size)

    async def list_with_bodies(self, project_id: str, where: ExecutionFilter, rows: int) -> Sequence[Read]:
        """Return the newest with those bodies that are in their rows, ``inline_bytes`` each; raise Unavailable."""
        statement, values = list_statement(project_id, where, None, rows, ascending=False, whole=True)
        return await self._executor.read(_read_with_bodies, statement, values)

    async def output(
        self, project_id: str, execution_id: uuid.UUID, attempt: int | None = None
    ) -> tuple[OutputChunk, ...]:
        """Return the output of an attempt, or of the current one, in order; raise NotFound, Unavailable."""
        chunks = await self._executor.read(_output, project_id, execution_id, attempt)
        if chunks is None:
            if self._buffer.find(project_id, execution_id) is None:
                raise _not_found(execution_id)
            return ()
        return chunks

    # the queue

    async def enqueue(self, execution: Execution, *, delay_ms: int = 0) -> Execution:
        """Commit a QUEUED execution, or one RUNNING with its owner; it is on disk when this returns.

        Returns it, or the earlier one of its project and request id. Raises AlreadyExists for a taken id or (face,
        alias), ValueError for any other state, Unavailable.
        """
        if not _acceptable(execution):
            raise ValueError(f"cannot enqueue a {execution.kind} execution that is {execution.state.name}")
        recorded = self._recorded(execution)
        if recorded is not None:
            return recorded
        placed = await self._bodies.placed(execution)
        stored = await self._inserting(placed)(acceptance.enqueue, placed, self._inline_bytes, delay_ms)
        return execution if stored is placed else await self._bodies.whole(stored)

    async def accept(self, execution: Execution, *, owner: str) -> Accepted:
        """Enqueue a QUEUED execution, claimed in the same commit if nothing speaks against it; see the protocol.

        Raises as ``enqueue``.
        """
        if execution.state is not ExecutionState.QUEUED or not _acceptable(execution):
            raise ValueError(f"cannot accept a {execution.kind} execution that is {execution.state.name}")
        recorded = self._recorded(execution)
        if recorded is not None:
            return Accepted(recorded, claimed=False)
        placed = await self._bodies.placed(execution)
        stored, claimed = await self._inserting(placed)(acceptance.accept, placed, self._inline_bytes, owner)
        if claimed:
            return Accepted(_with_bodies_of(execution, stored), claimed=True)
        return Accepted(execution if stored is placed else await self._bodies.whole(stored), claimed=False)

    async def due(self) -> Sequence[str]:
        """Return the projects that have something QUEUED; raise Unavailable."""
        return await self._executor.read(queue.due)

    async def claim(self, owner: str, wanted: Mapping[str, int]) -> Claimed:
        """Take up to so many due executions of each project for an owner, as their limits let; see the protocol.

        Raises Unavailable.
        """
        limited = await self._limited()
        if self._far and len(wanted) == 1 and limited.isdisjoint(wanted):
            # the usual case, in one round trip to the database instead of three
            ((project_id, most),) = wanted.items()
            claimed = Claimed(tuple(await self._executor.single(claims.claim_unlimited, owner, project_id, most)))
        else:
            claimed = await self._executor.write(claims.claim, owner, wanted, limited)
        if all(map(self._bodies.are_here, claimed)):
            return claimed
        whole = await asyncio.gather(*(self._claimed(execution, owner) for execution in claimed))
        return replace(claimed, executions=tuple(execution for execution in whole if execution is not None))

    async def finish(self, execution: Execution, *, owner: str) -> bool:
        """Write the end of what ``owner`` claimed. False: fenced off; drop it. Raises Unavailable."""
        if not execution.state.final:
            raise ValueError(f"{execution.state.name} is not an end")
        placed = await self._bodies.placed(execution)
        run = self._executor.write if self._has_blobs(placed) else self._executor.single
        return await run(queue.finish, placed, owner, self._inline_bytes)

    async def retry(self, execution: Execution, *, owner: str, wait_ms: int) -> bool:
        """Queue again what ``owner`` claimed and whose attempt failed; False if it may not be. Raises Unavailable."""
        return await self._executor.single(queue.retry, execution, owner, wait_ms)

    async def append_output(self, execution_id: uuid.UUID, attempt: int, chunks: Sequence[OutputChunk]) -> None:
        """Append output of an attempt; raise NotFound, Unavailable."""
        if not chunks:
            return
        data = _encode_chunks([(chunk.stream.value, chunk.time_ms, chunk.data) for chunk in chunks])
        try:
            await self._executor.relaxed(_append, execution_id, attempt, data)
        except Conflict:
            raise _not_found(execution_id) from None

    async def request_cancel(self, project_id: str, execution_id: uuid.UUID, now_ms: int) -> Execution:
        """Cancel what is QUEUED, ask for it where it is RUNNING, leave what has ended; raise NotFound, Unavailable."""
        if self._buffer.find(project_id, execution_id) is not None:
            await self.flush()  # the statement below has to see it
        found = await self._executor.write(queue.request_cancel, project_id, execution_id, now_ms)
        if found is None:
            raise _not_found(execution_id)
        return await self._bodies.whole(found)

    async def cancelled(self, owner: str) -> Sequence[uuid.UUID]:
        """Return which of an owner's running executions are to be stopped; raise Unavailable."""
        return await self._executor.read(queue.cancelled, owner)

    async def ended(self, ids: Sequence[uuid.UUID]) -> Sequence[uuid.UUID]:
        """Return which of these have ended; raise Unavailable."""
        return await self._executor.read(queue.ended, ids)

    async def expire(self, error: ExecutionError) -> int:
        """End what is QUEUED past its deadline as TIMEOUT; return how many. Raises Unavailable."""
        return await self._executor.single(queue.expire, error)

    async def recover(self, error: ExecutionError, living: Sequence[str] = ()) -> Mapping[ExecutionState, int]:
        """At boot, when nothing runs yet: queue again or end what earlier boots left RUNNING; return counts.

        What is of ``living`` owners stays as it is.
        """
        return await self._executor.single(queue.recover, error, living)

    async def release(self, owner: str, only: Mapping[uuid.UUID, int] | None = None) -> int:
        """Queue again what an owner has not finished (of these attempts), where attempts are left; return how many."""
        return await self._executor.write(queue.release, owner, only)

    async def unclaim(self, owner: str, known: Sequence[uuid.UUID]) -> int:
        """Queue again, as if never claimed, what an owner has beside what it knows of; return how many."""
        return await self._executor.single(queue.unclaim, owner, known)

    async def waiting(self, project_id: str, most: int) -> int:
        """Return how many of a project are QUEUED, ``most`` at most; raise Unavailable."""
        return await self._executor.read(queue.waiting, project_id, most)

    async def backlog(self) -> int:
        """Return how many are QUEUED and due; raise Unavailable."""
        return await self._executor.read(queue.backlog)

    # within

    def _recorded(self, execution: Execution) -> Execution | None:
        """Return the synchronous execution that has the request id of one and is not written yet."""
        if execution.request_id is None:
            return None
        return self._buffer.find_request(execution.project_id, execution.request_id)

    def _inserting(self, execution: Execution) -> Callable[..., Awaitable[Any]]:
        return self._executor.write if self._has_blobs(execution) else self._executor.single

    async def _find(self, project_id: str, execution_id: uuid.UUID) -> Execution | None:
        found = self._buffer.find(project_id, execution_id)
        if found is not None:
            return found
        return await self._select(sa.and_(_e.id == execution_id, _e.project_id == project_id))

    async def _select(self, condition: sa.ColumnElement[bool]) -> Execution | None:
        found = await self._executor.read(_select, condition)
        return found and await self._bodies.whole(found)

    async def _claimed(self, execution: Execution, owner: str) -> Execution | None:
        """Return a claimed execution with its input; None: it was ended, or waits until the input can be had."""
        try:
            async with asyncio.timeout(_CLAIM_S):  # others wait to be claimed
                return await self._bodies.whole(execution)
        except Damaged as error:
            failed = ExecutionError(reason=Reason.INTERNAL, message=f"It could not be started: {error.message}")
            ended = replace(execution, input=None, state=ExecutionState.FAILED, ended_at=now_ms(), error=failed)
            await self._insist(queue.finish, ended, owner, self._inline_bytes)
        except (Unavailable, TimeoutError):
            await self._insist(queue.give_back, owner, execution.id, execution.attempt, _AGAIN_MS)
        return None

    async def _insist(
        self, work: Callable[Concatenate[sa.Connection, P], object], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        """Write what has to be written about a claim, however long the database is away; its lease ends with it."""
        while True:
            try:
                await self._executor.write(work, *args, **kwargs)
            except Unavailable:
                await asyncio.sleep(self._flush_s)
            else:
                return

    def _may_be_on_its_way(self, execution_id: uuid.UUID) -> bool:
        age_s = (now_ms() - (execution_id.int >> 80)) / 1000  # the first 48 bits of a UUIDv7 are its milliseconds
        return execution_id.version == 7 and abs(age_s) < _LOOK_AGAIN_FLUSHES * self._flush_s

    def _has_blobs(self, execution: Execution) -> bool:
        bodies = [getattr(execution, body) for body in BODIES]
        return any(isinstance(body, Placed) or len(body or b"") > self._inline_bytes for body in bodies)


def _with_bodies_of(execution: Execution, stored: Execution) -> Execution:
    return replace(stored, **{name: getattr(execution, name) for name in BODIES})


def _acceptable(execution: Execution) -> bool:
    if execution.kind is ExecutionKind.SYNC:
        return False
    if execution.state is ExecutionState.QUEUED:
        return execution.owner is None
    return execution.state is ExecutionState.RUNNING and execution.owner is not None


def _select(conn: sa.Connection, condition: sa.ColumnElement[bool]) -> Execution | None:
    found = _select_all(conn, condition)
    return found[0] if found else None


def _select_all(conn: sa.Connection, condition: sa.ColumnElement[bool]) -> list[Execution]:
    return read_executions(conn, conn.execute(sa.select(executions).where(condition)).all())


def _listed(conn: sa.Connection, statement: sa.Select[Any], values: Mapping[str, Any]) -> list[tuple[str, Execution]]:
    return [(str(row.id), listed_execution(row)) for row in conn.execute(statement, values)]


def _read_with_bodies(conn: sa.Connection, statement: sa.Select[Any], values: Mapping[str, Any]) -> list[Read]:
    return [Read(execution_without_blobs(row), not has_blobs(row)) for row in conn.execute(statement, values)]


def _append(conn: sa.Connection, execution_id: uuid.UUID, attempt: int, data: bytes) -> None:
    # one owner writes an attempt, one append after the other
    c = output_chunks.c
    seq = sa.select(sa.func.coalesce(sa.func.max(c.seq) + 1, 0)).where(
        c.execution_id == execution_id, c.attempt == attempt
    )
    conn.execute(
        sa.insert(output_chunks).values(
            execution_id=execution_id, attempt=attempt, seq=seq.scalar_subquery(), data=data
        )
    )


def _output(
    conn: sa.Connection, project_id: str, execution_id: uuid.UUID, asked: int | None
) -> tuple[OutputChunk, ...] | None:
    own = sa.and_(_e.id == execution_id, _e.project_id == project_id)
    current = conn.execute(sa.select(_e.attempt).where(own)).scalar_one_or_none()
    if current is None:
        return None
    attempt = current if asked is None else asked
    c = output_chunks.c
    rows = conn.execute(
        sa.select(c.data).where(c.execution_id == execution_id, c.attempt == attempt).order_by(c.seq)
    ).scalars()
    return tuple(OutputChunk(*chunk) for row in rows for chunk in _decode_chunks(row))


def _not_found(name: object) -> NotFound:
    return NotFound(Reason.EXECUTION_NOT_FOUND, "polycall.v1.Execution", f"executions/{name}")
