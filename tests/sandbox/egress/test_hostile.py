"""What the proxy does for clients and servers that mean ill, byte by byte."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from polycall.domain import Credential, CredentialKind
from polycall.sandbox.egress.addresses import Address, AddressFilter
from polycall.sandbox.egress.bounds import Bounds
from polycall.sandbox.egress.credentials import Injection
from polycall.sandbox.egress.policy import parse_authority
from polycall.sandbox.egress.resolver import Resolver
from tests.sandbox.egress.conftest import Proxy, policy, rule
from tests.sandbox.egress.outside import Site

SECRET = "credential-that-nobody-sees"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
PATIENCE_S = 60.0


class Wire:
    """A server that answers as it is told, and keeps the bytes that came."""

    def __init__(self) -> None:
        self.port = 0
        self.received: list[bytes] = []
        self.open = 0
        self.answer = OK
        self.after: Callable[[bytes], bool] = lambda data: b"\r\n\r\n" in data
        self.hang_up = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        index = len(self.received)
        self.received.append(b"")
        self.open += 1
        pending = b""
        try:
            while data := await reader.read(65536):
                self.received[index] += data
                pending += data
                if self.after(pending):
                    pending = b""
                    writer.write(self.answer)
                    await writer.drain()
                    if self.hang_up:
                        break
        except ConnectionError:
            pass
        finally:
            self.open -= 1
            writer.close()


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    found = Wire()
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    yield found
    server.close()


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.01)


class Talk:
    """A connection to the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def hear(self) -> bytes:
        """Return all until the end."""
        async with asyncio.timeout(PATIENCE_S):
            with contextlib.suppress(ConnectionError):
                return await self.reader.read()
            return b""

    async def head(self) -> bytes:
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.readuntil(b"\r\n\r\n")


