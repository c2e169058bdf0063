"""Deadlines: the caller's, the run's own limit, a Call's; each is named, in the phase that spent it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from polycall.domain import ExecutionState, LimitOverrides, Reason
from polycall.engine.requests import RunOptions
from polycall.errors import DeadlineExceeded
from polycall.ids import now_ms
from tests.engine.conftest import Build
from tests.engine.house import DEFAULT, HANGS, PATIENCE, House, ad_hoc, function, refusal, until


def within(seconds: float) -> RunOptions:
    return RunOptions(expires_at=time.monotonic() + seconds)


async def test_a_run_over_its_own_limit_is_an_answer(home: House) -> None:
    for seconds in PATIENCE:
        limits = LimitOverrides(timeout_ms=int(seconds * 1000))
        answer = await home.engine.execute(DEFAULT, ad_hoc(HANGS, limits=limits), within(60))
        assert answer.error is not None
        assert (answer.state, answer.error.reason) == (ExecutionState.TIMEOUT, Reason.EXECUTION_TIMEOUT)
        assert answer.error.message == f"Execution timed out after {seconds:g} s (limits.timeout)."
        if answer.stdout:
            break
    assert answer.stdout == b"begun\n"


async def test_a_run_over_its_callers_deadline_is_stopped_before_it_and_recorded(home: House) -> None:
    for seconds in PATIENCE:
        late = await refusal(home.engine.execute(DEFAULT, ad_hoc(HANGS), within(seconds)), DeadlineExceeded)
        *_, kept = await home.records()
        if kept.stdout:
            break
    assert (late.reason, late.metadata) == (
        Reason.EXECUTION_TIMEOUT,
        {"phase": "run", "execution": f"executions/{kept.id}"},
    )
    assert (kept.state, kept.stdout) == (ExecutionState.TIMEOUT, b"begun\n")
    assert kept.error is not None
    assert kept.error.message.endswith("s: its deadline passed.")
    assert kept.limits is not None
    assert kept.limits.timeout_ms == 30_000  # what was allowed, not what was left


async def test_a_deadline_that_has_passed_runs_nothing(home: House) -> None:
    late = await refusal(home.engine.execute(DEFAULT, ad_hoc(), within(-1)), DeadlineExceeded)
    assert (late.reason, late.metadata) == (Reason.QUEUE_TIMEOUT, {"phase": "queue"})
    assert await home.records() == []


async def test_a_deadline_spent_in_the_queue_says_so(build: Build) -> None:
    async with build(slots=1) as home:
        hanging = asyncio.create_task(home.engine.execute(DEFAULT, ad_hoc(HANGS)))
        await home.begun()
        late = await refusal(home.engine.execute(DEFAULT, ad_hoc(), within(0.05)), DeadlineExceeded)
        assert late.metadata == {"phase": "queue"}
        hanging.cancel()
        await asyncio.wait([hanging])


async def test_a_deadline_spent_on_the_start_says_so(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    # a sandbox that does not get a process ready
    async def stuck(*_: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(home.engine.runner, "run", stuck)
    late = await refusal(home.engine.execute(DEFAULT, ad_hoc(), within(0.1)), DeadlineExceeded)
    kept = await home.record()
    assert late.metadata == {"phase": "start", "execution": f"executions/{kept.id}"}
    assert kept.state is ExecutionState.TIMEOUT


async def test_a_call_stops_at_its_deadline(home: House) -> None:
    await home.deploy()
    home.work()
    for seconds in PATIENCE:
        options = RunOptions(deadline=now_ms() + int(seconds * 1000))
        call = await home.engine.call(DEFAULT, function("hang"), options)
        ended = await home.engine.executions.wait(DEFAULT, call.id, 60)
        assert ended.state is ExecutionState.TIMEOUT
        if ended.stdout:
            break
    assert ended.error is not None
    assert (ended.error.reason, ended.stdout) == (Reason.EXECUTION_TIMEOUT, b"begun\n")
    assert ended.error.message.endswith("s: its deadline passed.")


async def test_a_call_that_waits_beyond_its_deadline_is_never_started(build: Build) -> None:
    async with build(slots=1) as home:
        await home.deploy()
        home.work()
        hanging = asyncio.create_task(home.engine.run(DEFAULT, function("hang")))
        await home.begun()
        call = await home.engine.call(DEFAULT, function("hang"), RunOptions(deadline=now_ms() + 500))
        ended = await home.engine.executions.wait(DEFAULT, call.id, 60)
        assert ended.error is not None
        assert (ended.state, ended.attempt, ended.started_at) == (ExecutionState.TIMEOUT, 0, None)
        assert ended.error.message == "The deadline passed before a slot was free; nothing ran."
        hanging.cancel()
        await asyncio.wait([hanging])


async def test_a_call_whose_deadline_passes_while_it_is_claimed_is_not_started(home: House) -> None:
    await home.deploy()
    call = await home.engine.call(DEFAULT, function("hang"), RunOptions(deadline=now_ms() + 500))
    claim = home.store.hold("claim")
    home.work()
    await claim.begun.wait()
    await until(lambda: now_ms() > (call.deadline or 0))
    claim.go.set()
    ended = await home.engine.executions.wait(DEFAULT, call.id, 60)
    assert (ended.state, ended.stdout) == (ExecutionState.TIMEOUT, b"")
    assert ended.error is not None
    assert ended.error.message == "The deadline passed before a slot was free; nothing ran."
