"""Records of synchronous executions: written behind, in batches, about a tenth of a second after their end.

The answer to a caller never waits for its record. What is not written yet can be read from the buffer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import replace

import sqlalchemy as sa

from polycall.domain import Execution, ExecutionKind, ExecutionState
from polycall.errors import Unavailable
from polycall.store.blobs import write_blobs
from polycall.store.bodies import Bodies
from polycall.store.buffer import RecordBuffer
from polycall.store.bulk import FIXED, upsert_rows
from polycall.store.dialects import insert
from polycall.store.executor import Executor
from polycall.store.rows import row_of
from polycall.store.tables import executions

__all__ = ["RecordWriter"]

_RETRY_S = 0.5  # between attempts while the database is away
_FORGOTTEN = 0.9  # what is left of a slow flush at the next one: some seconds later it is forgotten
_STOP_S = 5.0  # for the last flush: the process is about to be killed anyway (terminationGracePeriodSeconds)

log = logging.getLogger(__name__)


class RecordWriter:
    """Writes each record of a buffer within ``flush_s`` seconds, in batches; at once when there is a whole batch.

    A flush begins earlier than that by what flushes took of late, with all that kept them: a timer that came late, the
    queue of the database, the commit. By half of it at most: who flushes more often on a machine that is overloaded
    only adds to its load.
    """

    def __init__(
        self,
        executor: Executor,
        buffer: RecordBuffer,
        *,
        flush_s: float,
        flush_rows: int,
        inline_bytes: int,
        bodies: Bodies,
    ) -> None:
        self._executor = executor
        self._bodies = bodies
        self._buffer = buffer
        self._flush_s = flush_s
        self._flush_rows = flush_rows
        self._inline_bytes = inline_bytes
        self._some = asyncio.Event()
        self._since = 0.0  # loop.time() of the first record that waits
        self._lead_s = 0.0  # how much earlier than after `flush_s` a flush begins
        self._batch = asyncio.Event()
        self._one_flush = asyncio.Lock()
        self._overflows = False
        self.lost = 0  # at the end
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to flush."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Flush what can be flushed, and stop."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.wait([self._task])
        self._task = None
        try:
            async with asyncio.timeout(_STOP_S):
                await self.flush()
        except (Unavailable, TimeoutError):
            self.lost = len(self._buffer)
            log.error("%d execution records are lost: the database is away", self.lost)

    def add(self, execution: Execution) -> None:
        """Take a record; never waits."""
        if self._buffer.add(execution) and not self._overflows:
            self._overflows = True  # said once, and summed up when the database is back
            log.error("the record buffer is full: bodies of records, then records are lost until the database is back")
        if not self._some.is_set():
            self._since = asyncio.get_running_loop().time()
            self._some.set()
        if len(self._buffer) >= self._flush_rows:
            self._batch.set()

    async def flush(self) -> None:
        """Write everything that waits by now; raise Unavailable.

        What comes meanwhile waits for the next one: or else there would be no end of small ones.
        """
        async with self._one_flush:
            left = len(self._buffer)
            while left > 0 and (taken := self._buffer.take(min(left, self._flush_rows))):
                left -= len(taken)
                try:
                    dropped = await self._write(taken)
                except BaseException:
                    self._buffer.put_back()
                    raise
                self._buffer.written(dropped)
            if self._overflows:
                self._overflows = False
                counts = self._buffer.counts
                log.error(
                    "records lost since the start: %d, and the bodies of %d", counts.rows_dropped, counts.bodies_dropped
                )

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._some.wait()
            due = self._since + self._flush_s - self._lead_s
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await self._batch.wait()
            self._some.clear()
            self._batch.clear()
            due = min(due, loop.time())
            try:
                await self.flush()
            except Unavailable:
                self._some.set()
                await asyncio.sleep(_RETRY_S)
            except Exception:
                # whatever it was: records that come later shall still be written
                log.exception("execution records could not be flushed")
                self._some.set()
                await asyncio.sleep(_RETRY_S)
            else:
                took = loop.time() - due
                self._lead_s = min(max(took, self._lead_s * _FORGOTTEN), self._flush_s / 2)

    async def _write(self, batch: Sequence[Execution]) -> int:
        """Write a batch; returns how many of it the database does not take, whatever is tried."""
        if self._bodies.elsewhere:
            batch = [await self._bodies.placed(execution) for execution in batch]
        try:
            await self._executor.relaxed(_upsert, batch, self._inline_bytes)
        except Unavailable:
            raise
        except Exception:  # whatever it is about one of them, the others shall be written
            return sum([not await self._write_one(execution) for execution in batch])
        return 0

    async def _write_one(self, execution: Execution) -> bool:
        """Write a record of a batch that failed, if need be without the names that another one has."""
        for attempt in (execution, replace(execution, request_id=None, alias=None)):
            try:
                await self._executor.relaxed(_upsert, [attempt], self._inline_bytes)
            except Unavailable:
                raise
            except Exception as error:
                kind = type(error).__name__
                log.error("the database does not take the record of execution %s: %s", execution.id, kind)
            else:
                return True
        return False


def _upsert(conn: sa.Connection, batch: Sequence[Execution], inline_bytes: int) -> None:
    """Insert records; one that stands there as RUNNING gets its end, one that has its end keeps it."""
    rows, blobs = [], []
    for execution in batch:
        row, large = row_of(execution, inline_bytes)
        rows.append(row)
        blobs += large
    write_blobs(conn, blobs)
    if conn.dialect.name == "sqlite":
        upsert_rows(conn, [row | {"id": row["id"].hex} for row in rows])
        return
    statement = insert(conn.dialect.name, executions)
    new = statement.excluded
    changes: dict[str, sa.ColumnElement[object]] = {name: new[name] for name in rows[0] if name not in FIXED}
    conn.execute(
        statement.on_conflict_do_update(
            index_elements=["id"],
            set_=changes,
            where=sa.and_(
                executions.c.project_id == new.project_id,
                executions.c.kind == ExecutionKind.SYNC.value,
                executions.c.state == int(ExecutionState.RUNNING),
            ),
        ),
        rows,
    )
