"""One connection of a run to its proxy: what it asks for, whether it may, what it gets."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
from typing import Protocol

import h11

from polycall.quick import dataclass
from polycall.sandbox.egress.bounds import Bounds
from polycall.sandbox.egress.credentials import Injection
from polycall.sandbox.egress.exchange import BrokenOff, exchange, outbound_headers
from polycall.sandbox.egress.hello import HANDSHAKE
from polycall.sandbox.egress.ledger import Entry, Ledger
from polycall.sandbox.egress.peer import Peer
from polycall.sandbox.egress.policy import Allowed, Authority, Policy, Refused, parse_authority
from polycall.sandbox.egress.resolver import Unresolved
from polycall.sandbox.egress.streams import SocketStream, Stream, TlsStream
from polycall.sandbox.egress.tunnel import pass_on, read_server_name
from polycall.sandbox.egress.upstream import Trust, Unreachable, secure

__all__ = ["Client", "Outside"]

_ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
_ABSOLUTE = re.compile(rb"http://([^/?#@]+)([/?#].*)?", re.IGNORECASE)
_PORTS = {"http": 80, "https": 443}
# They make a server send back what it was sent (RFC 9110, 9.3.8; IIS).
_ECHOING = (b"TRACE", b"TRACK")
# without what exactly: h11 quotes what it was sent, which is not for the record
_NOT_HTTP = "the request is not proper HTTP"
_NO_PLACE = "the server has as many connections of runs open as it may have; close some, or try again later"
_LINGER_S = 2.0  # nginx waits up to 5 s a piece
_LINGER_BYTES = 1 << 20
# unrecognized_name (RFC 8446, 6.2), fatal, as a record
_WRONG_NAME = b"\x15\x03\x03\x00\x02\x02\x70"
_REASON = 200  # clients show it in one line
_METHOD = 32  # longer ones are cut on the record; IANA's longest has 16 letters


class Outside(Protocol):
    """What a connection needs of the world."""

    policy: Policy
    ledger: Ledger
    bounds: Bounds
    trust: Trust

    async def dial(self, authority: Authority, allowed: Allowed) -> socket.socket:
        """Return a connection to a checked address. Raises Refused, Unresolved, Unreachable."""

    def certify(self, host: str) -> ssl.SSLContext:
        """Return what TLS with the run needs to be ``host``."""


@dataclass(frozen=True, slots=True)
class _Route:
    """Where the requests of a tunnel go, and how."""

    scheme: str
    authority: Authority
    allowed: Allowed


_NOT_YET = Allowed(listed=False, credentials=())


class _Answer(Exception):
    """Raised to answer a request here. ``why`` is for the code and for the record."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