@contextlib.asynccontextmanager
async def talk(port: int) -> AsyncIterator[Talk]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Talk(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def ask(port: int, data: bytes) -> bytes:
    async with talk(port) as connection:
        await connection.say(data)
        return await connection.hear()


def get(wire: Wire, *headers: bytes, method: bytes = b"GET", body: bytes = b"") -> bytes:
    host = b"api.example.com:%d" % wire.port
    lines = [b"%s http://%s/path HTTP/1.1" % (method, host), b"Host: " + host, *headers, b"", body]
    return b"\r\n".join(lines)


def allowed(wire: Wire) -> Any:
    return policy(f"api.example.com:{wire.port}")


LAST = b"Connection: close"


@pytest.mark.parametrize(
    ("status", "request_"),
    [
        (b"400", [b"Content-Length: 4", b"Transfer-Encoding: chunked", b"", b"0\r\n\r\n"]),
        (b"400", [b"Transfer-Encoding: chunked", b"Content-Length: 0", b"", b"0\r\n\r\n"]),
        (b"400", [b"Content-Length: 4", b"Content-Length: 5", b"", b"abcde"]),
        (b"400", [b"Content-Length: +4", b"", b"abcd"]),
        (b"400", [b"Content-Length: 4, 5", b"", b"abcd"]),
        (b"501", [b"Transfer-Encoding: gzip, chunked", b"", b"0\r\n\r\n"]),
        (b"501", [b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", b"", b"0\r\n\r\n"]),
        (b"501", [b"Transfer-Encoding: xchunked", b"", b"0\r\n\r\n"]),
        (b"400", [b"Transfer-Encoding : chunked", b"", b"0\r\n\r\n"]),
        (b"421", [b" Folded: into the host", b"", b""]),
        (b"400", [b"X: a\0b", b"", b""]),
        (b"400", [b"X: a\rb", b"", b""]),
        (b"400", [b"Host: other.example", b"", b""]),
        (b"400", [b"No colon", b"", b""]),
        (b"431", [*[b"X: x"] * 200, b"", b""]),
        (b"431", [b"X: " + b"x" * (200 << 10), b"", b""]),
    ],
)
async def test_what_could_be_read_in_two_ways_is_refused(
    status: bytes, request_: list[bytes], proxy: Proxy, wire: Wire
) -> None:
    async with proxy(allowed(wire)) as (port, _):
        answer = await ask(port, get(wire, *request_[:-2], method=b"POST", body=request_[-1]))
    assert answer.startswith(b"HTTP/1.1 " + status), answer[:200]
    assert answer.count(b"HTTP/1.1") == 1
    assert b"".join(wire.received).partition(b"\r\n\r\n")[2] == b""  # at most a head


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (b"421", b"GET http://api.example.com:%d/ HTTP/1.1\r\nHost: other.example\r\n\r\n"),
        (b"421", b"GET http://api.example.com:%d/ HTTP/1.1\r\nHost: api.example.com\r\n\r\n"),  # port 80
        (b"400", b"GET http://api.example.com:%d/ HTTP/1.1\r\n\r\n"),
        (b"421", b"GET http://api.example.com:%d/ HTTP/1.0\r\n\r\n"),
        (b"400", b"GET http://user:pass@api.example.com:%d/ HTTP/1.1\r\nHost: h\r\n\r\n"),
        (b"400", b"GET https://api.example.com:%d/ HTTP/1.1\r\nHost: h\r\n\r\n"),
        (b"400", b"GET ftp://api.example.com:%d/ HTTP/1.1\r\nHost: h\r\n\r\n"),
        (b"400", b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n"),
        (b"400", b"OPTIONS *%d HTTP/1.1\r\nHost: h\r\n\r\n"),
        (b"400", b"GET http://api.example.com:%d/#fragment HTTP/1.1\r\nHost: h\r\n\r\n"),
        (b"403", b"GET http://2130706433:%d/ HTTP/1.1\r\nHost: h\r\n\r\n"),
        (b"403", b"GET http://127.0.0.1:%d/ HTTP/1.1\r\nHost: h\r\n\r\n"),
        (b"400", b"CONNECT api.example.com HTTP/1.1\r\nHost: api.example.com\r\n\r\n%d"),
        (b"400", b"CONNECT api.example.com:%d HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx"),
        (b"400", b"CONNECT http://api.example.com:%d HTTP/1.1\r\nHost: h\r\n\r\n"),
        (b"403", b"CONNECT 127.0.0.1:%d HTTP/1.1\r\nHost: h\r\n\r\n"),
        (b"403", b"CONNECT [::ffff:127.0.0.1]:%d HTTP/1.1\r\nHost: h\r\n\r\n"),
        (b"403", b"CONNECT api.example.com:22 HTTP/1.1\r\nX-%d: h\r\nHost: h\r\n\r\n"),
        (b"400", b"\x16\x03\x01%d\r\n\r\n"),
        (b"400", b"SSH-2.0-x%d\r\n\r\n"),
    ],
)
async def test_only_what_is_plainly_meant_for_an_allowed_host_goes_out(
    status: bytes, line: bytes, proxy: Proxy, wire: Wire
) -> None:
    async with proxy(allowed(wire)) as (port, _):
        answer = await ask(port, line % wire.port)
    if status == b"403" and b"2130706433" in line:
        status = b"400"  # no name ends in a number
    assert answer.startswith(b"HTTP/1.1 " + status), answer[:200]
    assert wire.received == []


async def test_what_goes_out_is_written_anew(proxy: Proxy, wire: Wire) -> None:
    """Bare line feeds, folds, extensions of chunks, trailers and hop-by-hop fields stay here."""
    wire.after = lambda data: data.endswith(b"0\r\n\r\n")
    host = b"api.example.com:%d" % wire.port
    request = (
        b"POST http://%s/p HTTP/1.1\nHost: %s\nX-Folded: one\n  two\n" % (host, host)
        + b"Connection: close, X-Secret-Hop\r\nX-Secret-Hop: 1\r\nKeep-Alive: 5\r\nProxy-Authorization: Basic eA==\r\n"
        + b"Proxy-Connection: keep-alive\r\nProxy-Anything: 1\r\nTE: trailers\r\nTrailer: X-T\r\nUpgrade: websocket\r\n"
        + b"Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b'3;ext="a"\r\nabc\r\n0;last\r\nX-T: trailer\r\n\r\n'
    )
    async with proxy(allowed(wire)) as (port, _):
        answer = await ask(port, request)
    assert answer.endswith(b"\r\n\r\nok"), answer
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n")
    assert wire.received == [
        b"POST /p HTTP/1.1\r\nHost: %s\r\nX-Folded: one two\r\nTransfer-Encoding: chunked\r\n\r\n" % host
        + b"3\r\nabc\r\n0\r\n\r\n"
    ]


async def test_a_request_behind_another_is_looked_at_as_closely(proxy: Proxy, wire: Wire) -> None:
    async with proxy(allowed(wire)) as (port, _):
        answer = await ask(port, get(wire) + get(wire, *[b"X: y"] * 200))
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert b"HTTP/1.1 431" in answer


async def test_nobody_is_kept_from_their_turn(proxy: Proxy, wire: Wire) -> None:
    """A connection that always has something to say leaves the event loop to others in between."""
    wire.after = lambda _: False
    async with proxy(allowed(wire)) as (port, session):

        def flood() -> None:
            import socket

            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(get(wire, b"Transfer-Encoding: chunked", method=b"POST"))
                for _ in range(40):
                    connection.sendall(b"1\r\nx\r\n" * 1000)

        flooding = asyncio.create_task(asyncio.to_thread(flood))
        sent, steps = 0, []
        async with asyncio.timeout(PATIENCE_S):
            while sent != 40_000:
                await asyncio.sleep(0)
                before, sent = sent, sum(made.sent_bytes for made in session.ledger.requests)
                steps.append(sent - before)
        await flooding
    assert max(steps) <= 128


async def test_pipelined_requests_are_two_requests(proxy: Proxy, wire: Wire) -> None:
    async with proxy(allowed(wire)) as (port, session):
        answer = await ask(port, get(wire) + get(wire, LAST))
    assert answer.count(b"HTTP/1.1 200 OK") == 2
    assert len(session.ledger.requests) == 2


async def test_the_allow_list_comes_before_any_lookup_and_a_lookup_once(proxy: Proxy, wire: Wire) -> None:
    asked: list[str] = []

    def lookup(host: str) -> list[str]:
        asked.append(host)
        # another answer each time, as one who rebinds gives
        return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.2"]

    async with proxy(allowed(wire), lookup=lookup) as (port, _):
        for host in (b"secret-data.example.net", b"a.api.example.com"):
            assert (await ask(port, b"CONNECT %s:443 HTTP/1.1\r\nHost: h\r\n\r\n" % host)).startswith(b"HTTP/1.1 403")
        assert asked == []
        assert b"200 OK" in await ask(port, get(wire, LAST))
    assert asked == ["api.example.com"]


@pytest.mark.parametrize(
    "found", [["10.0.0.1"], ["169.254.169.254"], ["::ffff:127.0.0.1"], ["64:ff9b::a9fe:a9fe"], ["::1"]]
)
async def test_an_address_that_is_not_public_is_refused_and_not_told(
    found: list[str], proxy: Proxy, wire: Wire
) -> None:
    async with proxy(policy("*"), lookup=lambda _: found, networks=()) as (port, session):
        answer = await ask(port, b"CONNECT rebound.example:443 HTTP/1.1\r\nHost: h\r\n\r\n")
    words = b"the address of rebound.example is not allowed: it is not public"
    assert answer.startswith(b"HTTP/1.1 403 " + words)
    assert found[0].encode() not in answer
    assert session.ledger.requests[0].refused == words.decode()


async def test_of_several_addresses_only_the_public_ones_are_used(proxy: Proxy, wire: Wire) -> None:
    async with proxy(allowed(wire), lookup=lambda _: ["10.9.9.9", "169.254.169.254", "127.0.0.1"]) as (port, _):
        assert b"200 OK" in await ask(port, get(wire, LAST))


async def test_a_name_that_leads_nowhere_is_told(proxy: Proxy, wire: Wire) -> None:
    def lookup(host: str) -> list[str]:
        raise OSError("no such name")

    async with proxy(allowed(wire), lookup=lookup) as (port, _):
        assert b"502 api.example.com cannot be resolved" in await ask(port, get(wire, LAST))
    async with proxy(policy("api.example.com:1")) as (port, _):
        answer = await ask(port, b"CONNECT api.example.com:1 HTTP/1.1\r\nHost: h\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 502 api.example.com:1 cannot be reached: ")


async def test_lookups_that_never_end_keep_no_other_run_waiting(proxy: Proxy, wire: Wire) -> None:
    let_go = threading.Event()

    def lookup(host: str) -> list[str]:
        if host.endswith(".slow.example"):
            let_go.wait(PATIENCE_S)
        return ["127.0.0.1"]

    rules = policy("*.slow.example", f"api.example.com:{wire.port}")
    try:
        async with (
            proxy(rules, Bounds(lookups=2), lookup) as (port, session),
            contextlib.AsyncExitStack() as stack,
        ):
            for number in range(8):
                slow = await stack.enter_async_context(talk(port))
                await slow.say(b"CONNECT %d.slow.example:443 HTTP/1.1\r\nHost: h\r\n\r\n" % number)
            await until(lambda: len(session.ledger.requests) == 8)
            busy = [t for t in threading.enumerate() if t.name.startswith("egress-lookup")]
            assert len(busy) == 2
    finally:
        let_go.set()


async def test_a_project_whose_names_are_never_resolved_leaves_threads_for_others() -> None:
    """One run after the other, each over before its lookups are: a turn of each run's own would bound nothing."""
    let_go = threading.Event()

    def lookup(host: str) -> list[str]:
        if host == "slow.example":
            let_go.wait(PATIENCE_S)
        return ["8.8.8.8"]

    resolver = Resolver(AddressFilter(), lookup)

    def resolve(host: str, project_id: str) -> asyncio.Task[list[Address]]:
        turns = asyncio.Semaphore(2), resolver.share_of(project_id)
        where = parse_authority(host, 443)
        work = resolver.resolve(where, listed=True, any_address=False, turns=turns)
        return asyncio.get_running_loop().create_task(work)

    try:
        for _ in range(100):
            over = [resolve("slow.example", "one"), resolve("slow.example", "one")]
            await asyncio.sleep(0.001)
            for run in over:
                run.cancel()
            await asyncio.gather(*over, return_exceptions=True)
        assert [str(address) for address in await resolve("fast.example", "two")] == ["8.8.8.8"]
    finally:
        let_go.set()
        resolver.close()


# credentials


def tls_through(port: int, site: Site, trusted: str, data: bytes, name: str = "api.example.com") -> bytes:
    """Send bytes through CONNECT and TLS, and return what comes."""
    import socket

    context = ssl.create_default_context(cafile=trusted)
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as plain:
        plain.sendall(b"CONNECT api.example.com:%d HTTP/1.1\r\nHost: h\r\n\r\n" % site.port)
        assert plain.recv(4096).startswith(b"HTTP/1.1 200")
        with context.wrap_socket(plain, server_hostname=name, suppress_ragged_eofs=True) as tls:
            tls.sendall(data)
            found = b""
            while piece := tls.recv(65536):
                found += piece
            return found


def inside(site: Site, *headers: bytes, path: bytes = b"/", method: bytes = b"GET") -> bytes:
    lines = [b"%s %s HTTP/1.1" % (method, path), b"Host: api.example.com:%d" % site.port, LAST, *headers]
    return b"\r\n".join([*lines, b"", b""])


async def test_what_the_code_puts_in_the_place_of_a_credential_is_taken_out(
    proxy: Proxy, secure: Site, trusted: str
) -> None:
    rules = policy(
        rule(f"api.example.com:{secure.port}", bearer=SECRET, header=("X-Api-Key", SECRET), query=("key", SECRET))
    )
    data = inside(
        secure,
        *(b"Authorization: Basic bWluZQ==", b"authorization: mine", b"X-API-KEY: mine", b"X_Api_Key: mine"),
        *(b"Connection: X-Api-Key, Authorization", b"X-Other: kept"),
        path=b"/p?key=mine&a=%20b&k%65y=mine&a=2&key",
    )
    async with proxy(rules) as (port, _):
        await asyncio.to_thread(tls_through, port, secure, trusted, data)
    (request,) = secure.seen
    assert request.path == f"/p?a=%20b&a=2&key={SECRET}"
    assert request.all("authorization") == [f"Bearer {SECRET}"]
    assert request.all("x-api-key") == [SECRET]
    assert [name for name, _ in request.headers if "_" in name] == []
    assert request.all("x-other") == ["kept"]


async def test_an_answer_that_repeats_a_credential_in_its_headers_loses_it(
    proxy: Proxy, secure: Site, trusted: str
) -> None:
    secret = "a b&c=d+e/f%g-credential"
    rules = policy(
        rule(f"api.example.com:{secure.port}", query=("key", secret), basic=("user", "password-nobody-sees"))
    )
    async with proxy(rules) as (port, _):
        data = inside(secure, path=b"/login")
        answer = await asyncio.to_thread(tls_through, port, secure, trusted, data)
    assert b"HTTP/1.1 302" in answer
    assert b"Location: /home?key=***\r\n" in answer
    assert b"X-Asked: Basic ***\r\n" in answer
    assert "key=a+b%26c" in secure.seen[0].path


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        (b"/home?key=a%2fb%2Bc%20secret&x=1", b"***"),  # either case
        (b"/home?key=%61%2F%62%2bc+%73ecret", b"***"),  # what need not be
        (b"/in?next=%2Fhome%3Fkey%3Da%252fb%252Bc%2520secret", b"***"),  # twice
        (b"/home?key=a%2Fb%2Bc+secret&x=1", b"/home?key=***&x=1"),
        (b"/home?key=a%2fb&x=100%", b"/home?key=a%2fb&x=100%"),
    ],
)
async def test_a_credential_is_found_however_it_is_encoded(sent: bytes, shown: bytes) -> None:
    injection = Injection((Credential(kind=CredentialKind.QUERY, name="key", secret="a/b+c secret"),))
    assert injection.hide([(b"Location", sent)]) == [(b"Location", shown)]


