"""Values that code keeps: functions of a connection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa

from polycall.domain import Entry, EntryQuota
from polycall.errors import QuotaExceeded
from polycall.store.dialects import insert
from polycall.store.quota import StorageQuota
from polycall.store.tables import entries, entry_totals

__all__ = ["Change", "Place", "change_entries", "entry_keys", "get_entries", "get_entry", "purge_entries"]

_e, _t = entries.c, entry_totals.c

_AT_ONCE = 500  # keys of one statement
Place = tuple[str, str]  # space and key
# From what is kept at some places to what shall be; None: nothing. Runs within a transaction, perhaps twice.
Change = Callable[[Sequence[Entry | None]], Sequence[Entry | None]]


def get_entry(conn: sa.Connection, project_id: str, place: Place, now: int) -> Entry | None:
    """Return what is kept at a place; None if there is nothing, or it has expired."""
    row = conn.execute(sa.select(_e.value, _e.expires_at).where(*_at(project_id, place), _alive(now))).first()
    return Entry(row.value, row.expires_at) if row is not None else None


def entry_keys(
    conn: sa.Connection, project_id: str, space: str, after: str, now: int, rows: int
) -> list[tuple[str, int]]:
    """Return keys of a space in their order, from the one after ``after`` on, each with the size of its entry."""
    statement = sa.select(_e.key, _e.size).where(_e.project_id == project_id, _e.space == space, _e.key > after)
    found = conn.execute(statement.where(_alive(now)).order_by(_e.key).limit(rows))
    return [(row.key, row.size) for row in found]


def get_entries(
    conn: sa.Connection, project_id: str, space: str, keys: Sequence[str], now: int
) -> list[tuple[str, Entry]]:
    """Return what is kept under some keys of a space; of sorted keys, in their order."""
    found: list[tuple[str, Entry]] = []
    for first in range(0, len(keys), _AT_ONCE):
        some = keys[first : first + _AT_ONCE]
        statement = sa.select(_e.key, _e.value, _e.expires_at).where(
            _e.project_id == project_id, _e.space == space, _e.key.in_(some), _alive(now)
        )
        found += [(row.key, Entry(row.value, row.expires_at)) for row in conn.execute(statement.order_by(_e.key))]
    return found


def change_entries(
    conn: sa.Connection,
    project_id: str,
    places: Sequence[Place],
    change: Change,
    now: int,
    quota: EntryQuota,
    storage: StorageQuota,
) -> None:
    """Replace what is kept at some places, all at once. Raises QuotaExceeded, and whatever ``change`` raises.

    ``quota`` is of these values, ``storage`` of all that the project stores.
    """
    totals = _locked(conn, project_id)
    before = [_row(conn, project_id, place) for place in places]
    alive = [
        Entry(row.value, row.expires_at)
        if row is not None and (row.expires_at is None or row.expires_at > now)
        else None
        for row in before
    ]
    count = size = 0
    for place, row, old, new in zip(places, before, alive, change(alive), strict=True):
        if new == old:
            continue
        if new is None:
            conn.execute(sa.delete(entries).where(*_at(project_id, place)))
            count, size = count - 1, size - (row.size if row is not None else 0)
            continue
        grown = len(place[0].encode()) + len(place[1].encode()) + len(new.value)
        values = {"value": new.value, "size": grown, "expires_at": new.expires_at}
        if row is None:
            conn.execute(sa.insert(entries), {"project_id": project_id, "space": place[0], "key": place[1], **values})
            count, size = count + 1, size + grown
        else:
            conn.execute(sa.update(entries).where(*_at(project_id, place)).values(**values))
            size += grown - row.size
    if count or size:
        totals = EntryQuota(totals.entries + count, totals.bytes + size)
        if (count > 0 and totals.entries > quota.entries) or (size > 0 and totals.bytes > quota.bytes):
            totals = _purged(conn, project_id, now, totals)
        if count > 0 and totals.entries > quota.entries:
            raise QuotaExceeded(
                f"The values that this project keeps are {quota.entries} already, as many as it may have; delete some.",
                subject="entries",
            )
        if size > 0 and totals.bytes > quota.bytes:
            raise QuotaExceeded(
                f"The values that this project keeps would have more than {quota.bytes} bytes; delete some.",
                subject="entries_mib",
            )
        _put_totals(conn, project_id, totals)
        if size > 0:
            storage.check(conn, project_id)


def purge_entries(conn: sa.Connection, project_id: str, now: int) -> int:
    """Delete what has expired of a project; return how many."""
    totals = _locked(conn, project_id)
    left = _purged(conn, project_id, now, totals)
    if left != totals:
        _put_totals(conn, project_id, left)
    return totals.entries - left.entries


def _locked(conn: sa.Connection, project_id: str) -> EntryQuota:
    row = insert(conn.dialect.name, entry_totals).on_conflict_do_nothing()
    conn.execute(row, {"project_id": project_id, "entries": 0, "bytes": 0})
    found = conn.execute(sa.select(_t.entries, _t.bytes).where(_t.project_id == project_id).with_for_update()).one()
    return EntryQuota(found.entries, found.bytes)


def _put_totals(conn: sa.Connection, project_id: str, totals: EntryQuota) -> None:
    conn.execute(
        sa.update(entry_totals).where(_t.project_id == project_id).values(entries=totals.entries, bytes=totals.bytes)
    )


def _purged(conn: sa.Connection, project_id: str, now: int, totals: EntryQuota) -> EntryQuota:
    # the predicate of the partial index, said again as text
    old = sa.delete(entries).where(_e.project_id == project_id, sa.text("expires_at IS NOT NULL"), _e.expires_at <= now)
    gone = conn.execute(old.returning(_e.size)).scalars().all()
    return EntryQuota(totals.entries - len(gone), totals.bytes - sum(gone))


def _row(conn: sa.Connection, project_id: str, place: Place) -> Any:
    statement = sa.select(_e.value, _e.size, _e.expires_at).where(*_at(project_id, place))
    return conn.execute(statement).first()


def _at(project_id: str, place: Place) -> tuple[sa.ColumnElement[bool], ...]:
    return (_e.project_id == project_id, _e.space == place[0], _e.key == place[1])


def _alive(now: int) -> sa.ColumnElement[bool]:
    return sa.or_(_e.expires_at.is_(None), _e.expires_at > now)
