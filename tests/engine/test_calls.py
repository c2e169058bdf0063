"""Calls: accepted before they are answered, run when there is a slot, recorded once."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from polycall.domain import (
    ExecutionKind,
    ExecutionState,
    IsolationLevel,
    LimitOverrides,
    OutputChunk,
    Reason,
    StartKind,
    Stream,
)
from polycall.engine.limits import DEFAULTS, MAXIMUMS, LimitPolicy
from polycall.engine.requests import RunOptions
from polycall.errors import AlreadyExists, NotFound
from tests.engine.conftest import Build
from tests.engine.house import DEFAULT, HANGS, OTHER, House, ad_hoc, function, other_project, refusal, until


async def test_a_call_is_stored_before_it_is_answered_and_run_later(home: House) -> None:
    await home.deploy()
    call = await home.engine.call(DEFAULT, function("slow", input=b'{"x": 1}'), RunOptions(max_attempts=1))
    assert (call.kind, call.state, call.attempt) == (ExecutionKind.CALL, ExecutionState.QUEUED, 0)
    assert await home.store.real.get("default", call.id) == call
    home.work()
    ended = await home.engine.executions.wait(DEFAULT, call.id, 60)
    assert (ended.state, ended.result, ended.attempt, ended.stdout) == (
        ExecutionState.COMPLETED,
        b"1",
        1,
        b"begun\ndone\n",
    )
    assert ended.started_at is not None
    assert ended.ended_at is not None
    assert ended.queued_at <= ended.started_at <= ended.ended_at
    assert await home.record() == ended


async def test_calls_use_their_slots_at_once_and_no_more(build: Build) -> None:
    async with build(slots=4, call_slots=2) as home:
        await home.deploy()
        for _ in range(5):
            await home.engine.call(DEFAULT, function("slow"))
        home.work()
        most = 0
        while not all(kept.state.final for kept in await home.records()):
            most = max(most, len(home.engine.live))
            await asyncio.sleep(0.01)
        assert most == 2
        assert {kept.state for kept in await home.records()} == {ExecutionState.COMPLETED}


async def test_a_call_is_claimed_only_when_there_is_a_slot_for_it(build: Build) -> None:
    async with build(slots=1) as home:
        await home.deploy()
        home.work()
        hanging = asyncio.create_task(home.engine.execute(DEFAULT, ad_hoc(HANGS)))
        await home.begun()
        call = await home.engine.call(DEFAULT, function("slow"))
        await until(lambda: home.engine.admission.waiting == 1)
        assert (await home.engine.executions.get(DEFAULT, call.id)).state is ExecutionState.QUEUED
        hanging.cancel()
        ended = await home.engine.executions.wait(DEFAULT, call.id, 60)
        assert ended.state is ExecutionState.COMPLETED
        assert ended.usage.queue_us >= 0


async def test_waiting_calls_take_no_place_in_the_queue_of_others(build: Build) -> None:
    async with build(slots=1, queue=1) as home:
        await home.deploy()
        home.work()
        hanging = asyncio.create_task(home.engine.execute(DEFAULT, ad_hoc(HANGS)))
        await home.begun()
        call = await home.engine.call(DEFAULT, function())
        await until(lambda: home.engine.admission.waiting == 1)
        run = asyncio.create_task(home.engine.execute(DEFAULT, ad_hoc()))
        await until(lambda: home.engine.admission.waiting == 2)
        hanging.cancel()
        assert (await run).state is ExecutionState.COMPLETED
        assert (await home.engine.executions.wait(DEFAULT, call.id, 60)).state is ExecutionState.COMPLETED


async def test_a_project_with_many_calls_in_the_queue_does_not_hold_up_anothers_first(build: Build) -> None:
    async with build(slots=1) as home:
        await other_project(home.store)
        for who in (DEFAULT, OTHER):
            await home.deploy(who=who)
        for _ in range(20):
            await home.engine.call(DEFAULT, function())
        hanging = asyncio.create_task(home.engine.execute(DEFAULT, ad_hoc(HANGS)))
        await home.begun()
        home.work()
        await until(lambda: home.engine.admission.waiting == 1)
        other = await home.engine.call(OTHER, function())
        hanging.cancel()
        ended = await home.engine.executions.wait(OTHER, other.id, 10)
        assert ended.ended_at is not None
        await until(lambda: home.all_ended())
        calls = [kept for kept in await home.records() if kept.kind is ExecutionKind.CALL]
        assert len(calls) == 20
        before = [kept for kept in calls if (kept.started_at or 0) < (ended.started_at or 0)]
        assert len(before) <= 1  # it was the other project's turn


async def test_calls_and_runs_of_a_project_together_have_no_more_slots_than_it_may_have(build: Build) -> None:
    async with build(slots=4, call_slots=4, project_slots=2) as home:
        await other_project(home.store)
        for who in (DEFAULT, OTHER):
            await home.deploy(who=who)
        home.work()
        hanging = asyncio.create_task(home.engine.execute(DEFAULT, ad_hoc(HANGS)))
        await home.begun()
        calls = [await home.engine.call(DEFAULT, function("hang")) for _ in range(2)]
        await home.begun(2)
        other = await home.engine.call(OTHER, function())
        assert (await home.engine.executions.wait(OTHER, other.id, 10)).state is ExecutionState.COMPLETED
        states = {(await home.engine.executions.get(DEFAULT, call.id)).state for call in calls}
        assert states == {ExecutionState.RUNNING, ExecutionState.QUEUED}
        hanging.cancel()
        await home.begun(2)
        for call in calls:
            await home.engine.executions.cancel(DEFAULT, call.id)


async def test_calls_are_warm_in_their_own_project_and_version(home: House) -> None:
    await home.deploy()
    home.work()
    kinds = []
    for _ in range(2):
        call = await home.engine.call(DEFAULT, function("pid"))
        kinds.append((await home.engine.executions.wait(DEFAULT, call.id, 60)).start_kind)
    assert [kind is StartKind.WARM for kind in kinds] == [False, True]


async def test_a_call_runs_the_version_it_was_accepted_for(home: House) -> None:
    await home.deploy(source=b"def f(): return 1")
    call = await home.engine.call(DEFAULT, function("f"))
    await home.deploy(source=b"def f(): return 2")
    home.work()
    ended = await home.engine.executions.wait(DEFAULT, call.id, 60)
    assert (ended.version_id, ended.result) == ("1", b"1")


async def test_an_alias_is_taken_once(home: House) -> None:
    await home.deploy()
    options = RunOptions(face="cognite", alias="7")
    call = await home.engine.call(DEFAULT, function(), options)
    await refusal(home.engine.call(DEFAULT, function(), options), AlreadyExists)
    assert (await home.engine.executions.find(DEFAULT, "cognite", "7")).id == call.id


# what happens to a Call before it runs


async def test_a_queued_call_is_cancelled_and_never_runs(home: House) -> None:
    await home.deploy()
    call = await home.engine.call(DEFAULT, function("hang"))
    cancelled = await home.engine.executions.cancel(DEFAULT, call.id)
    assert cancelled.error is not None
    assert (cancelled.state, cancelled.error.reason) == (ExecutionState.CANCELLED, Reason.EXECUTION_CANCELLED)
    home.work()
    other = await home.engine.call(DEFAULT, function())
    await home.engine.executions.wait(DEFAULT, other.id, 60)
    assert await home.engine.executions.get(DEFAULT, call.id) == cancelled


async def test_a_call_that_is_cancelled_while_it_is_claimed_never_runs(home: House) -> None:
    await home.deploy()
    call = await home.engine.call(DEFAULT, function("hang"))
    claim = home.store.hold("claim")
    home.work()
    await claim.begun.wait()  # RUNNING in the database, and not yet here
    answer = await home.engine.executions.cancel(DEFAULT, call.id)
    assert (answer.state, answer.cancel_requested) == (ExecutionState.RUNNING, True)
    claim.go.set()
    ended = await home.engine.executions.wait(DEFAULT, call.id, 60)
    assert ended.state is ExecutionState.CANCELLED


async def test_a_call_that_is_cancelled_while_it_is_prepared_never_runs(home: House) -> None:
    await home.deploy()
    call = await home.engine.call(DEFAULT, function("hang"))
    home.registry._forget("default", "p")
    version = home.store.hold("get_version")
    home.work()
    await version.begun.wait()
    cancelling = asyncio.create_task(home.engine.executions.cancel(DEFAULT, call.id))
    (live,) = home.engine.live.all()
    await until(lambda: live.stopped is not None)
    version.go.set()
    ended = await cancelling
    assert (ended.state, ended.stdout, ended.usage.run_us) == (ExecutionState.CANCELLED, b"", 0)
    assert await home.record() == ended


async def test_a_call_whose_package_is_gone_fails_and_says_so(home: House) -> None:
    await home.deploy()
    call = await home.engine.call(DEFAULT, function())
    await home.registry.delete_package(DEFAULT, "p")
    home.work()
    ended = await home.engine.executions.wait(DEFAULT, call.id, 60)
    assert ended.error is not None
    assert (ended.state, ended.error.reason) == (ExecutionState.FAILED, Reason.PACKAGE_NOT_FOUND)
    assert ended.error.message == "packages/p does not exist in this project."


async def test_a_call_beyond_what_the_operator_allows_by_now_fails(build: Build) -> None:
    async with build() as home:
        await home.deploy()
        run = replace(function(), limits=LimitOverrides(timeout_ms=60_000))
        call = await home.engine.call(DEFAULT, run)
    lower = LimitPolicy.up_to(replace(MAXIMUMS, timeout_ms=DEFAULTS.timeout_ms))
    async with build(limits=lower) as home:
        home.work()
        ended = await home.engine.executions.wait(DEFAULT, call.id, 60)
        assert ended.error is not None
        assert (ended.state, ended.error.reason) == (ExecutionState.FAILED, Reason.LIMIT_OUT_OF_RANGE)


async def test_calls_wait_where_the_machine_is_below_the_floor(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    async with build() as home:
        await home.deploy()
        call = await home.engine.call(DEFAULT, function("slow"), RunOptions(max_attempts=1))
    with monkeypatch.context() as patch:
        async with build(floor=IsolationLevel.NAMESPACED) as worse:
            patch.setattr(worse.engine.runner, "isolation", IsolationLevel.CONFINED)
            worse.work()
            await until(lambda: worse.store.calls.count("expire") >= 1)
            assert "claim" not in worse.store.calls
            assert (await worse.engine.executions.get(DEFAULT, call.id)).state is ExecutionState.QUEUED
    async with build(floor=IsolationLevel.NAMESPACED) as home:
        home.work()
        assert (await home.engine.executions.wait(DEFAULT, call.id, 60)).state is ExecutionState.COMPLETED


# what happens to a Call while it runs


async def test_a_running_call_is_cancelled_and_keeps_its_output(home: House) -> None:
    await home.deploy()
    home.work()
    call = await home.engine.call(DEFAULT, function("hang"))
    await home.begun()
    assert (await home.engine.executions.get(DEFAULT, call.id)).stdout == b"begun\n"
    await refusal(home.engine.executions.cancel(OTHER, call.id), NotFound)
    ended = await home.engine.executions.cancel(DEFAULT, call.id)
    assert ended.error is not None
    assert (ended.state, ended.error.reason, ended.stdout) == (
        ExecutionState.CANCELLED,
        Reason.EXECUTION_CANCELLED,
        b"begun\n",
    )
    assert await home.engine.executions.cancel(DEFAULT, call.id) == ended
    assert await home.record() == ended
    (chunk,) = await home.engine.executions.output(DEFAULT, call.id)
    assert (chunk.stream, chunk.data) == (Stream.STDOUT, b"begun\n")


async def test_a_call_that_another_server_was_asked_to_cancel_is_stopped(home: House) -> None:
    await home.deploy()
    home.work()
    call = await home.engine.call(DEFAULT, function("hang"))
    await home.begun()
    await home.store.real.request_cancel("default", call.id, 1)
    assert (await home.engine.executions.wait(DEFAULT, call.id, 60)).state is ExecutionState.CANCELLED


async def test_an_end_is_seen_only_when_it_can_be_read(home: House) -> None:
    await home.deploy()
    home.work()
    finish = home.store.hold("finish")
    call = await home.engine.call(DEFAULT, function())
    waiting = asyncio.create_task(home.engine.executions.wait(DEFAULT, call.id, 60))
    await finish.begun.wait()
    assert not waiting.done()
    assert home.engine.admission.busy == 0  # nobody waits for a slot because the database is slow
    finish.go.set()
    assert await home.store.real.get("default", call.id) == await waiting


async def test_the_output_of_a_running_call_is_stored_as_it_comes_and_once(home: House) -> None:
    source = b"import time\ndef f():\n    for n in range(3):\n        print(n, flush=True)\n        time.sleep(0.5)\n"
    await home.deploy(source=source)
    home.work()
    append = home.store.hold("append_output")
    call = await home.engine.call(DEFAULT, function("f"))
    await append.begun.wait()  # written, and not yet known to be

    async def stored() -> tuple[OutputChunk, ...]:
        return await home.store.real.output("default", call.id)

    assert b"".join(chunk.data for chunk in await stored()).startswith(b"0\n")
    (live,) = home.engine.live.all()
    await until(lambda: live.begun and live._task is None)
    append.go.set()
    ended = await home.engine.executions.wait(DEFAULT, call.id, 60)
    assert ended.stdout == b"0\n1\n2\n"
    assert b"".join(chunk.data for chunk in await stored()) == ended.stdout


async def test_one_call_that_goes_wrong_takes_no_other_with_it(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await home.deploy()
    real = home.preparation.again
    poisoned = await home.engine.call(DEFAULT, function())

    async def again(execution: object) -> object:
        if execution.id == poisoned.id:  # type: ignore[attr-defined]
            raise ZeroDivisionError
        return await real(execution)  # type: ignore[arg-type]

    monkeypatch.setattr(type(home.preparation), "again", lambda _, execution: again(execution))
    home.work()
    call = await home.engine.call(DEFAULT, function(input=b'{"x": 1}'))
    assert (await home.engine.executions.wait(DEFAULT, call.id, 60)).result == b"1"
    ended = await home.engine.executions.wait(DEFAULT, poisoned.id, 60)
    assert ended.error is not None
    assert (ended.state, ended.error.reason) == (ExecutionState.FAILED, Reason.INTERNAL)
