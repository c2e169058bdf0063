"""One request to a receiver: to an address that was checked, and to no other.

The egress proxy's own parts: its resolver looks a name up once and leaves only addresses that may be reached, the
connection goes to one of them and never to the name again, TLS is verified, HTTP/1.1 is h11's. No redirect is followed,
no proxy of the environment used, and nothing of an answer is kept but its status and Retry-After: what a receiver says
could be what only the inside of a network is meant to read.
"""

from __future__ import annotations

import asyncio
import email.utils
from collections.abc import Sequence

import h11

from polycall import __version__
from polycall.engine.webhooks.targets import Target
from polycall.ids import now_ms
from polycall.quick import dataclass
from polycall.sandbox.egress.bounds import Bounds
from polycall.sandbox.egress.peer import Peer
from polycall.sandbox.egress.policy import Refused
from polycall.sandbox.egress.resolver import Resolver, Unresolved
from polycall.sandbox.egress.streams import SocketStream, Stream
from polycall.sandbox.egress.upstream import Trust, Unreachable, connect, secure

__all__ = ["Answer", "NoAnswer", "Post"]

_HEAD_BYTES = 16 << 10  # of an answer, which is all that is read of it; what h11 and most servers take
_INFORMATIONAL = 10  # answers of 1xx before the real one
_IMPROPER = "there was no proper HTTP/1.1 answer"
_USER_AGENT = f"polycall/{__version__}"


class NoAnswer(Exception):
    """Raised when there is none; says why, in words that tell nothing of the inside of a network."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a receiver answered."""

    status: int
    retry_after_s: float | None = None


class Post:
    """Posts. ``timeout_s``: from the look-up of a name to the head of the answer. TLS trusts what ``trust`` does."""

    def __init__(self, resolver: Resolver, trust: Trust, *, timeout_s: float) -> None:
        self._resolver = resolver
        self._trust = trust
        self._timeout_s = timeout_s
        self._bounds = Bounds(
            head_bytes=_HEAD_BYTES, connect_s=timeout_s, handshake_s=timeout_s, answer_s=timeout_s, stall_s=timeout_s
        )

    def close(self) -> None:
        """Let go of the threads that look names up."""
        self._resolver.close()

    async def send(self, project_id: str, target: Target, headers: Sequence[tuple[str, str]], body: bytes) -> Answer:
        """Post a body of JSON, and return what is answered. Raises NoAnswer."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._send(project_id, target, headers, body)
        except TimeoutError:
            raise NoAnswer(f"there was no answer within {self._timeout_s:g} s") from None
        except (Refused, Unresolved, Unreachable) as error:
            raise NoAnswer(str(error)) from None
        except h11.RemoteProtocolError:  # without its words: they quote what came
            raise NoAnswer(_IMPROPER) from None
        except OSError:
            raise NoAnswer("the connection broke before there was an answer") from None

    async def _send(self, project_id: str, target: Target, headers: Sequence[tuple[str, str]], body: bytes) -> Answer:
        addresses = await self._resolver.resolve(
            target.authority,
            listed=target.listed,
            any_address=False,
            turns=(self._resolver.share_of(project_id),),
        )
        sock = await connect(addresses, target.authority, self._bounds)
        try:
            stream: Stream = SocketStream(sock)
            if target.scheme == "https":
                stream = await secure(SocketStream(sock), self._trust, target.authority, self._bounds)
            peer = Peer(stream, h11.CLIENT, self._bounds.head_bytes)
            try:
                return await self._exchange(peer, target, headers, body)
            finally:
                await peer.close()
        finally:
            sock.close()

    async def _exchange(self, peer: Peer, target: Target, headers: Sequence[tuple[str, str]], body: bytes) -> Answer:
        within = self._timeout_s
        request = h11.Request(
            method="POST",
            target=target.path,
            headers=[
                ("host", target.host_header),
                ("user-agent", _USER_AGENT),
                ("content-type", "application/json"),
                ("content-length", str(len(body))),
                ("connection", "close"),
                *headers,
            ],
        )
        await peer.send(request, within)
        await peer.send(h11.Data(body), within)
        await peer.send(h11.EndOfMessage(), within)
        for _ in range(_INFORMATIONAL):
            event = await peer.next_event(within)
            if isinstance(event, h11.InformationalResponse):
                continue
            if isinstance(event, h11.Response):
                return Answer(event.status_code, _retry_after(event))
            break
        raise NoAnswer(_IMPROPER)


def _retry_after(response: h11.Response) -> float | None:
    """Return the seconds of a Retry-After (RFC 9110, 10.2.3), a number or a date; None without a proper one."""
    text = next((value for name, value in response.headers if name == b"retry-after"), b"").decode("ascii", "replace")
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    try:
        at = email.utils.parsedate_to_datetime(text)
        return max(0.0, at.timestamp() - now_ms() / 1000)
    except (ValueError, OverflowError, OSError):
        return None
