"""One request on its way out and its answer on its way back."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import h11

from polycall.sandbox.egress.bounds import Bounds
from polycall.sandbox.egress.credentials import Header, Injection, without_hop_by_hop
from polycall.sandbox.egress.ledger import Entry
from polycall.sandbox.egress.peer import Peer
from polycall.sandbox.egress.upstream import Unreachable

__all__ = ["BrokenOff", "exchange", "outbound_headers"]


# 100, 102 and 103 are all there are; some servers send 102 now and then while they work.
_INFORMATIONAL = 100


class BrokenOff(Exception):
    """Raised when an exchange cannot go on and nothing can be answered any more."""


def outbound_headers(request: h11.Request, host: bytes) -> list[Header]:
    """Return a request's headers as they go out, without credentials."""
    chunked = any(name == b"transfer-encoding" for name, _ in request.headers)
    headers = [
        (name, value)
        for name, value in without_hop_by_hop(request.headers.raw_items())
        # Expect is between the code and us: we have read the body's beginning before the other end knows of it
        if name.lower() not in (b"host", b"expect")
    ]
    return [(b"Host", host), *headers, *([(b"Transfer-Encoding", b"chunked")] if chunked else [])]


async def exchange(
    client: Peer, upstream: Peer, request: h11.Request, injection: Injection, entry: Entry, bounds: Bounds
) -> bool:
    """Send ``request``, with its body as the client sends it, and pass on the answer. Return whether all was read.

    Raises Unreachable if there is no answer, BrokenOff if there is half of one, h11.RemoteProtocolError for a body that
    the client got wrong.
    """
    try:
        await upstream.send(request, bounds.stall_s)
    except (OSError, TimeoutError):
        raise Unreachable("the connection broke before the request was sent") from None
    body, answer = (
        _task(_send_body(client, upstream, entry, bounds)),
        _task(_pass_answer(client, upstream, injection, entry, bounds)),
    )
    try:
        await asyncio.wait((body, answer), return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            # Either the client is gone or wrong, which ends it all; or the other end takes no more, and may say why.
            error = body.exception()
            if not isinstance(error, _NotTaken):
                body.result()
                raise BrokenOff("the code closed the connection")
            await answer
        answer.result()
        return client.settled
    finally:
        for task in (body, answer):
            task.cancel()
        await asyncio.gather(body, answer, return_exceptions=True)


def _task(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    return asyncio.get_running_loop().create_task(work)


class _NotTaken(Exception):
    """Raised when the other end does not take the body."""


async def _send_body(client: Peer, upstream: Peer, entry: Entry, bounds: Bounds) -> None:
    """Pass the request's body on; return when the client is gone."""
    if client.http.they_are_waiting_for_100_continue:
        await client.send(h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue"), bounds.stall_s)
    while True:
        event = await client.next_event(bounds.stall_s)
        if isinstance(event, h11.Data):
            entry.sent += len(event.data)
            if entry.sent > bounds.body_bytes:
                raise BrokenOff(f"the body is larger than {bounds.body_bytes} bytes")
        elif isinstance(event, h11.EndOfMessage):
            event = h11.EndOfMessage()  # without trailers: nobody checks what would be in them
        else:
            raise BrokenOff("the code closed the connection")
        try:
            await upstream.send(event, bounds.stall_s)
        except (OSError, TimeoutError) as error:
            raise _NotTaken from error
        if isinstance(event, h11.EndOfMessage):
            await client.gone()
            return


async def _pass_answer(client: Peer, upstream: Peer, injection: Injection, entry: Entry, bounds: Bounds) -> None:
    begun, informational = False, 0
    try:
        while True:
            event = await upstream.next_event(bounds.stall_s if begun else bounds.answer_s)
            if isinstance(event, h11.InformationalResponse):
                informational += 1
                if informational > _INFORMATIONAL:
                    raise Unreachable("there was no end to informational answers")
                continue
            if isinstance(event, h11.Response):
                entry.status = event.status_code
                headers = injection.hide(without_hop_by_hop(event.headers.raw_items()))
                begun = True
                await _forward(
                    client,
                    h11.Response(
                        status_code=event.status_code, headers=headers, reason=injection.hide_text(event.reason)
                    ),
                    bounds,
                )
            elif isinstance(event, h11.Data):
                entry.received += len(event.data)
                if entry.received > bounds.body_bytes:
                    raise BrokenOff(f"the answer is larger than {bounds.body_bytes} bytes")
                await _forward(client, h11.Data(event.data), bounds)
            elif isinstance(event, h11.EndOfMessage):
                await _forward(client, h11.EndOfMessage(), bounds)
                return
            else:
                raise Unreachable("the connection was closed before there was an answer")
    except h11.RemoteProtocolError:
        # without h11's words: they quote what came, which may repeat a credential
        _raise(begun, "the answer is not proper HTTP/1.1" if not begun else "the answer is cut short, or not proper")
    except TimeoutError:
        _raise(begun, "there was no answer in time")
    except OSError:
        _raise(begun, "the connection broke before there was an answer")
    except Unreachable as error:
        _raise(begun, str(error))


async def _forward(client: Peer, event: h11.Event, bounds: Bounds) -> None:
    try:
        await client.send(event, bounds.stall_s)
    except (OSError, TimeoutError, h11.LocalProtocolError) as error:
        raise BrokenOff("the answer cannot be passed on") from error


def _raise(begun: bool, why: str) -> None:
    raise BrokenOff(why) if begun else Unreachable(why)
