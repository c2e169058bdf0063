"""From a name to addresses that have been checked. A connection goes to one of them, never to the name again."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import socket
import threading
import weakref
from collections.abc import Callable, Sequence

from polycall.sandbox.egress.addresses import Address, AddressFilter
from polycall.sandbox.egress.policy import Authority, Refused

__all__ = ["Lookup", "Resolver", "Unresolved", "system_lookup"]

Lookup = Callable[[str], Sequence[str]]

# getaddrinfo blocks a thread, and a name server that never answers blocks it for some 30 s (resolv.conf(5): 2 attempts
# of 5 s for each of up to 3 servers), which a hostile one will do. Threads of our own: the event loop's are for the
# store; and a project whose names are never resolved leaves most of them for others. Daemons, one for each lookup: the
# process would wait at its end for those of an executor.
_THREADS, _OF_PROJECT = 64, 16
_LOOKUP_S = 10.0
# Of the addresses of a name, how many are tried.
_ADDRESSES = 4


class Unresolved(Exception):
    """Raised for a name without an address."""


def system_lookup(host: str) -> Sequence[str]:
    """Return the addresses of a name as the system sees it. Blocks. Raises OSError."""
    return [
        str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    ]


class Resolver:
    """Looks names up, and leaves only addresses that a run may be connected to."""

    def __init__(self, addresses: AddressFilter, lookup: Lookup = system_lookup) -> None:
        self._filter = addresses
        self._lookup = lookup
        self._places = asyncio.Semaphore(_THREADS)
        self._closed = False
        # kept by those who look up now, or may
        self._shares: weakref.WeakValueDictionary[str, asyncio.Semaphore] = weakref.WeakValueDictionary()

    def close(self) -> None:
        """Look up nothing more. Nobody waits for what still has no answer, not even the end of the process."""
        self._closed = True

    def share_of(self, project_id: str) -> asyncio.Semaphore:
        """Return the turns that all runs of a project have together."""
        share = self._shares.get(project_id)
        if share is None:
            share = self._shares[project_id] = asyncio.Semaphore(_OF_PROJECT)
        return share

    async def resolve(
        self, authority: Authority, *, listed: bool, any_address: bool, turns: Sequence[asyncio.Semaphore]
    ) -> list[Address]:
        """Return where to connect to, the best first. ``turns``: a lookup takes one of each.

        Raises Refused, Unresolved.
        """
        if authority.literal:
            found: Sequence[str] = [authority.host]
        else:
            try:
                async with asyncio.timeout(_LOOKUP_S):
                    found = await self._look_up(authority.host, turns)
            except TimeoutError:
                raise Unresolved(f"{authority.host} was not resolved within {_LOOKUP_S:g} s") from None
            except (OSError, UnicodeError):
                raise Unresolved(f"{authority.host} cannot be resolved") from None
        addresses = list(dict.fromkeys(ipaddress.ip_address(text) for text in found))
        if not addresses:
            raise Unresolved(f"{authority.host} has no address")
        if any_address:
            return addresses[:_ADDRESSES]
        allowed = [address for address in addresses if self._filter.refusal(address, listed=listed) is None]
        if not allowed:
            # the address itself is not told: the code need not learn how the inside of a network is numbered
            why = self._filter.refusal(addresses[0], listed=listed)
            raise Refused(f"the address of {authority.host} is not allowed: {why}")
        return allowed[:_ADDRESSES]

    async def _look_up(self, host: str, turns: Sequence[asyncio.Semaphore]) -> Sequence[str]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Sequence[str]] = loop.create_future()
        with contextlib.ExitStack() as stack:
            for turn in (*turns, self._places):
                await turn.acquire()
                stack.callback(turn.release)
            if self._closed:
                raise OSError("nothing is looked up any more")

            def done(found: Sequence[str], error: Exception | None) -> None:
                # a turn is over when the thread is free again, not when nobody waits for it any more
                release()
                if answer.done():
                    return
                if error is None:
                    answer.set_result(found)
                else:
                    answer.set_exception(error)

            def look_up() -> None:
                found: Sequence[str] = ()
                error = None
                try:
                    found = self._lookup(host)
                except Exception as raised:
                    error = raised
                with contextlib.suppress(RuntimeError):  # the loop may be closed by now
                    loop.call_soon_threadsafe(done, found, error)

            try:
                threading.Thread(target=look_up, name="egress-lookup", daemon=True).start()
            except RuntimeError as error:  # there is no thread to be had
                raise OSError(errno.EAGAIN, str(error)) from error
            release = stack.pop_all().close
        return await answer