@pytest.mark.parametrize("method", [b"TRACE", b"TRACK", b"trace"])
async def test_a_method_that_sends_headers_back_is_refused(
    method: bytes, proxy: Proxy, secure: Site, trusted: str
) -> None:
    async with proxy(policy(rule(f"api.example.com:{secure.port}", bearer=SECRET))) as (port, _):
        answer = await asyncio.to_thread(tls_through, port, secure, trusted, inside(secure, method=method))
    assert answer.startswith(b"HTTP/1.1 405")
    assert secure.seen == []


async def test_a_credential_never_travels_in_the_clear(proxy: Proxy, wire: Wire) -> None:
    rules = policy(rule(f"api.example.com:{wire.port}", bearer=SECRET))
    async with proxy(rules) as (port, _):
        assert b"403 credentials for api.example.com are only sent over https" in await ask(port, get(wire, LAST))
        async with talk(port) as connection:
            await connection.say(b"CONNECT api.example.com:%d HTTP/1.1\r\nHost: h\r\n\r\n" % wire.port)
            assert (await connection.head()).startswith(b"HTTP/1.1 200")
            await connection.say(b"GET / HTTP/1.1\r\nHost: api.example.com:%d\r\n\r\n" % wire.port)
            assert (await connection.hear()).startswith(b"HTTP/1.1 403 credentials for")
    assert b"".join(wire.received) == b""


