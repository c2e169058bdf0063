"""Which warm workers are kept, for how long, and which are there before anybody calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from polycall.domain import StartKind, WarmPolicy
from polycall.sandbox.image import Image
from polycall.sandbox.sandbox import Sandbox
from tests.sandbox.conftest import config
from tests.sandbox.programs import HELD, MIB, WAIT, all_at_once, eventually, job, key, limits, tree, value
from tests.sandbox.test_warm import COUNT, count

pytestmark = pytest.mark.asyncio(loop_scope="session")


@asynccontextmanager
async def started(**changes: Any) -> AsyncIterator[Sandbox]:
    sandbox = Sandbox(config(**({"waiting": 1, "warm": 4, "processes": 10} | changes)))
    await sandbox.start()
    try:
        yield sandbox
    finally:
        await sandbox.stop()


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def keeping() -> AsyncIterator[Sandbox]:
    async with started() as sandbox:
        yield sandbox


async def at_once(sandbox: Sandbox, number: int, **changes: Any) -> None:
    """Have so many runs of one program at the same time."""
    code = f"{HELD}\ndef execute(i):\n    {WAIT}\n    return i"
    outcomes = await all_at_once(sandbox, [job(code, i, **changes) for i in range(number)])
    assert [value(outcome) for outcome in outcomes] == list(range(number))


async def test_a_version_has_no_more_warm_workers_than_it_may_have(keeping: Sandbox) -> None:
    before = keeping.counts.idle
    await at_once(keeping, 3, key=key("most"), warm=WarmPolicy(max=2))
    assert keeping.counts.idle - before == 2
    await keeping.retire("p", "k")


async def test_a_version_may_keep_its_workers_for_another_time_than_the_servers(keeping: Sandbox) -> None:
    for name, idle_ms in (("short", 1), ("long", 0)):
        assert value(await count(keeping, name, warm=WarmPolicy(idle_ms=idle_ms)))[1] == 1
    await eventually(lambda: keeping.counts.idle == 1)
    assert (await count(keeping, "long")).start_kind is StartKind.WARM
    assert (await count(keeping, "short")).start_kind is not StartKind.WARM
    await keeping.retire("p", "k")


HOLDS = """
    held = []
    def execute(mib):
        held.append(bytearray(b'x') * (mib << 20))
        return sum(map(len, held)) >> 20
"""


@pytest.mark.parametrize("level", [3, 2])
async def test_warm_workers_share_a_budget_of_memory_and_the_least_used_makes_room(level: int) -> None:
    async with started(level=level, warm_memory_bytes=100 * MIB, warm_growth_bytes=1024 * MIB) as sandbox:
        for name in ("one", "two", "three"):
            await sandbox.run(job(HOLDS, 40, key=key(name), limits=limits(memory_bytes=256 * MIB)))
        assert sandbox.counts.warm_bytes <= 100 * MIB
        kept = {
            name: await sandbox.run(job(HOLDS, 0, key=key(name), limits=limits(memory_bytes=256 * MIB)))
            for name in ("three", "one")
        }
        assert (value(kept["three"]), kept["three"].start_kind) == (40, StartKind.WARM)
        assert (value(kept["one"]), kept["one"].start_kind is StartKind.WARM) == (0, False)


@pytest.mark.parametrize("level", [3, 2])
async def test_a_worker_that_grows_is_replaced(level: int) -> None:
    async with started(level=level, warm_growth_bytes=20 * MIB) as sandbox:

        async def held(mib: int) -> Any:
            return value(await sandbox.run(job(HOLDS, mib, key=key("grows"), limits=limits(memory_bytes=256 * MIB))))

        assert (await held(1), await held(60)) == (1, 61)
        await eventually(lambda: sandbox.counts.idle == 0)
        assert await held(1) == 1


async def test_a_worker_ends_when_it_is_old() -> None:
    async with started(warm_age_s=0.5) as sandbox:
        await count(sandbox, "ages")
        await eventually(lambda: sandbox.counts.idle == 0)
        assert (await count(sandbox, "ages")).start_kind is not StartKind.WARM


# ready before anybody calls

READY = """
    import secrets
    me = secrets.token_hex(8)
    def execute(input): return me
