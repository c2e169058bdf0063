"""Sessions and the nonces that bind them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from polycall.domain import Reason, Scope, Session
from polycall.errors import AlreadyExists, NotFound
from polycall.store.dialects import insert
from polycall.store.executor import Executor
from polycall.store.paging import page_of, place_number, read_token
from polycall.store.protocol import Page
from polycall.store.rows import json_text
from polycall.store.tables import projects, sessions

__all__ = ["SqlSessions", "create_session", "revoke_sessions"]

_s = sessions.c
_decode_scopes = msgspec.json.Decoder(frozenset[Scope]).decode


class SqlSessions:
    """Who acts for whom; see ``polycall.store.protocol.SessionStore``."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def create_session(self, session: Session, nonce_hash: bytes) -> None:
        """Insert; raise AlreadyExists (id or nonce), NotFound (project), Unavailable."""
        await self._executor.write(create_session, session, nonce_hash)

    async def bind_session(self, project_id: str, nonce_hash: bytes, now_ms: int, expires_at: int) -> Session | None:
        """Spend a nonce: READY and in time -> ACTIVE with a new expiry; else None. Raises Unavailable."""
        return await self._executor.single(_bind, project_id, nonce_hash, now_ms, expires_at)

    async def extend_session(self, project_id: str, session_id: int, expires_at: int) -> Session | None:
        """Let an ACTIVE session last at least that long; None: it is not ACTIVE. Raises Unavailable."""
        return await self._executor.write(_extend, project_id, session_id, expires_at)

    async def end_session(self, project_id: str, session_id: int, now_ms: int) -> None:
        """Let the time of an ACTIVE session be up, unless it is. Raises Unavailable."""
        await self._executor.single(_end, project_id, session_id, now_ms)

    async def get_sessions(self, project_id: str, ids: Sequence[int]) -> tuple[Session, ...]:
        """Return those that exist, in the order asked; raise Unavailable."""
        found = await self._executor.read(_with_ids, project_id, tuple(ids))
        return tuple(found[session_id] for session_id in ids if session_id in found)

    async def list_sessions(
        self, project_id: str, statuses: Sequence[str], now_ms: int, page_size: int, page_token: str = ""
    ) -> Page[Session]:
        """Return a page, newest first; raise InvalidArgument (token), Unavailable."""
        scope = ("sessions", project_id, tuple(sorted(statuses)))
        after = read_token(scope, page_token, place_number)
        found = await self._executor.read(_page, project_id, tuple(statuses), now_ms, after, page_size + 1)
        return page_of(scope, found, page_size)

    async def revoke_sessions(self, project_id: str, ids: Sequence[int], now_ms: int) -> tuple[Session, ...]:
        """READY, and ACTIVE also beyond its time, -> REVOKED; returns all that exist, in the order asked.

        Raises Unavailable.
        """
        found = await self._executor.write(revoke_sessions, project_id, tuple(ids), now_ms)
        return tuple(found[session_id] for session_id in ids if session_id in found)


def create_session(conn: sa.Connection, session: Session, nonce_hash: bytes) -> None:
    """Insert; raise AlreadyExists, NotFound (project)."""
    if conn.execute(sa.select(projects.c.id).where(projects.c.id == session.project_id)).first() is None:
        name = f"projects/{session.project_id}"
        raise NotFound(Reason.PROJECT_NOT_FOUND, "polycall.v1.Project", name, f"{name} does not exist.")
    values = {
        "project_id": session.project_id,
        "id": session.id,
        "type": session.type,
        "status": session.status,
        "created_at": session.created_at,
        "expires_at": session.expires_at,
        "nonce_expires_at": session.nonce_expires_at,
        "client_id": session.client_id,
        "nonce_hash": nonce_hash,
        "key_id": session.key_id,
        "scopes": json_text(sorted(session.scopes)),
    }
    if conn.execute(insert(conn.dialect.name, sessions).on_conflict_do_nothing(), values).rowcount != 1:
        raise AlreadyExists("polycall.v1.Session", f"sessions/{session.id}")


