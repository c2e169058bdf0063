"""Large values, content-addressed within a project: stored once, however many rows refer to them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, TypeAlias

import sqlalchemy as sa

from polycall.quick import dataclass
from polycall.store.dialects import insert
from polycall.store.tables import blobs, db_now

__all__ = ["Blob", "Elsewhere", "Value", "read_blobs", "write_blobs"]


@dataclass(frozen=True, slots=True)
class Blob:
    """A large value of a project. The digest is computed here and nowhere taken from a caller."""

    project_id: str
    digest: str
    data: bytes
    size: int = -1  # -1: that of the data
    place: str | None = None  # the key of an object that has the data, which is left out here then

    @classmethod
    def of(cls, project_id: str, data: bytes) -> Blob:
        """Digest a value."""
        return cls(project_id, hashlib.sha256(data).hexdigest(), data)


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A value that lies in an object store: what its row says of it."""

    digest: str
    size: int
    place: str


Value: TypeAlias = bytes | Elsewhere


def write_blobs(conn: sa.Connection, new: Iterable[Blob], *, counted: bool = False) -> None:
    """Insert what is not there yet, and touch what is, so that no sweep takes it.

    ``counted``: from now on it is part of what the project may store; see ``polycall.store.quota``.
    """
    # in one order whoever writes: two transactions that lock the same rows the other way round would wait for ever
    ordered = sorted({(blob.project_id, blob.digest): blob for blob in new}.items())
    if not ordered:
        return
    statement = insert(conn.dialect.name, blobs).values(touched_at=db_now(), counted=counted)
    again: dict[str, Any] = {"touched_at": statement.excluded.touched_at}
    if counted:
        again["counted"] = True
    statement = statement.on_conflict_do_update(index_elements=["project_id", "sha256"], set_=again)
    conn.execute(
        statement,
        [
            {
                "project_id": blob.project_id,
                "sha256": blob.digest,
                "size": len(blob.data) if blob.size < 0 else blob.size,
                "data": blob.data,
                "place": blob.place,
            }
            for _, blob in ordered
        ],
    )


def read_blobs(conn: sa.Connection, project_id: str, digests: Iterable[str]) -> dict[str, Value]:
    """Return the blobs of a project by digest; those that do not exist are left out."""
    wanted = sorted(set(digests))
    if not wanted:
        return {}
    columns = (blobs.c.sha256, blobs.c.data, blobs.c.size, blobs.c.place)
    rows = conn.execute(sa.select(*columns).where(blobs.c.project_id == project_id, blobs.c.sha256.in_(wanted)))
    return {row.sha256: row.data if row.place is None else Elsewhere(row.sha256, row.size, row.place) for row in rows}