"""


async def ready(sandbox: Sandbox, count: int, code: str = READY, package: str = "k") -> Callable[[], Any]:
    loading = job(code, key=key("ready", package), load_only=True)
    sandbox.keep_ready("p", package, loading, count)
    return lambda: sandbox.run(replace(loading, load_only=False))


async def test_workers_that_are_to_be_ready_have_loaded_the_code_before_the_first_call() -> None:
    async with started() as sandbox:
        call = await ready(sandbox, 2)
        await eventually(lambda: sandbox.counts.idle == 2)
        outcomes = await asyncio.gather(call(), call())
        assert [outcome.start_kind for outcome in outcomes] == [StartKind.WARM] * 2
        assert len({value(outcome) for outcome in outcomes}) == 2


async def test_what_is_to_be_ready_outlives_its_idle_time_and_is_replaced_when_it_dies() -> None:
    async with started(warm_idle_s=0.2) as sandbox:
        call = await ready(sandbox, 1)
        await eventually(lambda: sandbox.counts.idle == 1)
        await count(sandbox, "other")
        await eventually(lambda: sandbox.counts.idle == 1)  # the other has gone
        first = await call()
        assert first.start_kind is StartKind.WARM
        workers = {process for process in tree(sandbox) if process.pid not in sandbox.zygotes}
        await sandbox.retire("p", "k", "ready")  # ends it, and the order stands: the version may be made again
        await eventually(lambda: workers - tree(sandbox) != set())
        await eventually(lambda: sandbox.counts.idle == 1)
        second = await call()
        assert (second.start_kind, value(second) == value(first)) == (StartKind.WARM, False)


async def test_a_package_has_ready_what_it_was_last_asked_for_and_nothing_once_it_is_retired() -> None:
    async with started() as sandbox:
        await ready(sandbox, 2)
        await eventually(lambda: sandbox.counts.idle == 2)
        await sandbox.retire("p", "k")
        assert sandbox.counts.idle == 0
        await ready(sandbox, 1, package="b")
        await eventually(lambda: sandbox.counts.idle == 1)
        sandbox.keep_ready("p", "b", None, 0)


async def test_what_is_to_be_ready_takes_half_of_the_places_at_most_and_projects_take_turns() -> None:
    async with started(warm=4) as sandbox:
        for project in ("p", "q"):
            loading = job(READY, key=key("ready", project=project), load_only=True)
            sandbox.keep_ready(project, "k", loading, 9)
        await eventually(lambda: sandbox.counts.idle == 2)
        for project in ("p", "q"):
            outcome = await sandbox.run(job(READY, key=key("ready", project=project)))
            assert outcome.start_kind is StartKind.WARM
        for name in ("a", "b"):  # the other half is for what is called
            await count(sandbox, name)
        for name in ("a", "b"):
            assert (await count(sandbox, name)).start_kind is StartKind.WARM
        await asyncio.sleep(0)
        assert sandbox.counts.idle == 4


async def test_idle_workers_of_one_project_make_room_for_anothers_run_also_those_that_are_to_be_ready() -> None:
    async with started(warm=8, processes=5) as sandbox:
        await ready(sandbox, 4)
        await eventually(lambda: sandbox.counts.idle == 4)
        code = "import time\ndef execute(i):\n    time.sleep(0.2)\n    return i"
        outcomes = await asyncio.wait_for(
            asyncio.gather(*(sandbox.run(job(code, i, key=key("mine", project="q"))) for i in range(5))), 60
        )
        assert [value(outcome) for outcome in outcomes] == list(range(5))


async def test_code_that_does_not_load_is_not_loaded_again_and_again() -> None:
    async with started() as sandbox:
        await ready(sandbox, 2, code="raise ValueError('no')")
        await eventually(lambda: sandbox.counts.idle == 1)  # one attempt, whose process tells the next caller
        call = await ready(sandbox, 1, package="b")
        await eventually(lambda: sandbox.counts.idle == 2)  # and it holds up nobody else
        assert (await call()).start_kind is StartKind.WARM


async def test_workers_that_are_not_kept_are_not_made_again_and_again() -> None:
    async with started(warm_of_version=1) as sandbox:
        await ready(sandbox, 2)
        await eventually(lambda: sandbox.counts.idle == 1 and sandbox.counts.busy == 0)
        zygote = sandbox.zygotes[-1]
        before = {process.pid for process in tree(sandbox)}
        await count(sandbox, "other")  # something happens, and another look is taken
        await eventually(lambda: sandbox.counts.idle == 2)
        assert len({process.pid for process in tree(sandbox)} - before) <= 3
        assert sandbox.zygotes[-1] == zygote


async def test_an_image_without_a_zygote_is_not_ready_and_the_default_always_is(keeping: Sandbox) -> None:
    other = job(COUNT, image=Image(revision="another"))
    assert (keeping.ready(job(COUNT)), keeping.ready(other)) == (True, False)
    await keeping.get_ready(other)
    assert keeping.ready(other)
