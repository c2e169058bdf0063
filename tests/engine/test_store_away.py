"""The database goes away at every step of a Call, and comes back: nothing is lost, nothing is recorded twice."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from polycall.domain import ExecutionState, Reason, RetryPolicy, Scope
from polycall.engine import renewals
from polycall.engine.requests import RunOptions
from polycall.errors import Internal, Unauthenticated, Unavailable
from tests.engine.house import DEFAULT, House, function, refusal, until


@pytest.mark.parametrize("step", ["claim", "get_version", "get_bundle", "append_output", "finish"])
async def test_a_call_outlives_an_outage(home: House, step: str) -> None:
    await home.deploy()
    call = await home.engine.call(DEFAULT, function("slow", input=b'{"x": 1}'))
    home.registry._forget("default", "p")
    home.registry._recent._bundles.drop_where(lambda _: True)
    home.store.away.add(step)
    home.work()
    await until(lambda: home.store.calls.count(step) >= 2)
    assert not (await home.engine.executions.get(DEFAULT, call.id)).state.final
    home.store.away.clear()
    ended = await home.engine.executions.wait(DEFAULT, call.id, 60)
    assert (ended.state, ended.result, ended.attempt) == (ExecutionState.COMPLETED, b"1", 1)
    assert b"".join(chunk.data for chunk in await home.engine.executions.output(DEFAULT, call.id)) == b"begun\ndone\n"


@pytest.mark.parametrize("step", ["claim", "finish"])
async def test_what_the_database_did_before_it_went_away_is_done_once(home: House, step: str) -> None:
    await home.deploy()
    call = await home.engine.call(DEFAULT, function("slow", input=b'{"x": 1}'), RunOptions(max_attempts=1))
    home.store.unheard.add(step)
    home.work()
    ended = await home.engine.executions.wait(DEFAULT, call.id, 60)
    # a claim that nobody heard of was no attempt, or a Call of one attempt would never have been started
    assert (ended.state, ended.result, ended.attempt) == (ExecutionState.COMPLETED, b"1", 1)
    assert not home.store.unheard


async def test_what_is_in_use_is_read_again_before_it_is_too_old(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await home.deploy()
    _, text = await home.keys.create(DEFAULT, name="k", scopes=frozenset({Scope.RUN}))
    who = await home.keys.authenticate(text)
    await home.engine.run(who, function(input=b'{"x": 1}'))
    monkeypatch.setattr(renewals, "_EARLY_S", renewals.CACHE_S)  # all is old at once
    home.store.calls.clear()
    assert await home.keys.authenticate(text) == who
    await home.engine.run(who, function(input=b'{"x": 1}'))
    await until(lambda: {"find_key", "newest_version"} <= set(home.store.calls))
    # what could not be read is gone by as before, and not for longer
    home.store.away.add("*")
    assert await home.keys.authenticate(text) == who
    assert (await home.engine.run(who, function(input=b'{"x": 2}'))).result == b"2"
    home.store.away.clear()
    # revoked elsewhere, and nobody said so: seen at the renewal
    await home.store.real.revoke_key("default", who.key_id, 1)

    async def refused() -> bool:
        try:
            await home.keys.authenticate(text)
        except Unauthenticated:
            return True
        return False

    await until(refused)


async def test_what_cannot_be_accepted_is_refused(home: House) -> None:
    await home.deploy()
    home.store.away.add("enqueue")
    refused = await refusal(home.engine.call(DEFAULT, function()), Unavailable)
    assert refused.reason is Reason.STORE_UNAVAILABLE
    assert await home.records() == []


async def test_a_call_is_not_cancelled_here_if_that_cannot_be_stored(home: House) -> None:
    await home.deploy()
    home.work()
    call = await home.engine.call(DEFAULT, function("hang"))
    await home.begun()
    home.store.away.add("request_cancel")
    await refusal(home.engine.executions.cancel(DEFAULT, call.id), Unavailable)
    (live,) = home.engine.live.all()
    assert live.stopped is None
    home.store.away.clear()
    assert (await home.engine.executions.cancel(DEFAULT, call.id)).state is ExecutionState.CANCELLED


async def test_an_end_that_the_database_refuses_is_stored_as_a_fault_of_ours(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await home.deploy()
    home.work()
    real = home.store.real.finish

    async def finish(execution: object, *, owner: str) -> bool:
        if execution.result is not None:  # type: ignore[attr-defined]
            raise Internal("The store refused what it was given.")
        return await real(execution, owner=owner)  # type: ignore[arg-type]

    monkeypatch.setattr(home.store.real, "finish", finish)
    call = await home.engine.call(DEFAULT, function(input=b'{"x": 1}'))
    ended = await home.engine.executions.wait(DEFAULT, call.id, 60)
    assert ended.error is not None
    assert (ended.state, ended.error.reason, ended.result) == (ExecutionState.FAILED, Reason.INTERNAL, None)
    assert await home.record() == ended


@pytest.mark.parametrize("step", ["claim", "expire", "finish", "append_output"])
async def test_a_fault_at_any_step_does_not_end_the_dispatcher(home: House, step: str) -> None:
    await home.deploy()
    home.store.failing[step] = ZeroDivisionError()
    call = await home.engine.call(DEFAULT, function("slow", input=b'{"x": 1}'))
    home.work()
    await until(lambda: home.store.calls.count(step) >= 1)
    await until(lambda: len(home.engine.live) == 0)
    home.store.failing.clear()
    other = await home.engine.call(DEFAULT, function(input=b'{"x": 2}'))
    assert (await home.engine.executions.wait(DEFAULT, other.id, 60)).result == b"2"
    assert home.working is not None
    assert not home.working.done()
    assert (await home.engine.executions.get(DEFAULT, call.id)).attempt <= 1


async def test_a_lost_finish_is_recovered_at_the_next_start(home: House) -> None:
    await home.deploy()
    home.work()
    call = await home.engine.call(DEFAULT, function())
    home.store.away.add("finish")
    await until(lambda: home.store.calls.count("finish") >= 2)
    # the drain does not wait for a database that does not come back
    async with asyncio.timeout(60):
        await home.dispatcher.stop(0)
    home.store.away.clear()
    # its attempts are not used up, so it was handed back
    kept = await home.store.real.get("default", call.id)
    assert (kept.state, kept.attempt) == (ExecutionState.QUEUED, 1)


@pytest.mark.parametrize("step", ["find_retry", "retry"])
async def test_what_cannot_be_tried_again_ends_and_others_run_on(home: House, step: str) -> None:
    await home.deploy()
    home.work()
    home.store.failing[step] = Internal("The store refused what it was given.")
    policy = RetryPolicy(max_attempts=3) if step == "retry" else None
    call = await home.engine.call(DEFAULT, function("bad"), RunOptions(retry=policy))
    ended = await home.engine.executions.wait(DEFAULT, call.id, 60)
    assert ended.error is not None
    assert (ended.state, ended.error.reason, ended.attempt) == (ExecutionState.FAILED, Reason.USER_EXCEPTION, 1)
    other = await home.engine.call(DEFAULT, function(input=b'{"x": 1}'))
    assert (await home.engine.executions.wait(DEFAULT, other.id, 60)).result == b"1"


async def test_a_long_wait_for_another_attempt_is_the_databases_alone(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await home.deploy()
    loop = asyncio.get_running_loop()
    real, waits = loop.call_later, list[float]()

    def call_later(delay: float, *args: Any, **kwargs: Any) -> asyncio.TimerHandle:
        waits.append(delay)
        return real(delay, *args, **kwargs)

    monkeypatch.setattr(loop, "call_later", call_later)
    home.work()
    policy = RetryPolicy(max_attempts=3, initial_ms=3_600_000, maximum_ms=3_600_000, jitter=0)
    call = await home.engine.call(DEFAULT, function("bad"), RunOptions(retry=policy))
    await until(lambda: "retry" in home.store.calls)

    async def waits_again() -> bool:
        found = await home.engine.executions.get(DEFAULT, call.id)
        return (found.state, len(found.attempts)) == (ExecutionState.QUEUED, 1)

    await until(waits_again)
    await until(lambda: not home.engine.live.all())
    assert 3600 not in waits
