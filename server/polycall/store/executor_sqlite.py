"""SQLite: one writer thread that commits in groups, and a few threads that read.

Writers of one file exclude each other anyway, so there is one. What waits is run in one transaction and one fsync; no
one waits for a group to fill. Readers have connections of their own and never wait for the writer (WAL).
"""

from __future__ import annotations

import asyncio
import math
import os
import queue
import sqlite3
import threading
import time
import urllib.parse
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

import sqlalchemy as sa
import sqlalchemy.exc
from sqlalchemy.dialects.sqlite.base import SQLiteCompiler

from polycall.domain import Reason
from polycall.errors import FailedPrecondition, Unavailable
from polycall.quick import dataclass
from polycall.store.directory import DirectoryLock, refuse_network_file_system
from polycall.store.failures import translated, unavailable
from polycall.store.turn import Turn

__all__ = ["SqliteExecutor"]

P = ParamSpec("P")
T = TypeVar("T")

_GROUP = 256  # functions in one transaction: bounds how long the first of them waits for the last
_BUSY_S = 5.0  # another process (a backup, a shell) may hold the lock for a moment
_BUSY_LAST_S = 0.25  # once all is to be over: a commit of another one takes a millisecond or so
_WAL_BYTES = 64 << 20  # to which a log that grew in a burst is cut back
_LEAST_BYTES = 1 << 20  # with less SQLite does not even make the files beside its own
_OLDEST = (3, 35)  # RETURNING


@dataclass(slots=True, eq=False)
class _Job:
    """A function that waits for the writer, and what became of it."""

    work: Callable[[sa.Connection], Any]
    durable: bool
    future: asyncio.Future[Any]
    result: Any = None
    error: Exception | None = None


