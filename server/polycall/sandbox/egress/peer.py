"""HTTP/1.1 with one peer, through h11: what does not parse is refused, what does is written anew."""

from __future__ import annotations

import asyncio
from typing import Any

import h11

from polycall.sandbox.egress.streams import Stream

__all__ = ["Event", "Peer"]

Event = Any  # h11's events have no common type that says more


class Peer:
    """One end of the conversation: a stream and h11's view of it.

    Written to by one task at a time and read from by one task at a time; they may be two.
    """

    def __init__(self, stream: Stream, role: type[h11.CLIENT] | type[h11.SERVER], head_bytes: int) -> None:
        self.stream = stream
        self.http = h11.Connection(role, max_incomplete_event_size=head_bytes)
        # Read before anybody needed it, to see whether the peer goes away. Not cancelled with its reader: bytes that
        # had arrived would be lost.
        self._early: asyncio.Task[bytes] | None = None

    async def next_request(self, idle_s: float, head_s: float) -> Event:
        """Return the next request, or ConnectionClosed. Raises h11.RemoteProtocolError, TimeoutError, OSError."""
        async with asyncio.timeout(idle_s) as timeout:
            event = self.http.next_event()
            while event is h11.NEED_DATA:
                self.http.receive_data(await self._read())
                event = self.http.next_event()
                if event is h11.NEED_DATA and head_s:
                    timeout.reschedule(asyncio.get_running_loop().time() + head_s)
                    head_s = 0.0
        return event

    async def next_event(self, within_s: float) -> Event:
        """Return the next event. Raises h11.RemoteProtocolError, TimeoutError, OSError."""
        event = self.http.next_event()
        if event is h11.NEED_DATA:
            async with asyncio.timeout(within_s):
                while event is h11.NEED_DATA:
                    self.http.receive_data(await self._read())
                    event = self.http.next_event()
        return event

    async def _read(self) -> bytes:
        if self._early is None:
            return await self.stream.read()
        data = await asyncio.shield(self._early)
        self._early = None
        return data

    async def gone(self) -> None:
        """Return when the peer has closed the connection; wait for ever if it says something first."""
        if self._early is None:
            self._early = asyncio.get_running_loop().create_task(self.stream.read())
        try:
            data = await asyncio.shield(self._early)
        except OSError:
            return
        if data:
            await asyncio.get_running_loop().create_future()

    async def send(self, event: Event, within_s: float) -> None:
        """Send an event. Raises h11.LocalProtocolError, TimeoutError, OSError."""
        data = self.http.send(event)
        if data:
            async with asyncio.timeout(within_s):
                await self.stream.write(data)

    async def close(self) -> None:
        """End what still reads. The socket is its owner's."""
        if self._early is not None:
            self._early.cancel()
            await asyncio.gather(self._early, return_exceptions=True)
            self._early = None
