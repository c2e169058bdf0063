"""An address that several processes listen at: the kernel spreads connections over them."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

from polycall.addresses import not_ours
from polycall.serving import ServeError

__all__ = ["reserved"]

_SETTING = "POLYCALL_GRPC_ADDRESS"


@contextlib.contextmanager
def reserved(address: str) -> Iterator[str]:
    """Hold an address for the length of a block, and yield it with its real port. Raises ServeError.

    Nothing listens there until a process does. It is refused if anybody else has it: an address is shared only among
    those who know of each other.
    """
    host, _, port = address.rpartition(":")
    if address.startswith("unix:") or not host:
        raise ServeError(
            f"{_SETTING} is {address or 'empty'}; several processes need HOST:PORT, which they can share. "
            "Set it, or POLYCALL_PROCESSES=1."
        )
    host = host.strip("[]")
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that linger do not count
            probe.bind(place)
            place = probe.getsockname()
        held = socket.socket(family, kind, protocol)
    except OSError as error:
        raise not_ours(address, _SETTING, error) from None
    with held:
        try:
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            held.bind(place)
        except OSError as error:
            raise not_ours(address, _SETTING, error) from None
        yield f"{address.rpartition(':')[0]}:{place[1]}"
