"""Lists of executions: whatever is asked for, a page is read where it stands; on both databases, by their own plans."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from bench.rows import COGNITE, HOT, RARE, fill
from polycall.domain import DEFAULT_PROJECT, ExecutionFilter, ExecutionState
from polycall.ids import id_at, new_id, now_ms
from polycall.store.listing import list_statement
from polycall.store.retention import prune_statement
from polycall.store.sql import SqlStore, StoreConfig, open_store
from polycall.store.tables import executions

ROWS, OTHERS = 1500, 1500  # pages of all, in both directions
QUEUED, RUNNING, COMPLETED, FAILED, TIMEOUT, CANCELLED = ExecutionState
ENDED, BAD = (COMPLETED, FAILED, TIMEOUT, CANCELLED), (FAILED, TIMEOUT, CANCELLED)
LATELY, LONG_AGO = now_ms() - 30 * 86_400_000, now_ms() - 79 * 86_400_000

# what is asked for, and the index that leads to what has ended of it
LISTS: tuple[tuple[str, ExecutionFilter], ...] = (
    ("project", ExecutionFilter()),
    ("project", ExecutionFilter(queued_after=LATELY)),
    ("project", ExecutionFilter(queued_after=LONG_AGO, queued_before=LATELY)),
    ("state", ExecutionFilter(states=(COMPLETED,))),
    ("state", ExecutionFilter(states=(CANCELLED,))),
    ("state", ExecutionFilter(states=BAD)),
    ("active", ExecutionFilter(states=(RUNNING,))),
    ("state", ExecutionFilter(states=(RUNNING, FAILED))),
    ("state", ExecutionFilter(states=BAD, queued_after=LONG_AGO, queued_before=LATELY)),
    ("package", ExecutionFilter(package_id=HOT)),
    ("package", ExecutionFilter(package_id=HOT, states=BAD)),
    ("function", ExecutionFilter(package_id=HOT, function="rare")),
    ("function", ExecutionFilter(package_id=HOT, function="main", states=(FAILED,))),
    ("version", ExecutionFilter(package_id=HOT, version_id="0")),
    ("version", ExecutionFilter(package_id=HOT, version_id="1", states=BAD)),
    ("version_function", ExecutionFilter(package_id=HOT, version_id="2", function="gone")),
    (
        "version_function",
        ExecutionFilter(package_id=HOT, version_id="1", function="gone", states=ENDED, queued_before=LATELY),
    ),
    ("schedule", ExecutionFilter(schedule_id="once")),
    ("schedule", ExecutionFilter(schedule_id="every-1", states=(COMPLETED, FAILED))),
    ("schedule", ExecutionFilter(schedule_id="every-1", package_id=HOT, function="main")),
    ("face", ExecutionFilter(face="riza", states=ENDED)),
    ("face", ExecutionFilter(face="riza", states=BAD, failed_exit=True, before=id_at(LATELY))),
    ("package", ExecutionFilter(face="cognite", package_id=COGNITE)),
    (
        "package",
        ExecutionFilter(face="cognite", package_id=COGNITE, states=(FAILED, CANCELLED), ended_after=LONG_AGO),
    ),
    ("package", ExecutionFilter(face="cognite", package_id=COGNITE, ended_after=LONG_AGO, ended_before=LATELY)),
)
INDEX_SCANS = {"Index Scan", "Index Only Scan", "Subquery Scan"}
DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]
SEARCH = re.compile(r"SEARCH executions USING (?:COVERING )?INDEX ix_executions_(\w+) \(")
PLACES = ((None, False), (None, True), (new_id(), False), (id_at(LATELY), True))


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[SqlStore]:
    async for store in _filled(StoreConfig(data_dir=tmp_path)):
        yield store


@pytest.fixture
async def on_postgres(postgres: str) -> AsyncIterator[SqlStore]:
    async for store in _filled(StoreConfig(database_url=postgres)):
        await store._executor.single(lambda conn: conn.exec_driver_sql("VACUUM ANALYZE executions"))
        yield store


async def test_on_sqlite_every_list_is_read_where_it_stands(sqlite: SqlStore) -> None:
    await _lists_hold_what_they_should(sqlite)
    for (index, where), (after, ascending) in itertools.product(LISTS, PLACES):
        statement, values = list_statement(DEFAULT_PROJECT, where, after, 51, ascending=ascending)
        steps = await sqlite._executor.read(_sqlite_plan, statement, values)
        searches = [
            re.match(r"SEARCH executions USING (?:COVERING )?INDEX ix_executions_(\w+) \(", step) for step in steps
        ]
        used = {found[1] for found in searches if found}
        assert index in used, (where, steps)
        assert used <= {index, "active", "project"}, (where, steps)
        assert not [step for step in steps if step.startswith("SCAN executions")], (where, steps)
        # what is sorted is a page: never what an index is asked for
        for step, then in itertools.pairwise(steps):
            assert "TEMP B-TREE" not in then or step.startswith("SCAN anon"), (where, steps)


async def test_on_postgres_every_list_is_read_where_it_stands(on_postgres: SqlStore) -> None:
    await _lists_hold_what_they_should(on_postgres)
    for (index, where), (after, ascending) in itertools.product(LISTS, PLACES):
        statement, values = list_statement(DEFAULT_PROJECT, where, after, 51, ascending=ascending)
        plan = await on_postgres._executor.read(_postgres_plan, statement.params(values))
        scans = [node for node in plan if "Scan" in node["Node Type"] and "Index Name" in node]
        used = {node["Index Name"].removeprefix("ix_executions_") for node in scans}
        others = {"active", "project", "pk_executions", "face" if where.face else ""}
        assert used & {index, "face" if where.face else ""}, (where, used)
        assert used <= {index} | others, (where, used)
        assert {node["Node Type"] for node in plan if "Scan" in node["Node Type"]} <= INDEX_SCANS, (where, plan)
        assert all(node["Plan Rows"] <= 5 * 51 for node in plan if "Sort" in node["Node Type"]), (where, plan)


async def test_what_is_deleted_is_found_in_the_order_of_its_age(sqlite: SqlStore, on_postgres: SqlStore) -> None:
    statement = prune_statement(DEFAULT_PROJECT, id_at(LATELY), 5)
    steps = await sqlite._executor.read(_sqlite_plan, statement)
    assert any("ix_executions_project (project_id=? AND id<?)" in step for step in steps)
    assert not any("TEMP B-TREE" in step for step in steps)
    plan = await on_postgres._executor.read(_postgres_plan, statement)
    (slice,) = [node for node in plan if node["Node Type"] == "Limit"]
    found = [node for node in _nodes(slice) if node.get("Relation Name") == "executions"]
    assert [node["Index Name"] for node in found] == ["ix_executions_project"]
    assert not [node for node in _nodes(slice) if "Sort" in node["Node Type"]]


async def _filled(config: StoreConfig) -> AsyncIterator[SqlStore]:
    store = open_store(config)
    await store.start()
    try:
        await store._executor.write(fill, ROWS, OTHERS)
        yield store
    finally:
        await store.stop()


async def _lists_hold_what_they_should(store: SqlStore) -> None:
    rows = await store._executor.read(_whole_table)
    assert len([row for row in rows if row.state == CANCELLED]) == RARE
    empty = 0
    for _, where in LISTS:
        expected = [row.id for row in rows if _meant(row, where)]
        empty += not expected
        for ascending in (False, True):
            page = await store.list(DEFAULT_PROJECT, where, 7, ascending=ascending)
            found = [execution.id for execution in page.items]
            while page.next_token:
                page = await store.list(DEFAULT_PROJECT, where, 900, page.next_token, ascending=ascending)
                found += [execution.id for execution in page.items]
            assert found == (expected if ascending else expected[::-1]), where
    assert empty == 1  # nothing runs


def _whole_table(conn: sa.Connection) -> list[Any]:
    mine = executions.c.project_id == DEFAULT_PROJECT
    return list(conn.execute(sa.select(executions).where(mine).order_by(executions.c.id)))


def _meant(row: Any, where: ExecutionFilter) -> bool:
    """Tell by the words of ``ExecutionFilter`` whether a row is in a list."""
    return (
        (not where.states or row.state in where.states)
        and where.package_id in (None, row.package_id)
        and where.version_id in (None, row.version_id)
        and where.function in (None, row.function)
        and where.face in (None, row.face)
        and where.schedule_id in (None, row.schedule_id)
        and (where.queued_after is None or row.queued_at >= where.queued_after)
        and (where.queued_before is None or row.queued_at < where.queued_before)
        and (where.ended_after is None or row.ended_at >= where.ended_after)
        and (where.ended_before is None or row.ended_at < where.ended_before)
        and (where.before is None or row.id < where.before)
        and (not where.failed_exit or row.exit_code != 0)
    )


def _sqlite_plan(conn: sa.Connection, statement: sa.ClauseElement, values: Mapping[str, Any] = {}) -> list[str]:
    told = statement.compile(conn).construct_expanded_state(dict(values))  # type: ignore[attr-defined]
    arguments = tuple(map(str, told.positional_parameters))
    return [str(row[-1]) for row in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {told.statement}", arguments)]


def _postgres_plan(conn: sa.Connection, statement: sa.ClauseElement) -> list[dict[str, Any]]:
    # a small table is read whole; this asks how a large one is read
    conn.exec_driver_sql("SET enable_seqscan = off")
    conn.exec_driver_sql("SET enable_bitmapscan = off")
    text = str(statement.compile(dialect=DIALECT, compile_kwargs={"literal_binds": True}))
    (told,) = conn.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {text}").scalars()
    return list(_nodes((json.loads(told) if isinstance(told, str) else told)[0]["Plan"]))


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)