@pytest.mark.parametrize("credentials", [{}, {"bearer": SECRET}], ids=["passed on", "intercepted"])
async def test_a_tunnel_is_for_the_host_that_it_was_opened_for(
    credentials: Any, proxy: Proxy, secure: Site, trusted: str
) -> None:
    """Neither by the name in TLS nor by the Host inside."""
    rules = policy(rule(f"api.example.com:{secure.port}", **credentials), f"other.example.com:{secure.port}")
    host = b"Host: other.example.com:%d" % secure.port
    data = inside(secure).replace(b"Host: api.example.com:%d" % secure.port, host)
    async with proxy(rules) as (port, session):
        if credentials:
            answer = await asyncio.to_thread(tls_through, port, secure, trusted, data)
            assert answer.startswith(b"HTTP/1.1 421")
            assert secure.seen == []
        else:
            with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
                await asyncio.to_thread(tls_through, port, secure, trusted, data, "other.example.com")
            assert "for another host (SNI)" in session.ledger.requests[0].refused
            assert secure.seen == []


async def test_a_tunnel_carries_tls_and_nothing_else(proxy: Proxy, wire: Wire) -> None:
    async with proxy(allowed(wire)) as (port, _):
        for data in (b"\x16\x03\x01\x00\x04\x02\x00\x00\x00", b"\x16" + b"x" * 100_000):
            async with talk(port) as connection:
                await connection.say(b"CONNECT api.example.com:%d HTTP/1.1\r\nHost: h\r\n\r\n" % wire.port)
                await connection.head()
                with contextlib.suppress(ConnectionError):
                    await connection.say(data)
                assert b"HTTP" not in await connection.hear()
    assert b"".join(wire.received) == b""


