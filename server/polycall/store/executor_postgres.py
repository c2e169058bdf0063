"""PostgreSQL: a pool of connections; single statements without a transaction around them."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa
import sqlalchemy.exc

from polycall.domain import Reason
from polycall.errors import FailedPrecondition, Internal, Unavailable
from polycall.store.config import StoreConfig
from polycall.store.failures import translated, unavailable

try:
    import asyncpg  # noqa: F401 - SQLAlchemy would miss it only at the first connection
    from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
    from sqlalchemy.util import greenlet_spawn
except ImportError:
    raise FailedPrecondition(
        "PostgreSQL needs asyncpg and greenlet; install them with `pip install 'polycall[cluster]'`.",
        subject="database_url",
        reason=Reason.STORE_UNAVAILABLE,
    ) from None

__all__ = ["PostgresExecutor"]

P = ParamSpec("P")
T = TypeVar("T")

# A server that stands still, or whose machine is gone, within a transaction holds its locks: on schedules, on what it
# was about to end. Nothing here waits for anything else while it has one, so the database ends it after this long.
_IDLE_IN_TRANSACTION_S = 5
# A host that has gone without a word, as in a failover, is not waited for longer than that.
_SILENT_S = 5
_GOODBYE_S = 1.0  # a database that stands still does not answer it
_PREPARE_S = 3600.0  # migrations of many rows, and the wait for another server that does them


class PostgresExecutor:
    """Runs functions on connections of a pool, READ COMMITTED; see ``Executor``."""

    def __init__(self, url: sa.URL, config: StoreConfig) -> None:
        self._url = _driver_url(url)
        self._config = config
        self._room = config.waiting
        self._engine: AsyncEngine | None = None
        self._ends_at: float | None = None  # by the loop's clock: nothing is waited for after it
        self._waits: set[asyncio.Timeout] = set()

    async def start(self, prepare: Callable[[sa.Connection], None]) -> None:
        """Connect and prepare. Raises Unavailable, FailedPrecondition (the tables cannot be made)."""
        name = f"The database {self._url.database} at {self._url.host or 'a local socket'}"
        preparing = self._connections(_PREPARE_S, pool_size=1)
        try:
            with translated():
                async with preparing.begin() as conn:
                    await conn.run_sync(prepare)
        except Unavailable:
            raise Unavailable(
                f"{name} cannot be reached. Check POLYCALL_DATABASE_URL, and that the database runs and lets this "
                "server in.",
                reason=Reason.STORE_UNAVAILABLE,
            ) from None
        except Internal:
            raise FailedPrecondition(
                f"{name} did not let this server make its tables; the log says which statement it refused. The user of "
                "POLYCALL_DATABASE_URL needs a database of its own, or a schema in which it may create tables.",
                subject="database_url",
                reason=Reason.STORE_UNAVAILABLE,
            ) from None
        finally:
            await preparing.dispose()
        self._engine = self._connections(self._config.statement_s, pool_size=self._config.pool_size)
        sa.event.listen(self._engine.sync_engine, "connect", _opened)
        sa.event.listen(self._engine.sync_engine, "checkout", _checked)

    def _connections(self, statement_s: float, *, pool_size: int) -> AsyncEngine:
        return create_async_engine(
            self._url,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=self._config.pool_wait_s,
            hide_parameters=True,
            connect_args={
                "timeout": self._config.connect_s,
                "command_timeout": statement_s,
                "server_settings": {"application_name": "polycall"},
            },
        )

    async def stop(self) -> None:
        """Close the connections."""
        engine, self._engine = self._engine, None
        if engine is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(_GOODBYE_S):
                    await engine.dispose()

    def end_in(self, seconds: float) -> None:
        """See ``Executor``."""
        self._ends_at = asyncio.get_running_loop().time() + seconds
        for wait in self._waits:
            if not wait.expired():
                wait.reschedule(self._ends_at)

    async def read(self, work: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run in AUTOCOMMIT."""
        return await self.single(work, *args, **kwargs)

    async def write(self, work: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run in a transaction."""
        async with self._admitted() as engine:
            return await greenlet_spawn(_in_transaction, engine.sync_engine, lambda conn: work(conn, *args, **kwargs))

    async def single(self, work: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run in AUTOCOMMIT, which saves the round trips of BEGIN and COMMIT."""
        async with self._admitted() as engine:
            return await greenlet_spawn(_alone, engine.sync_engine, lambda conn: work(conn, *args, **kwargs))

    async def relaxed(self, work: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run as ``write``: the server's own setting of ``synchronous_commit`` stands."""
        return await self.write(work, *args, **kwargs)

    @asynccontextmanager
    async def _admitted(self) -> AsyncIterator[AsyncEngine]:
        if self._engine is None or self._room <= 0 or self._over():
            raise unavailable()
        self._room -= 1
        wait = asyncio.timeout_at(self._ends_at)
        try:
            with translated():
                async with wait:
                    self._waits.add(wait)
                    try:
                        yield self._engine
                    finally:
                        self._waits.discard(wait)
        finally:
            self._room += 1

    def _over(self) -> bool:
        return self._ends_at is not None and asyncio.get_running_loop().time() >= self._ends_at


# All of an operation in one greenlet: AsyncConnection makes one for each of its steps, and a task for the last, which
# together cost as much as the statement.


def _in_transaction(engine: sa.Engine, work: Callable[[sa.Connection], T]) -> T:
    with engine.begin() as conn:
        return work(conn)


def _alone(engine: sa.Engine, work: Callable[[sa.Connection], T]) -> T:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        return work(conn)


def _driver_url(url: sa.URL) -> sa.URL:
    """Return a URL as libpq knows it in the words of asyncpg."""
    query = dict(url.query)
    if "sslmode" in query:
        query["ssl"] = query.pop("sslmode")
    return url.set(drivername="postgresql+asyncpg", query=query)


def _opened(connection: Any, record: object) -> None:
    """Set what PostgreSQL and the kernel shall do with a connection whose other end is silent."""
    connection.run_async(_bounded)


async def _bounded(driver: Any) -> None:
    # not as settings of the connection: a pooler refuses those that it does not know
    await driver.execute(f"SET idle_in_transaction_session_timeout = '{_IDLE_IN_TRANSACTION_S}s'")
    transport = getattr(driver, "_transport", None)  # asyncpg has no other way to it
    own = transport.get_extra_info("socket") if transport is not None else None
    if own is None or own.family == socket.AF_UNIX:
        return
    # of the same socket, by a descriptor that may be closed; uvloop's sockets take no options
    with socket.socket(own.family, socket.SOCK_STREAM, fileno=os.dup(own.fileno())) as same:
        same.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        same.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _SILENT_S)
        same.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
        same.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _SILENT_S * 1000)


def _checked(connection: Any, record: object, proxy: object) -> None:
    """Have a connection that the database has closed meanwhile replaced, and all that are older: it was restarted."""
    if connection.driver_connection.is_closed():
        raise sqlalchemy.exc.InvalidatePoolError
