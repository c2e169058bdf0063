"""The drain: nothing new, time for what runs, an end for the rest, and nothing lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest

from polycall.domain import Execution, ExecutionState, Reason
from polycall.engine import dispatcher
from polycall.engine.requests import RunOptions
from polycall.errors import Unavailable
from polycall.ids import new_id
from polycall.sandbox.job import Job
from tests.engine.conftest import Build
from tests.engine.house import DEFAULT, HANGS, House, ad_hoc, function, refusal, until

SLEEPS = "import time\ndef execute(input):\n    print('begun', flush=True)\n    time.sleep(0.2)\n    return 1"


async def test_new_work_is_refused_and_nothing_of_it_runs(home: House) -> None:
    await home.deploy()
    await home.engine.drain(1.0)
    for verb in (
        home.engine.execute(DEFAULT, ad_hoc()),
        home.engine.run(DEFAULT, function()),
        home.engine.call(DEFAULT, function()),
        anext(home.engine.stream_execute(DEFAULT, ad_hoc())),
    ):
        refused = await refusal(verb, Unavailable)
        assert refused.reason is Reason.DRAINING
    assert await home.records() == []


async def test_what_runs_and_what_waits_for_a_slot_ends_within_the_grace(build: Build) -> None:
    async with build(slots=1) as home:
        runs = [asyncio.create_task(home.engine.execute(DEFAULT, ad_hoc(SLEEPS))) for _ in range(3)]
        await home.begun()
        await home.engine.drain(30.0)
        assert [(await run).result for run in runs] == [b"1"] * 3


async def test_what_waits_behind_a_call_ends_within_the_grace(build: Build) -> None:
    async with build(slots=1) as home:
        await home.deploy()
        home.work()
        await home.engine.call(DEFAULT, function("slow"))
        await home.begun()
        run = asyncio.create_task(home.engine.execute(DEFAULT, ad_hoc()))
        await until(lambda: home.engine.admission.waiting == 1)
        async with asyncio.TaskGroup() as group:
            group.create_task(home.engine.drain(30.0))
            group.create_task(home.dispatcher.stop(30.0))
        assert (await run).state is ExecutionState.COMPLETED


async def test_after_the_grace_runs_are_killed_and_what_waits_is_refused(build: Build) -> None:
    async with build(slots=1) as home:
        running = asyncio.create_task(home.engine.execute(DEFAULT, ad_hoc(HANGS)))
        await home.begun()
        waiting = asyncio.create_task(home.engine.execute(DEFAULT, ad_hoc()))
        await until(lambda: home.engine.admission.waiting == 1)
        await home.engine.drain(0.05)
        killed = await running
        assert killed.error is not None
        assert (killed.state, killed.error.reason, killed.stdout) == (
            ExecutionState.FAILED,
            Reason.WORKER_LOST,
            b"begun\n",
        )
        await refusal(waiting, Unavailable)
        assert await home.record() == killed


async def test_a_cancel_during_the_drain_does_not_change_how_a_killed_run_ended(home: House) -> None:
    running = asyncio.create_task(home.engine.execute(DEFAULT, ad_hoc(HANGS)))
    await home.begun()
    (live,) = home.engine.live.all()
    draining = asyncio.create_task(home.engine.drain(0))
    await until(lambda: live.stopped is not None)
    cancelled = await home.engine.executions.cancel(DEFAULT, live.execution.id)
    await draining
    assert cancelled.error is not None
    assert cancelled.error.reason is Reason.WORKER_LOST
    assert await running == cancelled


async def test_calls_that_run_are_given_the_grace(home: House) -> None:
    await home.deploy()
    home.work()
    call = await home.engine.call(DEFAULT, function("slow", input=b'{"x": 1}'))
    await home.begun()
    await home.dispatcher.stop(30.0)
    assert (await home.engine.executions.get(DEFAULT, call.id)).result == b"1"


async def test_a_call_that_may_be_started_again_is_handed_back_and_runs_after_the_restart(build: Build) -> None:
    async with build() as home:
        # hangs the first time it is started, in whatever process
        await home.deploy()
        home.work()
        call = await home.engine.call(DEFAULT, function("hang"), RunOptions(max_attempts=2))
        await home.begun()
        waiting = asyncio.create_task(home.engine.executions.wait(DEFAULT, call.id, 60))
        await home.dispatcher.stop(0)
        assert (await home.engine.executions.get(DEFAULT, call.id)).state is ExecutionState.QUEUED
        await until(lambda: call.id in home.engine.ends.here)  # who waited for its run here waits for others' now
        await home.engine.drain(0)
        assert (await refusal(waiting, Unavailable)).reason is Reason.DRAINING
    async with build() as home:
        home.work()
        await home.begun()
        read = await home.engine.executions.get(DEFAULT, call.id)
        assert (read.state, read.attempt) == (ExecutionState.RUNNING, 2)
        await home.dispatcher.stop(0)
        ended = await home.engine.executions.get(DEFAULT, call.id)
        assert ended.error is not None
        assert (ended.state, ended.error.reason, ended.stdout) == (
            ExecutionState.FAILED,
            Reason.WORKER_LOST,
            b"begun\n",
        )


async def test_who_waits_for_what_ends_elsewhere_is_sent_elsewhere(home: House) -> None:
    await home.deploy()
    call = await home.engine.call(DEFAULT, function())
    waiting = asyncio.create_task(home.engine.executions.wait(DEFAULT, call.id, 60))
    following = asyncio.create_task(_last(home, call))
    await until(lambda: home.store.calls.count("get") >= 2)
    await home.engine.drain(0)
    refused = await refusal(waiting, Unavailable)
    assert refused.reason is Reason.DRAINING
    await refusal(following, Unavailable)
    # what has ended is told all the same
    ended = await home.engine.executions.cancel(DEFAULT, call.id)
    assert await home.engine.executions.wait(DEFAULT, call.id, 60) == ended


async def _last(home: House, call: Execution) -> object:
    return [event async for event in home.engine.following.events(DEFAULT, call.id)][-1]


async def test_a_call_that_waits_for_a_slot_loses_no_attempt(build: Build) -> None:
    async with build(slots=1) as home:
        await home.deploy()
        home.work()
        hanging = asyncio.create_task(home.engine.execute(DEFAULT, ad_hoc(HANGS)))
        await home.begun()
        call = await home.engine.call(DEFAULT, function(), RunOptions(max_attempts=1))
        await until(lambda: home.engine.admission.waiting == 1)
        async with asyncio.TaskGroup() as group:
            group.create_task(home.engine.drain(0))
            group.create_task(home.dispatcher.stop(0))
        assert (await hanging).state is ExecutionState.FAILED
    async with build(slots=1) as home:
        home.work()
        ended = await home.engine.executions.wait(DEFAULT, call.id, 60)
        assert (ended.state, ended.attempt) == (ExecutionState.COMPLETED, 1)


async def test_a_claim_under_way_when_the_drain_begins_is_still_run(home: House) -> None:
    await home.deploy()
    claim = home.store.hold("claim")
    call = await home.engine.call(DEFAULT, function(input=b'{"x": 1}'), RunOptions(max_attempts=1))
    home.work()
    await claim.begun.wait()
    stopping = asyncio.create_task(home.dispatcher.stop(30.0))
    await asyncio.sleep(0)
    claim.go.set()
    await stopping
    assert (await home.engine.executions.get(DEFAULT, call.id)).result == b"1"


async def test_a_server_that_is_killed_loses_no_call(build: Build) -> None:
    async with build() as home:
        await home.deploy()
        home.work()
        call = await home.engine.call(DEFAULT, function("hang"))
        once = await home.engine.call(DEFAULT, function("hang"), RunOptions(max_attempts=1))
        await home.begun(2)
        assert home.working is not None
        home.working.cancel()  # no drain
        await asyncio.wait([home.working])
        home.working = None
        assert {kept.state for kept in await home.records()} == {ExecutionState.RUNNING}
        home.store.away.add("release")
    async with build() as home:
        assert (await home.engine.executions.get(DEFAULT, call.id)).state is ExecutionState.QUEUED
        lost = await home.engine.executions.get(DEFAULT, once.id)
        assert lost.error is not None
        assert (lost.state, lost.error.reason) == (ExecutionState.FAILED, Reason.WORKER_LOST)


async def test_a_dispatcher_that_stops_claims_nothing_as_it_is_accepted(home: House) -> None:
    await home.deploy()
    home.work()
    call = await home.engine.call(DEFAULT, function("slow"))
    await home.begun()
    stopping = asyncio.create_task(home.dispatcher.stop(30.0))
    await asyncio.sleep(0)  # it has counted what it waits for
    assert home.engine.take(replace(call, id=new_id())) is None
    await stopping
    assert (await home.engine.executions.get(DEFAULT, call.id)).state is ExecutionState.COMPLETED


class Deaf:
    """Runs that take no notice of being cancelled so many times, in place of those of a sandbox."""

    def __init__(self, *, to: int) -> None:
        self.begun = asyncio.Event()
        self._over = asyncio.Event()
        self._to = to

    async def run(self, job: Job, *_: object) -> Any:
        """Run until the end of this."""
        self.begun.set()
        for _attempt in range(self._to):
            with suppress(asyncio.CancelledError):
                await self._over.wait()
        await self._over.wait()

    @asynccontextmanager
    async def call(self, home: House, cancel_s: float) -> AsyncIterator[Execution]:
        """Have a Call run so; a stop waits for it so long once it has cancelled it."""
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(dispatcher, "_KILL_S", 0.05)
            patched.setattr(dispatcher, "_CANCEL_S", cancel_s)
            patched.setattr(home.engine.runner, "run", self.run)
            call = await home.engine.call(DEFAULT, function(), RunOptions(max_attempts=2))
            await self.begun.wait()
            try:
                yield call
            finally:
                self._over.set()


async def test_a_run_that_does_not_end_when_it_is_killed_is_cancelled_and_handed_back(
    home: House, caplog: pytest.LogCaptureFixture
) -> None:
    await home.deploy()
    home.work()
    async with Deaf(to=1).call(home, cancel_s=10) as call:
        await home.dispatcher.stop(0)
        kept = await home.store.real.get("default", call.id)
        assert (kept.state, kept.owner) == (ExecutionState.QUEUED, None)
        assert not home.dispatcher.unreleased
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == [
        f"execution {call.id} did not end within 0.05 s of its kill"
    ]


async def test_a_run_that_never_ends_is_left_to_the_lease_and_holds_up_no_stop(
    home: House, caplog: pytest.LogCaptureFixture
) -> None:
    await home.deploy()
    home.work()
    async with Deaf(to=0).call(home, cancel_s=0.3) as other, Deaf(to=100).call(home, cancel_s=0.3) as call:
        await home.dispatcher.stop(0)
        # it may go on, so nobody else is to begin it; the other one has ended
        kept = await home.store.real.get("default", call.id)
        assert (kept.state, kept.attempt, kept.owner) == (ExecutionState.RUNNING, 1, "node")
        assert (await home.store.real.get("default", other.id)).state is ExecutionState.QUEUED
        assert home.dispatcher.unreleased
        await home.dispatcher.stop(0)  # nor the next one
        assert (await home.store.real.get("default", call.id)).state is ExecutionState.RUNNING
    assert f"execution {call.id} does not end; its lease is left to lapse" in caplog.text


async def test_a_call_that_is_being_prepared_when_the_server_stops_is_handed_back_at_once(home: House) -> None:
    await home.deploy()
    call = await home.engine.call(DEFAULT, function(), RunOptions(max_attempts=2))
    home.registry.forget_all()
    held = home.store.hold("get_version")
    home.work()
    await held.begun.wait()
    async with asyncio.timeout(60):
        await home.dispatcher.stop(0)
    assert (await home.store.real.get("default", call.id)).state is ExecutionState.QUEUED
