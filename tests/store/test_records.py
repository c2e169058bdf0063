"""Records while the database is away, and at the end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from polycall.domain import ExecutionFilter
from polycall.errors import Unavailable
from polycall.store.buffer import RecordCounts
from polycall.store.config import StoreConfig
from polycall.store.executor_sqlite import SqliteExecutor
from polycall.store.failures import unavailable
from polycall.store.sql import DATABASE_FILE, SqlStore
from tests.store.examples import recorded


class Switch:
    """An executor with a plug."""

    def __init__(self, inner: SqliteExecutor) -> None:
        self.inner = inner
        self.away = False
        self.flushes = 0
        self.goes_on = asyncio.Event()
        self.goes_on.set()

    async def start(self, prepare: Callable[[sa.Connection], None]) -> None:
        await self.inner.start(prepare)

    async def stop(self) -> None:
        await self.inner.stop()

    def end_in(self, seconds: float) -> None:
        self.inner.end_in(seconds)

    async def read(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return await self._run(self.inner.read, work, *args, **kwargs)

    async def write(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return await self._run(self.inner.write, work, *args, **kwargs)

    async def single(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return await self._run(self.inner.single, work, *args, **kwargs)

    async def relaxed(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self.flushes += 1
        await self.goes_on.wait()
        return await self._run(self.inner.relaxed, work, *args, **kwargs)

    async def _run(self, run: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self.away:
            raise unavailable()
        return await run(*args, **kwargs)


@pytest.fixture
def config(tmp_path: Path) -> StoreConfig:
    return StoreConfig(data_dir=tmp_path, flush_ms=20, flush_rows=4, buffer_rows=10, buffer_bytes=256 * 1024)


@pytest.fixture
def switch(config: StoreConfig) -> Switch:
    assert config.data_dir is not None
    return Switch(SqliteExecutor(config.data_dir / DATABASE_FILE, readers=1, waiting=64))


@pytest.fixture
async def store(config: StoreConfig, switch: Switch) -> AsyncIterator[SqlStore]:
    store = SqlStore(switch, config)
    await store.start()
    yield store
    switch.away = False
    await store.stop()


async def test_records_wait_while_the_database_is_away(store: SqlStore, switch: Switch) -> None:
    switch.away = True
    records = [recorded() for _ in range(9)]
    for record in records:
        store.record(record)
    with pytest.raises(Unavailable):
        await store.flush()
    assert await store.get("default", records[0].id) == records[0]
    with pytest.raises(Unavailable):
        await store.list("default", ExecutionFilter(), 100)
    switch.away = False
    await _until_written(store, 9)
    assert [await store.get("default", record.id) for record in records] == records


async def test_an_overflow_drops_bodies_then_rows_and_is_counted_and_said_once(
    store: SqlStore, switch: Switch, caplog: pytest.LogCaptureFixture
) -> None:
    switch.away = True
    with caplog.at_level(logging.ERROR, "polycall.store.records"):
        large = [recorded(result=b"r" * 100_000) for _ in range(4)]
        small = [recorded() for _ in range(9)]
        for record in (*large, *small):
            store.record(record)
        assert [record.levelname for record in caplog.records] == ["ERROR"]
        # two bodies went, then three rows; of the rows one still had its body
        assert store.record_counts == RecordCounts(bodies_dropped=2, rows_dropped=3)
        switch.away = False
        await _until_written(store, 10)
        assert "lost since the start: 3, and the bodies of 2" in caplog.text
    kept = {item.id for item in (await store.list("default", ExecutionFilter(), 100)).items}
    assert kept == {record.id for record in (large[3], *small)}
    assert await store.get("default", large[3].id) == large[3]
    assert store.record_counts == RecordCounts(written=10, bodies_dropped=2, rows_dropped=3)


async def test_a_record_without_its_bodies_says_so_for_ever(store: SqlStore, switch: Switch) -> None:
    switch.away = True
    first = recorded(result=b"r" * 200_000)
    store.record(first)
    store.record(recorded(result=b"r" * 200_000))
    switch.away = False
    await _until_written(store, 2)
    stored = await store.get("default", first.id)
    assert (stored.bodies_dropped, stored.result, stored.stdout, stored.stdout_truncated) == (True, None, b"", True)
    assert stored.error == first.error


async def test_a_full_batch_is_written_at_once(config: StoreConfig, switch: Switch, store: SqlStore) -> None:
    await asyncio.sleep(0)
    for _ in range(4):
        store.record(recorded())
    await _until_written(store, 4)
    assert switch.flushes == 1


async def test_what_comes_while_a_flush_is_written_waits_for_the_next(tmp_path: Path, switch: Switch) -> None:
    store = SqlStore(switch, StoreConfig(data_dir=tmp_path, flush_ms=10_000, flush_rows=4))
    await store.start()
    await asyncio.sleep(0)
    switch.goes_on.clear()
    for _ in range(4):
        store.record(recorded())
    async with asyncio.timeout(10):
        while not switch.flushes:
            await asyncio.sleep(0.001)
    late = recorded()
    store.record(late)
    switch.goes_on.set()
    await _until_written(store, 4)
    assert (switch.flushes, store.records_waiting) == (1, 1)
    assert await store.get("default", late.id) == late
    await store.flush()
    assert (switch.flushes, store.records_waiting) == (2, 0)
    await store.stop()


async def test_an_idle_store_writes_nothing(store: SqlStore, switch: Switch) -> None:
    await asyncio.sleep(0.1)
    await store.flush()
    assert switch.flushes == 0


async def test_stopping_writes_what_waits(tmp_path: Path) -> None:
    config = StoreConfig(data_dir=tmp_path, flush_ms=10_000, flush_rows=4)
    executor = SqliteExecutor(tmp_path / DATABASE_FILE, readers=1, waiting=64)
    store = SqlStore(executor, config)
    await store.start()
    records = [recorded() for _ in range(7)]
    for record in records:
        store.record(record)
    await store.stop()
    again = SqlStore(SqliteExecutor(tmp_path / DATABASE_FILE, readers=1, waiting=64), config)
    await again.start()
    assert [await again.get("default", record.id) for record in records] == records
    await again.stop()


async def test_stopping_while_the_database_is_away_says_what_is_lost(
    config: StoreConfig, switch: Switch, caplog: pytest.LogCaptureFixture
) -> None:
    store = SqlStore(switch, config)
    await store.start()
    switch.away = True
    for _ in range(3):
        store.record(recorded())
    await store.stop()
    assert "3 execution records are lost" in caplog.text


async def _until_written(store: SqlStore, count: int) -> None:
    async with asyncio.timeout(20):
        while store.record_counts.written < count:
            await asyncio.sleep(0.01)
