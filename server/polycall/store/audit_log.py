"""The audit log: appended to, read in pages, deleted by retention alone. The database itself refuses the rest."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from polycall.acts import ANYWHERE, SYSTEM, AuditEvent, AuditFilter, AuditOutcome
from polycall.ids import new_id
from polycall.store.executor import Executor
from polycall.store.paging import page_of, place_number, read_token
from polycall.store.protocol import Page
from polycall.store.rows import json_text
from polycall.store.tables import audit_events, audit_pruning, db_now

__all__ = ["SqlAudit", "insert_events"]

_a = audit_events.c
_INSERT = sa.insert(audit_events).values(time=db_now())
_decode_detail = msgspec.json.Decoder(dict[str, str]).decode


class _Place(NamedTuple):
    """Where an event is in the log."""

    time: int
    id: str

    @classmethod
    def parse(cls, text: str) -> _Place:
        """Read what ``str`` wrote; raise ValueError."""
        time, _, text = text.partition(" ")
        return cls(place_number(time), str(uuid.UUID(text)))

    def __str__(self) -> str:
        return f"{self.time} {self.id}"


class SqlAudit:
    """See ``polycall.store.protocol.AuditStore``."""

    def __init__(self, executor: Executor, written: Counter[AuditOutcome]) -> None:
        self._executor = executor
        self._written = written

    async def append_audit(self, events: Sequence[AuditEvent]) -> None:
        """Append; raise Unavailable."""
        await self._executor.write(insert_events, tuple(events))
        self._written.update(event.outcome for event in events)

    async def list_audit(
        self,
        project_id: str | None,
        where: AuditFilter,
        page_size: int,
        page_token: str = "",
        *,
        ascending: bool = False,
    ) -> Page[AuditEvent]:
        """Return a page; raise InvalidArgument (token), Unavailable."""
        scope = ("audit", project_id, where, ascending)
        after = read_token(scope, page_token, _Place.parse)
        found = await self._executor.read(_list, project_id, where, after, page_size + 1, ascending)
        return page_of(scope, found, page_size)

    async def prune_audit(self, before_ms: int, most: int) -> int:
        """Delete up to ``most`` events older than a time; return how many. Raises Unavailable."""
        return await self._executor.write(_prune, before_ms, most)


def insert_events(conn: sa.Connection, events: Sequence[AuditEvent]) -> None:
    """Append events, at the database's time."""
    rows = [
        {
            "id": event.id,
            "project_id": event.project_id,
            "actor": event.actor,
            "face": event.face,
            "method": event.method,
            "action": event.action,
            "resource": event.resource,
            "outcome": event.outcome.value,
            "code": event.code,
            "client": event.client,
            "count": event.count,
            "detail": json_text(event.detail),
        }
        for event in events
    ]
    conn.execute(_INSERT, rows)


def _list(
    conn: sa.Connection, project_id: str | None, where: AuditFilter, after: _Place | None, rows: int, ascending: bool
) -> list[tuple[str, AuditEvent]]:
    statement = sa.select(audit_events).where(*_conditions(where))
    if project_id is not None:
        statement = statement.where(_a.project_id == project_id)
    place = sa.tuple_(_a.time, _a.id)
    if after is not None:
        bound = sa.tuple_(sa.literal(after.time), sa.literal(uuid.UUID(after.id), sa.Uuid))
        statement = statement.where(place > bound if ascending else place < bound)
    order = (_a.time, _a.id) if ascending else (_a.time.desc(), _a.id.desc())
    found = conn.execute(statement.order_by(*order).limit(rows))
    return [(str(_Place(row.time, str(row.id))), _event_of(row)) for row in found]


def _conditions(where: AuditFilter) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = []
    if where.since is not None:
        conditions.append(_a.time >= where.since)
    if where.until is not None:
        conditions.append(_a.time < where.until)
    if where.actor is not None:
        conditions.append(_a.actor == where.actor)
    if where.action is not None:
        if where.action.endswith(".*"):
            noun = where.action.removesuffix("*")
            conditions += [_a.action >= noun, _a.action < noun.removesuffix(".") + "/"]  # "/" follows "."
        else:
            conditions.append(_a.action == where.action)
    if where.resource is not None:
        conditions.append(_a.resource == where.resource)
    if where.outcome is not None:
        conditions.append(_a.outcome == where.outcome.value)
    return conditions


def _prune(conn: sa.Connection, before_ms: int, most: int) -> int:
    # Says to the triggers what may go; nobody else sees it, for it is gone again before the commit.
    conn.execute(sa.insert(audit_pruning), {"before": before_ms})
    old = sa.select(_a.id).where(_a.time < before_ms).order_by(_a.time, _a.id).limit(most)
    count = conn.execute(sa.delete(audit_events).where(_a.id.in_(old))).rowcount
    conn.execute(sa.delete(audit_pruning))
    if count:
        insert_events(conn, (_pruned(before_ms, count),))
    return count


def _pruned(before_ms: int, count: int) -> AuditEvent:
    return AuditEvent(
        id=new_id(),
        project_id=ANYWHERE,
        actor=SYSTEM,
        action="audit.prune",
        outcome=AuditOutcome.DONE,
        code=0,
        resource="auditEvents",
        count=count,
        detail={"before_ms": str(before_ms)},
    )


def _event_of(row: sa.Row[Any]) -> AuditEvent:
    values = {**row._mapping, "outcome": AuditOutcome(row.outcome), "detail": _decode_detail(row.detail)}
    return AuditEvent(**values)