# time, size and number


async def test_a_head_that_does_not_end_is_not_waited_for(proxy: Proxy, wire: Wire) -> None:
    async with proxy(allowed(wire), Bounds(head_s=0.2)) as (port, _), talk(port) as connection:
        await connection.say(b"GET http://api.example.com/ HT")

        async def drip() -> None:
            while True:  # a byte now and then gains nothing
                await connection.say(b"x")
                await asyncio.sleep(0.02)

        dripping = asyncio.create_task(drip())
        assert (await connection.head()).startswith(b"HTTP/1.1 408")
        dripping.cancel()
        await asyncio.gather(dripping, return_exceptions=True)
    assert wire.received == []


async def test_a_connection_that_says_nothing_is_closed(proxy: Proxy, wire: Wire) -> None:
    async with proxy(allowed(wire), Bounds(idle_s=0.2)) as (port, _):
        async with talk(port) as connection:
            assert (await connection.hear()).startswith(b"HTTP/1.1 408")
        async with talk(port) as connection:
            await connection.say(b"CONNECT api.example.com:%d HTTP/1.1\r\nHost: h\r\n\r\n" % wire.port)
            await connection.head()
            assert await connection.hear() == b""
        await until(lambda: wire.open == 0)


async def test_a_server_that_says_nothing_is_not_waited_for(proxy: Proxy, wire: Wire) -> None:
    wire.after = lambda _: False
    async with proxy(allowed(wire), Bounds(answer_s=0.2)) as (port, session):
        answer = await ask(port, get(wire, LAST))
        await until(lambda: wire.open == 0)
    assert answer.startswith(b"HTTP/1.1 502")
    assert b"there was no answer in time" in answer
    assert session.ledger.requests[0].status is None


