"""Pages of lists, and the tokens that continue them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from typing import TypeVar

from polycall.errors import InvalidArgument
from polycall.store.protocol import Page

__all__ = ["page_of", "place_number", "read_token"]

P = TypeVar("P")
T = TypeVar("T")

_CHECK_BYTES = 8
_LONGEST = 1024


def page_of(scope: object, found: Sequence[tuple[str, T]], page_size: int) -> Page[T]:
    """Return the page of what was found: items and their places, one more than a page holds if there are more.

    ``repr(scope)`` is everything that makes it this list and no other. Raises ValueError for a page without items.
    """
    if page_size < 1:
        raise ValueError("a page has at least one item")
    items = tuple(item for _, item in found[:page_size])
    if len(found) <= page_size:
        return Page(items)
    text = found[page_size - 1][0].encode()
    return Page(items, base64.urlsafe_b64encode(_check(scope, text) + text).decode().rstrip("="))


def read_token(scope: object, token: str, parse: Callable[[str], P]) -> P | None:
    """Return the place of the last item before a page, None for the first page; raise InvalidArgument.

    ``parse`` reads a place and raises ValueError. The check keeps a mangled token, or one of another list, from
    silently showing the wrong page. It keeps no secret: whatever the place, a page holds nothing but rows of the
    caller's own project.
    """
    if not token:
        return None
    if len(token) <= _LONGEST:
        try:
            data = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
            check, text = data[:_CHECK_BYTES], data[_CHECK_BYTES:]
            if check == _check(scope, text):
                return parse(text.decode())
        except ValueError:  # not base64, not ASCII, not UTF-8, or forged
            pass
    raise InvalidArgument.of(
        "page_token", "is not a token of this list; send the next_page_token of its last page, with the same filter"
    )


def place_number(text: str) -> int:
    """Read a number of a place; raise ValueError if no database could hold it."""
    number = int(text)
    if not 0 <= number < 1 << 63:
        raise ValueError("out of range")
    return number


def _check(scope: object, text: bytes) -> bytes:
    return hashlib.sha256(repr(scope).encode() + b"\0" + text).digest()[:_CHECK_BYTES]
