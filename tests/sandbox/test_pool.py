"""A pool with little room: who has to go, and that nobody waits for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from polycall.domain import StartKind
from polycall.sandbox.job import Outcome
from polycall.sandbox.sandbox import Sandbox
from tests.sandbox.conftest import config
from tests.sandbox.programs import eventually, job, value
from tests.sandbox.test_warm import count

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def small() -> AsyncIterator[Sandbox]:
    sandbox = Sandbox(config(waiting=1, warm=2, processes=4, warm_calls=3))
    await sandbox.start()
    yield sandbox
    await sandbox.stop()


async def test_the_least_recently_used_goes_first(small: Sandbox) -> None:
    for name in ("one", "two", "one", "three"):
        await count(small, name)
    assert (await count(small, "one")).start_kind is StartKind.WARM
    assert (await count(small, "two")).start_kind is not StartKind.WARM


async def test_a_worker_ends_after_its_calls(small: Sandbox) -> None:
    assert [value(await count(small, "old"))[1] for _ in range(4)] == [1, 2, 3, 1]


async def test_a_worker_ends_after_idling() -> None:
    sandbox = Sandbox(config(waiting=1, warm_idle_s=0.4))
    await sandbox.start()
    try:
        await count(sandbox, "idle")
        await eventually(lambda: sandbox.counts.idle == 0)
        assert (await count(sandbox, "idle")).start_kind is not StartKind.WARM
    finally:
        await sandbox.stop()


async def test_idle_workers_never_keep_a_run_from_its_process(small: Sandbox) -> None:
    names = [f"many-{number}" for number in range(24)]
    outcomes = await asyncio.wait_for(asyncio.gather(*(count(small, name) for name in names)), 60)
    assert [value(outcome)[1] for outcome in outcomes] == [1] * 24


async def test_runs_that_are_cancelled_while_they_wait_for_a_process_take_none_along(small: Sandbox) -> None:
    for _ in range(10):
        runs = [asyncio.create_task(small.run(job("def execute(input): return 1"))) for _ in range(4)]
        await asyncio.sleep(0.002)
        for run in runs[1:]:
            run.cancel()
        first, *_ = await asyncio.wait_for(asyncio.gather(*runs, return_exceptions=True), 60)
        assert isinstance(first, Outcome)
        assert first.value == b"1"
    outcomes = await asyncio.wait_for(asyncio.gather(*(count(small, f"after-{n}") for n in range(8))), 60)
    assert [value(outcome)[1] for outcome in outcomes] == [1] * 8
