"""Many records of executions in few statements, for SQLite.

SQLAlchemy would run one statement a row, and prepare each row in Python. The interpreter's lock changes hands at every
statement, and the event loop waits for it: this way costs the writer a third of the time and the loop next to nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from polycall.domain import ExecutionKind, ExecutionState
from polycall.store.tables import storable

__all__ = ["FIXED", "upsert_rows"]

FIXED = ("id", "project_id", "cancel_requested")  # what a later record of the same execution leaves alone
# Rows a statement: few texts, so that all stay prepared (sqlite3 keeps 128). 64 rows are some 2,500 parameters, of
# 32,766 that SQLite takes.
_SIZES = (64, 16, 4, 1)


def upsert_rows(conn: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows of ``executions``, all with the same columns; one that stands there as RUNNING gets its end.

    Raises InvalidArgument for a text that not every database holds.
    """
    at = 0
    while at < len(rows):
        size = next(size for size in _SIZES if size <= len(rows) - at)
        values: list[Any] = []
        for row in rows[at : at + size]:
            values += row.values()
        # all texts at once: one by one takes as long as all else that is done here
        storable("".join([value for value in values if type(value) is str]))
        conn.exec_driver_sql(_statement(tuple(rows[0]), size), tuple(values))
        at += size


@lru_cache(maxsize=len(_SIZES))
def _statement(columns: tuple[str, ...], rows: int) -> str:
    places = f"({', '.join('?' * len(columns))})"
    changes = ", ".join(f"{name} = excluded.{name}" for name in columns if name not in FIXED)
    return (
        f"INSERT INTO executions ({', '.join(columns)}) VALUES {', '.join([places] * rows)} "  # noqa: S608  own names
        f"ON CONFLICT (id) DO UPDATE SET {changes} WHERE executions.project_id = excluded.project_id "
        f"AND executions.kind = '{ExecutionKind.SYNC.value}' AND executions.state = {int(ExecutionState.RUNNING)}"
    )
