"""Identifiers: UUIDv7, and the same 128 bits as a ULID."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator

__all__ = ["from_ulid", "id_at", "new_id", "now_ms", "random_hex", "to_ulid"]

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_DECODE = {c: i for i, c in enumerate(_CROCKFORD)}
_ULID_LENGTH = 26
_BITS = 128
_PAGE, _PLACE = 4096, 16  # bytes: asked of the kernel at once, and the most that somebody takes of it


class _Random:
    """Random bytes from the kernel, a page at a time: to ask it for each id was a twentieth of a warm call.

    For what must differ from all others and not be guessed, and is no credential. Threads may share it: each takes
    places of a page by one step of its counter.
    """

    def __init__(self) -> None:
        self._page: tuple[bytes, Iterator[int]] = b"", iter(())

    def take(self, size: int) -> bytes:
        """Return up to 16 bytes that nobody else was given."""
        page, places = self._page
        place = next(places, None)
        if place is None:
            page, places = self._page = os.urandom(_PAGE), iter(range(_PLACE, _PAGE, _PLACE))
            place = 0
        return page[place : place + size]


_random = _Random()


def random_hex() -> str:
    """Return a name of 16 digits that nobody can guess."""
    return _random.take(8).hex()


def now_ms() -> int:
    """Return the time in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


# RFC 9562 §5.7: 48 bits of milliseconds, version 7, 12 random bits, variant 10, 62 random bits
_TIME = 80
_VERSION_7 = 0x7 << 76 | 0x2 << 62
_RANDOM_BITS = 0xFFF << 64 | (1 << 62) - 1


def new_id() -> uuid.UUID:
    """Mint an id; ids sort by the time they were minted."""
    random = int.from_bytes(_random.take(10), "big") & _RANDOM_BITS
    # what the constructor does, which asks first in which of six spellings it was given a number
    made = object.__new__(uuid.UUID)
    object.__setattr__(made, "int", now_ms() << _TIME | _VERSION_7 | random)
    object.__setattr__(made, "is_safe", uuid.SafeUUID.unknown)
    return made


def id_at(time_ms: int) -> uuid.UUID:
    """Return the smallest id of a millisecond, for ranges over ids."""
    return uuid.UUID(int=max(0, time_ms) << _TIME | _VERSION_7)


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
