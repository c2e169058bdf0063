"""A connection that is passed on as it is: TLS from end to end, for the host that it was opened for."""

from __future__ import annotations

import asyncio

from polycall.sandbox.egress.bounds import Bounds
from polycall.sandbox.egress.hello import Incomplete, NotHello, server_name
from polycall.sandbox.egress.ledger import Entry
from polycall.sandbox.egress.policy import Authority
from polycall.sandbox.egress.streams import SocketStream

__all__ = ["pass_on", "read_server_name"]


async def read_server_name(client: SocketStream, authority: Authority, bounds: Bounds) -> str | None:
    """Return why a connection is not TLS with the host it was opened for; None if it is. What was read is given back.

    Raises TimeoutError, OSError.
    """
    data = b""
    async with asyncio.timeout(bounds.handshake_s):
        while True:
            piece = await client.read()
            if not piece:
                return "it ended before TLS began"
            data += piece
            try:
                name = server_name(data)
            except Incomplete:
                if len(data) > bounds.head_bytes:
                    return "it does not begin with a client's hello"
                continue
            except NotHello as error:
                return str(error)
            break
    client.give_back(data)
    if name is None:
        # of an address there is no name to send (RFC 6066, 3)
        return None if authority.literal else "it does not say which host it is for (SNI)"
    if name.removesuffix(".") != authority.host:
        return "it is for another host (SNI)"
    return None


class _TooMuch(Exception):
    pass


async def pass_on(client: SocketStream, upstream: SocketStream, entry: Entry, bounds: Bounds) -> None:
    """Copy in both directions until both have ended, or one breaks."""

    async def copy(source: SocketStream, target: SocketStream, *, outbound: bool) -> None:
        while data := await source.read():
            if outbound:
                entry.sent += len(data)
            else:
                entry.received += len(data)
            if max(entry.sent, entry.received) > bounds.body_bytes:
                raise _TooMuch
            async with asyncio.timeout(bounds.stall_s):
                await target.write(data)
        await target.end()

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(copy(client, upstream, outbound=True))
            group.create_task(copy(upstream, client, outbound=False))
    except* _TooMuch:
        entry.refused = f"more than {bounds.body_bytes} bytes in one direction"
    except* (OSError, TimeoutError):
        pass  # one end broke, so both are closed
