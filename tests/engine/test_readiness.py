"""Warm workers that are there before anybody calls, and starts that keep nobody else waiting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from polycall.domain import ExecutionState, StartKind, WarmPolicy
from polycall.engine.requests import FunctionRun, RunOptions
from polycall.errors import DeadlineExceeded, InvalidArgument
from polycall.sandbox.job import Job
from polycall.sandbox.sandbox import Sandbox
from tests.engine.conftest import Build
from tests.engine.house import DEFAULT, OTHER, House, ad_hoc, function, other_project, refusal, until

SOURCE = b"import os\nME = os.getpid()\ndef who(): return ME\n"


@pytest_asyncio.fixture(loop_scope="session", autouse=True)
async def room(sandbox: Sandbox) -> AsyncIterator[None]:
    """Room for workers that are to be ready: those of other tests, with which the sandbox is shared, have gone."""
    assert sandbox._pool is not None
    sandbox._pool._shelf.end_where(lambda *_: True)
    yield
    await sandbox.retire("default", "eager")


def idle(sandbox: Sandbox) -> int:
    """How many workers of the package idle; the sandbox is shared with other tests."""
    assert sandbox._pool is not None
    return sum(kept.key.package_id == "eager" for kept in sandbox._pool._shelf._children.values())


def who(**changes: Any) -> FunctionRun:
    return function("who", "eager", **changes)


async def test_a_version_with_a_minimum_is_warm_at_its_first_call(home: House, sandbox: Sandbox) -> None:
    home.get_ready()
    await home.deploy("eager", SOURCE, warm=WarmPolicy(min=1))
    await until(lambda: idle(sandbox) == 1)
    first = await home.engine.run(DEFAULT, who())
    assert (first.state, first.start_kind) == (ExecutionState.COMPLETED, StartKind.WARM)


async def test_it_is_so_after_a_restart_too(build: Build, sandbox: Sandbox) -> None:
    async with build() as home:
        await home.deploy("eager", SOURCE, warm=WarmPolicy(min=2))
    async with build() as home:
        home.get_ready()
        await until(lambda: idle(sandbox) == 2)
        runs = await asyncio.gather(*(home.engine.run(DEFAULT, who()) for _ in range(2)))
        assert [run.start_kind for run in runs] == [StartKind.WARM] * 2
        await home.registry.delete_package(DEFAULT, "eager")
        await until(lambda: idle(sandbox) == 0)


async def test_only_what_callers_get_is_kept_ready(home: House, sandbox: Sandbox) -> None:
    home.get_ready()
    await home.deploy("eager", SOURCE, warm=WarmPolicy(min=2), release=True)
    await until(lambda: idle(sandbox) == 2)
    await home.deploy("eager", SOURCE + b"# newer\n", warm=WarmPolicy(min=1), id="next")  # not released
    pinned = await home.engine.run(DEFAULT, who(version_id="next"))
    assert pinned.start_kind is not StartKind.WARM
    await home.registry.release_version(DEFAULT, "eager", "next")
    await home.registry.delete_version(DEFAULT, "eager", "1")
    await until(lambda: idle(sandbox) == 1)
    assert (await home.engine.run(DEFAULT, who())).start_kind is StartKind.WARM


@pytest.mark.parametrize(
    ("warm", "field"),
    [
        (WarmPolicy(min=-1), "version.warm.min"),
        (WarmPolicy(min=65), "version.warm.min"),
        (WarmPolicy(min=3, max=2), "version.warm.min"),
        (WarmPolicy(max=-1), "version.warm.max"),
        (WarmPolicy(max=4097), "version.warm.max"),
        (WarmPolicy(idle_ms=999), "version.warm.idle"),
        (WarmPolicy(idle_ms=-1), "version.warm.idle"),
        (WarmPolicy(idle_ms=86_400_001), "version.warm.idle"),
    ],
)
async def test_a_policy_out_of_range_is_refused(home: House, warm: WarmPolicy, field: str) -> None:
    refused = await refusal(home.deploy(warm=warm), InvalidArgument)
    assert [violation.field for violation in refused.violations] == [field]


async def test_fresh_processes_are_not_made_ready(home: House) -> None:
    refused = await refusal(home.deploy(warm=WarmPolicy(min=1), reuse=False), InvalidArgument)
    assert "fresh_process" in refused.message


# starts


class Cold:
    """Jobs whose payload is `"cold"` have nothing to be forked from yet."""

    def __init__(self, sandbox: Sandbox, patch: pytest.MonkeyPatch) -> None:
        self.started = asyncio.Event()
        self.asked = 0
        patch.setattr(sandbox, "ready", lambda job: self.started.is_set() or job.payload != b'"cold"')
        patch.setattr(sandbox, "get_ready", self._get_ready)

    async def _get_ready(self, job: Job) -> None:
        self.asked += 1
        await self.started.wait()


async def test_a_cold_start_keeps_nobody_from_their_slot(
    build: Build, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with build(slots=1) as home:
        cold = Cold(sandbox, monkeypatch)
        starting = [asyncio.create_task(home.engine.execute(DEFAULT, ad_hoc(input=b'"cold"'))) for _ in range(3)]
        await until(lambda: cold.asked == 3)
        assert home.engine.admission.busy == 0
        assert (await home.engine.execute(OTHER, ad_hoc())).state is ExecutionState.COMPLETED
        cold.started.set()
        runs = await asyncio.gather(*starting)
        assert [run.state for run in runs] == [ExecutionState.COMPLETED] * 3
        assert all(run.usage.start_us > 0 for run in runs)


async def test_a_cold_start_of_a_call_keeps_nobody_from_their_slot(
    build: Build, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with build(slots=1) as home:
        await other_project(home.store)
        await home.deploy()
        await home.deploy(who=OTHER)
        cold = Cold(sandbox, monkeypatch)
        home.work()
        calls = [await home.engine.call(DEFAULT, function(input=b'"cold"', convention="input")) for _ in range(2)]
        await until(lambda: cold.asked == 2)
        assert (await home.engine.run(OTHER, function())).state is ExecutionState.COMPLETED
        await home.engine.executions.cancel(DEFAULT, calls[0].id)
        cold.started.set()
        ended = [await home.engine.executions.wait(DEFAULT, call.id, 60) for call in calls]
        assert [call.state for call in ended] == [ExecutionState.CANCELLED, ExecutionState.COMPLETED]


async def test_a_deadline_that_passes_during_a_cold_start_says_so(
    build: Build, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with build(slots=1) as home:
        Cold(sandbox, monkeypatch)
        late = RunOptions(expires_at=asyncio.get_running_loop().time() + 0.2)
        refused = await refusal(home.engine.execute(DEFAULT, ad_hoc(input=b'"cold"'), late), DeadlineExceeded)
        assert refused.metadata["phase"] == "start"


async def test_a_secret_that_changes_makes_other_workers_ready(home: House, sandbox: Sandbox) -> None:
    source = b"import os\nTOKEN = os.environ['TOKEN']\ndef who(): return TOKEN\n"
    await home.engine.secrets.create(DEFAULT, "n", "old", id="s")
    home.get_ready()
    await home.deploy("eager", source, warm=WarmPolicy(min=1), secret_env={"TOKEN": "s"})
    await until(lambda: idle(sandbox) == 1)
    await home.engine.secrets.update(DEFAULT, "s", value="new")
    pool = sandbox._pool
    assert pool is not None
    await until(lambda: any("('TOKEN', 'new')" in repr(kept.program) for kept in pool._shelf._children.values()))
    first = await home.engine.run(DEFAULT, who())
    assert (first.result, first.start_kind) == (b'"new"', StartKind.WARM)
