"""Calls that are claimed by the statement that accepts them."""

from __future__ import annotations

import asyncio

import pytest

from polycall.domain import ExecutionState, Reason
from polycall.engine.requests import RunOptions
from polycall.errors import Unavailable
from tests.engine.house import DEFAULT, OTHER, House, function, other_project, refusal, until


async def test_a_call_that_finds_room_is_claimed_as_it_is_accepted(home: House) -> None:
    await home.deploy()
    home.work()
    for number in (b"1", b"2"):
        call = await home.engine.call(DEFAULT, function(input=b'{"x": %s}' % number))
        assert (call.state, call.attempt, call.owner) == (ExecutionState.QUEUED, 0, None)  # as it was accepted
        ended = await home.engine.executions.wait(DEFAULT, call.id, 60)
        assert (ended.state, ended.result, ended.attempt) == (ExecutionState.COMPLETED, number, 1)
    assert home.store.calls.count("accept") == 2
    assert {"claim", "enqueue"}.isdisjoint(home.store.calls)


async def test_no_more_are_claimed_so_than_there_is_room_for_and_the_rest_wait(home: House) -> None:
    await home.deploy()
    home.work()
    # two slots for Calls: two that come in the same moment are accepted with one each
    calls = await asyncio.gather(*[home.engine.call(DEFAULT, function("hang")) for _ in range(2)])
    calls += await asyncio.gather(*[home.engine.call(DEFAULT, function("hang")) for _ in range(5)])
    assert (home.store.calls.count("accept"), home.store.calls.count("enqueue")) == (2, 5)
    states = [kept.state for kept in await home.records()]
    assert (states.count(ExecutionState.RUNNING), states.count(ExecutionState.QUEUED)) == (2, 5)
    await home.begun(2)
    for call in reversed(calls):
        await home.engine.executions.cancel(DEFAULT, call.id)
    assert sorted(kept.attempt for kept in await home.records()) == [0] * 5 + [1] * 2


async def test_of_a_crowd_each_is_run_once(home: House) -> None:
    await home.deploy()
    home.work()
    calls = await asyncio.gather(*[home.engine.call(DEFAULT, function(input=b'{"x": 1}')) for _ in range(20)])
    assert home.store.calls.count("accept") >= 1
    for call in calls:
        assert (await home.engine.executions.wait(DEFAULT, call.id, 60)).result == b"1"
    assert [kept.attempt for kept in await home.records()] == [1] * 20


async def test_what_waits_is_started_before_what_comes(home: House) -> None:
    await home.deploy()
    await other_project(home.store)
    await home.deploy(who=OTHER)
    home.work()
    await asyncio.gather(*[home.engine.call(DEFAULT, function("hang")) for _ in range(2)])
    await home.begun(2)
    waits = await home.engine.call(OTHER, function("slow"))
    hanging = [live.execution.id for live in home.engine.live.all()]
    held = home.store.hold("claim")
    await home.engine.executions.cancel(DEFAULT, hanging[0])
    await held.begun.wait()
    # a slot is taken for who waits, another one is free by now
    await home.engine.executions.cancel(DEFAULT, hanging[1])
    home.store.calls.clear()
    late = await home.engine.call(DEFAULT, function(input=b'{"x": 1}'))
    assert "accept" not in home.store.calls
    held.go.set()
    assert (await home.engine.executions.wait(OTHER, waits.id, 10)).state is ExecutionState.COMPLETED
    assert (await home.engine.executions.wait(DEFAULT, late.id, 60)).result == b"1"


async def test_what_is_delayed_or_under_a_limit_is_queued(home: House) -> None:
    await home.deploy()
    home.work()
    await home.engine.call(DEFAULT, function(), RunOptions(delay_s=3600))
    assert "accept" not in home.store.calls
    await home.store.set_policy("default", "p", "echo", {"max_running": 1}, 100)
    calls = await asyncio.gather(*[home.engine.call(DEFAULT, function(input=b'{"x": 1}')) for _ in range(3)])
    for call in calls:
        assert (await home.engine.executions.wait(DEFAULT, call.id, 60)).result == b"1"
    # by now it is known that the project has limits
    before = home.store.calls.count("accept")
    call = await home.engine.call(DEFAULT, function(input=b'{"x": 2}'))
    assert home.store.calls.count("accept") == before
    assert (await home.engine.executions.wait(DEFAULT, call.id, 60)).result == b"2"


async def test_a_call_whose_acceptance_was_not_heard_of_is_started_all_the_same_and_once(home: House) -> None:
    await home.deploy()
    home.work()
    home.store.unheard.add("accept")
    refused = await refusal(home.engine.call(DEFAULT, function("slow"), RunOptions(max_attempts=1)), Unavailable)
    assert refused.reason is Reason.STORE_UNAVAILABLE
    # until it is known what was committed nothing more is claimed so
    other = await home.engine.call(DEFAULT, function(input=b'{"x": 2}'))
    assert home.store.calls.count("accept") == 1
    assert (await home.engine.executions.wait(DEFAULT, other.id, 60)).result == b"2"
    await until(home.all_ended)
    # what nobody heard of was no attempt, or a Call of one attempt would never have been started
    kept = [(one.state, one.attempt) for one in await home.records()]
    assert kept == [(ExecutionState.COMPLETED, 1)] * 2


async def test_a_call_whose_caller_goes_away_while_it_is_accepted_is_run(home: House) -> None:
    await home.deploy()
    home.work()
    held = home.store.hold("accept")
    asking = asyncio.create_task(home.engine.call(DEFAULT, function(input=b'{"x": 1}')))
    await held.begun.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    held.go.set()
    await until(home.all_ended)
    assert (await home.record()).result == b"1"


async def test_what_is_being_accepted_when_the_server_stops_is_run_in_its_grace(home: House) -> None:
    await home.deploy()
    home.work()
    held = home.store.hold("accept")
    asking = asyncio.create_task(home.engine.call(DEFAULT, function("slow"), RunOptions(max_attempts=1)))
    await held.begun.wait()
    stopping = asyncio.create_task(home.dispatcher.stop(10))
    await asyncio.sleep(0)
    assert not stopping.done()
    held.go.set()
    call = await asking
    await stopping
    assert (await home.store.real.get("default", call.id)).state is ExecutionState.COMPLETED
    # what comes now is queued: others run it
    late = await home.engine.call(DEFAULT, function())
    assert (await home.store.real.get("default", late.id)).state is ExecutionState.QUEUED


async def test_a_fault_in_accepting_is_the_callers_alone(home: House) -> None:
    await home.deploy()
    home.work()
    home.store.failing["accept"] = ZeroDivisionError()
    await refusal(home.engine.call(DEFAULT, function()), ZeroDivisionError)
    home.store.failing.clear()
    call = await home.engine.call(DEFAULT, function(input=b'{"x": 1}'))
    assert (await home.engine.executions.wait(DEFAULT, call.id, 60)).result == b"1"
    assert home.working is not None
    assert not home.working.done()
