"""Two servers that do the same at once: what is checked holds when it is written; on both databases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from polycall.domain import Version
from polycall.errors import AlreadyExists, QuotaExceeded
from polycall.store.sql import SqlStore, StoreConfig, open_store
from tests.store.examples import face_object, package, version

Pair = tuple[SqlStore, SqlStore]


@pytest.fixture(params=["sqlite", "postgres"])
def config(request: pytest.FixtureRequest, database_dir: Path) -> StoreConfig:
    url = request.getfixturevalue("postgres") if request.param == "postgres" else ""
    return StoreConfig(data_dir=database_dir, database_url=url, flush_ms=20)


@pytest.fixture
async def pair(config: StoreConfig) -> AsyncIterator[Pair]:
    pair = open_store(config), open_store(replace(config, shared=True))
    for store in pair:
        await store.start()
    yield pair
    for store in reversed(pair):
        await store.stop()


async def at_once(pair: Pair, work: Callable[[SqlStore, int], Awaitable[Any]], times: int = 20) -> list[Any]:
    return await asyncio.gather(*(work(pair[n % 2], n) for n in range(times)), return_exceptions=True)


def refused(done: list[Any], kind: type[BaseException]) -> int:
    """Return how many were refused; nothing else may have gone wrong."""
    wrong = [each for each in done if isinstance(each, BaseException)]
    assert all(isinstance(each, kind) for each in wrong), wrong
    return len(wrong)


async def test_a_face_gets_no_more_packages_than_it_may_have(pair: Pair) -> None:
    done = await at_once(pair, lambda store, n: store.create_package(package(str(n), alias=None), most=7))
    assert refused(done, QuotaExceeded) == 13
    assert len((await pair[0].list_packages("default", 100)).items) == 7
    await pair[0].create_package(package("another's", face="domo", alias=None), most=7)


async def test_a_project_gets_no_more_objects_of_a_kind_than_it_may_have(pair: Pair) -> None:
    done = await at_once(pair, lambda store, n: store.create_object(face_object(str(n)), most=7))
    assert refused(done, QuotaExceeded) == 13


async def test_versions_without_a_name_get_numbers_that_nobody_else_gets(pair: Pair) -> None:
    await pair[0].create_package(package())
    for name in ("7", "2", "next", "007", "9999999999999999999"):
        await pair[0].create_version(version(name), {})
    done = await at_once(pair, lambda store, n: store.create_version(version("" if n % 4 else str(n + 20)), {}))
    assert refused(done, AlreadyExists) <= 5  # who names a version finds it taken, who does not never
    assert all(isinstance(each, BaseException) == (n % 4 == 0) or n % 4 == 0 for n, each in enumerate(done))
    unnamed = [int(each.id) for n, each in enumerate(done) if n % 4]
    assert len(set(unnamed)) == 15
    assert min(unnamed) >= 8
    assert await pair[1].next_version("default", "package") > max(unnamed)


@pytest.mark.parametrize("named", [False, True])
async def test_a_request_makes_one_version_of_a_package(pair: Pair, named: bool) -> None:
    for name in ("package", "other"):
        await pair[0].create_package(package(name, alias=None))

    async def create(store: SqlStore, n: int) -> Version:
        return await store.create_version(version(str(n) if named else "", request_id="r"), {})

    done = await at_once(pair, create, 10)
    assert refused(done, AlreadyExists) == 9
    (made,) = (each for each in done if isinstance(each, Version))
    assert await pair[0].version_of_request("default", "package", "r") == made
    assert [each.id for each in (await pair[1].list_versions("default", "package", 9)).items] == [made.id]
    # a request id is a package's own, and nobody's once its version is deleted
    assert await pair[0].version_of_request("default", "other", "r") is None
    await pair[0].create_version(version("", package_id="other", request_id="r"), {})
    await pair[0].delete_version("default", "package", made.id)
    again = await pair[1].create_version(version("", request_id="r"), {})
    assert again.request_id == "r"
    # a version without one stands in nobody's way
    for _ in range(2):
        await pair[0].create_version(version(""), {})


async def test_an_alias_goes_to_one(pair: Pair) -> None:
    for name in ("a", "b"):
        await pair[0].create_package(package(name, face="cognite", alias=None))
    done = await at_once(
        pair, lambda store, n: store.update_package(package("ab"[n % 2], face="cognite", alias="x")), 10
    )
    assert refused(done, AlreadyExists) == 5
