"""Identifiers: UUIDv7, and the same 128 bits as a ULID."""

from __future__ import annotations

import os
import time
import uuid

__all__ = ["from_ulid", "id_at", "new_id", "now_ms", "to_ulid"]

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_DECODE = {c: i for i, c in enumerate(_CROCKFORD)}
_ULID_LENGTH = 26
_BITS = 128


def now_ms() -> int:
    """Return the time in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def _uuid7(time_ms: int, random: bytes) -> uuid.UUID:
    # RFC 9562 §5.7: 48 bits of milliseconds, version 7, variant 10, 74 random bits
    tail = bytearray(random)
    tail[0] = 0x70 | (tail[0] & 0x0F)
    tail[2] = 0x80 | (tail[2] & 0x3F)
    return uuid.UUID(bytes=time_ms.to_bytes(6, "big") + bytes(tail))


def new_id() -> uuid.UUID:
    """Mint an id; ids sort by the time they were minted."""
    return _uuid7(now_ms(), os.urandom(10))


def id_at(time_ms: int) -> uuid.UUID:
    """Return the smallest id of a millisecond, for ranges over ids."""
    return _uuid7(max(0, time_ms), bytes(10))


def to_ulid(value: uuid.UUID) -> str:
    """Spell an id as a 26-character ULID (Crockford base32 of the same 128 bits)."""
    number = value.int
    return "".join(_CROCKFORD[(number >> shift) & 31] for shift in range(5 * (_ULID_LENGTH - 1), -1, -5))


def from_ulid(text: str) -> uuid.UUID | None:
    """Read a ULID; None if it is not one."""
    if len(text) != _ULID_LENGTH:
        return None
    number = 0
    for char in text.upper():
        digit = _DECODE.get(char)
        if digit is None:
            return None
        number = number << 5 | digit
    return uuid.UUID(int=number) if number < 1 << _BITS else None
