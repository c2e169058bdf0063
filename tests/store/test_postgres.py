"""The store on PostgreSQL: all that every store does, and what only a server of its own has."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.util import await_only

from polycall.domain import ExecutionState, Reason
from polycall.errors import FailedPrecondition, Unavailable
from polycall.store import executor_postgres
from polycall.store.sql import SqlStore, StoreConfig, open_store
from tests.harness import free_port
from tests.store.conformance import StoreConformance
from tests.store.examples import LATE, package, queued, recorded


@asynccontextmanager
async def _started(config: StoreConfig) -> AsyncIterator[SqlStore]:
    store = open_store(config)
    await store.start()
    try:
        yield store
    finally:
        await store.stop()


class TestPostgres(StoreConformance):
    @pytest.fixture
    async def store(self, emptied_postgres: str) -> AsyncIterator[SqlStore]:
        async with _started(StoreConfig(database_url=emptied_postgres, flush_ms=20)) as store:
            yield store


async def _run(url: str, statement: str) -> None:
    engine = create_async_engine(sa.make_url(url).set(drivername="postgresql+asyncpg"))
    try:
        async with engine.begin() as conn:
            await conn.execute(sa.text(statement))
    finally:
        await engine.dispose()


async def test_a_record_that_another_server_holds_back_is_waited_for(postgres: str) -> None:
    # the first one's flush comes within the time the second one waits, whatever the machine does: it is triggered
    async with (
        _started(StoreConfig(database_url=postgres, flush_ms=10_000)) as first,
        _started(StoreConfig(database_url=postgres, flush_ms=2_000)) as second,
    ):
        record = recorded()
        first.record(record)
        reading = asyncio.ensure_future(second.get("default", record.id))
        await asyncio.sleep(0.2)
        assert not reading.done()
        await first.flush()
        assert await reading == record


async def test_two_servers_take_different_calls_and_see_each_others(postgres: str) -> None:
    config = StoreConfig(database_url=postgres)
    async with _started(config) as first, _started(config) as second:
        calls = [await first.enqueue(queued(request_id=str(number))) for number in range(20)]
        assert await second.enqueue(queued(request_id="7")) == calls[7]
        taken = await asyncio.gather(first.claim("first", {"default": 10}), second.claim("second", {"default": 10}))
        ids = [execution.id for part in taken for execution in part]
        assert len(ids) == len(set(ids))
        assert {await first.next_number("n"), await second.next_number("n")} == {1, 1001}


async def test_many_servers_start_on_an_empty_database_at_once(postgres: str) -> None:
    stores = [open_store(StoreConfig(database_url=postgres)) for _ in range(4)]
    await asyncio.gather(*[store.start() for store in stores])
    for store in stores:
        assert [project.id for project in await store.list_projects()] == ["default"]
        await store.stop()


async def test_connections_that_the_database_has_closed_are_replaced_and_nobody_notices(postgres: str) -> None:
    async with _started(StoreConfig(database_url=postgres)) as store:
        await asyncio.gather(*[store.enqueue(queued()) for _ in range(8)])  # several connections
        await _run(
            postgres,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'polycall'",
        )
        await _until_ended(postgres)
        await asyncio.sleep(0.1)  # until the kernel has told us
        await asyncio.gather(*[store.enqueue(queued()) for _ in range(8)])
        assert await store.backlog() == 16


async def _until_ended(url: str) -> None:
    """Wait until the database has ended all connections of servers, which it was told to."""
    connection = await asyncpg.connect(url)
    try:
        async with asyncio.timeout(30):
            asked = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'polycall'"
            while await connection.fetchval(asked):
                await asyncio.sleep(0.01)
    finally:
        await connection.close()


async def test_a_server_that_stands_still_within_a_transaction_holds_nobody_up(
    postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor_postgres, "_IDLE_IN_TRANSACTION_S", 1)
    config = StoreConfig(database_url=postgres)
    async with _started(config) as still, _started(config) as other:
        running: dict[str, Any] = {"state": ExecutionState.RUNNING, "owner": "gone", "attempt": 1}
        locked = await other.enqueue(queued(**running, max_attempts=2))
        free = await other.enqueue(queued(**running, max_attempts=2))
        begun, go = asyncio.Event(), asyncio.Event()

        def stand_still(conn: sa.Connection) -> None:
            conn.execute(sa.text(f"UPDATE executions SET max_attempts = 2 WHERE id = '{locked.id}'"))
            begun.set()
            await_only(go.wait())

        standing = asyncio.ensure_future(still._executor.write(stand_still))
        await begun.wait()
        # what it holds is passed over
        assert await other.reap(LATE, 1000) == {ExecutionState.QUEUED: 1}
        assert (await other.get("default", free.id)).state is ExecutionState.QUEUED
        # and nobody waits for it longer than the database lets it stand
        assert (await other.request_cancel("default", locked.id, 5)).cancel_requested
        go.set()
        with pytest.raises(Unavailable):
            await standing


async def test_records_wait_for_the_database_to_come_back(postgres: str) -> None:
    async with _started(StoreConfig(database_url=postgres, flush_ms=20)) as store:
        record = recorded()
        store.record(record)
        await _run(
            postgres,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'polycall'",
        )
        async with asyncio.timeout(60):
            while not store.record_counts.written:
                await asyncio.sleep(0.01)
        found = None
        while found is None:
            with contextlib.suppress(Unavailable):  # of another connection that was cut
                found = await store.get("default", record.id)
        assert found == record


async def test_a_call_that_is_cancelled_leaves_its_connection_usable(postgres: str) -> None:
    async with _started(StoreConfig(database_url=postgres, pool_size=1, pool_wait_s=20)) as store:

        def slow(conn: sa.Connection) -> None:
            conn.execute(sa.text("SELECT pg_sleep(20)"))

        for run in (store._executor.write, store._executor.single):
            task = asyncio.ensure_future(run(slow))
            await asyncio.sleep(0.1)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
            await store.ping()


async def test_a_statement_that_takes_too_long_is_unavailable(postgres: str) -> None:
    async with _started(StoreConfig(database_url=postgres, pool_size=1, statement_s=1.0)) as store:

        def slow(conn: sa.Connection) -> None:
            conn.execute(sa.text("SELECT pg_sleep(20)"))

        with pytest.raises(Unavailable) as raised:
            await store._executor.write(slow)
        assert raised.value.reason is Reason.STORE_UNAVAILABLE


async def test_a_pool_without_a_free_connection_is_unavailable(postgres: str) -> None:
    async with _started(StoreConfig(database_url=postgres, pool_size=1, pool_wait_s=0.2)) as store:
        has = asyncio.Event()

        def slow(conn: sa.Connection) -> None:
            has.set()
            conn.execute(sa.text("SELECT pg_sleep(1)"))

        holding = asyncio.ensure_future(store._executor.write(slow))
        async with asyncio.timeout(30):
            await has.wait()
        with pytest.raises(Unavailable):
            await store.ping()
        await holding
        await store.ping()


async def test_a_database_that_is_not_there_stops_the_start_and_names_it_without_its_password() -> None:
    store = open_store(StoreConfig(database_url=f"postgresql://me:secret@127.0.0.1:{free_port()}/db"))
    with pytest.raises(Unavailable) as raised:
        await store.start()
    assert "The database db at 127.0.0.1 cannot be reached" in raised.value.message
    assert "secret" not in raised.value.message
    await store.stop()


async def test_a_database_that_does_not_let_us_in_stops_the_start(postgres: str) -> None:
    url = sa.make_url(postgres)
    for wrong in (url.set(database="nowhere"), url.set(username="nobody")):
        store = open_store(StoreConfig(database_url=wrong.render_as_string(hide_password=False)))
        with pytest.raises(Unavailable):
            await store.start()
        await store.stop()


async def test_a_user_who_may_not_make_tables_is_told_so(postgres: str) -> None:
    await _run(postgres, "DROP ROLE IF EXISTS stranger")
    await _run(postgres, "CREATE ROLE stranger LOGIN")
    url = sa.make_url(postgres).set(username="stranger")
    store = open_store(StoreConfig(database_url=url.render_as_string(hide_password=False)))
    with pytest.raises(FailedPrecondition, match="did not let this server make its tables"):
        await store.start()
    await store.stop()


def test_without_its_driver_postgres_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    monkeypatch.delitem(sys.modules, "polycall.store.executor_postgres", raising=False)
    with pytest.raises(FailedPrecondition, match=r"pip install 'polycall\[cluster\]'"):
        open_store(StoreConfig(database_url="postgresql://localhost/db"))


async def test_a_claim_without_limits_is_one_statement_beside_accepting_or_with_it(postgres: str) -> None:
    said: list[str] = []

    def hear(_: object, __: object, statement: str, *___: object) -> None:
        said.append(statement)

    async with _started(StoreConfig(database_url=postgres)) as store:
        calls = [await store.enqueue(queued()) for _ in range(3)]
        sa.event.listen(sa.Engine, "before_cursor_execute", hear)
        try:
            claimed = await store.claim("n", {"default": 2})
            assert (await store.accept(queued(project_id="another"), owner="n")).claimed
        finally:
            sa.event.remove(sa.Engine, "before_cursor_execute", hear)
        assert [execution.id for execution in claimed] == sorted(call.id for call in calls)[:2]
        # beside it once a second: which projects have limits
        assert [statement.split()[0] for statement in said if "DISTINCT policies" not in statement] == ["WITH"] * 2


@pytest.mark.parametrize("twice", [False, True], ids=["once", "again while it cleans up"])
async def test_work_that_is_given_up_leaves_its_connection_and_its_room_to_others(postgres: str, twice: bool) -> None:
    def slow(conn: sa.Connection, name: str) -> None:
        conn.execute(sa.text(f"SELECT pg_sleep(20) AS {name}"))

    def quick(conn: sa.Connection) -> int:
        return int(conn.execute(sa.text("SELECT pg_backend_pid()")).scalar_one())

    async with _started(StoreConfig(database_url=postgres, pool_size=2, pool_wait_s=30, waiting=6)) as store:
        executor = store._executor
        for name, run in (("written", executor.write), ("single", executor.single)):
            given_up = [asyncio.create_task(run(slow, name)) for _ in range(6)]  # two work, four wait for a connection
            await _until_two_run(postgres, f"SELECT pg_sleep(20) AS {name}")
            for task in given_up:
                task.cancel()
            if twice:
                await asyncio.sleep(0)
                for task in given_up:
                    task.cancel()
            ended = await asyncio.gather(*given_up, return_exceptions=True)
            assert {type(error) for error in ended} == {asyncio.CancelledError}
            # both connections work, and nobody is refused
            assert len(await asyncio.gather(*(run(quick) for _ in range(6)))) == 6


async def _until_two_run(url: str, statement: str) -> None:
    engine = create_async_engine(sa.make_url(url).set(drivername="postgresql+asyncpg"))
    asked = f"SELECT count(*) FROM pg_stat_activity WHERE query = '{statement}' AND state = 'active'"
    async with asyncio.timeout(30), engine.connect() as conn:
        await conn.execution_options(isolation_level="AUTOCOMMIT")  # within a transaction it stays as it was
        while await conn.scalar(sa.text(asked)) != 2:
            await asyncio.sleep(0.02)
    await engine.dispose()


async def test_a_new_limit_is_answered_once_nobody_writes_who_has_not_seen_it(postgres: str) -> None:
    engine = create_async_engine(sa.make_url(postgres).set(drivername="postgresql+asyncpg"))
    async with _started(StoreConfig(database_url=postgres)) as store:
        await store.create_package(package())
        # as a server whose INSERT of a running Call began before, and has not ended
        async with engine.connect() as conn:
            await conn.execute(sa.text("UPDATE executions SET state = 1 WHERE false"))
            setting = asyncio.ensure_future(store.set_policy("default", "package", "f", {"max_running": 1}, 9))
            of_project = asyncio.ensure_future(store.change_project("default", {"max_running": 1}))

            async def is_set() -> bool:
                return (await store.get_policy("default", "package", "f")).max_running == 1

            async with asyncio.timeout(60):
                while not await is_set():
                    await asyncio.sleep(0.005)
            # who comes now sees it, and nobody waits for the one that stands there
            assert not (await store.accept(queued(), owner="n")).claimed
            assert (setting.done(), of_project.done()) == (False, False)
            await conn.rollback()
        await setting
        await of_project
    await engine.dispose()


async def test_the_words_of_libpq_are_understood(postgres: str) -> None:
    url = sa.make_url(postgres).update_query_dict({"sslmode": "disable"}).set(drivername="postgres")
    text = url.render_as_string(hide_password=False)
    async with _started(StoreConfig(database_url=text)) as store:
        await store.ping()


async def test_the_queue_is_found_by_index_however_old_the_statistics_are(postgres: str) -> None:
    async with _started(StoreConfig(database_url=postgres)) as store:
        for _ in range(5):
            for _ in range(400):
                store.record(recorded(state=ExecutionState.COMPLETED))
            await store.flush()
        await _run(postgres, "ANALYZE executions")
        await asyncio.gather(*[store.enqueue(queued()) for _ in range(100)])

        def plan(conn: sa.Connection, text: str) -> str:
            return "\n".join(conn.execute(sa.text(f"EXPLAIN {text}")).scalars())

        active = "state < 2 AND project_id <> '' AND state = 0"
        claim = f"SELECT id FROM executions WHERE project_id = 'p' AND {active} AND run_at <= 1 ORDER BY id LIMIT 5"
        assert "ix_executions_active" in await store._executor.read(plan, claim)
        assert "Sort" not in await store._executor.read(plan, claim)
        due = f"SELECT min(project_id) FROM executions WHERE {active} AND project_id > 'p'"
        assert "ix_executions_active" in await store._executor.read(plan, due)
        first = "SELECT 1 FROM executions WHERE project_id = 'p' AND state = 0 AND NOT limited AND run_at <= 1"
        assert "ix_executions_free" in await store._executor.read(plan, f"SELECT EXISTS ({first})")
        owned = "SELECT id FROM executions WHERE state = 1 AND owner = 'n'"
        assert "ix_executions_owned" in await store._executor.read(plan, owned)


async def test_the_chart_has_keda_read_the_backlog_but_for_what_a_limit_holds(postgres: str) -> None:
    query = (Path(__file__).parents[2] / "deploy" / "chart" / "files" / "backlog.sql").read_text()
    async with _started(StoreConfig(database_url=postgres)) as store:
        for delay_ms in (0, 0, 60_000):  # the last is not due
            await store.enqueue(queued(), delay_ms=delay_ms)
        limited = await store.enqueue(queued())
        engine = create_async_engine(sa.make_url(postgres).set(drivername="postgresql+asyncpg"))
        async with engine.begin() as conn:
            await conn.execute(sa.text("UPDATE executions SET limited = true WHERE id = :id"), {"id": limited.id})
            counted = (await conn.execute(sa.text(query))).scalar_one()
        await engine.dispose()
        # more servers do not help what waits for a limit
        assert (counted, await store.backlog()) == (2, 3)