def _bind(conn: sa.Connection, project_id: str, nonce_hash: bytes, now_ms: int, expires_at: int) -> Session | None:
    row = conn.execute(
        sa.update(sessions)
        .where(
            _s.project_id == project_id,
            _s.nonce_hash == nonce_hash,
            _s.status == "READY",
            _s.nonce_expires_at > now_ms,
        )
        .values(status="ACTIVE", expires_at=expires_at)
        .returning(sessions)
    ).first()
    return None if row is None else _session_of(row)


def _extend(conn: sa.Connection, project_id: str, session_id: int, expires_at: int) -> Session | None:
    row = conn.execute(
        sa.update(sessions)
        .where(*_is(project_id, (session_id,)), _s.status == "ACTIVE")
        .values(expires_at=sa.case((_s.expires_at < expires_at, expires_at), else_=_s.expires_at))
        .returning(sessions)
    ).first()
    return None if row is None else _session_of(row)


def _end(conn: sa.Connection, project_id: str, session_id: int, now_ms: int) -> None:
    conn.execute(
        sa.update(sessions)
        .where(*_is(project_id, (session_id,)), _s.status == "ACTIVE", _s.expires_at > now_ms)
        .values(expires_at=now_ms)
    )


def _with_ids(conn: sa.Connection, project_id: str, ids: tuple[int, ...]) -> dict[int, Session]:
    return {row.id: _session_of(row) for row in conn.execute(sa.select(sessions).where(*_is(project_id, ids)))}


def _page(
    conn: sa.Connection, project_id: str, statuses: tuple[str, ...], now_ms: int, after: int | None, rows: int
) -> list[tuple[str, Session]]:
    statement = sa.select(sessions).where(_s.project_id == project_id)
    if statuses:
        statement = statement.where(sa.or_(*(_has_status(status, now_ms) for status in statuses)))
    if after is not None:
        statement = statement.where(_s.id < after)
    return [(str(row.id), _session_of(row)) for row in conn.execute(statement.order_by(_s.id.desc()).limit(rows))]


def revoke_sessions(conn: sa.Connection, project_id: str, ids: tuple[int, ...], now_ms: int) -> dict[int, Session]:
    """End those that have not ended; return those that exist."""
    # one whose time is up as well: what acts for it, a Call that waited or a schedule, would let it last again
    unspent = sa.or_(_has_status("READY", now_ms), _s.status == "ACTIVE")
    conn.execute(sa.update(sessions).where(*_is(project_id, ids), unspent).values(status="REVOKED"))
    return _with_ids(conn, project_id, ids)


def _is(project_id: str, ids: tuple[int, ...]) -> tuple[sa.ColumnElement[bool], ...]:
    return _s.project_id == project_id, _s.id.in_(ids)


def _has_status(status: str, now_ms: int) -> sa.ColumnElement[bool]:
    """Say what ``Session.status_at`` says."""
    ready, active = _s.status == "READY", _s.status == "ACTIVE"
    match status:
        case "READY":
            return sa.and_(ready, _s.nonce_expires_at > now_ms)
        case "ACTIVE":
            return sa.and_(active, _s.expires_at > now_ms)
        case "EXPIRED":
            return sa.or_(
                _s.status == "EXPIRED",
                sa.and_(ready, _s.nonce_expires_at <= now_ms),
                sa.and_(active, _s.expires_at <= now_ms),
            )
    return _s.status == status


def _session_of(row: sa.Row[Any]) -> Session:
    return Session(
        project_id=row.project_id,
        id=row.id,
        type=row.type,
        status=row.status,
        created_at=row.created_at,
        expires_at=row.expires_at,
        nonce_expires_at=row.nonce_expires_at,
        client_id=row.client_id,
        key_id=row.key_id,
        scopes=_decode_scopes(row.scopes) if row.scopes else frozenset(),
    )