class Client:
    """Serves one connection. It owns the connection, and the one to the outside that it has at a time.

    ``placed``: whether it has one of the server's places for connections; without, its first request is refused.
    """

    def __init__(self, sock: socket.socket, outside: Outside, *, placed: bool = True) -> None:
        self._outside = outside
        self._placed = placed
        self._bounds = outside.bounds
        self._sockets = [sock]
        self._stream = SocketStream(sock)
        self._peers: list[Peer] = []
        self._peer = self._http(self._stream, h11.SERVER)
        self._upstream: Peer | None = None
        self._upstream_route: _Route | None = None
        self._upstream_socket: SocketStream | None = None
        self._entry: Entry | None = None
        self._hung_up = False  # we have, and the other side need not have noticed

    def _http(self, stream: Stream, role: type[h11.CLIENT] | type[h11.SERVER]) -> Peer:
        peer = Peer(stream, role, self._bounds.head_bytes)
        self._peers.append(peer)
        return peer

    async def serve(self) -> None:
        """Serve until either side is done."""
        try:
            await self._serve()
            if self._hung_up:
                await self._stop_reading()
                await self._linger()
        except BrokenOff as error:
            self._note(str(error))
        except (h11.ProtocolError, OSError, TimeoutError, Refused, Unresolved, Unreachable) as error:
            self._note(f"the connection broke ({type(error).__name__})")
        finally:
            try:
                await self._stop_reading()
            finally:
                for sock in self._sockets:
                    sock.close()

    async def _stop_reading(self) -> None:
        for peer in self._peers:
            await peer.close()

    async def _linger(self) -> None:
        """Read what is still on its way: a socket closed over it takes our answer back (RFC 9112, 9.6)."""
        most = _LINGER_BYTES
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(_LINGER_S):
                while most > 0 and (data := await self._stream.read()):
                    most -= len(data)

    def _note(self, why: str) -> None:
        if self._entry is not None and not self._entry.refused:
            self._entry.refused = why

    async def _serve(self) -> None:
        request = await self._next_request()
        if request is not None and request.method == b"CONNECT":
            await self._connect(request)
            return
        while request is not None:
            if request.method == b"CONNECT":
                return
            try:
                route, target = _absolute(request)
            except _Answer as answer:
                await self._refuse(answer)
                return
            if not await self._exchange(route, request, target):
                return
            request = await self._next_request()

    async def _next_request(self) -> h11.Request | None:
        """Return the next request, None at the end. A request that does not parse is answered."""
        try:
            event = await self._peer.next_request(self._bounds.idle_s, self._bounds.head_s)
        except h11.RemoteProtocolError as error:
            await self._answer(error.error_status_hint, _NOT_HTTP)
            return None
        except TimeoutError:
            await self._answer(408, "the request did not come in time")
            return None
        if isinstance(event, h11.Request):
            return event
        return None

    # answers of our own

    async def _refuse(self, answer: _Answer) -> None:
        if self._entry is not None:
            self._entry.refused = answer.why
        await self._answer(answer.status, answer.why)

    async def _answer(self, status: int, why: str) -> None:
        """Answer and hang up, if nothing has been answered yet. The reason goes where clients show it."""
        peer = self._peer
        if peer.http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        body = (why + "\n").encode("ascii", "replace")
        response = h11.Response(
            status_code=status,
            headers=[
                ("Content-Type", "text/plain"),
                ("Content-Length", str(len(body))),
                ("Connection", "close"),
                ("X-Polycall-Egress", "refused"),
            ],
            reason=body.strip()[:_REASON],
        )
        await peer.send(response, self._bounds.stall_s)
        await peer.send(h11.Data(body), self._bounds.stall_s)
        await peer.send(h11.EndOfMessage(), self._bounds.stall_s)
        await peer.stream.end()
        self._hung_up = True

    # CONNECT

    async def _connect(self, request: h11.Request) -> None:
        try:
            route = await self._open(request)
        except _Answer as answer:
            await self._refuse(answer)
            return
        await self._stream.write(_ESTABLISHED)
        ahead, _ = self._peer.http.trailing_data
        self._stream.give_back(ahead)
        async with asyncio.timeout(self._bounds.idle_s):
            first = await self._stream.read()
        if not first:
            return
        self._stream.give_back(first)
        if first[0] != HANDSHAKE:
            # some clients send plain http through CONNECT too (undici)
            await self._serve_inside(_Route("http", route.authority, route.allowed), self._stream)
        elif route.allowed.credentials:
            tls = TlsStream(self._stream, self._outside.certify(route.authority.host), server_hostname=None)
            async with asyncio.timeout(self._bounds.handshake_s):
                await tls.shake_hands()
            await self._serve_inside(route, tls)
        else:
            await self._tunnel(route.authority)

    async def _open(self, request: h11.Request) -> _Route:
        """Connect to where a CONNECT asks for. Raises _Answer."""
        if any(name in (b"content-length", b"transfer-encoding") for name, _ in request.headers):
            raise _Answer(400, "CONNECT has no body")
        try:
            authority = parse_authority(request.target.decode("ascii"), None)
        except ValueError as error:
            raise _Answer(400, f"the target of CONNECT {error}") from None
        self._entry = self._outside.ledger.open(authority, "CONNECT")
        await self._peer.next_event(self._bounds.head_s)  # the end of its empty body
        route = _Route("https", authority, self._allow(authority))
        await self._dial(route)
        return route

    async def _tunnel(self, authority: Authority) -> None:
        assert self._entry is not None  # noqa: S101
        assert self._upstream_socket is not None  # noqa: S101
        problem = await read_server_name(self._stream, authority, self._bounds)
        if problem is not None:
            self._entry.refused = f"the connection to {authority} was refused: {problem}"
            await self._stream.write(_WRONG_NAME)
            return
        self._entry.status = 200
        await pass_on(self._stream, self._upstream_socket, self._entry, self._bounds)

    async def _serve_inside(self, route: _Route, stream: Stream) -> None:
        """Serve the requests inside a CONNECT."""
        opened, self._entry = self._entry, None
        self._peer = self._http(stream, h11.SERVER)
        while (request := await self._next_request()) is not None:
            # the first request takes the place of the CONNECT on the record
            if not await self._exchange(route, request, request.target, opened):
                return
            opened = None

    # requests

    async def _exchange(self, route: _Route, request: h11.Request, target: bytes, opened: Entry | None = None) -> bool:
        """Have one request answered. Return whether another one may follow.

        ``opened``: the entry that the request takes the place of.
        """
        method = request.method.decode("ascii")[:_METHOD]
        if opened is None:
            self._entry = self._outside.ledger.open(route.authority, method)
        else:
            self._entry = opened
            opened.method = method
        entry = self._entry
        try:
            route = _Route(route.scheme, route.authority, self._allow(route.authority))
            injection = Injection(route.allowed.credentials)
            _check(request, target, route, injection)
            outgoing = _outgoing(request, target, route, injection)
            upstream = await self._reach(route)
            read = await exchange(self._peer, upstream, outgoing, injection, entry, self._bounds)
        except _Answer as answer:
            await self._refuse(answer)
            return False
        except Unreachable as error:
            await self._refuse(_Answer(502, f"{route.authority}: {error}"))
            return False
        except h11.RemoteProtocolError as error:
            await self._refuse(_Answer(error.error_status_hint, _NOT_HTTP))
            return False
        self._entry = None  # whatever happens to the connection now
        if upstream.http.our_state is upstream.http.their_state is h11.DONE and not upstream.http.trailing_data[0]:
            upstream.http.start_next_cycle()
        else:
            await self._hang_up()
        http = self._peer.http
        if read and http.our_state is http.their_state is h11.DONE:
            http.start_next_cycle()
            return True
        return False

    def _allow(self, authority: Authority) -> Allowed:
        try:
            return self._outside.policy.allow(authority)
        except Refused as error:
            raise _Answer(403, str(error)) from None

    async def _dial(self, route: _Route) -> None:
        """Connect. Raises _Answer."""
        if not self._placed:
            raise _Answer(503, _NO_PLACE)
        try:
            sock = await self._outside.dial(route.authority, route.allowed)
        except Refused as error:
            raise _Answer(403, str(error)) from None
        except (Unresolved, Unreachable) as error:
            raise _Answer(502, str(error)) from None
        self._sockets.append(sock)
        self._upstream_socket = SocketStream(sock)

    async def _reach(self, route: _Route) -> Peer:
        """Return a connection for a request: the one there is, if it is still good. Raises _Answer, Unreachable."""
        if self._upstream is not None:
            assert self._upstream_socket is not None  # noqa: S101
            if self._upstream_route == route and self._upstream_socket.idle:
                return self._upstream
            await self._hang_up()
        if self._upstream_socket is None:
            await self._dial(route)
            assert self._upstream_socket is not None  # noqa: S101
        stream: Stream = self._upstream_socket
        if route.scheme == "https":
            stream = await secure(self._upstream_socket, self._outside.trust, route.authority, self._bounds)
        self._upstream, self._upstream_route = self._http(stream, h11.CLIENT), route
        return self._upstream

    async def _hang_up(self) -> None:
        if self._upstream is not None:
            self._peers.remove(self._upstream)
            await self._upstream.close()
        self._upstream = self._upstream_socket = self._upstream_route = None
        self._sockets.pop().close()


