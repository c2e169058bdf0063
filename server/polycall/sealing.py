"""Secrets at rest: sealed with a key that is not in the database, opened where they are used.

AES-256-GCM. What is sealed is bound to the place that it is for: moved elsewhere in the database it cannot be opened.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import secrets
from collections.abc import Sequence

from polycall.errors import FailedPrecondition

__all__ = ["KEY_BYTES", "Sealer", "key_of", "new_encryption_key", "parse_encryption_keys"]

KEY_BYTES = 32
_NONCE_BYTES = 12  # NIST SP 800-38D; random ones are good for 2^32 messages a key
_FORMAT = "1"
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
    return rest.partition(".")[0] if version == _FORMAT else ""


class Sealer:
    """Seals with the first of its keys, opens with all of them."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        # here, because the command line reads settings, keys among them, and needs no cipher: 20 ms
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._damaged = (InvalidTag, ValueError)  # ValueError: no base64, or too short
        self._ciphers = {_name(key): AESGCM(key) for key in keys}
        self._first = _name(keys[0])

    @property
    def keys(self) -> frozenset[str]:
        """The names of the keys: they tell them apart, and nothing of them."""
        return frozenset(self._ciphers)

    @property
    def newest(self) -> str:
        """The name of the key that seals."""
        return self._first

    def seal(self, secret: str, place: str) -> str:
        """Return what ``open`` makes ``secret`` of again, for the same place."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + self._ciphers[self._first].encrypt(nonce, secret.encode(), place.encode())
        return f"{_FORMAT}.{self._first}.{base64.b64encode(sealed).decode('ascii')}"

    def open(self, sealed: str, place: str) -> str:
        """Return the secret. Raises FailedPrecondition if that cannot be done with the keys there are."""
        version, _, rest = sealed.partition(".")
        name, _, text = rest.partition(".")
        cipher = self._ciphers.get(name)
        if version != _FORMAT or cipher is None:
            raise FailedPrecondition(
                f"A secret of {place} was sealed with another key ({name[:16]!r}) than this server has. Add that key "
                "to POLYCALL_ENCRYPTION_KEY, or give the secret anew.",
                subject=place,
            )
        try:
            data = base64.b64decode(text, validate=True)
            return cipher.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], place.encode()).decode()
        except self._damaged:
            raise FailedPrecondition(
                f"A secret of {place} is damaged, or was sealed for another place; give it anew.", subject=place
            ) from None


def _name(key: bytes) -> str:
    return hashlib.sha256(b"polycall sealing key" + key).digest()[:_SHOWN_BYTES].hex()
