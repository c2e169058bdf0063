"""Which synchronous executions are kept, where an operator does not want all of them."""

from __future__ import annotations

import asyncio
import time

import pytest

from polycall.domain import ExecutionState, Reason
from polycall.engine.hearing import Hearing
from polycall.engine.recording import Recording
from polycall.engine.requests import RunOptions
from polycall.engine.siblings import RecordAsked
from polycall.errors import DeadlineExceeded, NotFound
from tests.engine.conftest import Build
from tests.engine.house import DEFAULT, HANGS, ad_hoc, function, refusal, until


@pytest.mark.parametrize(
    ("recording", "kept"),
    [
        (Recording("all"), {"fine", "bad", "shown", "repeated"}),
        (Recording("sampled", 1), {"fine", "bad", "shown", "repeated"}),
        (Recording("sampled", 1 << 62), {"bad", "shown", "repeated"}),
        (Recording("errors"), {"bad", "shown", "repeated"}),
        (Recording("none"), {"shown", "repeated"}),
    ],
    ids=["all", "sampled, each", "sampled, hardly any", "errors", "none"],
)
async def test_what_is_kept(build: Build, recording: Recording, kept: set[str]) -> None:
    async with build(recording=recording) as home:
        await home.deploy()
        ran = {
            "fine": await home.engine.run(DEFAULT, function("echo")),
            "bad": await home.engine.run(DEFAULT, function("bad")),
            "shown": await home.engine.run(DEFAULT, function("echo"), RunOptions(face="riza")),
            "repeated": await home.engine.run(DEFAULT, function("echo"), RunOptions(request_id="r-1")),
        }
        again = await home.engine.run(DEFAULT, function("echo"), RunOptions(request_id="r-1"))
        assert again.id == ran["repeated"].id
        found = {execution.id for execution in await home.records()}
        assert found == {ran[name].id for name in kept}
        for name in ran.keys() - kept:
            with pytest.raises(NotFound):
                await home.engine.executions.get(DEFAULT, ran[name].id)


async def test_calls_are_kept_whatever_is_set(build: Build) -> None:
    async with build(recording=Recording("none")) as home:
        await home.deploy()
        home.work()
        accepted = await home.engine.call(DEFAULT, function("echo", input=b'{"x": 1}'))
        ended = await home.engine.executions.wait(DEFAULT, accepted.id, 30)
        assert (ended.state, ended.result) == (ExecutionState.COMPLETED, b"1")
        assert [execution.id for execution in await home.records()] == [accepted.id]


async def test_a_deadline_does_not_point_to_a_record_that_is_not_kept(build: Build) -> None:
    async with build(recording=Recording("none")) as home:
        options = RunOptions(expires_at=time.monotonic() + 0.5)
        late = await refusal(home.engine.execute(DEFAULT, ad_hoc(HANGS), options), DeadlineExceeded)
        assert late.reason is Reason.EXECUTION_TIMEOUT
        assert late.message.endswith("This server keeps no record of it; raise the deadline, or use Call.")
        assert await home.records() == []


async def test_what_was_asked_for_while_it_ran_gets_its_end(build: Build) -> None:
    async with build(recording=Recording("none")) as home:
        await home.deploy()
        running = asyncio.create_task(home.engine.run(DEFAULT, function("slow")))
        live = await until(home.engine.live.all)
        e = home.engine
        hears = Hearing(
            e.keys, e.registry, e.runtimes, e.secrets, home.store.real, e.live, e.ends, lambda project: None
        )
        assert await hears(RecordAsked("default", str(live[0].execution.id)))  # another process looks for it
        (row,) = await home.records()
        assert row.state is ExecutionState.RUNNING
        ended = await running
        (row,) = await home.records()
        assert (row.id, row.state) == (ended.id, ExecutionState.COMPLETED)
