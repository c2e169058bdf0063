"""Addresses to listen on."""

from __future__ import annotations

import errno
import ipaddress
import re
import socket
from dataclasses import dataclass
from pathlib import Path

from polycall_gateway.errors import AddressUnusable, InvalidConfig

__all__ = ["Address", "check_free", "replica_address", "socket_path"]

# A name (RFC 1123), or an IPv4 address.
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?")

# sizeof(sockaddr_un.sun_path) - 1, unix(7).
_LONGEST_SOCKET_PATH = 107

_WHY = {
    errno.EADDRINUSE: "is taken: stop the program that listens there, or choose another port",
    errno.EACCES: "may not be listened on: ports below 1024 need root or CAP_NET_BIND_SERVICE; choose a higher one",
    errno.EADDRNOTAVAIL: "is not an address of this machine",
}


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen: an IP address and port, or the path of a Unix socket."""

    setting: str
    host: str = ""
    port: int = 0
    path: Path | None = None

    @classmethod
    def parse(cls, setting: str, text: str) -> Address:
        """Parse ``127.0.0.1:8080``, ``[::1]:8080``, ``localhost:8080`` or ``unix:/run/polycall/rest.sock``.

        Raises:
            InvalidConfig: it is none of them.
        """
        if text.startswith("unix:"):
            return cls(setting, path=socket_path(setting, Path(text.removeprefix("unix:"))))
        host, colon, port = text.rpartition(":")
        host = "127.0.0.1" if host == "localhost" else host.removeprefix("[").removesuffix("]")
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            address = None
        if address is None or not colon or not port.isdecimal() or int(port) > 65535:
            raise InvalidConfig(f"{setting}: {text!r} is not an address; write IP:PORT, such as 127.0.0.1:8080")
        return cls(setting, host=str(address), port=int(port))

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def check_free(address: Address) -> None:
    """Make sure that an address can be listened on: Envoy would only log that it cannot, and go on without.

    Raises:
        AddressUnusable: it is taken, not ours to take, or not of this machine.
    """
    if address.path is not None:
        probe, target = socket.socket(socket.AF_UNIX), str(address.path)
        with probe:
            if probe.connect_ex(target) == 0:
                raise AddressUnusable(f"{address.setting}: somebody listens on {address}; choose another path")
        return
    if address.port == 0:
        return
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As Envoy does: what is left of closed connections does not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.host, address.port))
        except OSError as error:
            why = _WHY.get(error.errno or 0, f"cannot be listened on ({error.strerror})")
            raise AddressUnusable(f"{address.setting}: {address} {why}") from None


def replica_address(text: str) -> tuple[str, int]:
    """Return host and port of a server elsewhere: ``polycall-0.polycall:50052``, ``10.0.0.7:50052``, ``[::1]:50052``.

    Raises:
        InvalidConfig: it is none of them.
    """
    host, colon, port = text.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
    named = _HOST.fullmatch(bare) is not None or (host != bare and ":" in bare)
    if not named or not colon or not port.isdecimal() or not 0 < int(port) <= 65535:
        raise InvalidConfig(f"replicas: {text!r} is not HOST:PORT, such as polycall-0.polycall:50052")
    return bare, int(port)


def socket_path(setting: str, path: Path) -> Path:
    """Return ``path`` if a socket can have it.

    Raises:
        InvalidConfig: it is too long.
    """
    if len(str(path).encode()) > _LONGEST_SOCKET_PATH:
        raise InvalidConfig(
            f"{setting}: {path} is longer than {_LONGEST_SOCKET_PATH} bytes; sockets need a shorter path"
        )
    return path
