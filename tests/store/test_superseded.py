"""Versions that nobody needs any more go, where a contract shows the last one alone; on both databases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from polycall.domain import VersionState
from polycall.engine.retention import Pruned, Retention, Superseded
from polycall.store.sql import SqlStore, StoreConfig, open_store
from tests.store.examples import package, queued, recorded, schedule, version

READY, ERROR, ANALYSING = VersionState.READY, VersionState.ERROR, VersionState.ANALYSING


@pytest.fixture(params=["sqlite", "postgres"])
def config(request: pytest.FixtureRequest, database_dir: Path) -> StoreConfig:
    url = request.getfixturevalue("postgres") if request.param == "postgres" else ""
    return StoreConfig(data_dir=database_dir, database_url=url, flush_ms=20)


@pytest.fixture
async def store(config: StoreConfig) -> AsyncIterator[SqlStore]:
    store = open_store(config)
    await store.start()
    yield store
    await store.stop()


async def made(store: SqlStore, package_id: str, *states: VersionState, face: str = "xpander") -> None:
    """Make a package and versions "1", "2", ... of these states, all within one millisecond."""
    await store.create_package(package(package_id, face=face, alias=None))
    for number, state in enumerate(states, 1):
        await store.create_version(version(str(number), package_id=package_id, state=state, created_at=5), {})


async def left(store: SqlStore, package_id: str) -> list[str]:
    return sorted(each.id for each in (await store.list_versions("default", package_id, 100)).items)


async def round_of(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("polycall.engine.retention._SLICE", 2)
    pruned = await Retention(store, days=0, executions=0, versions=Superseded("xpander", 2)).round()
    assert pruned == Pruned(versions=pruned.versions)
    return pruned.versions


async def test_the_newest_stay_of_each_package_of_the_face(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    await made(store, "a", *[READY] * 7)
    await made(store, "b", READY, ERROR, READY, READY)
    await made(store, "few", READY, READY)
    await made(store, "other", *[READY] * 5, face="riza")
    assert await round_of(store, monkeypatch) == 7
    assert [await left(store, name) for name in ("a", "b", "few", "other")] == [
        *(["6", "7"], ["3", "4"], ["1", "2"], ["1", "2", "3", "4", "5"])
    ]
    assert await round_of(store, monkeypatch) == 0


async def test_what_somebody_needs_stays(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    await made(store, "p", *[READY] * 4, VersionState.RELEASED, ANALYSING, ERROR, *[READY] * 3)
    store.record(recorded(package_id="p", version_id="2"))
    await store.flush()
    await store.enqueue(queued(package_id="p", version_id="3", alias=None, request_id=None))
    await store.create_schedule(schedule(package_id="p", version_id="4"), most=1)
    assert await round_of(store, monkeypatch) == 3
    assert await left(store, "p") == ["10", "2", "3", "4", "5", "6", "9"]


async def test_the_newest_that_is_ready_stays(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    await made(store, "p", READY, READY, *[ERROR] * 4)
    assert await round_of(store, monkeypatch) == 3
    assert await left(store, "p") == ["2", "5", "6"]
    newest = await store.newest_version("default", "p")
    assert newest is not None
    assert newest.id == "2"
