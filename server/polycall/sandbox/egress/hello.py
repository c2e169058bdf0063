"""The name in the first message of a TLS connection (RFC 8446, 4.1.2; RFC 6066, 3)."""

from __future__ import annotations

__all__ = ["HANDSHAKE", "Incomplete", "NotHello", "server_name"]

# TLSPlaintext.type of a record of the handshake: no HTTP method begins with it.
HANDSHAKE = 0x16
_CLIENT_HELLO = 1
_SERVER_NAME = 0
_HOST_NAME = 0
# A record carries at most 2^14 bytes (RFC 8446, 5.1). With post-quantum keys and a ticket a hello has some 2 KiB.
_RECORD = 1 << 14
_LONGEST = 1 << 14


class Incomplete(Exception):
    """Raised while more bytes are needed."""


class NotHello(Exception):
    """Raised for what is not the beginning of a TLS connection."""


def server_name(data: bytes) -> str | None:
    """Return the server's name in the first records of a connection, in lower case; None if there is none.

    Raises Incomplete, NotHello.
    """
    message = _Reader(_first_message(data))
    message.take(2 + 32)  # legacy_version, random
    message.vector(1)  # legacy_session_id
    message.vector(2)  # cipher_suites
    message.vector(1)  # legacy_compression_methods
    if message.ended:
        return None
    extensions = _Reader(message.vector(2))
    found: str | None = None
    while not extensions.ended:
        kind = extensions.number(2)
        body = extensions.vector(2)
        if kind == _SERVER_NAME:
            if found is not None:
                raise NotHello("it has two server names")
            found = _host_name(body)
    return found


def _host_name(body: bytes) -> str:
    names = _Reader(_Reader(body).vector(2))
    kind, name = names.number(1), names.vector(2)
    if kind != _HOST_NAME or not names.ended:
        raise NotHello("it has several server names")
    try:
        return name.decode("ascii").lower()
    except UnicodeDecodeError:
        raise NotHello("its server name is not ASCII") from None


def _first_message(data: bytes) -> bytes:
    """Return the body of the first handshake message, which may be spread over records."""
    message = b""
    records = _Reader(data, Incomplete)
    while True:
        if records.number(1) != HANDSHAKE:
            raise NotHello("it is no handshake")
        if records.number(1) != 3:
            raise NotHello("it is not TLS")
        records.take(1)
        length = records.number(2)
        if not 0 < length <= _RECORD:
            raise NotHello("it has a record of a length that none has")
        message += records.take(length)
        if len(message) < 4:
            continue
        wanted = 4 + int.from_bytes(message[1:4], "big")
        if message[0] != _CLIENT_HELLO or wanted > _LONGEST:
            raise NotHello("it does not begin with a client's hello")
        if len(message) >= wanted:
            return message[4:wanted]


class _Reader:
    def __init__(self, data: bytes, short: type[Exception] = NotHello) -> None:
        self._data = data
        self._at = 0
        self._short = short

    @property
    def ended(self) -> bool:
        return self._at == len(self._data)

    def take(self, count: int) -> bytes:
        piece = self._data[self._at : self._at + count]
        if len(piece) < count:
            raise self._short("it ends too early")
        self._at += count
        return piece

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def vector(self, size: int) -> bytes:
        return self.take(self.number(size))
