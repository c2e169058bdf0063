"""SQLite's writer: what waits is committed together, and nobody pays for a neighbour's failure."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path

import pytest
import sqlalchemy as sa

from polycall.domain import Reason
from polycall.errors import NotFound, PolycallError, Unavailable
from polycall.store.executor_sqlite import SqliteExecutor
from polycall.store.schema import prepare
from polycall.store.tables import projects

WAITING = 8


@pytest.fixture
async def executor(tmp_path: Path) -> AsyncIterator[SqliteExecutor]:
    executor = SqliteExecutor(tmp_path / "polycall.db", readers=2, waiting=WAITING)
    await executor.start(prepare)
    yield executor
    await executor.stop()


class Gate:
    """Holds the writer, so that what comes next waits for it and becomes one group."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.open = threading.Event()

    def __call__(self, conn: sa.Connection) -> None:
        self.entered.set()
        if not self.open.wait(20):
            raise TimeoutError


async def grouped(executor: SqliteExecutor, *work: Awaitable[object]) -> list[object]:
    """Run writes that have all begun to wait before the first is run."""
    gate = Gate()
    first = asyncio.ensure_future(executor.write(gate))
    await asyncio.to_thread(gate.entered.wait, 20)
    rest = [asyncio.ensure_future(part) for part in work]
    await asyncio.sleep(0)
    gate.open.set()
    await first
    return await asyncio.gather(*rest, return_exceptions=True)


def insert(conn: sa.Connection, name: str, log: list[str]) -> str:
    log.append(name)
    conn.execute(sa.insert(projects), {"id": name, "created_at": 1, "display_name": ""})
    return name


def insert_and_fail(conn: sa.Connection, name: str, log: list[str]) -> str:
    insert(conn, name, log)
    raise NotFound(Reason.PROJECT_NOT_FOUND, "", name)


def look_and_fail(conn: sa.Connection, log: list[str]) -> str:
    log.append("look")
    conn.execute(sa.select(projects)).all()
    raise NotFound(Reason.PROJECT_NOT_FOUND, "", "look")


def names(conn: sa.Connection) -> list[str]:
    return list(conn.execute(sa.select(projects.c.id).where(projects.c.id != "default")).scalars())


async def test_what_waits_is_one_transaction(executor: SqliteExecutor) -> None:
    log: list[str] = []
    transactions: list[int] = []

    def note(conn: sa.Connection, name: str) -> None:
        transactions.append(id(conn.get_transaction()))
        insert(conn, name, log)

    await grouped(executor, *[executor.write(note, name) for name in "abc"])
    assert log == ["a", "b", "c"]
    assert len(set(transactions)) == 1
    assert await executor.read(names) == ["a", "b", "c"]


async def test_a_failure_that_wrote_is_undone_alone(executor: SqliteExecutor) -> None:
    log: list[str] = []
    results = await grouped(
        executor,
        executor.write(insert, "a", log),
        executor.write(insert_and_fail, "bad", log),
        executor.relaxed(insert, "b", log),
    )
    assert (results[0], results[2]) == ("a", "b")
    assert isinstance(results[1], NotFound)
    assert await executor.read(names) == ["a", "b"]


async def test_a_failure_that_wrote_nothing_makes_nobody_run_twice(executor: SqliteExecutor) -> None:
    log: list[str] = []
    results = await grouped(
        executor,
        executor.write(insert, "a", log),
        executor.write(look_and_fail, log),
        executor.write(insert, "b", log),
    )
    assert (results[0], results[2]) == ("a", "b")
    assert isinstance(results[1], NotFound)
    assert log == ["a", "look", "b"]
    assert await executor.read(names) == ["a", "b"]


async def test_a_statement_that_is_refused_harms_nobody(executor: SqliteExecutor) -> None:
    log: list[str] = []
    results = await grouped(
        executor,
        executor.write(insert, "a", log),
        executor.write(insert, "a", log),
        executor.write(insert, "b", log),
    )
    assert (results[0], results[2]) == ("a", "b")
    assert isinstance(results[1], PolycallError)
    assert "INSERT" not in str(results[1])
    assert await executor.read(names) == ["a", "b"]


async def test_a_group_with_one_durable_function_is_fsynced_and_one_of_records_is_not(
    executor: SqliteExecutor,
) -> None:
    def level(conn: sa.Connection) -> int:
        found: int = conn.exec_driver_sql("PRAGMA synchronous").scalar_one()
        return found

    normal, full = 1, 2
    assert await executor.relaxed(level) == normal
    assert await executor.write(level) == full
    assert await executor.relaxed(level) == normal
    assert await grouped(executor, executor.relaxed(level), executor.single(level)) == [full, full]


async def test_a_caller_that_goes_away_harms_nobody(executor: SqliteExecutor) -> None:
    log: list[str] = []

    async def impatient() -> None:
        async with asyncio.timeout(0):
            await executor.write(insert, "gone", log)

    results = await grouped(executor, impatient(), executor.write(insert, "b", log))
    assert isinstance(results[0], TimeoutError)
    assert results[1] == "b"
    assert "b" in await executor.read(names)


async def test_only_so_many_may_wait(executor: SqliteExecutor) -> None:
    log: list[str] = []
    # the one that holds the writer counts too
    results = await grouped(executor, *[executor.write(insert, str(number), log) for number in range(WAITING)])
    assert [isinstance(result, Unavailable) for result in results] == [False] * (WAITING - 1) + [True]
    assert await executor.write(insert, "after", log) == "after"


async def test_readers_see_what_was_committed_before_and_cannot_write(executor: SqliteExecutor) -> None:
    log: list[str] = []
    for number in range(20):
        await executor.write(insert, f"p{number:02}", log)
        assert len(await executor.read(names)) == number + 1
    with pytest.raises(PolycallError):
        await executor.read(insert, "x", log)
    assert len(await executor.read(names)) == 20


async def test_a_reader_has_one_snapshot(executor: SqliteExecutor) -> None:
    log: list[str] = []
    begun, written = threading.Event(), threading.Event()

    def twice(conn: sa.Connection) -> tuple[int, int]:
        before = len(names(conn))
        begun.set()
        if not written.wait(20):
            raise TimeoutError
        return before, len(names(conn))

    reading = asyncio.ensure_future(executor.read(twice))
    await asyncio.to_thread(begun.wait, 20)
    await executor.write(insert, "a", log)
    written.set()
    assert await reading == (0, 0)
    assert await executor.read(names) == ["a"]


async def test_a_stopped_executor_is_unavailable_and_has_written_everything(tmp_path: Path) -> None:
    executor = SqliteExecutor(tmp_path / "polycall.db", readers=1, waiting=WAITING)
    with pytest.raises(Unavailable):
        await executor.read(names)
    await executor.start(prepare)
    log: list[str] = []
    last = [asyncio.ensure_future(executor.write(insert, name, log)) for name in "abc"]
    await asyncio.sleep(0)
    await executor.stop()
    await executor.stop()
    assert await asyncio.gather(*last) == ["a", "b", "c"]
    for attempt in (executor.write(names), executor.read(names), executor.relaxed(names), executor.single(names)):
        with pytest.raises(Unavailable) as raised:
            await attempt
        assert raised.value.reason is Reason.STORE_UNAVAILABLE
    with sqlite3.connect(tmp_path / "polycall.db") as raw:
        assert raw.execute("SELECT count(*) FROM projects").fetchone() == (4,)
    raw.close()
    assert [path.name for path in tmp_path.iterdir() if "wal" in path.name] == []
