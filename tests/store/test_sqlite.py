"""The store on SQLite: all that every store does, and what only the embedded one has."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from polycall.domain import ExecutionFilter, ExecutionState, OutputChunk, Reason, Stream
from polycall.errors import Unavailable
from polycall.store import claims, deliveries, queue
from polycall.store.executor_sqlite import SqliteExecutor
from polycall.store.schema import prepare
from polycall.store.sql import DATABASE_FILE, SqlStore, StoreConfig, open_store
from polycall.store.turn import Turn
from tests.store.audit_conformance import event
from tests.store.conformance import StoreConformance
from tests.store.examples import package, queued, recorded, version

FAILED, TIMEOUT, RUNNING = ExecutionState.FAILED, ExecutionState.TIMEOUT, ExecutionState.RUNNING


class TestSqlite(StoreConformance):
    @pytest.fixture
    async def store(self, database_dir: Path) -> AsyncIterator[SqlStore]:
        store = open_store(StoreConfig(data_dir=database_dir, flush_ms=20))
        await store.start()
        yield store
        await store.stop()


@pytest.fixture
async def store(database_dir: Path) -> AsyncIterator[SqlStore]:
    store = open_store(StoreConfig(data_dir=database_dir, flush_ms=20))
    await store.start()
    yield store
    await store.stop()


def _rows(directory: Path, statement: str) -> list[Any]:
    raw = sqlite3.connect(directory / DATABASE_FILE)
    try:
        return raw.execute(statement).fetchall()
    finally:
        raw.close()


async def test_an_event_of_the_audit_log_is_not_replaced_either(store: SqlStore, tmp_path: Path) -> None:
    await store.append_audit([event()])
    before = _rows(tmp_path, "SELECT * FROM audit_events")
    raw = sqlite3.connect(tmp_path / DATABASE_FILE)
    try:
        # the trigger for DELETE is not asked by REPLACE, nor that for UPDATE
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            raw.execute("INSERT OR REPLACE INTO audit_events SELECT * FROM audit_events")
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            raw.execute("UPDATE OR REPLACE audit_events SET actor = 'mallory'")
    finally:
        raw.close()
    assert _rows(tmp_path, "SELECT * FROM audit_events") == before


async def test_every_list_of_the_audit_log_goes_by_an_index(store: SqlStore, tmp_path: Path) -> None:
    plans = {
        "": "time>?",
        "project_id = 'p'": "project_id=?",
        "project_id = 'p' AND action = 'key.revoke'": "project_id=? AND action=?",
        "actor = 'k'": "actor=?",
        "resource = 'r'": "resource=?",
    }
    for where, by in plans.items():
        conditions = f"{where} AND time > 5" if where else "time > 5"
        (row,) = _rows(
            tmp_path,
            f"EXPLAIN QUERY PLAN SELECT * FROM audit_events WHERE {conditions} ORDER BY time DESC, id DESC LIMIT 50",
        )
        assert "USING INDEX ix_audit_events_" in row[3]
        assert by in row[3], row


async def test_a_large_value_is_stored_once_in_a_project(store: SqlStore, tmp_path: Path) -> None:
    large = b"x" * 40_000
    for _ in range(3):
        store.record(recorded(input=large, result=large, stdout=b"small"))
    await store.flush()
    await store.enqueue(queued(input=large))
    assert _rows(tmp_path, "SELECT project_id, size, length(data) FROM blobs") == [("default", 40_000, 40_000)]
    assert _rows(tmp_path, "SELECT count(input), count(input_blob), count(stdout) FROM executions") == [(0, 4, 3)]


async def test_a_full_disk_refuses_what_is_new_and_loses_nothing(store: SqlStore) -> None:
    kept = await store.enqueue(queued())

    def bound(conn: sa.Connection, pages: int) -> None:
        # what SQLite makes of it is what it makes of ENOSPC
        conn.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

    await store._executor.write(bound, 1)  # no more than there are
    refusals = 0
    for _ in range(50):
        try:
            await store.enqueue(queued(input=b"x" * 30_000))
        except Unavailable as error:
            refusals += error.reason is Reason.STORE_UNAVAILABLE
    assert refusals > 40  # some fit into pages that are there
    store.record(record := recorded(input=b"x" * 30_000, result=b"y" * 200_000))
    with pytest.raises(Unavailable):
        await store.flush()
    assert await store.get("default", record.id) == record
    assert await store.get("default", kept.id) == kept
    await store._executor.write(bound, 1 << 30)
    await store.flush()
    assert store.record_counts.written == 1
    assert (await store.enqueue(queued())).state is ExecutionState.QUEUED


async def test_the_same_files_are_one_bundle(store: SqlStore, tmp_path: Path) -> None:
    await store.create_package(package())
    for name in ("1", "2", "3"):
        await store.create_version(version(name), {"main.py": b"1"})
    assert _rows(tmp_path, "SELECT count(*) FROM blobs") == [(1,)]


async def test_pieces_of_output_are_no_rows_of_their_own(store: SqlStore, tmp_path: Path) -> None:
    call = await store.enqueue(queued())
    flood = [OutputChunk(Stream.STDOUT, 1, b"x")] * 10_000
    await store.append_output(call.id, 0, flood)
    await store.append_output(call.id, 0, flood)
    assert len(await store.output("default", call.id)) == 20_000
    assert _rows(tmp_path, "SELECT attempt, seq FROM output_chunks") == [(0, 0), (0, 1)]


async def test_a_claim_costs_the_same_however_much_others_have_queued(tmp_path: Path) -> None:
    def plan(conn: sa.Connection, statement: sa.Executable) -> list[str]:
        compiled = statement.compile(conn, compile_kwargs={"render_postcompile": True})  # type: ignore[attr-defined]
        arguments = (1,) * len(compiled.positiontup)
        return [str(row[-1]) for row in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", arguments)]

    executor = SqliteExecutor(tmp_path / DATABASE_FILE, readers=1, waiting=8)
    await executor.start(prepare)
    heads = claims._HEADS.params(project="p", lanes=[("k", "f")])
    lane = "ix_executions_lane (project_id=? AND package_id=? AND function=?)"
    for statement, seek in (
        (queue._DUE, "ix_executions_active (project_id>?)"),
        (claims._CLAIM, "ix_executions_free (project_id=?)"),
        (claims._CLAIM_FREE, "ix_executions_free (project_id=?)"),
        (claims._free, "ix_executions_free (project_id=?)"),
        (claims._LANES.params(projects=["p"]), lane),
        (claims._IN_LANE, lane),
        (heads, lane),
        (heads, "ix_executions_running (project_id=? AND package_id=? AND function=?)"),
        (claims._RUNNING_OF_PROJECT, "ix_executions_running (project_id=?)"),
    ):
        steps = await executor.read(plan, statement)
        assert any(step.startswith("SEARCH executions USING") and step.endswith(seek) for step in steps), steps
        # nothing is sorted, and nothing read from one end to the other but what such searches have found
        assert [step for step in steps if "TEMP B-TREE" in step or step in ("SCAN executions", "SCAN policies")] == []
    for statement in (deliveries._LANES, deliveries._CLAIM):
        steps = await executor.read(plan, statement)
        assert any("SEARCH deliveries USING INDEX ix_deliveries_due" in step for step in steps)
        assert [step for step in steps if "TEMP B-TREE" in step or "SCAN deliveries" in step] == []
    await executor.stop()


async def test_what_a_server_of_the_release_before_ends_is_told_as_well(store: SqlStore, tmp_path: Path) -> None:
    told = await store.enqueue(queued(completion_url="https://hooks.example/"))
    await store.claim("an older one", {"default": 1})
    # its statements know nothing of deliveries, and of no column that is for them
    raw = sqlite3.connect(tmp_path / DATABASE_FILE)
    with raw:
        raw.execute("UPDATE executions SET state = 3, owner = NULL, ended_at = 1 WHERE id = ?", (told.id.hex,))
    raw.close()
    (made,) = (await store.list_deliveries("default", None, 9)).items
    assert (made.execution_id, made.url) == (told.id, "https://hooks.example/")


async def test_a_full_disk_is_unavailable_and_passes(store: SqlStore, tmp_path: Path) -> None:
    def set_pages(conn: sa.Connection, pages: int) -> None:
        conn.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

    await store._executor.write(set_pages, 1)  # SQLite makes it as many as there are
    with pytest.raises(Unavailable) as raised:
        await store.enqueue(queued(input=b"x" * 1_000_000))
    assert raised.value.message == (
        "The database's disk is full, so this was not kept. Its operator has to make room; retry later."
    )
    await store._executor.write(set_pages, 1 << 30)
    call = await store.enqueue(queued(input=b"x" * 1_000_000))
    assert await store.get("default", call.id) == call


async def test_a_file_that_another_program_holds_is_waited_for(store: SqlStore, tmp_path: Path) -> None:
    raw = sqlite3.connect(tmp_path / DATABASE_FILE, isolation_level=None, check_same_thread=False)
    raw.execute("BEGIN IMMEDIATE")
    waiting = asyncio.ensure_future(store.enqueue(queued()))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    assert (await store.list("default", ExecutionFilter(), 1)).items == ()  # readers go on
    raw.execute("COMMIT")
    raw.close()
    await waiting


async def test_a_file_that_another_program_goes_on_holding_is_not_waited_for_by_each_nor_beyond_the_end(
    store: SqlStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = list[float]()
    begin = SqliteExecutor._begun

    def counting(self: SqliteExecutor, conn: sa.Connection, wait_s: float) -> sa.RootTransaction:
        begun.append(wait_s)
        return begin(self, conn, wait_s)

    monkeypatch.setattr(SqliteExecutor, "_begun", counting)
    raw = sqlite3.connect(tmp_path / DATABASE_FILE, isolation_level=None)
    raw.execute("BEGIN IMMEDIATE")
    store.end_in(0)
    failed = await asyncio.gather(*(store.enqueue(queued()) for _ in range(9)), return_exceptions=True)
    assert [type(error) for error in failed] == [Unavailable] * 9
    assert 1 <= len(begun) < 9  # the first alone, or with others
    assert set(begun) == {0.25}
    raw.execute("COMMIT")
    raw.close()
    call = await store.enqueue(queued())  # a file that answers is written to
    assert await store.get("default", call.id) == call


async def test_several_processes_share_a_file_and_each_commit_is_whole(tmp_path: Path) -> None:
    stores = [open_store(StoreConfig(data_dir=tmp_path, shared=True)) for _ in range(3)]
    await asyncio.gather(*(store.start() for store in stores))
    calls = await asyncio.gather(*(stores[number % 3].enqueue(queued()) for number in range(60)))
    taken = await asyncio.gather(*(store.claim(f"n{n}", {"default": 60}) for n, store in enumerate(stores)))
    ids = [execution.id for part in taken for execution in part]
    assert sorted(ids) == sorted(call.id for call in calls)
    assert len(await stores[0].list_projects()) == 1
    for store in stores:
        await store.stop()


async def test_a_writer_that_does_not_get_its_turn_says_that_the_database_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("polycall.store.executor_sqlite._BUSY_S", 0.1)
    store = open_store(StoreConfig(data_dir=tmp_path, shared=True))
    await store.start()
    other = Turn(tmp_path / "polycall.turn")
    other.open()
    with other.held(0), pytest.raises(Unavailable):
        await store.enqueue(queued())
    call = await store.enqueue(queued())
    assert await store.get("default", call.id) == call
    other.close()
    await store.stop()
