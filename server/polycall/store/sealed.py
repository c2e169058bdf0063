"""What is sealed, of all projects: for who seals it anew, and who looks whether all of it can be opened."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from polycall.domain import EgressPolicy
from polycall.store.executor import Executor
from polycall.store.protocol import Sealed, SealedSecret, SealedSigning, SealedVersion
from polycall.store.rows import json_text
from polycall.store.tables import secrets, signing_secrets, versions

__all__ = ["SqlSealed", "reseal"]

_s = secrets.c
_v = versions.c
_n = signing_secrets.c
_decode_egress = msgspec.json.Decoder(EgressPolicy).decode
_decode_secrets = msgspec.json.Decoder(dict[str, str]).decode


class SqlSealed:
    """See ``polycall.store.protocol.SealedStore``."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def all_sealed_secrets(self, after: SealedSecret | None, rows: int) -> Sequence[SealedSecret]:
        """Return secrets in the order of project and id; raise Unavailable."""
        return await self._executor.read(_secrets, after, rows)

    async def all_sealed_versions(self, after: SealedVersion | None, rows: int) -> Sequence[SealedVersion]:
        """Return versions that have something sealed, oldest first; raise Unavailable."""
        return await self._executor.read(_versions, after, rows)

    async def all_sealed_signing(self, after: SealedSigning | None, rows: int) -> Sequence[SealedSigning]:
        """Return secrets that sign notifications, in the order of project and id; raise Unavailable."""
        return await self._executor.read(_signing, after, rows)

    async def reseal(self, changes: Sequence[tuple[Sealed, Sealed]]) -> int:
        """Put what was sealed anew in the place of what it was made of; see the protocol. Raises Unavailable."""
        return await self._executor.write(reseal, tuple(changes))


def _secrets(conn: sa.Connection, after: SealedSecret | None, rows: int) -> list[SealedSecret]:
    statement = sa.select(_s.project_id, _s.id, _s.sealed)
    if after is not None:
        statement = statement.where(sa.tuple_(_s.project_id, _s.id) > sa.tuple_(after.project_id, after.id))
    found = conn.execute(statement.order_by(_s.project_id, _s.id).limit(rows))
    return [SealedSecret(row.project_id, row.id, row.sealed) for row in found]


def _signing(conn: sa.Connection, after: SealedSigning | None, rows: int) -> list[SealedSigning]:
    statement = sa.select(_n.project_id, _n.id, _n.sealed)
    if after is not None:
        statement = statement.where(sa.tuple_(_n.project_id, _n.id) > sa.tuple_(after.project_id, after.id))
    found = conn.execute(statement.order_by(_n.project_id, _n.id).limit(rows))
    return [SealedSigning(row.project_id, row.id, row.sealed) for row in found]


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


def reseal(conn: sa.Connection, changes: tuple[tuple[Sealed, Sealed], ...]) -> int:
    """Exchange what is still as it was; return how many were."""
    done = 0
    for old, new in changes:
        statement: sa.Update
        if isinstance(old, SealedSecret) and isinstance(new, SealedSecret):
            statement = sa.update(secrets).where(
                _s.project_id == old.project_id, _s.id == old.id, _s.sealed == old.sealed
            )
            statement = statement.values(sealed=new.sealed)
        elif isinstance(old, SealedSigning) and isinstance(new, SealedSigning):
            statement = sa.update(signing_secrets).where(
                _n.project_id == old.project_id, _n.id == old.id, _n.sealed == old.sealed
            )
            statement = statement.values(sealed=new.sealed)
        elif isinstance(old, SealedVersion) and isinstance(new, SealedVersion):
            egress, own = old.kept
            statement = sa.update(versions).where(
                _v.seq == old.seq, _v.egress.is_not_distinct_from(egress), _v.secrets.is_not_distinct_from(own)
            )
            statement = statement.values(
                egress=json_text(new.egress) if new.egress is not None else None,
                secrets=json_text(new.secrets) if new.secrets else None,
            )
        done += conn.execute(statement).rowcount
    return done
