"""Sessions and their nonces: a nonce is the right to bind a session once, a session the right to act for a key.

A nonce lives a minute. Only its hash is kept, so whoever reads the store cannot spend it; 256 random bits need no slow
hash.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Protocol

import msgspec

from polycall.domain import Principal, Scope, Session
from polycall.engine.keys import KeyRing, require
from polycall.errors import InvalidArgument, Unauthenticated
from polycall.faces.cognite.requests import SessionForm
from polycall.store.protocol import SessionStore, TenancyStore

__all__ = ["ONESHOT", "BadNonce", "CreatedBody", "SessionBody", "Sessions", "SessionsStore"]

ONESHOT = "ONESHOT_TOKEN_EXCHANGE"
_COUNTER = "cognite_sessions"
_NONCE_MS = 60_000  # the vendor: "about 60 s"
_ACTIVE_MS = 3_600_000  # a session ends one hour after it was last bound; the vendor names no time
# What code may do with the token of its session, if its key may: not deploy, and nothing of the administration.
_RIGHTS = frozenset({Scope.RUN, Scope.READ})


class BadNonce(InvalidArgument):
    """Raised for a nonce that is unknown, used, expired or another project's, without telling which."""


class SessionsStore(SessionStore, TenancyStore, Protocol):
    """What sessions need of the store."""


class SessionBody(msgspec.Struct, kw_only=True, rename="camel"):
    """The vendor's session. Members that are not set are left out."""

    id: int
    type: str
    status: str
    creation_time: int
    expiration_time: int
    client_id: str | msgspec.UnsetType = msgspec.UNSET

    @classmethod
    def of(cls, session: Session, now_ms: int) -> SessionBody:
        """Show a session as it is at a time."""
        return cls(
            id=session.id,
            type=session.type,
            status=session.status_at(now_ms),
            creation_time=session.created_at,
            expiration_time=session.expires_at,
            client_id=_given(session.client_id),
        )


class CreatedBody(msgspec.Struct, kw_only=True, rename="camel"):
    """The vendor's session where it is created."""

    id: int
    type: str
    status: str
    nonce: str
    client_id: str | msgspec.UnsetType = msgspec.UNSET

    @classmethod
    def of(cls, session: Session, nonce: str) -> CreatedBody:
        """Show a session that was just made, with its nonce."""
        return cls(
            id=session.id, type=session.type, status=session.status, nonce=nonce, client_id=_given(session.client_id)
        )


class Sessions:
    """Opens sessions and binds them.

    ``lenient`` takes any non-empty text for a nonce, for installations whose callers do not use sessions.
    """

    def __init__(self, store: SessionsStore, keys: KeyRing, *, lenient: bool = False) -> None:
        self._store = store
        self._keys = keys
        self._lenient = lenient

    async def open(self, who: Principal, form: SessionForm, now_ms: int) -> tuple[Session, str]:
        """Create a READY session and return it with its nonce, which is kept nowhere.

        It acts for who asks or, with client credentials, for whose they are. Raises PermissionDenied (scope RUN),
        InvalidArgument (credentials).
        """
        require(who, Scope.RUN)
        acting = who if form.client_secret is None else await self._acting(who.project_id, form.client_secret)
        nonce = secrets.token_urlsafe(32)
        session = Session(
            project_id=who.project_id,
            id=await self._store.next_number(_COUNTER),
            type=form.type,
            status="READY",
            created_at=now_ms,
            expires_at=now_ms + _NONCE_MS,  # until it is bound, nothing can be done with it once its nonce is over
            nonce_expires_at=now_ms + _NONCE_MS,
            client_id=form.client_id,
            key_id=acting.key_id,
            scopes=acting.scopes & _RIGHTS,
        )
        await self._store.create_session(session, _digest(nonce))
        return session, nonce

    async def bind(self, project_id: str, nonce: str, now_ms: int) -> Session | None:
        """Spend a nonce and return its session, ACTIVE; None: there is none, and that is allowed. Raises BadNonce."""
        bound = await self._store.bind_session(project_id, _digest(nonce), now_ms, now_ms + _ACTIVE_MS)
        if bound is None and not (self._lenient and nonce):
            raise BadNonce.of("", "Failed to bind nonce with session")
        return bound

    async def let_go(self, project_id: str, session_id: int, now_ms: int) -> None:
        """End a session: its call is over, or the schedule that held it is gone. One that has ended stays as it is."""
        await self._store.end_session(project_id, session_id, now_ms)

    async def acting(self, project_id: str, session_id: int, until_ms: int) -> Session | None:
        """Return a session that somebody acts for until a time, lasting that long; None: it was revoked."""
        return await self._store.extend_session(project_id, session_id, until_ms)

    async def _acting(self, project_id: str, client_secret: str) -> Principal:
        try:
            acting = await self._keys.of_key(client_secret)
        except Unauthenticated:
            acting = None
        if acting is None or acting.project_id != project_id:
            raise InvalidArgument.of("items[0].clientSecret", "is not an API key of this project")
        return acting


def _given(text: str | None) -> str | msgspec.UnsetType:
    return msgspec.UNSET if text is None else text


def _digest(nonce: str) -> bytes:
    return hashlib.sha256(nonce.encode()).digest()
