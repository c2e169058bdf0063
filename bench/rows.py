"""A database with very many executions that have ended, made in a few statements.

What is rare stands at the oldest end: a list that goes through the newest first reads everything before it finds it,
unless an index leads there.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import sqlalchemy as sa

from polycall.domain import DEFAULT_PROJECT, ExecutionKind, ExecutionState, Language, StartKind
from polycall.store.tables import executions, packages, projects

__all__ = ["COGNITE", "HOT", "RARE", "Population", "fill"]

HOT = "hot"  # the package of two thirds of all executions
COGNITE = "42"  # the package of a face
RARE = 60  # executions of everything that is rare: more than a page
_SCHEDULES = 5
_OTHERS = 4  # projects beside the one that is asked for
_COLD = 9  # packages beside the hot one
_DAYS_MS = 80 * 86_400_000  # less than retention keeps by default
_AGE_MS = 60_000  # of the newest: what runs while this is measured is newer


@dataclass(frozen=True, slots=True)
class Population:
    """How much is in the database. ``seconds``: to put it there; ``indexing``: of these, to make the indexes."""

    rows: int
    others: int
    seconds: float
    indexing: float


def fill(conn: sa.Connection, rows: int, others: int = 0) -> Population:
    """Put ``rows`` ended executions into the default project, and ``others`` into others, within a transaction.

    Indexes are dropped first and made again at the end, which takes half as long, and is what a migration costs.
    """
    begun = time.monotonic()
    now = int(time.time() * 1000)
    indexes = sorted(executions.indexes, key=lambda index: index.name or "")
    for index in indexes:
        index.drop(conn)
    _insert(conn, DEFAULT_PROJECT, 0, rows, now)
    for number in range(1, 1 + _OTHERS if others else 0):
        project = f"other-{number}"
        conn.execute(sa.insert(projects), {"id": project, "created_at": now, "display_name": ""})
        _insert(conn, project, number, others // _OTHERS, now)
    before = time.monotonic()
    for index in indexes:
        index.create(conn)
    ended = time.monotonic()
    return Population(rows, others, ended - begun, ended - before)


def _insert(conn: sa.Connection, project: str, number: int, rows: int, now: int) -> None:
    package = {"project_id": project, "display_name": "", "description": "", "labels": "{}", "updated_at": now}
    conn.execute(
        sa.insert(packages),
        [
            {**package, "id": name, "face": "cognite" if name == COGNITE else None, "created_at": now - _DAYS_MS}
            for name in (HOT, COGNITE, *(f"cold-{number}" for number in range(_COLD)))
        ],
    )
    sqlite = conn.dialect.name == "sqlite"
    series = (
        f"(WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {rows}) SELECT i FROM n)"
        if sqlite
        else f"(SELECT i FROM generate_series(CAST(0 AS BIGINT), {rows - 1}) AS i)"
    )
    values = _values(project, number, rows, now, sqlite)
    # own words and numbers, every one of them
    conn.exec_driver_sql(
        f"INSERT INTO executions ({', '.join(values)}) SELECT {', '.join(values.values())} FROM {series} AS counted"
    )


def _values(project: str, number: int, rows: int, now: int, sqlite: bool) -> dict[str, str]:
    """Return an expression for each column. ``i`` counts from the oldest."""
    at = f"({now - _DAYS_MS - _AGE_MS} + i * {_DAYS_MS * 1000 // max(1, rows)} / 1000)"
    newer = rows * 6 // 10  # from which on it is version 2
    schedule = f"CASE WHEN i < {RARE} THEN 'once' WHEN i % 50 = 8 THEN 'every-' || (i / 50 % {_SCHEDULES}) END"
    face = f"CASE WHEN i < {RARE} THEN NULL WHEN i % 20 = 13 THEN 'cognite' WHEN i % 20 = 17 THEN 'riza' END"
    # `gone` is called all the time in version 1, and a few times more in version 2
    gone = f"i % 6 = 4 AND i < {newer} OR i >= {newer} AND i < {newer + RARE}"
    return {
        "id": _id(at, number, sqlite),
        "project_id": f"'{project}'",
        "kind": f"CASE WHEN i < {RARE} OR i % 50 = 8 THEN '{ExecutionKind.SCHEDULE.value}' "
        f"WHEN i % 5 = 3 THEN '{ExecutionKind.CALL.value}' ELSE '{ExecutionKind.SYNC.value}' END",
        "state": f"CASE WHEN i < {RARE} THEN {int(ExecutionState.CANCELLED)} "
        f"WHEN i % 19 = 7 THEN {int(ExecutionState.FAILED)} WHEN i % 1000 = 4 THEN {int(ExecutionState.TIMEOUT)} "
        f"ELSE {int(ExecutionState.COMPLETED)} END",
        "queued_at": at,
        "run_at": f"CASE WHEN i < {RARE} OR i % 5 = 3 THEN {at} END",
        "started_at": f"{at} + 1",
        "ended_at": f"{at} + 2 + i % 50",
        "language": f"'{Language.PYTHON.value}'",
        "package_id": f"CASE WHEN i < {RARE} THEN '{HOT}' WHEN i % 20 = 13 THEN '{COGNITE}' "
        f"WHEN i % 3 < 2 THEN '{HOT}' ELSE 'cold-' || (i % {_COLD}) END",
        "version_id": f"CASE WHEN i < {RARE} THEN '0' WHEN i < {newer} THEN '1' ELSE '2' END",
        "function": f"CASE WHEN i < {RARE} THEN 'rare' WHEN {gone} THEN 'gone' ELSE 'main' END",
        "face": face,
        "alias": f"CASE WHEN {face} = 'cognite' THEN CAST(i AS TEXT) END",
        "attempt": "1",
        "max_attempts": "1",
        "cancel_requested": "false",
        "created_by": "'key'",
        "start_kind": f"'{StartKind.WARM.value}'",
        "isolation": "3",
        "stdout_truncated": "false",
        "stderr_truncated": "false",
        "bodies_dropped": "false",
        "usage": """'{"queue_us":12,"start_us":0,"run_us":1400,"cpu_us":310,"peak_memory_bytes":9000000}'""",
        "input": _bytes('{"a": 1, "b": 2}', sqlite),
        "result": _bytes('{"sum": 3}', sqlite),
        "schedule_id": schedule,
        "scheduled_at": f"CASE WHEN i < {RARE} OR i % 50 = 8 THEN {at} + i END",
    }


def _id(at: str, number: int, sqlite: bool) -> str:
    """Return a UUIDv7 of a time: the rest of its bits are counted, not drawn."""
    if sqlite:
        return f"printf('%012x7%03x8%07x%08x', {at}, i % 4096, {number}, i)"
    parts = (_hex(at, 12), "'7'", _hex("i % 4096", 3), "'8'", _hex(str(number), 7), _hex("i", 8))
    return f"CAST({' || '.join(parts)} AS UUID)"


def _hex(number: str, width: int) -> str:
    return f"lpad(to_hex({number}), {width}, '0')"


def _bytes(text: str, sqlite: bool) -> str:
    return f"CAST('{text}' AS BLOB)" if sqlite else f"convert_to('{text}', 'UTF8')"
