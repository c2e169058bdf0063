"""Values that code keeps between runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from polycall.domain import Entry, EntryQuota
from polycall.engine.entries import Entries, EntryLimits
from polycall.errors import InvalidArgument, PayloadTooLarge, QuotaExceeded
from polycall.ids import now_ms
from polycall.store.sql import SqlStore, StoreConfig, open_store

LIMITS = EntryLimits(quota=EntryQuota(3000, 8 << 20), value_bytes=1000, key_chars=10)


@pytest_asyncio.fixture(loop_scope="session")
async def store(database_dir: Path) -> AsyncIterator[SqlStore]:
    opened = open_store(StoreConfig(data_dir=database_dir))
    await opened.start()
    yield opened
    await opened.stop()


@pytest.fixture
def entries(store: SqlStore) -> Entries:
    return Entries(store, LIMITS)


async def test_a_value_is_kept_until_it_expires(entries: Entries) -> None:
    await entries.put("default", "s", "k", Entry(b"1", now_ms() + 60_000))
    assert await entries.get("default", "s", "k") is not None
    await entries.put("default", "s", "k", Entry(b"1", now_ms() - 1))
    assert await entries.get("default", "s", "k") is None


@pytest.mark.parametrize("key", ["", "x" * 11, "a\0b", "\ud800"])
async def test_a_key_that_cannot_be_kept_is_refused(entries: Entries, key: str) -> None:
    for attempt in (
        entries.get("default", "s", key),
        entries.put("default", "s", key, Entry(b"1")),
        entries.put("default", key, "k", Entry(b"1")),
        entries.items("default", key),
    ):
        with pytest.raises(InvalidArgument):
            await attempt


async def test_a_value_that_is_too_large_is_refused_and_the_old_one_stays(entries: Entries) -> None:
    await entries.put("default", "s", "k", Entry(b"1"))
    with pytest.raises(InvalidArgument, match="1001 bytes as JSON; at most 1000"):
        await entries.put("default", "s", "k", Entry(b"1" * 1001))
    assert await entries.get("default", "s", "k") == Entry(b"1")


async def test_no_more_values_than_the_quota(store: SqlStore) -> None:
    few = Entries(store, EntryLimits(quota=EntryQuota(1, 1000)))
    await few.put("default", "s", "a", Entry(b"1"))
    with pytest.raises(QuotaExceeded):
        await few.put("default", "s", "b", Entry(b"1"))


async def test_values_are_listed_by_pattern_over_more_than_a_slice(entries: Entries) -> None:
    await entries.change("default", [("s", f"k{n}") for n in range(1500)], lambda _: [Entry(b"1")] * 1500)
    assert len(await entries.items("default", "s")) == len(await entries.keys("default", "s")) == 1500
    assert [key for key, _ in await entries.items("default", "s", "k?")] == [f"k{n}" for n in range(10)]
    assert await entries.keys("default", "s", "k1?") == [f"k1{n}" for n in range(10)]


async def test_a_list_that_is_too_large_is_refused_and_not_cut(entries: Entries) -> None:
    await entries.change("default", [("s", f"k{n}") for n in range(1100)], lambda _: [Entry(b"1" * 1000)] * 1100)
    with pytest.raises(PayloadTooLarge):
        await entries.items("default", "s")
    assert len(await entries.keys("default", "s")) == 1100


async def test_what_has_expired_is_swept(entries: Entries, store: SqlStore) -> None:
    await entries.put("default", "s", "k", Entry(b"1", now_ms() - 1))
    sweeping = asyncio.get_running_loop().create_task(entries.sweep(store))
    try:
        async with asyncio.timeout(60):
            while await store.purge_entries("default", 0) or await store.entry_keys("default", "s", "", 0, 1):
                await asyncio.sleep(0.01)
    finally:
        sweeping.cancel()
