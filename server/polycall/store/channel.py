"""A channel over PostgreSQL: what one server says, all that share the database hear (LISTEN, NOTIFY).

It has a connection of its own, which no pooler may share with others. What is said while it is down is lost: whoever
hears again is told that there was a gap.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import asyncpg
import sqlalchemy as sa

__all__ = ["Channel"]

_NAME = "polycall"
# Until this server hears others again it goes by what it knows: a database that is back is to be noticed soon.
_FIRST_RETRY_S, _LAST_RETRY_S = 0.1, 1.0
_CONNECT_S = 3.0
_ALIVE_S = 2.0  # a connection that was cut off is silent; this often it must answer
_SAY_S = 2.0

log = logging.getLogger(__name__)


class Channel:
    """One server's end. ``hear`` gets every text that any server says, this one's too; ``gap``: some may be missing."""

    def __init__(self, url: str, hear: Callable[[str], None], gap: Callable[[], None]) -> None:
        self._dsn = sa.make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        self._hear = hear
        self._gap = gap
        self._connection: Any = None
        self._connected = asyncio.Event()
        self._saying = asyncio.Lock()
        self._listening: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to listen, and go on whatever happens to the connection. Returns once it listens, or cannot."""
        first = asyncio.Event()
        self._listening = asyncio.create_task(self._listen(first))
        await first.wait()

    async def close(self) -> None:
        """Stop listening; harmless twice."""
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait([self._listening])

    async def say(self, text: str) -> bool:
        """Tell everybody, once there is a connection: the caller bounds the wait. At most 7999 bytes (NOTIFY).

        What was said on a connection that then broke is said again: the others take news twice as they take it once.
        False: the database refuses it.
        """
        while True:
            await self._connected.wait()
            async with self._saying:  # a connection does one thing at a time
                connection = self._connection
                if connection is None:
                    continue
                try:
                    await connection.execute("SELECT pg_notify($1, $2)", _NAME, text, timeout=_SAY_S)
                except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
                    log.warning("other servers cannot be told of a change: %s", type(error).__name__)
                    refused = not connection.is_closed() and isinstance(error, asyncpg.PostgresError)
                    self._lose(connection)
                    if refused:
                        return False
                else:
                    return True

    async def _listen(self, first: asyncio.Event) -> None:
        retry_s = _FIRST_RETRY_S
        while True:
            try:
                await self._listened(first)
                retry_s = _FIRST_RETRY_S
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
                # not its text, which may quote the URL
                log.warning("cannot hear what other servers change: %s", type(error).__name__)
            finally:
                first.set()
            await asyncio.sleep(retry_s)
            retry_s = min(_LAST_RETRY_S, retry_s * 2)

    async def _listened(self, first: asyncio.Event) -> None:
        """Listen until the connection ends."""
        connection = await asyncpg.connect(
            self._dsn, timeout=_CONNECT_S, server_settings={"application_name": "polycall channel"}
        )
        ended = asyncio.Event()
        try:
            connection.add_termination_listener(lambda _: ended.set())
            await connection.add_listener(_NAME, lambda _, pid, channel, text: self._hear(str(text)))
            self._connection = connection
            self._connected.set()
            self._gap()
            first.set()
            while not ended.is_set():
                try:
                    async with asyncio.timeout(_ALIVE_S):
                        await ended.wait()
                except TimeoutError:
                    async with self._saying:
                        await connection.execute("SELECT 1", timeout=_SAY_S)
        finally:
            self._lose(connection)

    def _lose(self, connection: Any) -> None:
        if self._connection is connection:
            self._connection = None
            self._connected.clear()
        connection.terminate()
