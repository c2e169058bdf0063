"""All runs of a server have so many connections together, and one project half of them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

from polycall.sandbox.egress.places import Places
from polycall.sandbox.egress.proxy import Egress, EgressConfig, Session
from tests.sandbox.egress.conftest import LOOPBACK, policy
from tests.sandbox.egress.outside import Site

_FULL = "the server has as many connections of runs open as it may have; close some, or try again later"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@contextlib.asynccontextmanager
async def run(egress: Egress, project: str, site: Site) -> AsyncIterator[tuple[int, Session]]:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0), backlog=32)) as listener:
        listener.setblocking(False)
        async with egress.serve(listener, policy(f"api.example.com:{site.port}"), project) as session:
            yield listener.getsockname()[1], session


async def asked(streams: Streams, site: Site) -> bytes:
    """Ask over a connection, which stays open; return the first line of the answer."""
    reader, writer = streams
    host = f"api.example.com:{site.port}"
    writer.write(f"GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    async with asyncio.timeout(60):
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]))
    return head.split(b"\r\n")[0]


async def closed(streams: Streams, session: Session) -> None:
    """Close a connection; return when the proxy has, too."""
    before = len(session._tasks)
    streams[1].close()
    async with asyncio.timeout(60):
        while len(session._tasks) >= before:
            await asyncio.sleep(0.01)


async def test_connections_of_all_runs_are_bounded_and_beyond_that_refused(plain: Site) -> None:
    egress = Egress(EgressConfig(networks=LOOPBACK, connections=4, lookup=lambda _: ["127.0.0.1"]))
    good, full = b"HTTP/1.1 200 OK", f"HTTP/1.1 503 {_FULL}".encode()
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(egress.close)
        first, second = [await stack.enter_async_context(run(egress, "a", plain)) for _ in range(2)]
        other = await stack.enter_async_context(run(egress, "b", plain))

        async def connected(where: tuple[int, Session]) -> Streams:
            streams = await asyncio.open_connection("127.0.0.1", where[0])
            stack.callback(streams[1].close)
            return streams

        one, two = await connected(first), await connected(second)
        assert [await asked(one, plain), await asked(two, plain)] == [good, good]
        # half of them, over all of its runs
        assert await asked(await connected(first), plain) == full
        assert first[1].ledger.requests[-1].refused == _FULL
        assert [await asked(await connected(other), plain) for _ in range(2)] == [good, good]
        assert await asked(await connected(other), plain) == full
        assert await asked(one, plain) == good  # who has one keeps it
        await closed(one, first[1])
        assert await asked(await connected(second), plain) == good
    assert (egress._places._all, egress._places._taken) == (0, {})


def test_nothing_is_bounded_where_nothing_is_set() -> None:
    places = Places(0)
    assert all(places.take("a") for _ in range(10_000))


def test_one_place_is_anybodys() -> None:
    places = Places(1)
    assert [places.take("a"), places.take("b")] == [True, False]
    places.give_back("a")
    assert places.take("b")
