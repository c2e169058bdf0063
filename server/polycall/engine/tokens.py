"""Access tokens: for a while, the right to act for an API key. Signed, and kept nowhere.

A token is ``pct_<claims>.<signature>``: HMAC-SHA256 with a key that is derived from the server's encryption key. What
the claims allow is never more than what the key may do in the moment in which the token is used: it ends with its key,
and, if it belongs to a session, with that.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence

import msgspec

from polycall.domain import Scope
from polycall.errors import Unauthenticated

__all__ = ["PREFIX", "Claims", "Signer"]

PREFIX = "pct_"
_PURPOSE = b"polycall access tokens 1"  # the encryption key has another one beside this; neither tells of the other


class Claims(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What a token says: until when (ms) whose rights are whose, and which of them."""

    project_id: str
    key_id: str
    expires_at: int
    scopes: tuple[Scope, ...]
    session_id: int | None = None


class Signer:
    """Signs with the first of the server's keys, believes what any of them has signed."""

    def __init__(self, encryption_keys: Sequence[bytes]) -> None:
        self._keys = [hmac.digest(key, _PURPOSE, hashlib.sha256) for key in encryption_keys]

    def sign(self, claims: Claims, bound_to: bytes = b"") -> str:
        """Return a token. ``bound_to`` is said again by whoever reads it: without it the token is worth nothing."""
        body = _text(msgspec.json.encode(claims))
        return f"{PREFIX}{body}.{_text(_signature(self._keys[0], body, bound_to))}"

    def claims(self, token: str) -> Claims:
        """Return what a token says, true or not: to find out what it is bound to. Raises Unauthenticated."""
        try:
            return msgspec.json.decode(_bytes(_split(token)[0]), type=Claims)
        except (msgspec.DecodeError, ValueError):  # no JSON, not of that shape, no base64, no ASCII
            raise _invalid() from None

    def check(self, token: str, bound_to: bytes = b"") -> None:
        """Raise Unauthenticated unless the token was signed here, bound to the same."""
        body, given = _split(token)
        signatures = [_text(_signature(key, body, bound_to)) for key in self._keys]
        if not any(hmac.compare_digest(given.encode(errors="replace"), made.encode()) for made in signatures):
            raise _invalid()


def _signature(key: bytes, body: str, bound_to: bytes) -> bytes:
    return hmac.digest(key, body.encode() + b"\0" + bound_to, hashlib.sha256)


def _split(token: str) -> tuple[str, str]:
    body, _, signature = token.removeprefix(PREFIX).partition(".")
    return body, signature


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _invalid() -> Unauthenticated:
    return Unauthenticated("This access token is not valid.")
