"""Environments that servers keep for each other: functions of a connection. None is a project's.

An environment is named by all that decides it, so whoever asks for the same gets the same, as on one server's disk.
One node at a time builds it: its row says who. Once the row names an archive, it is there for all.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from polycall.domain import PackedEnvironment
from polycall.ids import id_at, now_ms
from polycall.store.dialects import insert
from polycall.store.nodes import living
from polycall.store.tables import db_now, environment_pieces, environments, nodes, runtime_revisions

__all__ = [
    "LARGEST_PIECE",
    "add_piece",
    "claim",
    "drop_pieces",
    "find",
    "forget",
    "keep",
    "kept",
    "kept_bytes",
    "let_go",
    "piece",
    "sweep",
    "touch",
]

_e, _p = environments.c, environment_pieces.c
LARGEST_PIECE = 1 << 20  # bytes
# What is written now may be referred to in a moment: whoever has an environment built writes its revision last.
_YOUNG_MS = 86_400_000


def find(conn: sa.Connection, name: str) -> PackedEnvironment | None:
    """Return what is kept of that name; None if nothing is."""
    row = conn.execute(sa.select(environments).where(_e.name == name, _e.archive.is_not(None))).first()
    if row is None:
        return None
    return PackedEnvironment(
        name=row.name,
        archive=row.archive,
        upload=row.upload,
        pieces=row.pieces,
        size_bytes=row.size_bytes,
        data_bytes=row.data_bytes,
        file_count=row.file_count,
    )


def kept(conn: sa.Connection) -> frozenset[str]:
    """Return the names of all that is kept."""
    return frozenset(conn.execute(sa.select(_e.name).where(_e.archive.is_not(None))).scalars())


def kept_bytes(conn: sa.Connection) -> int:
    """Return how much all that is kept has, packed."""
    kept = sa.select(sa.func.sum(_e.size_bytes)).where(_e.archive.is_not(None))
    return int(conn.execute(kept).scalar_one() or 0)


def claim(conn: sa.Connection, name: str, owner: str, lease_ms: int) -> bool:
    """Make a node the one that builds; False: it is kept already, or a node that lives builds it."""
    statement = insert(conn.dialect.name, environments).values(
        name=name, owner=owner, pieces=0, size_bytes=0, data_bytes=0, file_count=0, touched_at=db_now()
    )
    alive = sa.select(nodes.c.id).where(living(lease_ms))
    free = sa.or_(_e.owner.is_(None), _e.owner == owner, _e.owner.not_in(alive))
    claimed = conn.execute(
        statement.on_conflict_do_update(
            index_elements=["name"],
            set_={"owner": statement.excluded.owner, "touched_at": statement.excluded.touched_at},
            where=sa.and_(_e.archive.is_(None), free),
        ).returning(_e.name)
    )
    return claimed.first() is not None


def touch(conn: sa.Connection, name: str) -> bool:
    """Keep a sweep away for a day from what is kept of that name; False: nothing is."""
    changed = conn.execute(
        sa.update(environments).where(_e.name == name, _e.archive.is_not(None)).values(touched_at=db_now())
    )
    return changed.rowcount == 1


def let_go(conn: sa.Connection, name: str, owner: str) -> None:
    """Build it no more; harmless if it is kept, or another node's."""
    conn.execute(sa.delete(environments).where(_e.name == name, _e.owner == owner, _e.archive.is_(None)))


def add_piece(conn: sa.Connection, upload: str, seq: int, data: bytes) -> None:
    """Write a piece of an archive that ``keep`` will name."""
    conn.execute(sa.insert(environment_pieces), {"upload": upload, "seq": seq, "data": data})


def piece(conn: sa.Connection, upload: str, seq: int) -> bytes | None:
    """Return a piece; None if there is none."""
    found = conn.execute(sa.select(_p.data).where(_p.upload == upload, _p.seq == seq)).scalar_one_or_none()
    return found if found is None else bytes(found)


def keep(conn: sa.Connection, packed: PackedEnvironment) -> bool:
    """Name the archive of an environment that somebody has claimed; False: it has one, or nobody has."""
    changed = conn.execute(
        sa.update(environments)
        .where(_e.name == packed.name, _e.archive.is_(None))
        .values(
            owner=None,
            archive=packed.archive,
            upload=packed.upload,
            pieces=packed.pieces,
            size_bytes=packed.size_bytes,
            data_bytes=packed.data_bytes,
            file_count=packed.file_count,
            touched_at=db_now(),
        )
    )
    return changed.rowcount == 1


def forget(conn: sa.Connection, name: str, upload: str) -> int:
    """Drop an archive that turned out to be damaged, unless there is another by now; return how many pieces it had."""
    gone = sa.delete(environments).where(_e.name == name, _e.upload == upload)
    pieces: int | None = conn.execute(gone.returning(_e.pieces)).scalar_one_or_none()
    if pieces is None:
        return 0
    conn.execute(sa.delete(environment_pieces).where(_p.upload == upload))
    return pieces


def drop_pieces(conn: sa.Connection, upload: str) -> None:
    """Delete the pieces of an upload that is not going to be named."""
    conn.execute(sa.delete(environment_pieces).where(_p.upload == upload))


def sweep(conn: sa.Connection, most: int) -> tuple[int, Sequence[tuple[str, int]]]:
    """Delete what no revision has any more, and up to ``most`` pieces that belong to nothing.

    What is younger than a day stays. Returns how many pieces were deleted, and the uploads that are named no more, with
    the number of their pieces, wherever these are.
    """
    used = sa.exists().where(runtime_revisions.c.digest == _e.name)
    gone = sa.delete(environments).where(_e.touched_at < db_now() - _YOUNG_MS, ~used)
    dropped = [(row.upload, row.pieces) for row in conn.execute(gone.returning(_e.upload, _e.pieces)) if row.upload]
    old = id_at(now_ms() - _YOUNG_MS).hex
    named = sa.exists().where(_e.upload == _p.upload)
    dead = (
        sa.select(_p.upload, _p.seq).where(_p.upload < old, ~named).order_by(_p.upload, _p.seq).limit(most).subquery()
    )
    pairs = conn.execute(sa.select(dead.c.upload, dead.c.seq)).all()
    for upload, seq in pairs:
        conn.execute(sa.delete(environment_pieces).where(_p.upload == upload, _p.seq == seq))
    return len(pairs), dropped
