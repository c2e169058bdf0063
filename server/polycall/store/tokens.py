"""Page tokens: the place where a page ended, for the list it was a page of."""

from __future__ import annotations

import base64
import hashlib

from polycall.errors import InvalidArgument

__all__ = ["read_token", "write_token"]

_CHECK_BYTES = 8
_LONGEST = 1024


def write_token(scope: object, place: str) -> str:
    """Return the token of a place in a list. ``repr(scope)`` is everything that makes it this list and no other."""
    text = place.encode()
    return base64.urlsafe_b64encode(_check(scope, text) + text).decode().rstrip("=")


def read_token(scope: object, token: str) -> str:
    """Return the place; raise InvalidArgument for a token that is not of this list.

    The check keeps a mangled token, or one of another list, from silently showing the wrong page. It keeps no secret:
    whatever the place, a page holds nothing but rows of the caller's own project.
    """
    if len(token) <= _LONGEST:
        try:
            data = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
            check, text = data[:_CHECK_BYTES], data[_CHECK_BYTES:]
            if check == _check(scope, text):
                return text.decode()
        except ValueError:  # not base64, not ASCII, not UTF-8
            pass
    raise InvalidArgument.of(
        "page_token", "is not a token of this list; send the next_page_token of its last page, with the same filter"
    )


def _check(scope: object, text: bytes) -> bytes:
    return hashlib.sha256(repr(scope).encode() + b"\0" + text).digest()[:_CHECK_BYTES]