async def test_a_body_without_end_meets_its_bound(proxy: Proxy, wire: Wire) -> None:
    wire.after = lambda _: False
    async with proxy(allowed(wire), Bounds(body_bytes=100_000)) as (port, session):
        async with talk(port) as connection:
            await connection.say(get(wire, b"Transfer-Encoding: chunked", method=b"POST"))
            with contextlib.suppress(ConnectionError):
                for _ in range(50):
                    await connection.say(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
            assert b"200" not in await connection.hear()
        await until(lambda: wire.open == 0)
        assert session.ledger.requests[0].refused == "the body is larger than 100000 bytes"

        wire.after, wire.answer = lambda _: True, b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1_000_000
        answer = await ask(port, get(wire, LAST))
        await until(lambda: wire.open == 0)
        assert not answer.endswith(b"0\r\n\r\n")  # cut short, and it shows
        assert session.ledger.requests[1].refused == "the answer is larger than 100000 bytes"


async def test_a_client_that_goes_away_takes_its_request_with_it(proxy: Proxy, wire: Wire) -> None:
    wire.after = lambda _: False
    async with proxy(allowed(wire)) as (port, session):
        async with talk(port) as connection:
            await connection.say(get(wire))
            await until(lambda: wire.received)
        await until(lambda: wire.open == 0)
        assert session.ledger.requests[0].refused == "the code closed the connection"


async def test_so_many_connections_at_once_and_the_others_wait(proxy: Proxy, wire: Wire) -> None:
    wire.after = lambda _: False
    async with proxy(allowed(wire), Bounds(connections=2)) as (port, _):
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(5):
                connection = await stack.enter_async_context(talk(port))
                await connection.say(get(wire))
            await until(lambda: len(wire.received) == 2)
            await asyncio.sleep(0.1)
            assert len(wire.received) == 2
        await until(lambda: wire.open == 0)


async def test_the_end_of_a_session_ends_everything(proxy: Proxy, wire: Wire) -> None:
    wire.after = lambda _: False
    before = len(asyncio.all_tasks())
    async with contextlib.AsyncExitStack() as stack:
        async with proxy(allowed(wire)) as (port, _):
            for number in range(6):
                connection = await stack.enter_async_context(talk(port))
                await connection.say([b"", b"GET", get(wire), b"CONNECT x"][number % 4])
            await until(lambda: wire.open == 1)
        await until(lambda: wire.open == 0)
    await until(lambda: len(asyncio.all_tasks()) <= before + 1)


# servers that mean ill


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-server\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000,
        b"HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 103 Early\r\n\r\n" * 200,
    ],
)
async def test_an_answer_that_is_not_http_is_no_answer(answer: bytes, proxy: Proxy, wire: Wire) -> None:
    wire.answer, wire.hang_up = answer, True
    async with proxy(allowed(wire)) as (port, session):
        found = await ask(port, get(wire, LAST))
    assert found.startswith(b"HTTP/1.1 502"), found
    assert session.ledger.requests[0].refused != ""


