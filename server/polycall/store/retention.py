"""What is kept no longer, in slices: functions of a connection. Only ``sweep_blobs`` crosses projects."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa

from polycall.ids import id_at
from polycall.store.tables import blobs, db_now, deliveries, executions, face_objects, sessions, versions

__all__ = [
    "BlobPlace",
    "free_blobs",
    "oldest_kept",
    "prune_executions",
    "prune_sessions",
    "prune_statement",
    "sweep_blobs",
]

_e, _b, _s, _d = executions.c, blobs.c, sessions.c, deliveries.c
_HAS_ENDED = sa.text("executions.state >= 2")
_IS_TO_BE_TOLD = sa.select(_d.execution_id).where(_d.execution_id == _e.id, sa.text("deliveries.state = 0")).exists()
# What is written now may be referred to in a moment; whoever writes it again touches it first, in one transaction with
# the row that refers to it, so what was touched lately is never taken from under anybody.
_YOUNG_MS = 86_400_000
# Sources and files are written in one transaction with what refers to them: no longer than one takes (30 s at most,
# StoreConfig.statement_s) are they without it.
_FREED_MS = 60_000


class BlobPlace(NamedTuple):
    """Where a sweep of all blobs has come to."""

    project_id: str
    sha256: str


def oldest_kept(conn: sa.Connection, project_id: str, most: int) -> uuid.UUID | None:
    """Return the id of the oldest of a project's newest ``most`` executions; None if there are no more than that."""
    newest = sa.select(_e.id).where(_e.project_id == project_id).order_by(_e.id.desc())
    found = conn.execute(newest.offset(most - 1).limit(2)).scalars().all()
    return found[0] if len(found) == 2 else None


def prune_executions(
    conn: sa.Connection, project_id: str, before: uuid.UUID | int, most: int, untold: bool = False
) -> int:
    """Delete up to ``most`` ended executions older than an id, or a time in milliseconds; return how many.

    One whose end is still to be told stays until it was, unless these go as well (``untold``). Output and deliveries go
    with them; their bodies are taken by a later sweep, if nothing else refers to them.
    """
    bound = before if isinstance(before, uuid.UUID) else id_at(before)
    return conn.execute(prune_statement(project_id, bound, most, untold)).rowcount


def prune_statement(project_id: str, before: uuid.UUID, most: int, untold: bool = False) -> sa.Delete:
    """Return the statement of one slice."""
    old = sa.select(_e.id).where(_e.project_id == project_id, _e.id < before, _HAS_ENDED)
    if not untold:
        old = old.where(~_IS_TO_BE_TOLD)
    old = old.order_by(_e.id).limit(most)
    return sa.delete(executions).where(_e.project_id == project_id, _e.id.in_(old))


def prune_sessions(conn: sa.Connection, project_id: str, before_ms: int, most: int, keep: tuple[int, ...] = ()) -> int:
    """Delete up to ``most`` sessions of a project that ended before a time, but for some; return how many."""
    old = sa.select(_s.id).where(_s.project_id == project_id, _s.expires_at < before_ms).limit(most)
    if keep:
        old = old.where(_s.id.not_in(keep))
    return conn.execute(sa.delete(sessions).where(_s.project_id == project_id, _s.id.in_(old))).rowcount


def sweep_blobs(
    conn: sa.Connection, after: BlobPlace | None, most: int
) -> tuple[BlobPlace | None, Sequence[str | None]]:
    """Look at ``most`` blobs from a place on and delete those that nothing refers to.

    Returns the place to go on from, None at the end, and of each that was deleted the key of its object, if it had one.
    """
    statement = sa.select(_b.project_id, _b.sha256).order_by(_b.project_id, _b.sha256).limit(most)
    if after is not None:
        statement = statement.where(sa.tuple_(_b.project_id, _b.sha256) > sa.tuple_(*after))
    places = [BlobPlace(*row) for row in conn.execute(statement)]
    if not places:
        return None, ()
    deleted = conn.execute(
        sa.delete(blobs)
        .where(
            sa.tuple_(_b.project_id, _b.sha256) >= sa.tuple_(*places[0]),
            sa.tuple_(_b.project_id, _b.sha256) <= sa.tuple_(*places[-1]),
            _b.touched_at < db_now() - _YOUNG_MS,
            *(~_referring(project_id, digest) for project_id, digest in _REFERENCES),
        )
        .returning(_b.place)
    )
    return (places[-1] if len(places) == most else None), deleted.scalars().all()


def free_blobs(conn: sa.Connection, project_id: str) -> int:
    """Delete the sources and files of a project that nothing refers to; return how many. See ``sweep_blobs``."""
    deleted = conn.execute(
        sa.delete(blobs).where(
            _b.project_id == project_id,
            sa.text("counted"),
            _b.touched_at < db_now() - _FREED_MS,
            *(~_referring(project, digest) for project, digest in _REFERENCES),
        )
    )
    return deleted.rowcount


_REFERENCES: tuple[tuple[sa.Column[str], sa.Column[str]], ...] = (
    *((_e.project_id, body) for body in (_e.input_blob, _e.result_blob, _e.stdout_blob, _e.stderr_blob)),
    (versions.c.project_id, versions.c.bundle),
    (face_objects.c.project_id, face_objects.c.blob),
)


def _referring(project_id: sa.Column[str], digest: sa.Column[str]) -> sa.Exists:
    # `IS NOT NULL` as well: the partial indexes are found by it
    found = sa.select(sa.literal(1)).where(project_id == _b.project_id, digest == _b.sha256, digest.is_not(None))
    return found.correlate(blobs).exists()
