"""Runs that somebody waits for: one record each, whatever happens to them or to who waits."""

from __future__ import annotations

import asyncio
import json

import pytest

from polycall.domain import (
    Convention,
    ExecutionKind,
    ExecutionState,
    Function,
    IsolationLevel,
    LimitOverrides,
    Reason,
    StartKind,
)
from polycall.engine.floor import Floor
from polycall.engine.requests import RunOptions
from polycall.errors import IsolationUnavailable, NotFound, QueueFull, Unavailable
from tests.engine.conftest import Build
from tests.engine.house import DEFAULT, HANGS, OTHER, House, ad_hoc, function, refusal, until


async def test_ad_hoc_code_runs_and_leaves_one_record(home: House) -> None:
    answer = await home.engine.execute(DEFAULT, ad_hoc(input=b'{"n": 9007199254740993, "x": 1.0}'))
    assert (answer.state, answer.result) == (ExecutionState.COMPLETED, b'{"n": 9007199254740993, "x": 1.0}')
    assert (answer.kind, answer.attempt, answer.created_by) == (ExecutionKind.SYNC, 1, "k1")
    kept = await home.record()
    assert kept == answer


async def test_a_function_runs_warm_the_second_time(home: House) -> None:
    await home.deploy()
    first = await home.engine.run(DEFAULT, function("pid"))
    second = await home.engine.run(DEFAULT, function("pid"))
    assert (first.start_kind is StartKind.WARM, second.start_kind) == (False, StartKind.WARM)
    assert first.result == second.result
    assert (first.package_id, first.version_id, first.function) == ("p", "1", "pid")


async def test_user_code_that_fails_is_an_answer(home: House) -> None:
    await home.deploy()
    answer = await home.engine.run(DEFAULT, function("bad"))
    assert answer.error is not None
    assert (answer.state, answer.error.reason, answer.error.type) == (
        ExecutionState.FAILED,
        Reason.USER_EXCEPTION,
        "ValueError",
    )


async def test_checking_runs_nothing_and_records_nothing(home: House) -> None:
    answer = await home.engine.execute(DEFAULT, ad_hoc(), RunOptions(validate_only=True))
    assert answer.state is ExecutionState.QUEUED
    assert await home.records() == []


async def test_a_client_that_goes_away_has_its_run_killed_and_recorded_with_its_output(home: House) -> None:
    client = asyncio.create_task(home.engine.execute(DEFAULT, ad_hoc(HANGS)))
    await home.begun()
    client.cancel()
    with pytest.raises(asyncio.CancelledError):
        await client
    kept = await home.record()
    assert kept.error is not None
    assert (kept.state, kept.error.reason, kept.stdout) == (
        ExecutionState.CANCELLED,
        Reason.CANCELLED_BY_CLIENT,
        b"begun\n",
    )
    assert kept.ended_at is not None
    assert kept.usage.run_us > 0
    assert (len(home.engine.live), home.engine.admission.busy) == (0, 0)


async def test_a_client_that_is_cancelled_again_and_again_still_waits_for_the_kill(home: House) -> None:
    client = asyncio.create_task(home.engine.execute(DEFAULT, ad_hoc(HANGS)))
    await home.begun()
    while not client.done():
        client.cancel()
        await asyncio.sleep(0)
    assert client.cancelled()
    assert (await home.record()).state is ExecutionState.CANCELLED
    assert (len(home.engine.live), home.engine.admission.busy) == (0, 0)


async def test_output_that_was_cut_says_so_also_in_a_killed_run(build: Build) -> None:
    code = "import time\ndef execute(input):\n    print('x' * 5000, flush=True)\n    time.sleep(600)"
    async with build() as home:
        run = ad_hoc(code, limits=LimitOverrides(stdout_bytes=1024))
        client = asyncio.create_task(home.engine.execute(DEFAULT, run))
        await home.begun()
        client.cancel()
        await asyncio.wait([client])
        kept = await home.record()
        assert (kept.stdout, kept.stdout_truncated, kept.stderr_truncated) == (b"x" * 1024, True, False)


async def test_a_client_that_goes_away_before_it_has_a_slot_leaves_nothing(build: Build) -> None:
    async with build(slots=1) as home:
        first = asyncio.create_task(home.engine.execute(DEFAULT, ad_hoc(HANGS)))
        await home.begun()
        second = asyncio.create_task(home.engine.execute(DEFAULT, ad_hoc()))
        await until(lambda: home.engine.admission.waiting == 1)
        second.cancel()
        await asyncio.wait([second])
        assert home.engine.admission.waiting == 0
        first.cancel()
        await asyncio.wait([first])
        assert [kept.state for kept in await home.records()] == [ExecutionState.CANCELLED]


async def test_a_full_queue_refuses_before_anything_ran(build: Build) -> None:
    async with build(slots=1, queue=1) as home:
        runs = [asyncio.create_task(home.engine.execute(DEFAULT, ad_hoc(HANGS))) for _ in range(2)]
        await home.begun()
        refused = await refusal(home.engine.execute(DEFAULT, ad_hoc()), QueueFull)
        assert refused.retry_after_s is not None
        assert refused.metadata == {"waiting": "1", "slots": "1"}
        for run in reversed(runs):
            run.cancel()
        await asyncio.wait(runs)
        assert len(await home.records()) == 1


