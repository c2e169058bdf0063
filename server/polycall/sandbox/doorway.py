"""The way out that a child of the egress class makes before it locks itself in. Standard library only: zygotes load it.

Its network namespace has a loopback and nothing else. It listens there and gives the socket to the server: who connects
to it is in this sandbox and nowhere else, so the server need not ask. Nothing stays behind but the port.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import struct

from polycall.sandbox.layout import TRUSTED

__all__ = ["BACKLOG", "ENVIRONMENT", "PORT", "bound_buffers", "make_doorway", "take_doorway"]

# Squid's, and so what people expect of a proxy.
PORT = 3128
_ADDRESS = ("127.0.0.1", PORT)
# Connections that wait for one of the few that the proxy serves at once.
BACKLOG = 64
# Of a connection, in each direction. The kernel would let it grow to 6 MiB (net.ipv4.tcp_rmem), which is the host's
# memory; on a loopback there is nothing to gain by that.
_BUFFER = 256 << 10
_HAND_OVER = b"L"

# <linux/sockios.h>, <linux/if.h>
_SIOCSIFFLAGS = 0x8914
_IFF_UP, _IFF_RUNNING = 0x1, 0x40

_PROXY = f"http://{_ADDRESS[0]}:{PORT}"
# What makes urllib, requests, httpx, aiohttp (with trust_env), curl, git, Go, gRPC, Node and Deno use a proxy and trust
# its certificates. NO_PROXY is there, and empty, so that no library guesses one.
ENVIRONMENT = {
    **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), _PROXY),
    **dict.fromkeys(("NO_PROXY", "no_proxy"), ""),
    **dict.fromkeys(
        (
            "SSL_CERT_FILE",
            "REQUESTS_CA_BUNDLE",
            "CURL_CA_BUNDLE",
            "AWS_CA_BUNDLE",
            "GIT_SSL_CAINFO",
            "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
            "NODE_EXTRA_CA_CERTS",
            "DENO_CERT",
        ),
        TRUSTED,
    ),
    "NODE_USE_ENV_PROXY": "1",
}


def make_doorway(connection: int) -> None:
    """Listen on loopback and send the socket over ``connection``. Needs CAP_NET_ADMIN. Raises OSError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as any_socket:
        request = struct.pack("16sh14x", b"lo", _IFF_UP | _IFF_RUNNING)  # struct ifreq
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, request)
    with socket.socket(fileno=os.dup(connection)) as server, socket.socket() as door:
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            door.setsockopt(socket.SOL_SOCKET, option, _BUFFER)  # what is accepted from it has the same
        door.bind(_ADDRESS)
        door.listen(BACKLOG)
        socket.send_fds(server, [_HAND_OVER], [door.fileno()])


def bound_buffers(proc: int | None) -> None:
    """Bound what the kernel keeps for each connection of this namespace, which no cgroup counts. As far as it can be.

    ``proc`` is a descriptor of /proc; sysctl(8) of the network is the caller's own namespace's.
    """
    for name in ("tcp_rmem", "tcp_wmem"):
        with contextlib.suppress(OSError):  # containers have it read-only
            fd = os.open(f"sys/net/ipv4/{name}", os.O_WRONLY | os.O_CLOEXEC, dir_fd=proc)
            try:
                os.write(fd, b"4096 %d %d" % (_BUFFER // 4, _BUFFER))
            finally:
                os.close(fd)


def take_doorway(connection: socket.socket) -> socket.socket | None:
    """Return the listening socket that a child has sent, for its server; None if it has not yet.

    Raises OSError if what came is something else: the child is of no use then.
    """
    try:
        data, fds, flags, _ = socket.recv_fds(connection, len(_HAND_OVER), 1, socket.MSG_CMSG_CLOEXEC)
    except BlockingIOError:
        return None
    taken = [socket.socket(fileno=fd) for fd in fds]
    if data != _HAND_OVER or flags & socket.MSG_CTRUNC or len(taken) != 1 or not _listens(taken[0]):
        for sock in taken:
            sock.close()
        raise ConnectionError("the process ended before it had its way out")
    taken[0].setblocking(False)
    return taken[0]


def _listens(sock: socket.socket) -> bool:
    return (
        sock.family is socket.AF_INET
        and sock.type is socket.SOCK_STREAM
        and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
    )
