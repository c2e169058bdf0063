from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from polycall.domain import (
    Execution,
    ExecutionError,
    ExecutionKind,
    ExecutionState,
    OutputChunk,
    Reason,
    Stream,
)
from polycall.engine.limits import DEFAULTS
from polycall.engine.live import LiveRun, LiveRuns, Moved
from polycall.ids import new_id
from polycall.sandbox.job import Ending, Outcome

OURS = ExecutionError(reason=Reason.EXECUTION_CANCELLED, message="ours")
LATER = ExecutionError(reason=Reason.WORKER_LOST, message="later")


def live(**changes: object) -> LiveRun:
    execution = Execution(
        id=new_id(),
        project_id="p",
        kind=ExecutionKind.SYNC,
        state=ExecutionState.RUNNING,
        queued_at=1,
        limits=replace(DEFAULTS, stdout_bytes=4, stderr_bytes=0),
    )
    return LiveRun(replace(execution, **changes))  # type: ignore[arg-type]


async def for_ever() -> Outcome:
    await asyncio.Event().wait()
    raise AssertionError


async def test_the_first_stop_says_how_it_ends_and_the_task_lives_on() -> None:
    run = live()

    async def work() -> ExecutionState:
        assert await run.unless_stopped(for_ever()) is None
        await asyncio.sleep(0)  # nothing of the cancellation is left
        run.stop(ExecutionState.FAILED, LATER)  # comes too late
        await asyncio.sleep(0)
        return run.ended_as(*(run.stopped or (ExecutionState.QUEUED, LATER))).state

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    run.stop(ExecutionState.CANCELLED, OURS)
    run.stop(ExecutionState.FAILED, LATER)
    assert await task is ExecutionState.CANCELLED
    assert run.stopped == (ExecutionState.CANCELLED, OURS)


async def test_a_cancellation_of_the_caller_is_not_taken_for_a_stop() -> None:
    for stopped_too in (False, True):
        run = live()
        task = asyncio.create_task(run.unless_stopped(for_ever()))
        await asyncio.sleep(0)
        if stopped_too:
            run.stop(ExecutionState.CANCELLED, OURS)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_what_has_ended_is_not_stopped() -> None:
    run = live()
    outcome = Outcome(ending=Ending.RETURNED, value=b"1")

    async def work() -> Outcome:
        return outcome

    assert await run.unless_stopped(work()) is outcome
    run.stop(ExecutionState.CANCELLED, OURS)
    await asyncio.sleep(0)


def test_output_that_fills_its_limit_is_said_to_be_cut() -> None:
    run = live()
    run.add(OutputChunk(Stream.STDOUT, 1, b"abc"))
    assert (run.so_far().stdout, run.so_far().stdout_truncated) == (b"abc", False)
    run.add(OutputChunk(Stream.STDOUT, 2, b"d"))
    ended = run.ended_as(ExecutionState.CANCELLED, OURS)
    assert (ended.stdout, ended.stdout_truncated, ended.stderr_truncated) == (b"abcd", True, False)
    assert (ended.error, ended.usage.run_us) == (OURS, 0)
    run.begin()
    assert run.ended_as(ExecutionState.CANCELLED, OURS).usage.run_us >= 0


async def test_followers_are_told_that_the_end_comes_elsewhere() -> None:
    runs = LiveRuns()
    run = runs.open(live().execution)
    waiting = asyncio.create_task(run.wait())
    following = asyncio.create_task(_last(run))
    await asyncio.sleep(0)
    runs.close(run, None)
    for task in (waiting, following):
        with pytest.raises(Moved):
            await task
    assert len(runs) == 0


async def _last(run: LiveRun) -> object:
    return [event async for event in run.events()][-1]


def test_the_end_of_an_attempt_leaves_a_later_one_of_the_same_execution_where_it_is() -> None:
    runs = LiveRuns()
    first = runs.open(live().execution)
    second = runs.open(first.execution)
    runs.close(first, None)
    assert runs.find(first.execution.id) is second


def test_a_run_is_found_by_its_own_project() -> None:
    runs = LiveRuns()
    run = runs.open(live().execution)
    assert runs.get("p", run.execution.id) is run
    assert runs.get("q", run.execution.id) is None
    assert runs.find(run.execution.id) is run
