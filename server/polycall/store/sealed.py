"""What is sealed, of all projects: for who seals it anew, and who looks whether all of it can be opened."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from polycall.domain import EgressPolicy
from polycall.sealing import mark_of
from polycall.store.executor import Executor
from polycall.store.protocol import Sealed, SealedRequest, SealedSecret, SealedSigning, SealedVersion
from polycall.store.rows import json_text
from polycall.store.tables import executions, secrets, signing_secrets, versions

__all__ = ["SqlSealed", "reseal"]

_s, _g = secrets.c, signing_secrets.c
_v = versions.c
_e = executions.c
_decode_egress = msgspec.json.Decoder(EgressPolicy).decode
_decode_secrets = msgspec.json.Decoder(dict[str, str]).decode


class SqlSealed:
    """See ``polycall.store.protocol.SealedStore``."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def all_sealed_secrets(self, after: SealedSecret | None, rows: int) -> Sequence[SealedSecret]:
        """Return secrets in the order of project and id; raise Unavailable."""
        return [SealedSecret(*row) for row in await self._executor.read(_of_table, secrets, _place(after), rows)]

    async def all_sealed_signing(self, after: SealedSigning | None, rows: int) -> Sequence[SealedSigning]:
        """Return secrets that sign in the order of project and id; raise Unavailable."""
        return [
            SealedSigning(*row) for row in await self._executor.read(_of_table, signing_secrets, _place(after), rows)
        ]

    async def all_sealed_versions(self, after: SealedVersion | None, rows: int) -> Sequence[SealedVersion]:
        """Return versions that have something sealed, oldest first; raise Unavailable."""
        return await self._executor.read(_versions, after, rows)

    async def request_marks(self) -> Sequence[str]:
        """Return the marks of what is sealed beside executions; raise Unavailable."""
        return await self._executor.read(_marks)

    async def all_sealed_requests(self, mark: str, after: uuid.UUID | None, rows: int) -> Sequence[SealedRequest]:
        """Return what is sealed beside executions, of one mark; raise Unavailable."""
        return await self._executor.read(_requests, mark, after, rows)

    async def reseal(self, changes: Sequence[tuple[Sealed, Sealed]]) -> int:
        """Put what was sealed anew in the place of what it was made of; see the protocol. Raises Unavailable."""
        return await self._executor.write(reseal, tuple(changes))


def _place(after: SealedSecret | SealedSigning | None) -> tuple[str, str] | None:
    return None if after is None else (after.project_id, after.id)


def _of_table(
    conn: sa.Connection, table: sa.Table, after: tuple[str, str] | None, rows: int
) -> list[tuple[str, str, str]]:
    c = table.c
    statement = sa.select(c.project_id, c.id, c.sealed)
    if after is not None:
        statement = statement.where(sa.tuple_(c.project_id, c.id) > sa.tuple_(*after))
    return [tuple(row) for row in conn.execute(statement.order_by(c.project_id, c.id).limit(rows))]


def _versions(conn: sa.Connection, after: SealedVersion | None, rows: int) -> list[SealedVersion]:
    statement = sa.select(_v.seq, _v.project_id, _v.package_id, _v.egress, _v.secrets)
    statement = statement.where(sa.or_(_v.egress.is_not(None), _v.secrets.is_not(None)))
    if after is not None:
        statement = statement.where(_v.seq > after.seq)
    return [
        SealedVersion(
            row.seq,
            row.project_id,
            row.package_id,
            _decode_egress(row.egress) if row.egress is not None else None,
            _decode_secrets(row.secrets) if row.secrets is not None else {},
            (row.egress, row.secrets),
        )
        for row in conn.execute(statement.order_by(_v.seq).limit(rows))
    ]


def _marks(conn: sa.Connection) -> list[str]:
    # the next one behind each: a look into the index for each of the few there are, however many executions
    found: list[str] = []
    while True:
        statement = sa.select(_e.sealed_by).where(_e.sealed_by.is_not(None), _e.sealed_by > (found or [""])[-1])
        mark = conn.execute(statement.order_by(_e.sealed_by).limit(1)).scalar()
        if mark is None:
            return found
        found.append(mark)


def _requests(conn: sa.Connection, mark: str, after: uuid.UUID | None, rows: int) -> list[SealedRequest]:
    statement = sa.select(_e.id, _e.project_id, _e.face, _e.sealed)
    statement = statement.where(_e.sealed_by.is_not(None), _e.sealed_by == mark)
    if after is not None:
        statement = statement.where(_e.id > after)
    found = conn.execute(statement.order_by(_e.id).limit(rows))
    return [SealedRequest(row.id, row.project_id, row.face or "", row.sealed) for row in found]


def reseal(conn: sa.Connection, changes: tuple[tuple[Sealed, Sealed], ...]) -> int:
    """Exchange what is still as it was; return how many were."""
    return sum(conn.execute(_change(old, new)).rowcount for old, new in changes)


def _change(old: Sealed, new: Sealed) -> sa.Update:
    match old, new:
        case SealedVersion(), SealedVersion():
            egress, own = old.kept
            texts = (
                json_text(new.egress) if new.egress is not None else None,
                json_text(new.secrets) if new.secrets else None,
            )
            longer = sum(len((text or "").encode()) for text in texts) - sum(len((t or "").encode()) for t in old.kept)
            return (
                sa.update(versions)
                .where(_v.seq == old.seq, _v.egress.is_not_distinct_from(egress), _v.secrets.is_not_distinct_from(own))
                .values(egress=texts[0], secrets=texts[1], size=_v.size + longer)
            )
        case SealedRequest(), SealedRequest():
            return (
                sa.update(executions)
                .where(_e.id == old.id, _e.project_id == old.project_id, _e.sealed == old.sealed)
                .values(sealed=new.sealed, sealed_by=mark_of(new.sealed))
            )
        case SealedSigning(), SealedSigning():
            return _exchange(signing_secrets, old, new)
        case SealedSecret(), SealedSecret():
            return _exchange(secrets, old, new)
    raise TypeError("what is sealed anew is what it was")


def _exchange(table: sa.Table, old: SealedSecret | SealedSigning, new: SealedSecret | SealedSigning) -> sa.Update:
    c = table.c
    own = (c.project_id == old.project_id, c.id == old.id, c.sealed == old.sealed)
    return sa.update(table).where(*own).values(sealed=new.sealed)
