"""HTTP/1.1 with one peer, through h11: what does not parse is refused, what does is written anew."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import h11

from polycall.sandbox.egress.streams import Stream

__all__ = ["Event", "Peer"]

Event = Any  # h11's events have no common type that says more

# h11 takes some 5 µs for a header and 20 for a chunk, and the event loop is everybody's: 64 KiB of tiny ones, which
# cost their sender nothing, would hold it for a fifth of a second. Apache takes 100 fields; chunks come by and by.
_LINES = 128
_PIECES = 128
_HEAD = re.compile(rb".*?\n\r?\n", re.DOTALL)


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
        self._next: Event = None  # came with the one before

    @property
    def settled(self) -> bool:
        """Whether all of the message that came has been taken."""
        return self.http.their_state is h11.DONE and self._next is None

    async def next_request(self, idle_s: float, head_s: float) -> Event:
        """Return the next request, or ConnectionClosed. Raises h11.RemoteProtocolError, TimeoutError, OSError."""
        self._check_head(b"")
        async with asyncio.timeout(idle_s) as timeout:
            event = self.http.next_event()
            while event is h11.NEED_DATA:
                self._take_head(await self._read())
                event = self.http.next_event()
                if event is h11.NEED_DATA and head_s:
                    timeout.reschedule(asyncio.get_running_loop().time() + head_s)
                    head_s = 0.0
        return event

    async def next_event(self, within_s: float) -> Event:
        """Return the next event; of a body, all that there is of it.

        Raises h11.RemoteProtocolError, TimeoutError, OSError.
        """
        if self._next is not None:
            event, self._next = self._next, None
            return event
        take = self.http.receive_data
        if self.http.their_state is h11.SEND_RESPONSE:
            take = self._take_head
            self._check_head(b"")
        event = self.http.next_event()
        if event is h11.NEED_DATA:
            async with asyncio.timeout(within_s):
                while event is h11.NEED_DATA:
                    take(await self._read())
                    event = self.http.next_event()
        if not isinstance(event, h11.Data):
            return event
        joined = self._joined(event)
        await asyncio.sleep(0)  # there may be more of it, without anything to wait for
        return joined

    def _joined(self, first: h11.Data) -> h11.Data:
        pieces = [first.data]
        while len(pieces) < _PIECES and (event := self.http.next_event()) is not h11.NEED_DATA:
            if not isinstance(event, h11.Data):
                self._next = event
                break
            pieces.append(event.data)
        return h11.Data(b"".join(pieces))

    def _take_head(self, data: bytes) -> None:
        self._check_head(data)
        self.http.receive_data(data)

    def _check_head(self, data: bytes) -> None:
        """Raise h11.RemoteProtocolError for a head with too many lines, before anybody parses it."""
        begun, _ = self.http.trailing_data
        head = begun + data
        if head.count(b"\n") > _LINES:
            whole = _HEAD.match(head)
            if (whole[0] if whole else head).count(b"\n") > _LINES:
                raise h11.RemoteProtocolError("too many header fields", error_status_hint=431)

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
