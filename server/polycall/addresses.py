"""Whether one may listen at an address, found out before gRPC is asked to."""

from __future__ import annotations

import socket

from polycall.serving import ServeError

__all__ = ["not_ours", "probe"]


def probe(address: str, setting: str) -> None:
    """Raise ServeError if nobody can listen at HOST:PORT.

    gRPC says in its own words, on standard error, what keeps it from listening, and nothing to who asked it. Whoever
    takes the address after this still has those words said.
    """
    host, _, port = address.rpartition(":")
    try:
        places = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise not_ours(address, setting, error) from None
    refusal = OSError("it has no address")
    for family, kind, protocol, _, place in places:
        try:
            listener = socket.socket(family, kind, protocol)
        except OSError:
            return  # this machine has no such addresses, for which gRPC takes others
        with listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that linger do not count
            try:
                listener.bind(place)
            except OSError as error:
                refusal = error
            else:
                return
    raise not_ours(address, setting, refusal)


def not_ours(address: str, setting: str, error: OSError) -> ServeError:
    """Return what is said of an address at which one cannot listen."""
    return ServeError(
        f"Cannot listen on {address} for gRPC: the address is taken or not ours ({error.strerror or error}). "
        f"Stop what uses it, or set {setting}."
    )