async def test_an_answer_that_is_cut_short_is_seen_to_be(proxy: Proxy, wire: Wire) -> None:
    wire.answer, wire.hang_up = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", True
    async with proxy(allowed(wire)) as (port, session):
        found = await ask(port, get(wire, LAST))
    assert found.endswith(b"\r\n\r\nhalf")
    assert b"Content-Length: 10\r\n" in found
    assert session.ledger.requests[0].refused == "the answer is cut short, or not proper"


async def test_an_answer_before_the_end_of_the_request_arrives(proxy: Proxy, wire: Wire) -> None:
    wire.answer, wire.hang_up = b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", True
    async with proxy(allowed(wire)) as (port, _), talk(port) as connection:
        await connection.say(get(wire, b"Content-Length: 100000000", method=b"POST", body=b"x" * 100_000))
        assert (await connection.head()).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize(
    ("method", "answer", "expected"),
    [
        (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", b""),
        (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", b""),
        (b"GET", b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok"),
        (
            b"GET",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nok\r\n0\r\nT: t\r\n\r\n",
            b"2\r\nok\r\n0\r\n\r\n",
        ),
        (b"GET", b"HTTP/1.1 200 OK\r\n\r\nok", b"2\r\nok\r\n0\r\n\r\n"),
        (b"GET", b"HTTP/1.0 200 OK\r\n\r\nok", b"2\r\nok\r\n0\r\n\r\n"),
    ],
)
async def test_answers_of_every_kind_arrive(
    method: bytes, answer: bytes, expected: bytes, proxy: Proxy, wire: Wire
) -> None:
    wire.answer, wire.hang_up = answer, True
    async with proxy(allowed(wire)) as (port, _):
        found = await ask(port, get(wire, LAST, method=method))
    assert found.partition(b"\r\n\r\n")[2] == expected, found
