"""Secrets at rest: sealed with keys that are not in the database, opened where they are used.

Envelopes: each text has a data key of its own, which one of the server's keys wraps; both by AES-256-GCM. What is
sealed is bound to the place that it is for: moved elsewhere in the database it cannot be opened. Another key of the
server wraps the data keys anew and leaves the texts as they are. ``2.KEY.WRAPPED.TEXT``: the name of the server's key,
and in base64 nonce, ciphertext and tag of both. Releases before sealed with the server's key itself: ``1.KEY.TEXT``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING

from polycall.errors import FailedPrecondition

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

__all__ = ["KEY_BYTES", "Sealer", "key_of", "mark_of", "new_encryption_key", "parse_encryption_keys"]

KEY_BYTES = 32
_NONCE_BYTES = 12  # NIST SP 800-38D; random ones are good for 2^32 messages a key: data keys that a key of ours wraps
_ENVELOPE, _DIRECT = "2", "1"
_WRAPPING = b"polycall data key"  # what a wrapped data key is for; the text is bound to its place by itself
_SHOWN_BYTES = 4  # of a key's digest: tells keys apart, tells nothing of the key


def new_encryption_key() -> str:
    """Return a new key as text."""
    return base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode("ascii")


def parse_encryption_keys(text: str) -> tuple[bytes, ...]:
    """Return the keys in a text: base64, separated by commas. Raises ValueError."""
    keys = []
    for word in text.replace(",", " ").split():
        try:
            key = base64.b64decode(word, validate=True)
        except binascii.Error:
            key = b""
        if len(key) != KEY_BYTES:
            raise ValueError(f"must be {KEY_BYTES} bytes as base64 (openssl rand -base64 32), several with commas")
        keys.append(key)
    if not keys:
        raise ValueError("must not be empty")
    return tuple(keys)


def key_of(sealed: str) -> str:
    """Return the name of the key that a text was sealed with; "" if it is none of ours."""
    version, _, rest = sealed.partition(".")
    return rest.partition(".")[0] if version in (_ENVELOPE, _DIRECT) else ""


def mark_of(sealed: str) -> str:
    """Return format and key of a sealed text: what is the same for all that need not be sealed anew."""
    return ".".join(sealed.split(".", 2)[:2])


class Sealer:
    """Seals with the first of its keys, opens with all of them."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        # here, because the command line reads settings, keys among them, and needs no cipher: 20 ms
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._damaged = (InvalidTag, ValueError)  # ValueError: no base64, or too short
        self._cipher = AESGCM
        self._ciphers = {_name(key): AESGCM(key) for key in keys}
        self._first = _name(keys[0])

    @property
    def keys(self) -> frozenset[str]:
        """The names of the keys: they tell them apart, and nothing of them."""
        return frozenset(self._ciphers)

    @property
    def mark(self) -> str:
        """The mark of what is sealed now."""
        return f"{_ENVELOPE}.{self._first}"

    def seal(self, secret: str, place: str) -> str:
        """Return what ``open`` makes ``secret`` of again, for the same place."""
        data_key = os.urandom(KEY_BYTES)
        sealed = _encrypted(self._cipher(data_key), secret.encode(), place.encode())
        return f"{self.mark}.{self._wrapped(data_key)}.{_text(sealed)}"

    def open(self, sealed: str, place: str, before: str | None = None) -> str:
        """Return the secret. ``before``: the place by which releases before envelopes knew it, if that is another.

        Raises FailedPrecondition if it cannot be opened with the keys there are.
        """
        version, _, rest = sealed.partition(".")
        name, _, rest = rest.partition(".")
        if version not in (_ENVELOPE, _DIRECT) or name not in self._ciphers:
            raise FailedPrecondition(
                f"A secret of {place} was sealed with another key ({name[:16]!r}) than this server has. Add that key "
                "to POLYCALL_ENCRYPTION_KEY, or give the secret anew.",
                subject=place,
            )
        try:
            if version == _DIRECT:
                known = place if before is None else before
                return _decrypted(self._ciphers[name], _bytes(rest), known.encode()).decode()
            wrapped, _, text = rest.partition(".")
            data_key = _decrypted(self._ciphers[name], _bytes(wrapped), _WRAPPING)
            return _decrypted(self._cipher(data_key), _bytes(text), place.encode()).decode()
        except self._damaged:
            raise FailedPrecondition(
                f"A secret of {place} is damaged, or was sealed for another place; give it anew.", subject=place
            ) from None

    def anew(self, sealed: str, place: str, before: str | None = None) -> str:
        """Return a sealed text as the first key has it: the same ciphertext, its data key wrapped again.

        One of before there were envelopes becomes one. Raises FailedPrecondition as ``open``.
        """
        if mark_of(sealed) == self.mark:
            return sealed
        version, _, rest = sealed.partition(".")
        if version != _ENVELOPE:
            return self.seal(self.open(sealed, place, before), place)
        name, _, rest = rest.partition(".")
        wrapped, _, text = rest.partition(".")
        try:
            data_key = _decrypted(self._ciphers[name], _bytes(wrapped), _WRAPPING)
        except (KeyError, *self._damaged):
            self.open(sealed, place)  # says which of both it is
            raise
        return f"{self.mark}.{self._wrapped(data_key)}.{text}"

    def _wrapped(self, data_key: bytes) -> str:
        return _text(_encrypted(self._ciphers[self._first], data_key, _WRAPPING))


def _encrypted(cipher: AESGCM, plain: bytes, associated: bytes) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, plain, associated)


def _decrypted(cipher: AESGCM, data: bytes, associated: bytes) -> bytes:
    return cipher.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], associated)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _name(key: bytes) -> str:
    return hashlib.sha256(b"polycall sealing key" + key).digest()[:_SHOWN_BYTES].hex()
