"""The load tool's two clients: unary gRPC over HTTP/2, and HTTP/1.1, on plain sockets.

The load shares the machine's processors with what it measures, and a call costs grpc.aio's client more than its server:
so these write requests that were encoded once, and read no more of an answer than whether it is the right one. They
send what a real client sends (one connection a caller, headers from HPACK's dynamic table, one message a stream) and
are for answers that fit a window; large payloads are measured with grpc.aio's own client.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping
from typing import Protocol

__all__ = ["Connection", "GrpcConnection", "HttpConnection", "Refused", "WrongAnswer"]

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
# RFC 9113 §6: frame types and flags
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1
_INITIAL_WINDOW_SIZE, _LARGEST_WINDOW, _FIRST_WINDOW = 4, (1 << 31) - 1, (1 << 16) - 1
# RFC 7541 appendix A: `:method: POST` and `:scheme: http` of the static table, which has 61 entries
_POST, _HTTP, _STATIC = 0x83, 0x86, 61
_READ = 1 << 18


class WrongAnswer(Exception):
    """Raised for an answer that is not the one to its request."""


class Refused(Exception):
    """Raised for an RPC that ended with a status and no message, or an HTTP status of 400 and above."""


class Connection(Protocol):
    """One caller: one request at a time."""

    def fileno(self) -> int:
        """Return the socket's descriptor, for polling."""

    def send(self, body: bytes, expected: bytes) -> None:
        """Send a request whose answer must contain ``expected``."""

    def receive(self) -> bool:
        """Read what has come; return whether the answer is complete. Raises WrongAnswer, Refused, OSError."""

    def close(self) -> None:
        """Hang up."""


def _connected(host: str, port: int) -> socket.socket:
    found = socket.create_connection((host, port), timeout=30)
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return found


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


class GrpcConnection:
    """An HTTP/2 connection for one unary method; ``body`` is the serialised request message."""

    def __init__(self, host: str, port: int, method: str, metadata: Mapping[str, str]) -> None:
        self._socket = _connected(host, port)
        fields = {":path": method, ":authority": f"{host}:{port}", "content-type": "application/grpc", "te": "trailers"}
        fields |= metadata
        # the first request puts its fields into the dynamic table, where the newest comes first; later ones point there
        self._first = bytes((_POST, _HTTP)) + b"".join(_literal(name, value) for name, value in fields.items())
        self._later = bytes((_POST, _HTTP, *(0x80 | _STATIC + len(fields) - place for place in range(len(fields)))))
        self._stream = -1
        self._expected = b""
        self._rest = b""
        self._message = b""
        window = struct.pack(">HI", _INITIAL_WINDOW_SIZE, _LARGEST_WINDOW)
        update = struct.pack(">I", _LARGEST_WINDOW - _FIRST_WINDOW)
        self._socket.sendall(_PREFACE + _frame(_SETTINGS, 0, 0, window) + _frame(_WINDOW_UPDATE, 0, 0, update))

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        return self._socket.fileno()

    def send(self, body: bytes, expected: bytes) -> None:
        """Open the next stream."""
        self._stream += 2
        head = self._later if self._stream > 1 else self._first
        self._expected, self._message = expected, b""
        self._socket.sendall(
            _frame(_HEADERS, _END_HEADERS, self._stream, head)
            # a gRPC message: not compressed, its length
            + _frame(_DATA, _END_STREAM, self._stream, struct.pack(">BI", 0, len(body)) + body)
        )

    def receive(self) -> bool:
        """Read frames until the stream ends."""
        data = self._socket.recv(_READ)
        if not data:
            raise ConnectionError("the server hung up")
        data = self._rest + data
        at, end, done = 0, len(data), False
        while end - at >= 9:
            length = data[at] << 16 | data[at + 1] << 8 | data[at + 2]
            if end - at < 9 + length:
                break
            kind, flags = data[at + 3], data[at + 4]
            stream = int.from_bytes(data[at + 5 : at + 9], "big")
            body = at + 9
            at = body + length
            if stream == self._stream:
                if kind == _DATA:
                    self._message += data[body:at]
                if kind == _RST_STREAM and not done:
                    raise Refused("the stream was reset")
                done = done or (kind in (_DATA, _HEADERS) and bool(flags & _END_STREAM))
            elif kind in (_SETTINGS, _PING) and not flags & _ACK:
                self._socket.sendall(_frame(kind, _ACK, 0, data[body:at] if kind == _PING else b""))
            elif kind == _GOAWAY:
                raise ConnectionError("the server is going away")
        self._rest = data[at:]
        if done and self._expected not in self._message:
            if not self._message:
                raise Refused("the RPC failed")
            raise WrongAnswer(repr(self._message))
        return done

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


def _literal(name: str, value: str) -> bytes:
    """Return a header field, literal with incremental indexing and a new name (RFC 7541 §6.2.1)."""
    return b"\x40" + _text(name) + _text(value)


def _text(text: str) -> bytes:
    data = text.encode()
    length = len(data)
    if length < 0x7F:
        return bytes((length,)) + data
    # RFC 7541 §5.1, a prefix of 7 bits
    length -= 0x7F
    digits = bytearray(b"\x7f")
    while length >= 0x80:
        digits.append(length & 0x7F | 0x80)
        length >>= 7
    digits.append(length)
    return bytes(digits) + data


class HttpConnection:
    """An HTTP/1.1 connection for POSTs to one path; ``body`` is JSON text."""

    def __init__(self, host: str, port: int, path: str, headers: Mapping[str, str]) -> None:
        self._socket = _connected(host, port)
        fields = {"host": f"{host}:{port}", "content-type": "application/json"} | dict(headers)
        lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "content-length: "]
        self._head = "\r\n".join(lines).encode()
        self._expected = b""
        self._data = b""

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        return self._socket.fileno()

    def send(self, body: bytes, expected: bytes) -> None:
        """Send a request."""
        self._expected, self._data = expected, b""
        self._socket.sendall(b"%s%d\r\n\r\n%s" % (self._head, len(body), body))

    def receive(self) -> bool:
        """Read until the body is complete."""
        data = self._socket.recv(_READ)
        if not data:
            raise ConnectionError("the server hung up")
        self._data += data
        head, separator, body = self._data.partition(b"\r\n\r\n")
        if not separator:
            return False
        head = head.lower()
        _, named, rest = head.partition(b"\r\ncontent-length:")
        if named:
            if len(body) < int(rest.partition(b"\r\n")[0]):
                return False
        elif not body.endswith(b"0\r\n\r\n"):  # chunked: our answers are one or two chunks
            return False
        if int(head[9:12]) >= 400:
            raise Refused(repr(self._data))
        if self._expected not in body:
            raise WrongAnswer(repr(self._data))
        return True

    def close(self) -> None:
        """Hang up."""
        self._socket.close()
