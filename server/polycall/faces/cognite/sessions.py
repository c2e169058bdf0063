"""Sessions and their nonces: a nonce is the right to make one call.

It lives a minute and is used once. Only its hash is kept, so whoever reads the store cannot spend it; 256 random bits
need no slow hash.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Protocol

from polycall.domain import Session
from polycall.errors import InvalidArgument
from polycall.faces.cognite.requests import SessionForm

__all__ = ["BadNonce", "SessionStore", "Sessions"]

_COUNTER = "cognite_sessions"
_NONCE_MS = 60_000  # the vendor: "about 60 s"
_ACTIVE_MS = 3_600_000  # a session ends one hour after it was last bound; the vendor names no time


class BadNonce(InvalidArgument):
    """Raised for a nonce that is unknown, used, expired or another project's, without telling which."""


class SessionStore(Protocol):
    """What sessions need of the store; see ``polycall.store.protocol.TenancyStore``."""

    async def create_session(self, session: Session, nonce_hash: bytes) -> None:
        """Insert; raise AlreadyExists."""

    async def bind_session(self, project_id: str, nonce_hash: bytes, now_ms: int, expires_at: int) -> Session | None:
        """Use a nonce once: READY and unexpired -> ACTIVE with a new expiry, else None."""

    async def next_number(self, name: str) -> int:
        """Return the next number of a named counter."""


class Sessions:
    """Opens sessions and spends their nonces.

    ``lenient`` takes any non-empty text for a nonce, for installations whose callers do not use sessions.
    """

    def __init__(self, store: SessionStore, *, lenient: bool = False) -> None:
        self._store = store
        self._lenient = lenient

    async def open(self, project_id: str, form: SessionForm, now_ms: int) -> tuple[Session, str]:
        """Create a READY session and return it with its nonce, which is kept nowhere."""
        nonce = secrets.token_urlsafe(32)
        session = Session(
            project_id=project_id,
            id=await self._store.next_number(_COUNTER),
            type=form.type,
            status="READY",
            created_at=now_ms,
            expires_at=now_ms + _NONCE_MS,  # until it is bound, nothing can be done with it once its nonce is over
            nonce_expires_at=now_ms + _NONCE_MS,
            client_id=form.client_id,
        )
        await self._store.create_session(session, _digest(nonce))
        return session, nonce

    async def bind(self, project_id: str, nonce: str, now_ms: int) -> None:
        """Spend a nonce. Raises BadNonce."""
        bound = await self._store.bind_session(project_id, _digest(nonce), now_ms, now_ms + _ACTIVE_MS)
        if bound is None and not (self._lenient and nonce):
            raise BadNonce.of("", "Failed to bind nonce with session")


def _digest(nonce: str) -> bytes:
    return hashlib.sha256(nonce.encode()).digest()
