"""The child's end of the job socket: ``u32 header | u32 payload | header (JSON) | payload``, little endian."""

from __future__ import annotations

import json
import socket
import struct
import threading
from typing import Any

__all__ = ["Connection"]

_PREFIX = struct.Struct("<II")


# As a rule all that comes with a call.
_READ = 1 << 16


class Connection:
    """Frames over a blocking socket."""

    def __init__(self, fd: int) -> None:
        self._socket = socket.socket(fileno=fd)
        self._rest = b""  # read already, behind what was taken
        self._sending = threading.Lock()  # a thread of the code may ask something while its call is being answered

    def receive(self) -> tuple[dict[str, Any], memoryview] | None:
        """Wait for a frame; None when the server has hung up."""
        # blocking is a matter of the open file, which code shares with us: what one call set must not end the next
        self._socket.setblocking(True)
        prefix = self._read(_PREFIX.size)
        if prefix is None:
            return None
        header_length, payload_length = _PREFIX.unpack(prefix)
        body = self._read(header_length + payload_length)
        if body is None:
            return None
        header: dict[str, Any] = json.loads(str(body[:header_length], "utf-8"))
        return header, body[header_length:]

    def send(self, header: dict[str, Any], payload: bytes = b"") -> None:
        """Send a frame whole."""
        text = json.dumps(header).encode()
        head = _PREFIX.pack(len(text), len(payload)) + text
        with self._sending:
            self._socket.setblocking(True)
            if len(payload) > _READ:
                self._socket.sendall(head)
                head = b""
            self._socket.sendall(head + payload)  # in one piece if it is small: every piece wakes the server

    def _read(self, length: int) -> memoryview | None:
        rest = self._rest
        if length > max(len(rest), _READ):
            self._rest = b""
            return self._read_large(length, rest)
        while len(rest) < length:
            data = self._socket.recv(_READ)
            if not data:
                return None
            rest += data
        self._rest = rest[length:]
        return memoryview(rest)[:length]

    def _read_large(self, length: int, begun: bytes) -> memoryview | None:
        buffer = memoryview(bytearray(length))
        got = len(begun)
        buffer[:got] = begun
        while got < length:
            count = self._socket.recv_into(buffer[got:])
            if count == 0:
                return None
            got += count
        return buffer
