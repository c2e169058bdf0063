"""Sessions of a project: listed, looked up, revoked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from polycall.domain import Scope, Session
from polycall.engine.engine import Engine
from polycall.engine.keys import require
from polycall.faces.cognite.failures import Missing
from polycall.faces.cognite.queries import read_query, read_window
from polycall.faces.cognite.requests import Reference, read_asked_sessions
from polycall.faces.cognite.resource import Resource, page
from polycall.faces.cognite.sessions import SessionBody, SessionsStore
from polycall.faces.reply import Handler, Inbound, Reply
from polycall.faces.wire import Malformed, dump

__all__ = ["SessionRoutes"]

_STATUSES = ("READY", "ACTIVE", "CANCELLED", "EXPIRED", "REVOKED", "ACCESS_LOST")


class SessionRoutes(Resource):
    """CogniteSessionService."""

    def __init__(self, engine: Engine, store: SessionsStore) -> None:
        super().__init__(engine)
        self._store = store
        self.handlers: Mapping[str, Handler] = {
            "ListSessions": self.list_sessions,
            "RetrieveSessions": self.retrieve_sessions,
            "RevokeSessions": self.revoke_sessions,
        }

    async def list_sessions(self, inbound: Inbound) -> Reply:
        """GET sessions, newest first."""
        who = await self._caller(inbound)
        require(who, Scope.READ)
        query = read_query(inbound.query)
        window = read_window(query)
        status = query.get("status", "").upper()
        if status and status not in _STATUSES:
            raise Malformed.of("status", f"must be one of {', '.join(_STATUSES)}")
        found = await page(
            self._store.list_sessions(
                who.project_id, (status,) if status else (), inbound.received_at, window.limit, window.cursor
            )
        )
        body: dict[str, object] = {"items": _shown(found.items, inbound)}
        if found.next_token:
            body["nextCursor"] = found.next_token
        return Reply(body=dump(body))

    async def retrieve_sessions(self, inbound: Inbound) -> Reply:
        """POST sessions/byids."""
        who = await self._caller(inbound)
        require(who, Scope.READ)
        ids = read_asked_sessions(await inbound.read())
        found = await self._store.get_sessions(who.project_id, ids)
        _all_there(ids, found)
        return Reply(body=dump({"items": _shown(found, inbound)}))

    async def revoke_sessions(self, inbound: Inbound) -> Reply:
        """POST sessions/revoke: all of them, or none if one is unknown. Their tokens are worth nothing from then on."""
        who = await self._caller(inbound)
        require(who, Scope.RUN)
        ids = read_asked_sessions(await inbound.read())
        _all_there(ids, await self._store.get_sessions(who.project_id, ids))
        revoked = await self._store.revoke_sessions(who.project_id, ids, inbound.received_at)
        return Reply(body=dump({"items": _shown(revoked, inbound)}))


def _all_there(ids: Sequence[int], found: Sequence[Session]) -> None:
    known = {session.id for session in found}
    missing = [Reference(session_id) for session_id in ids if session_id not in known]
    if missing:
        raise Missing("Session", missing)


def _shown(sessions: Sequence[Session], inbound: Inbound) -> list[SessionBody]:
    return [SessionBody.of(session, inbound.received_at) for session in sessions]