async def test_a_run_of_more_than_a_second_is_seen_running_and_recorded_once(home: House) -> None:
    run = asyncio.create_task(home.engine.execute(DEFAULT, ad_hoc(HANGS)))
    await home.begun()

    async def running() -> bool:
        return [kept.state for kept in await home.records()] == [ExecutionState.RUNNING]

    await until(running)
    (live,) = home.engine.live.all()
    cancelled = await home.engine.executions.cancel(DEFAULT, live.execution.id)
    assert (cancelled.state, cancelled.stdout) == (ExecutionState.CANCELLED, b"begun\n")
    assert cancelled.error is not None
    assert cancelled.error.reason is Reason.EXECUTION_CANCELLED
    assert await run == cancelled
    assert await home.record() == cancelled


async def test_a_running_execution_is_read_with_its_output_so_far_by_its_own_project_only(home: House) -> None:
    run = asyncio.create_task(home.engine.execute(DEFAULT, ad_hoc(HANGS)))
    await home.begun()
    (live,) = home.engine.live.all()
    read = await home.engine.executions.get(DEFAULT, live.execution.id)
    assert (read.state, read.stdout) == (ExecutionState.RUNNING, b"begun\n")
    waited = await home.engine.executions.wait(DEFAULT, live.execution.id, 0.0)
    assert (waited.state, waited.stdout) == (ExecutionState.RUNNING, b"begun\n")
    (chunk,) = await home.engine.executions.output(DEFAULT, live.execution.id)
    assert chunk.data == b"begun\n"
    for verb in (home.engine.executions.get, home.engine.executions.output, home.engine.executions.cancel):
        await refusal(verb(OTHER, live.execution.id), NotFound)
    await refusal(home.engine.executions.wait(OTHER, live.execution.id, 1.0), NotFound)
    assert not run.done()
    run.cancel()
    await asyncio.wait([run])


async def test_a_cancel_that_comes_with_the_end_changes_nothing(home: House) -> None:
    for number in range(12):
        code = f"import time\ndef execute(input): time.sleep({number / 2000})"
        run = asyncio.create_task(home.engine.execute(DEFAULT, ad_hoc(code)))
        while not (live := home.engine.live.all()):
            await asyncio.sleep(0)
        await asyncio.sleep(0.003)
        cancelled, answer = await asyncio.gather(home.engine.executions.cancel(DEFAULT, live[0].execution.id), run)
        assert cancelled == answer
        assert await home.engine.executions.get(DEFAULT, answer.id) == answer


async def test_a_wait_ends_with_the_run(home: House) -> None:
    await home.deploy()
    run = asyncio.create_task(home.engine.run(DEFAULT, function("slow", input=b'{"x": 1}')))
    await home.begun()
    (live,) = home.engine.live.all()
    assert (await home.engine.executions.wait(DEFAULT, live.execution.id, 30.0)).result == b"1"
    assert (await run).result == b"1"


async def test_a_fault_of_ours_is_recorded_as_ours(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(home.engine.runner, "run", broken)
    with pytest.raises(ZeroDivisionError):
        await home.engine.execute(DEFAULT, ad_hoc())
    kept = await home.record()
    assert kept.error is not None
    assert (kept.state, kept.error.reason) == (ExecutionState.FAILED, Reason.INTERNAL)


async def test_nothing_runs_below_the_isolation_floor(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await home.deploy()
    monkeypatch.setattr(home.engine.runner, "isolation", IsolationLevel.CONFINED)
    home.engine._floor = Floor(home.engine.runner, IsolationLevel.NAMESPACED, "userns: no")
    for verb in (
        home.engine.execute(DEFAULT, ad_hoc()),
        home.engine.run(DEFAULT, function()),
        home.engine.call(DEFAULT, function()),
    ):
        refused = await refusal(verb, IsolationUnavailable)
        assert refused.metadata == {"level": "1", "floor": "2", "missing": "userns: no"}
    assert await home.records() == []


async def test_synchronous_runs_go_on_while_the_database_is_away_and_are_recorded_later(home: House) -> None:
    await home.deploy()
    await home.engine.run(DEFAULT, function())
    home.store.away.add("*")
    answer = await home.engine.run(DEFAULT, function(input=b'{"x": 1}'))
    assert answer.result == b"1"
    await refusal(home.engine.call(DEFAULT, function()), Unavailable)
    home.store.away.clear()
    assert answer in await home.records()


async def test_a_handler_is_told_its_call(home: House) -> None:
    source = b"def handle(data, function_call_info, secrets):\n    return [data, function_call_info, secrets]"
    handle = Function(name="handle", entrypoint="main:handle", convention=Convention.HANDLE)
    await home.deploy("h", source, functions=(handle,))
    run = function("handle", "h", input=b'{"a": 1}')
    answer = await home.engine.run(DEFAULT, run, RunOptions(face="cognite", alias="42"))
    assert answer.result is not None
    assert json.loads(answer.result) == [{"a": 1}, {"function_id": "h", "call_id": "42"}, {}]
    assert (await home.engine.executions.find(DEFAULT, "cognite", "42")).id == answer.id