class SqliteExecutor:
    """Owns one database file, alone among processes, from ``start`` to ``stop``; see ``Executor``.

    ``shared``: it is one of several, whose directory is locked for all of them; their writers take turns.
    """

    def __init__(self, path: Path, *, readers: int, waiting: int, shared: bool = False) -> None:
        self._path = path
        self._lock = None if shared else DirectoryLock(path.with_suffix(".lock"))
        self._turn = Turn(path.with_suffix(".turn")) if shared else None
        self._room = waiting  # changed on the loop only
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._synchronous = ""
        self._waits_s = _BUSY_S
        self._ends_at = math.inf  # time.monotonic
        self._write_engine = _engine(lambda: _connect(path, "rw"), "BEGIN IMMEDIATE", 1)
        self._read_engine = _engine(lambda: _connect(path, "ro"), "BEGIN", readers)
        self._writer: sa.Connection | None = None
        self._readers = ThreadPoolExecutor(readers, thread_name_prefix="polycall-store-read")

    async def start(self, prepare: Callable[[sa.Connection], None]) -> None:
        """Lock, open, prepare. Raises FailedPrecondition: the directory is in use, on a network, or not a database."""
        self._loop = asyncio.get_running_loop()
        opening = asyncio.ensure_future(asyncio.to_thread(self._open, prepare))
        try:
            await asyncio.shield(opening)
        except asyncio.CancelledError:
            # a thread cannot be stopped; what it has opened is for `stop` to close
            await asyncio.wait([opening])
            raise
        self._thread = threading.Thread(
            target=self._write_all, args=(self._writer, self._loop), name="polycall-store-write", daemon=True
        )
        self._thread.start()

    async def stop(self) -> None:
        """Commit what waits, close, let go of the lock."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._jobs.put(None)
            await asyncio.to_thread(thread.join)
        await asyncio.to_thread(self._close)

    def end_in(self, seconds: float) -> None:
        """Wait so long for whoever holds the file, and no longer. A file that answers is written to all the same."""
        self._ends_at = time.monotonic() + seconds

    async def read(self, work: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run in a reader thread, on one snapshot."""
        loop = self._admit()
        try:
            with translated():
                return await loop.run_in_executor(self._readers, lambda: self._read(work, *args, **kwargs))
        finally:
            self._room += 1

    async def write(self, work: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run in the writer thread, in a group that is fsynced."""
        return await self._submit(lambda conn: work(conn, *args, **kwargs), durable=True)

    async def single(self, work: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run as ``write``: a transaction costs nothing where there is no network."""
        return await self._submit(lambda conn: work(conn, *args, **kwargs), durable=True)

    async def relaxed(self, work: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run in the writer thread, in a group that is fsynced only for the sake of others in it."""
        return await self._submit(lambda conn: work(conn, *args, **kwargs), durable=False)

    # on the loop

    def _admit(self) -> asyncio.AbstractEventLoop:
        if self._thread is None or self._loop is None or self._room <= 0:
            raise unavailable()
        self._room -= 1
        return self._loop

    async def _submit(self, work: Callable[[sa.Connection], T], *, durable: bool) -> T:
        future: asyncio.Future[T] = self._admit().create_future()
        self._jobs.put(_Job(work, durable, future))
        with translated():
            return await future

    def _deliver(self, group: list[_Job]) -> None:
        for job in group:
            self._room += 1
            if job.future.done():  # its caller has gone away
                continue
            if job.error is not None:
                job.future.set_exception(job.error)
            else:
                job.future.set_result(job.result)

    # in other threads

    def _open(self, prepare: Callable[[sa.Connection], None]) -> None:
        if sqlite3.sqlite_version_info < _OLDEST:
            raise FailedPrecondition(
                f"The embedded database needs SQLite {_OLDEST[0]}.{_OLDEST[1]} or newer; Python here has "
                f"{sqlite3.sqlite_version}. Use another Python, or set POLYCALL_DATABASE_URL.",
                reason=Reason.STORE_UNAVAILABLE,
            )
        directory = self._path.parent
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        refuse_network_file_system(directory)
        if self._lock is not None:
            self._lock.acquire()
        try:
            if self._turn is not None:
                self._turn.open()
            # SQLite would make it readable for everybody; its companions (-wal, -shm) get the mode of the file
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._writer = self._write_engine.connect()
            with self._turn.held(_BUSY_S) if self._turn else nullcontext(), self._writer.begin():
                prepare(self._writer)
            # not before: a migration that makes a table anew drops the old one, which would delete what refers to it
            _raw(self._writer).execute("PRAGMA foreign_keys=ON")
        except (sqlite3.Error, sqlalchemy.exc.DBAPIError) as error:
            self._close()
            cause = getattr(error, "orig", error)
            what = "Restore it from a backup, or set POLYCALL_DATA_DIR to another directory."
            if os.statvfs(directory).f_bavail * os.statvfs(directory).f_frsize < _LEAST_BYTES:
                what = "Its disk is full: make room there, or set POLYCALL_DATA_DIR to another disk."
            raise FailedPrecondition(
                f"The database {self._path} cannot be opened: {cause}. {what}",
                subject=str(self._path),
                reason=Reason.STORE_UNAVAILABLE,
            ) from None
        except BaseException:
            self._close()
            raise

    def _close(self) -> None:
        self._readers.shutdown()
        self._read_engine.dispose()
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        self._write_engine.dispose()  # the last connection: SQLite moves the log into the file
        if self._turn is not None:
            self._turn.close()
        if self._lock is not None:
            self._lock.release()

    def _read(self, work: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        with self._read_engine.connect() as conn:
            return work(conn, *args, **kwargs)

    def _write_all(self, conn: sa.Connection, loop: asyncio.AbstractEventLoop) -> None:
        while group := self._next_group():
            self._commit(conn, group)
            try:
                loop.call_soon_threadsafe(self._deliver, group)
            except RuntimeError:  # the loop is closed: nobody is left to tell
                return

    def _next_group(self) -> list[_Job]:
        """Wait for a job and return it with all that wait by then; empty at the end."""
        group: list[_Job] = []
        job = self._jobs.get()
        while job is not None:
            group.append(job)
            if len(group) == _GROUP:
                return group
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return group
        if group:
            self._jobs.put(None)  # end after this one
        return group

    def _commit(self, conn: sa.Connection, group: list[_Job]) -> None:
        try:
            self._transact(conn, group)
        except Unavailable as error:  # somebody else holds the file: that is so for all of them
            for job in group:
                job.error = error
        except Exception as error:
            if len(group) == 1:
                group[0].error = error
                return
            for job in group:  # somebody's failure is undone by undoing all; each again, on its own
                self._commit(conn, [job])

    def _transact(self, conn: sa.Connection, group: list[_Job]) -> None:
        raw = _raw(conn)
        wanted = "FULL" if any(job.durable for job in group) else "NORMAL"
        if wanted != self._synchronous:
            raw.execute(f"PRAGMA synchronous={wanted}")
            self._synchronous = wanted
        wait_s = min(max(self._ends_at - time.monotonic(), _BUSY_LAST_S), _BUSY_S)
        with self._turn.held(wait_s) if self._turn else nullcontext(), self._begun(conn, wait_s):
            for job in group:
                job.error = None
                changes = raw.total_changes
                try:
                    job.result = job.work(conn)
                except Exception as error:
                    if raw.total_changes != changes or not raw.in_transaction:
                        raise
                    job.error = error  # it has changed nothing, so it is nobody else's failure

    def _begun(self, conn: sa.Connection, wait_s: float) -> sa.RootTransaction:
        """Begin a transaction. Raises Unavailable: the file is locked, by whom no turns are taken with, or is full."""
        if wait_s != self._waits_s:
            _raw(conn).execute(f"PRAGMA busy_timeout={wait_s * 1000:.0f}")
            self._waits_s = wait_s
        with translated():
            return conn.begin()


class _Compiler(SQLiteCompiler):
    """SQLite's compiler, with the index hints that SQLAlchemy keeps for other databases."""

    def get_from_hint_text(self, table: sa.FromClause, text: str | None) -> str | None:
        return text


def _engine(connect: Callable[[], sqlite3.Connection], begin: str, size: int) -> sa.Engine:
    engine = sa.create_engine(
        "sqlite://",
        creator=connect,
        poolclass=sa.QueuePool,
        pool_size=size,
        max_overflow=0,
        hide_parameters=True,
    )

    engine.dialect.statement_compiler = _Compiler

    @sa.event.listens_for(engine, "begin")
    def _begin(conn: sa.Connection) -> None:
        # never a deferred BEGIN that reads and then writes: it fails with "database is locked" when it is too late
        conn.exec_driver_sql(begin)

    return engine


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    raw = sqlite3.connect(
        f"file:{urllib.parse.quote(str(path))}?mode={mode}",
        uri=True,
        timeout=_BUSY_S,
        isolation_level=None,  # transactions are ours, see _engine
        check_same_thread=False,  # the pools see to it that one thread uses it at a time
    )
    if mode == "rw":
        (journal,) = raw.execute("PRAGMA journal_mode=WAL").fetchone()
        if journal != "wal":
            raw.close()
            raise sqlite3.OperationalError("the file system does not hold a write-ahead log")
        raw.execute(f"PRAGMA journal_size_limit={_WAL_BYTES}")
    return raw


def _raw(conn: sa.Connection) -> sqlite3.Connection:
    return cast("sqlite3.Connection", conn.connection.driver_connection)
