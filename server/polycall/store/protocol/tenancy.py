"""What is needed of the store for projects, keys and sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from polycall.domain import ApiKey, Project, Session
from polycall.store.protocol.pages import Page

__all__ = ["SessionStore", "TenancyStore"]


class TenancyStore(Protocol):
    """Projects, API keys, counters."""

    async def create_project(self, project: Project) -> Project:
        """Insert; raise AlreadyExists."""

    async def get_project(self, project_id: str) -> Project:
        """Return; raise NotFound."""

    async def list_projects(self) -> tuple[Project, ...]:
        """Return all, by id."""

    async def create_key(self, key: ApiKey, secret_hash: bytes) -> ApiKey:
        """Insert with the sha256 of the whole key text; raise AlreadyExists (id or hash), NotFound (project)."""

    async def find_key(self, secret_hash: bytes) -> ApiKey | None:
        """Return the key of a hash, revoked and expired ones too; None if there is none."""

    async def get_key(self, project_id: str, key_id: str) -> ApiKey:
        """Return, also one that is revoked; raise NotFound."""

    async def list_keys(self, project_id: str) -> tuple[ApiKey, ...]:
        """Return all of a project, revoked ones too, by creation."""

    async def revoke_key(self, project_id: str, key_id: str, now_ms: int) -> ApiKey:
        """Set ``revoked_at`` (the first time stands); raise NotFound."""

    async def touch_keys(self, used: Mapping[str, int]) -> None:
        """Set ``last_used_at`` of several keys, never backwards."""

    async def next_number(self, name: str) -> int:
        """Return the next number of a named counter, starting at 1; unique, rising, with gaps (blocks of 1000)."""


class SessionStore(Protocol):
    """Sessions, and the nonces that bind them."""

    async def create_session(self, session: Session, nonce_hash: bytes) -> None:
        """Insert; raise AlreadyExists (id or nonce), NotFound (project)."""

    async def bind_session(self, project_id: str, nonce_hash: bytes, now_ms: int, expires_at: int) -> Session | None:
        """Use a nonce once: READY and unexpired -> ACTIVE with a new expiry, else None. One statement."""

    async def extend_session(self, project_id: str, session_id: int, expires_at: int) -> Session | None:
        """Let an ACTIVE session, also one whose time is up, last at least that long; None: it is not ACTIVE."""

    async def end_session(self, project_id: str, session_id: int, now_ms: int) -> None:
        """Let the time of an ACTIVE session be up, unless it is."""

    async def get_sessions(self, project_id: str, ids: Sequence[int]) -> tuple[Session, ...]:
        """Return those that exist, in the order asked."""

    async def list_sessions(
        self, project_id: str, statuses: Sequence[str], now_ms: int, page_size: int, page_token: str = ""
    ) -> Page[Session]:
        """Return a page, newest first: those that have one of the statuses at ``now_ms``, all if there are none.

        Raise InvalidArgument (token).
        """

    async def revoke_sessions(self, project_id: str, ids: Sequence[int], now_ms: int) -> tuple[Session, ...]:
        """READY and ACTIVE -> REVOKED; returns all that exist, in the order asked."""
