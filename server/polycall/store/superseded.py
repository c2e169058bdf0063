"""Versions that others took the place of, where a contract shows the last one alone: functions of a connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa

from polycall.domain import VersionState
from polycall.store.tables import executions, packages, schedules, versions

__all__ = ["SupersededPlace", "delete_superseded", "superseded"]

_v, _p, _e, _s = versions.c, packages.c, executions.c, schedules.c
# not what was published, and not what is still being looked at
_STATES = (VersionState.READY.value, VersionState.ERROR.value)


class SupersededPlace(NamedTuple):
    """A version, and where a round has come to."""

    package_id: str
    seq: int


def superseded(
    conn: sa.Connection, project_id: str, face: str, keep: int, after: SupersededPlace | None, most: int
) -> list[SupersededPlace]:
    """Return versions of a face's packages but for the newest ``keep`` of each, in the order of packages."""
    newest_first = sa.func.row_number().over(partition_by=_v.package_id, order_by=(_v.created_at.desc(), _v.seq.desc()))
    # who names no version gets the newest that is ready, however many were made since that are not
    of_state = sa.func.row_number().over(
        partition_by=(_v.package_id, _v.state), order_by=(_v.created_at.desc(), _v.seq.desc())
    )
    columns = (_v.package_id, _v.seq, _v.state, newest_first.label("number"), of_state.label("of_state"))
    numbered = (
        sa.select(*columns)
        .join(packages, sa.and_(_p.project_id == _v.project_id, _p.id == _v.package_id))
        .where(_v.project_id == project_id, _p.face == face)
    )
    if after is not None:
        numbered = numbered.where(_v.package_id >= after.package_id)
    old = numbered.subquery()
    statement = sa.select(old.c.package_id, old.c.seq).where(
        old.c.number > keep,
        old.c.state.in_(_STATES),
        sa.or_(old.c.of_state > 1, old.c.state != VersionState.READY.value),
    )
    if after is not None:
        statement = statement.where(sa.tuple_(old.c.package_id, old.c.seq) > sa.tuple_(*after))
    found = conn.execute(statement.order_by(old.c.package_id, old.c.seq).limit(most))
    return [SupersededPlace(row.package_id, row.seq) for row in found]


def delete_superseded(conn: sa.Connection, project_id: str, places: Sequence[SupersededPlace]) -> int:
    """Delete those that no execution is of and no schedule names; return how many."""
    of_it = (_e.project_id == _v.project_id, _e.package_id == _v.package_id, _e.version_id == _v.id)
    named = (_s.project_id == _v.project_id, _s.package_id == _v.package_id, _s.version_id == _v.id)
    deleted = conn.execute(
        sa.delete(versions).where(
            _v.project_id == project_id,
            _v.seq.in_([place.seq for place in places]),
            _v.state.in_(_STATES),
            # said again: the partial index is found by it
            ~sa.select(sa.literal(1)).where(*of_it, _e.package_id.is_not(None)).correlate(versions).exists(),
            ~sa.select(sa.literal(1)).where(*named).correlate(versions).exists(),
        )
    )
    return deleted.rowcount