def _absolute(request: h11.Request) -> tuple[_Route, bytes]:
    """Return where a request in absolute form goes, and its target in origin form. Raises _Answer."""
    match = _ABSOLUTE.fullmatch(request.target)
    try:
        if match is None:
            raise ValueError("must be an absolute http:// URL, or CONNECT")
        authority = parse_authority(match[1].decode("ascii"), _PORTS["http"])
    except ValueError as error:
        raise _Answer(400, f"the target of a request to a proxy {error}") from None
    target: bytes = match[2] or b"/"
    return _Route("http", authority, _NOT_YET), target if target.startswith(b"/") else b"/" + target


def _check(request: h11.Request, target: bytes, route: _Route, injection: Injection) -> None:
    """Raise _Answer for a request that may not go out as it is."""
    names = [name for name, _ in request.headers]
    if b"transfer-encoding" in names and (b"content-length" in names or request.http_version != b"1.1"):
        raise _Answer(400, "the request says in two ways where its body ends")
    if not target.startswith(b"/") or b"#" in target:
        raise _Answer(400, "the target of the request must be a path")
    hosts = [value for name, value in request.headers if name == b"host"]
    try:
        if len(hosts) != 1 or parse_authority(hosts[0].decode("ascii"), _PORTS[route.scheme]) != route.authority:
            raise ValueError
    except ValueError:
        raise _Answer(421, f"the Host of the request is not {route.authority}") from None
    if request.method == b"CONNECT":
        raise _Answer(400, "a tunnel cannot lead through another")
    if not injection:
        return
    if route.scheme != "https":
        raise _Answer(403, f"credentials for {route.authority.host} are only sent over https")
    if request.method.upper() in _ECHOING:
        raise _Answer(405, "this method would send the credentials back")


def _outgoing(request: h11.Request, target: bytes, route: _Route, injection: Injection) -> h11.Request:
    host, port = str(route.authority).rpartition(":")[0], route.authority.port
    authority = host if port == _PORTS[route.scheme] else f"{host}:{port}"
    target, headers = injection.add(target, outbound_headers(request, authority.encode("ascii")))
    return h11.Request(method=request.method, target=target, headers=headers)
