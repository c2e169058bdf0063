"""Signatures as Standard Webhooks has them (https://www.standardwebhooks.com, specification 1.0.0).

What is signed is ``{id}.{timestamp}.{body}``, with HMAC-SHA256 and each secret that signs: while one takes over from
another, receivers that know either are content.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable

__all__ = ["new_signing_secret", "signature_headers", "signing_place"]

_PREFIX = "whsec_"
_SECRET_BYTES = 32  # the specification: 24 to 64


def new_signing_secret() -> str:
    """Return a new secret: ``whsec_`` and base64 of random bytes."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode("ascii")


def signing_place(project_id: str, secret_id: str) -> str:
    """Return what a signing secret is sealed for."""
    return f"projects/{project_id}/signingSecrets/{secret_id}"


def signature_headers(message_id: str, at_s: int, body: bytes, signing: Iterable[str]) -> list[tuple[str, str]]:
    """Return the headers of a message sent at a time (seconds since the epoch), signed with each secret."""
    signed = f"{message_id}.{at_s}.".encode() + body
    signatures = []
    for secret in signing:
        key = base64.b64decode(secret.removeprefix(_PREFIX))
        signatures.append("v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode("ascii"))
    return [
        ("webhook-id", message_id),
        ("webhook-timestamp", str(at_s)),
        ("webhook-signature", " ".join(signatures)),
    ]
