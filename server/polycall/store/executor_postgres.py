"""PostgreSQL: a pool of connections; single statements without a transaction around them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa

from polycall.domain import Reason
from polycall.errors import FailedPrecondition, Internal, Unavailable
from polycall.store.config import StoreConfig
from polycall.store.failures import translated, unavailable

try:
    import asyncpg  # noqa: F401 - SQLAlchemy would miss it only at the first connection
    from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
except ImportError:
    raise FailedPrecondition(
        "PostgreSQL needs asyncpg and greenlet; install them with `pip install 'polycall[cluster]'`.",
        subject="database_url",
        reason=Reason.STORE_UNAVAILABLE,
    ) from None

__all__ = ["PostgresExecutor"]

P = ParamSpec("P")
T = TypeVar("T")


class PostgresExecutor:
    """Runs functions on connections of a pool, READ COMMITTED; see ``Executor``."""

    def __init__(self, url: sa.URL, config: StoreConfig) -> None:
        self._url = _driver_url(url)
        self._config = config
        self._room = config.waiting
        self._engine: AsyncEngine | None = None

    async def start(self, prepare: Callable[[sa.Connection], None]) -> None:
        """Connect and prepare. Raises Unavailable, FailedPrecondition (the tables cannot be made)."""
        self._engine = create_async_engine(
            self._url,
            pool_size=self._config.pool_size,
            max_overflow=0,
            pool_timeout=self._config.pool_wait_s,
            hide_parameters=True,
            connect_args={
                "timeout": self._config.connect_s,
                "command_timeout": self._config.statement_s,
                "server_settings": {"application_name": "polycall"},
            },
        )
        name = f"The database {self._url.database} at {self._url.host or 'a local socket'}"
        try:
            await self.write(prepare)
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

    async def stop(self) -> None:
        """Close the connections."""
        engine, self._engine = self._engine, None
        if engine is not None:
            await engine.dispose()

    async def read(self, work: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run in AUTOCOMMIT."""
        return await self.single(work, *args, **kwargs)

    async def write(self, work: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run in a transaction."""
        async with self._admitted() as engine, engine.begin() as conn:
            return await conn.run_sync(work, *args, **kwargs)

    async def single(self, work: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run in AUTOCOMMIT, which saves the round trips of BEGIN and COMMIT."""
        async with self._admitted() as engine, engine.connect() as conn:
            await conn.execution_options(isolation_level="AUTOCOMMIT")
            return await conn.run_sync(work, *args, **kwargs)

    async def relaxed(self, work: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run as ``write``: the server's own setting of ``synchronous_commit`` stands."""
        return await self.write(work, *args, **kwargs)

    @asynccontextmanager
    async def _admitted(self) -> AsyncIterator[AsyncEngine]:
        if self._engine is None or self._room <= 0:
            raise unavailable()
        self._room -= 1
        try:
            with translated():
                yield self._engine
        finally:
            self._room += 1


def _driver_url(url: sa.URL) -> sa.URL:
    """Return a URL as libpq knows it in the words of asyncpg."""
    query = dict(url.query)
    if "sslmode" in query:
        query["ssl"] = query.pop("sslmode")
    return url.set(drivername="postgresql+asyncpg", query=query)
