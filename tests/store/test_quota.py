"""A project stores as much as it may, over all that it keeps, whoever writes at once; on both databases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from polycall.domain import Entry, EntryQuota, RevisionState, VersionState
from polycall.errors import QuotaExceeded
from polycall.store import quota
from polycall.store.sql import SqlStore, StoreConfig, open_store
from polycall.store.tables import blobs
from tests.store.examples import face_object, package, recorded, revision, runtime, schedule, version

MIB = 1 << 20
MOST = 3 * MIB


@pytest.fixture(params=["sqlite", "postgres"])
def config(request: pytest.FixtureRequest, database_dir: Path) -> StoreConfig:
    url = request.getfixturevalue("postgres") if request.param == "postgres" else ""
    return StoreConfig(data_dir=database_dir, database_url=url, flush_ms=20, project_bytes=MOST)


@pytest.fixture
async def store(config: StoreConfig) -> AsyncIterator[SqlStore]:
    store = open_store(config)
    await store.start()
    yield store
    await store.stop()


def source(letter: str, size: int = MIB) -> dict[str, bytes]:
    return {"main.py": letter.encode() * size}


async def entry(store: SqlStore, key: str, value: bytes | None) -> None:
    new = None if value is None else Entry(value)
    await store.change_entries("default", [("s", key)], lambda _: [new], 1, EntryQuota(1000, 10 * MOST))


async def stored(store: SqlStore) -> int:
    return await store._executor.read(quota.stored_bytes, "default")


async def age(store: SqlStore) -> None:
    """Let a day pass."""

    def all_of_them(conn: sa.Connection) -> None:
        conn.execute(sa.update(blobs).values(touched_at=0))

    await store._executor.write(all_of_them)
    store._quota._freed.clear()


async def refused(work: Awaitable[Any]) -> QuotaExceeded:
    with pytest.raises(QuotaExceeded) as raised:
        await work
    return raised.value


async def test_manifests_and_logs_of_runtimes_are_counted(store: SqlStore) -> None:
    await store.create_runtime(runtime(), revision("1", manifest="m" * MIB, state=RevisionState.PENDING))
    building = revision("1", manifest="m" * MIB, state=RevisionState.BUILDING, log="l" * MIB)
    assert await store.change_revision(building, [RevisionState.PENDING])
    full = await stored(store)
    assert 2 * MIB < full < 2.01 * MIB
    assert (await refused(store.create_revision(revision("2", manifest="n" * MIB)))).subject == "project_storage_mib"
    assert (await refused(store.create_runtime(runtime("b", face_data=b"f" * MIB)))).subject == "project_storage_mib"
    # what the server has to say of a build is said, also beyond
    assert await store.change_revision(replace(building, log="l" * MOST), [RevisionState.BUILDING])
    assert await stored(store) == full - MIB + MOST
    await store.delete_runtime("default", runtime().id)
    assert await stored(store) == 0


async def test_sources_files_and_values_are_counted_together(store: SqlStore) -> None:
    await store.create_package(package())
    await store.create_version(version("1"), source("a"))
    file = await store.create_object(face_object("f"))
    assert await store.put_object(file, b"f" * MIB) is not None
    await entry(store, "k", b"1" * (MIB // 2))
    full = await stored(store)
    assert 2.5 * MIB < full < MOST
    error = await refused(store.create_version(version("2"), source("b")))
    assert error.subject == "project_storage_mib"
    assert error.metadata["limit_bytes"] == str(MOST)
    assert MOST < int(error.metadata["bytes"]) < full + 1.1 * MIB
    for attempt in (
        store.create_version(version("2", env={"V": "v" * MIB}), {}),
        store.put_version(version("1", state=VersionState.READY), source("b", 2 * MIB)),
        store.put_object(replace(file, revision=2), b"g" * MIB),
        store.create_object(face_object("g", data=b"1" * MIB)),
        store.create_package(package("p", face_data=b"1" * MIB)),
        store.create_schedule(schedule(version_id=None, input=b"1" * MIB), most=10),
        entry(store, "l", b"1" * MIB),
    ):
        await refused(attempt)
    assert await stored(store) == full


async def test_a_content_is_counted_once_and_executions_are_not(store: SqlStore) -> None:
    await store.create_package(package())
    for number in range(1, 9):
        await store.create_version(version(str(number)), source("a"))
    store.record(recorded(result=b'"' + b"r" * 2 * MOST + b'"'))
    await store.flush()
    assert MIB < await stored(store) < 1.1 * MIB


async def test_what_an_execution_wrote_first_is_counted_once_it_is_a_source(store: SqlStore) -> None:
    await store.create_package(package())
    await store.create_version(version("1"), source("a"))
    packed = await store.get_blob("default", (await store.get_version("default", "package", "1")).bundle)
    assert packed is not None
    await store.delete_version("default", "package", "1")
    await age(store)
    await store.sweep_blobs(None, 10)
    before = await stored(store)
    store.record(recorded(result=packed))
    await store.flush()
    assert await stored(store) == before
    await store.create_version(version("1"), source("a"))
    assert MIB < await stored(store) - before < 1.1 * MIB


async def test_room_is_made_of_what_nothing_refers_to(store: SqlStore) -> None:
    await store.create_package(package())
    await store.create_version(version("1"), source("a", 2 * MIB))
    await store.delete_version("default", "package", "1")
    # it may be of a transaction that is not committed yet: a minute is left to it
    await refused(store.create_version(version("2"), source("b", 2 * MIB)))
    await age(store)
    await store.create_version(version("2"), source("b", 2 * MIB))
    assert 2 * MIB < await stored(store) < 2.1 * MIB


async def test_who_has_no_room_and_asks_again_has_none_looked_for_each_time(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    monkeypatch.setattr(quota, "free_blobs", lambda conn, project_id: looked.append(project_id))
    for _ in range(3):
        await refused(store.create_object(face_object("a", data=b"1" * (MOST + 1))))
    assert looked == ["default"]


async def test_who_has_too_much_may_make_it_less(config: StoreConfig, store: SqlStore) -> None:
    await store.create_package(package())
    await store.create_version(version("1", state=VersionState.READY), source("a", 2 * MIB))
    tighter = open_store(replace(config, project_bytes=MIB, shared=True))
    await tighter.start()
    try:
        await refused(tighter.create_version(version("2"), source("b", MIB // 2)))
        await age(tighter)
        await refused(tighter.create_version(version("2"), source("b", 64 * 1024)))
        assert await tighter.update_package(package(description="")) == package(description="")
        await tighter.put_version(version("1", state=VersionState.READY), source("a", 2 * MIB))
    finally:
        await tighter.stop()


@pytest.mark.parametrize("kind", ["sources", "objects", "values"])
async def test_of_many_who_write_at_once_on_two_servers_nobody_gets_beyond(
    config: StoreConfig, store: SqlStore, kind: str
) -> None:
    other = open_store(replace(config, shared=True))
    await other.start()
    writes: dict[str, Callable[[SqlStore, int], Awaitable[Any]]] = {
        "sources": lambda of, n: of.create_version(version(str(n)), source(str(n), MIB // 2)),
        "objects": lambda of, n: of.create_object(face_object(str(n), data=b"1" * (MIB // 2))),
        "values": lambda of, n: entry(of, str(n), b"1" * (MIB // 2)),
    }
    try:
        await store.create_package(package())
        done = await asyncio.gather(
            *(writes[kind]((store, other)[n % 2], n) for n in range(10)), return_exceptions=True
        )
    finally:
        await other.stop()
    assert sum(isinstance(each, QuotaExceeded) for each in done) == 5
    assert sum(isinstance(each, BaseException) for each in done) == 5
    assert await stored(store) <= MOST


async def test_the_sums_are_over_indexes(store: SqlStore) -> None:
    def plan(conn: sa.Connection) -> str:
        statement = quota._STORED.params(project="default")
        text = str(statement.compile(conn, compile_kwargs={"literal_binds": True}))
        if conn.dialect.name == "postgresql":
            conn.exec_driver_sql("SET LOCAL enable_seqscan = off")  # the tables are empty
            return "\n".join(str(row[0]) for row in conn.exec_driver_sql(f"EXPLAIN {text}"))
        return "\n".join(str(row[3]) for row in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}"))

    told = await store._executor.write(plan)
    assert "Index Only Scan using ix_blobs_counted" in told or "COVERING INDEX ix_blobs_counted" in told, told
    assert "Seq Scan" not in told, told
    assert "SCAN blobs" not in told, told
