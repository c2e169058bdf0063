"""Connections to the outside: to an address that was checked, with TLS that is verified."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import Iterable

from polycall.sandbox.egress.addresses import Address
from polycall.sandbox.egress.bounds import Bounds
from polycall.sandbox.egress.policy import Authority
from polycall.sandbox.egress.streams import SocketStream, TlsStream

__all__ = ["Trust", "Unreachable", "connect", "secure"]

_log = logging.getLogger(__name__)


class Unreachable(Exception):
    """Raised when there is no connection; written for the code that asked."""


class Trust:
    """What TLS with the outside trusts: the certificates in files (PEM), and nothing else.

    To read a system's takes 20 ms, which a start is spared: they are read for the first connection, in a thread.
    """

    def __init__(self, files: Iterable[str], checked: str = "") -> None:
        """Take files to be read later; ``checked`` is read now as well. Raises OSError if that one is not right."""
        self.files = tuple(files)
        self._context: asyncio.Future[ssl.SSLContext] | None = None
        if checked:
            _verifying_context([checked])

    async def context(self) -> ssl.SSLContext:
        """Return what verifies. Raises Unreachable if a file cannot be used; the next connection tries again."""
        if self._context is None or (self._context.done() and self._context.exception() is not None):
            self._context = asyncio.ensure_future(asyncio.to_thread(_verifying_context, self.files))
        try:
            return await asyncio.shield(self._context)
        except OSError as error:
            _log.error("no host can be verified: %s", error)
            raise Unreachable("the server has no certificates to verify it with") from None


def _verifying_context(trusted: Iterable[str]) -> ssl.SSLContext:
    """Return what trusts the certificates of files. Raises OSError for one that cannot be read or holds none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies certificate and name
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    for path in trusted:
        try:
            context.load_verify_locations(path)
        except OSError as error:
            raise OSError(f"the certificates in {path} cannot be used: {error}") from None
    return context


async def connect(addresses: Iterable[Address], authority: Authority, bounds: Bounds) -> socket.socket:
    """Return a connection to the first address that takes one. Raises Unreachable."""
    loop = asyncio.get_running_loop()
    why = "it has no address"
    for address in addresses:
        family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
        try:
            sock = socket.socket(family, socket.SOCK_STREAM)
        except OSError as error:  # no IPv6 here, or no descriptors
            why = error.strerror or "no socket"
            continue
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            async with asyncio.timeout(bounds.connect_s):
                await loop.sock_connect(sock, (str(address), authority.port))
        except TimeoutError:
            why = f"no connection within {bounds.connect_s:g} s"
        except OSError as error:
            # the system's words: the event loop's name the address, and how the inside of a network is numbered is not
            # for the code to know
            why = os.strerror(error.errno).lower() if error.errno else "refused"
        except BaseException:
            sock.close()
            raise
        else:
            return sock
        sock.close()
    raise Unreachable(f"{authority} cannot be reached: {why}")


async def secure(stream: SocketStream, trust: Trust, authority: Authority, bounds: Bounds) -> TlsStream:
    """Begin TLS on a connection. Raises Unreachable, above all for a certificate that is not the host's."""
    try:
        async with asyncio.timeout(bounds.handshake_s):
            tls = TlsStream(stream, await trust.context(), server_hostname=authority.host)
            await tls.shake_hands()
    except ssl.SSLCertVerificationError as error:
        raise Unreachable(f"the certificate of {authority.host} is not valid: {error.verify_message}") from None
    except TimeoutError:
        raise Unreachable(f"{authority} did not agree on TLS within {bounds.handshake_s:g} s") from None
    except OSError:
        raise Unreachable(f"{authority} did not agree on TLS") from None
    return tls
