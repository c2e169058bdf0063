"""Request ids: a repeat returns the first answer; where there was none, it runs (AIP-155)."""

from __future__ import annotations

import asyncio
import time

import pytest

from polycall.domain import ExecutionState, Reason
from polycall.engine.requests import RunOptions
from polycall.errors import DeadlineExceeded, InvalidArgument, Unavailable
from tests.engine.conftest import Build
from tests.engine.house import DEFAULT, HANGS, OTHER, House, ad_hoc, function, other_project, refusal, until

ONCE = RunOptions(request_id="once")
RANDOM = ad_hoc("import os\ndef execute(input): return os.urandom(8).hex()")
SLOWLY = ad_hoc(
    "import os, time\ndef execute(input):\n    print('begun', flush=True)\n    time.sleep(0.3)\n    return 1"
)


async def test_a_repeat_returns_the_first_answer(home: House) -> None:
    first = await home.engine.execute(DEFAULT, RANDOM, ONCE)
    assert await home.engine.execute(DEFAULT, RANDOM, ONCE) == first
    assert await home.record() == first


async def test_a_repeat_after_a_restart_returns_the_first_answer(build: Build) -> None:
    async with build() as home:
        first = await home.engine.execute(DEFAULT, RANDOM, ONCE)
    async with build() as home:
        assert await home.engine.execute(DEFAULT, RANDOM, ONCE) == first
        assert await home.record() == first


async def test_an_id_is_a_projects_own(home: House) -> None:
    await other_project(home.store)
    first = await home.engine.execute(DEFAULT, RANDOM, ONCE)
    assert await home.engine.execute(OTHER, RANDOM, ONCE) != first


async def test_repeats_at_the_same_time_share_one_run(home: House) -> None:
    answers = await asyncio.gather(*(home.engine.execute(DEFAULT, RANDOM, ONCE) for _ in range(20)))
    assert {answer.id for answer in answers} == {(await home.record()).id}


async def test_the_one_who_came_first_may_leave_the_others(home: House) -> None:
    first = asyncio.create_task(home.engine.execute(DEFAULT, SLOWLY, ONCE))
    await home.begun()
    second = asyncio.create_task(home.engine.execute(DEFAULT, SLOWLY, ONCE))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    answer = await second
    assert answer.result == b"1"
    assert await home.record() == answer


async def test_the_run_is_killed_when_the_last_one_leaves(home: House) -> None:
    clients = [asyncio.create_task(home.engine.execute(DEFAULT, ad_hoc(HANGS), ONCE)) for _ in range(3)]
    await home.begun()
    for client in clients:
        client.cancel()
    await asyncio.wait(clients)
    assert all(client.cancelled() for client in clients)
    assert len(home.engine.live) == 0
    kept = await home.record()
    assert kept.error is not None
    assert (kept.error.reason, kept.stdout, kept.request_id) == (Reason.CANCELLED_BY_CLIENT, b"begun\n", None)


async def test_who_repeats_after_the_client_went_away_gets_a_run(home: House) -> None:
    client = asyncio.create_task(home.engine.execute(DEFAULT, ad_hoc(HANGS), ONCE))
    await home.begun()
    client.cancel()
    await asyncio.sleep(0)  # the kill is under way
    again = await home.engine.execute(DEFAULT, RANDOM, ONCE)
    assert again.state is ExecutionState.COMPLETED
    assert await home.engine.execute(DEFAULT, RANDOM, ONCE) == again
    await asyncio.wait([client])
    states = [kept.state for kept in await home.records()]
    assert states == [ExecutionState.CANCELLED, ExecutionState.COMPLETED]


async def test_one_that_waited_for_a_slot_and_left_can_be_repeated(build: Build) -> None:
    async with build(slots=1) as home:
        hanging = asyncio.create_task(home.engine.execute(DEFAULT, ad_hoc(HANGS)))
        await home.begun()
        client = asyncio.create_task(home.engine.execute(DEFAULT, RANDOM, ONCE))
        await until(lambda: home.engine.admission.waiting == 1)
        client.cancel()
        await asyncio.wait([client])
        again = asyncio.create_task(home.engine.execute(DEFAULT, RANDOM, ONCE))
        await until(lambda: home.engine.admission.waiting == 1)
        hanging.cancel()
        assert (await again).state is ExecutionState.COMPLETED


async def test_what_the_first_is_refused_for_all_are_refused_for(home: House) -> None:
    home.store.away.add("find_request")
    refused = await asyncio.gather(
        *(home.engine.execute(DEFAULT, RANDOM, ONCE) for _ in range(3)), return_exceptions=True
    )
    assert [type(error) for error in refused] == [Unavailable] * 3
    home.store.away.clear()
    assert (await home.engine.execute(DEFAULT, RANDOM, ONCE)).state is ExecutionState.COMPLETED


async def test_the_deadline_of_the_first_is_not_that_of_the_others(home: House) -> None:
    soon = RunOptions(request_id="once", expires_at=time.monotonic() + 1.0)
    first = asyncio.create_task(home.engine.execute(DEFAULT, ad_hoc(HANGS), soon))
    await until(home.engine.live.all)  # it has the id
    second = asyncio.create_task(home.engine.execute(DEFAULT, SLOWLY, ONCE))
    await refusal(first, DeadlineExceeded)
    answer = await second
    assert answer.result == b"1"
    stopped, kept = await home.records()
    assert (stopped.state, stopped.request_id) == (ExecutionState.TIMEOUT, None)
    assert kept == answer


async def test_a_repeated_call_is_accepted_once(home: House) -> None:
    await home.deploy()
    calls = [await home.engine.call(DEFAULT, function(), ONCE) for _ in range(3)]
    assert {call.id for call in calls} == {(await home.record()).id}
    home.work()
    ended = await home.engine.executions.wait(DEFAULT, calls[0].id, 60)
    again = await home.engine.call(DEFAULT, function(), ONCE)
    assert (again.id, again.state) == (ended.id, ExecutionState.COMPLETED)


async def test_a_run_with_the_id_of_a_call_returns_the_call(home: House) -> None:
    await home.deploy()
    call = await home.engine.call(DEFAULT, function(), ONCE)
    assert await home.engine.run(DEFAULT, function(), ONCE) == call


async def test_a_request_that_was_refused_has_used_no_id(home: House) -> None:
    await refusal(home.engine.execute(DEFAULT, ad_hoc(""), ONCE), InvalidArgument)
    assert (await home.engine.execute(DEFAULT, RANDOM, ONCE)).state is ExecutionState.COMPLETED
