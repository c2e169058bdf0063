"""What is left when processes die, and when everything is told to stop: nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from polycall.domain import IsolationLevel, Reason
from polycall.errors import Unavailable
from polycall.sandbox.job import Ending, Outcome
from polycall.sandbox.sandbox import Sandbox
from tests.sandbox.conftest import config
from tests.sandbox.programs import cgroups, end_of, eventually, gone, job, key, open_files, tree, value

pytestmark = pytest.mark.asyncio(loop_scope="session")

ECHO = "def execute(input): return input"
SLEEP = "import time\ndef execute(input): time.sleep(input)"
LEVELS = [IsolationLevel(level) for level in (3, 2, 1, 0)]


@pytest_asyncio.fixture(loop_scope="session", params=LEVELS, ids=lambda level: f"L{int(level)}")
async def own(request: pytest.FixtureRequest) -> AsyncIterator[Sandbox]:
    """A sandbox for this test alone."""
    sandbox = Sandbox(config(request.param))
    await sandbox.start()
    yield sandbox
    processes = tree(sandbox)
    await sandbox.stop()
    await end_of(processes)


async def sleeping(sandbox: Sandbox) -> asyncio.Task[Outcome]:
    """Return a run that sleeps by now, in a child of the zygote."""
    begun = asyncio.Event()
    running = asyncio.create_task(sandbox.run(job(SLEEP, 60), begun=begun.set))
    async with asyncio.timeout(60):
        await begun.wait()
    return running


def has(sandbox: Sandbox, processes: int) -> bool:
    return len(tree(sandbox)) >= processes


def kill_zygote(sandbox: Sandbox) -> None:
    os.kill(sandbox.zygotes[-1], signal.SIGKILL)


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary directory for the server that no other server of this machine uses."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


async def test_nothing_is_left_after_stop(scratch: Path) -> None:
    files, groups = await open_files(), cgroups()
    made: set[str] = set()
    for level in LEVELS:
        sandbox = Sandbox(config(level))
        await sandbox.start()
        await sandbox.run(job(ECHO, 1))
        await sandbox.run(job(ECHO, 1, key=key()))
        running = await sleeping(sandbox)
        await eventually(partial(has, sandbox, 4))  # another waits in its place
        made |= cgroups() - groups
        processes = tree(sandbox)
        await sandbox.stop()
        await end_of(processes)
        outcome = await running
        assert outcome.ending is Ending.LOST
        with pytest.raises(Unavailable):
            await sandbox.run(job(ECHO, 1))
    assert await open_files() <= files  # the idle workers of others may have ended meanwhile
    assert made
    assert gone(made)
    assert list(scratch.iterdir()) == []


async def test_a_stop_that_was_cancelled_is_gone_on_with_by_the_next() -> None:
    # SIGTERM at a start that fails: what unwinds is cancelled, and whoever is further out stops the sandbox again
    sandbox = Sandbox(config())
    await sandbox.start()
    processes = tree(sandbox)
    stopping = asyncio.create_task(sandbox.stop())
    for _ in range(20):  # far less than the 20 ms after which the zygote's end is looked for
        await asyncio.sleep(0)
    stopping.cancel()
    await asyncio.wait([stopping])
    assert stopping.cancelled()
    async with asyncio.timeout(60):
        await sandbox.stop()
    await end_of(processes)


async def test_a_zygote_that_is_killed_is_replaced(own: Sandbox) -> None:
    running = [await sleeping(own) for _ in range(3)]
    await own.run(job(ECHO, 1, key=key()))
    kill_zygote(own)
    for outcome in await asyncio.gather(*running):
        assert outcome.ending is Ending.LOST
        assert outcome.error is not None
        assert outcome.error.reason is Reason.WORKER_LOST
    for number in range(10):
        assert value(await own.run(job(ECHO, number))) == number
        assert value(await own.run(job(ECHO, number, key=key()))) == number


async def test_a_zygote_is_replaced_after_its_forks_and_the_old_one_ends() -> None:
    sandbox = Sandbox(config(zygote_forks=8, waiting=2))
    await sandbox.start()
    try:
        seeds: set[int] = set()
        # children share the hash seed of their zygote
        while len(seeds) < 3:
            number = len(seeds)
            echoed, seed = value(await sandbox.run(job("def execute(input): return [input, hash('seed')]", number)))
            assert echoed == number
            seeds.add(seed)
        await eventually(lambda: len(sandbox.zygotes) == 1)
    finally:
        processes = tree(sandbox)
        await sandbox.stop()
    await end_of(processes)


async def test_a_warm_worker_outlives_its_zygotes_retirement() -> None:
    sandbox = Sandbox(config(zygote_forks=6, waiting=1))
    await sandbox.start()
    try:
        count = "calls = []\ndef execute(input):\n    calls.append(1)\n    return len(calls)"
        for number in range(1, 8):
            assert value(await sandbox.run(job(count, key=key()))) == number
            for _ in range(3):
                await sandbox.run(job(ECHO, 1))
    finally:
        await sandbox.stop()


async def test_lost_zygotes_leak_nothing(own: Sandbox) -> None:
    await own.run(job(ECHO, 1))

    async def lose() -> None:
        running = await sleeping(own)
        kill_zygote(own)
        assert (await running).ending is Ending.LOST
        assert value(await own.run(job(ECHO, 2))) == 2

    await lose()
    await eventually(lambda: own.counts.waiting == 2)  # all that there are at rest
    files, groups = await open_files(), cgroups()
    for _ in range(3):
        await lose()
    await eventually(lambda: own.counts.waiting == 2)
    assert await open_files() <= files
    assert cgroups() == groups


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: f"L{int(level)}")
async def test_a_server_that_is_killed_takes_everything_with_it_and_the_next_removes_what_it_left(
    level: IsolationLevel, scratch: Path
) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.sandbox.doomed", str(int(level))],
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(scratch)},
    ) as server:
        assert server.stdout is not None
        assert await asyncio.to_thread(server.stdout.readline) == b"ready\n"
        processes = psutil.Process(server.pid).children(recursive=True)
        groups = cgroups(server.pid)
        assert len(processes) >= 5
        assert bool(groups) == (level == 3)
        assert bool(list(scratch.iterdir())) == (level < 2)
        server.kill()
    await end_of(processes)
    sandbox = Sandbox(config(level))
    await sandbox.start()
    assert gone(groups)
    await sandbox.stop()
    assert list(scratch.iterdir()) == []


async def test_a_zygote_that_stands_still_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("polycall.sandbox.pool._READY_S", 0.5)
    monkeypatch.setattr("polycall.sandbox.spawner._LOOK_S", 0.1)
    sandbox = Sandbox(config(IsolationLevel.NAMESPACED, waiting=1))
    await sandbox.start()
    try:
        (forks,) = psutil.Process(sandbox.zygotes[-1]).children()
        running = await sleeping(sandbox)
        forks.suspend()
        # nobody could end the one or make another
        async with asyncio.timeout(60):
            lost = await running
            assert lost.ending is Ending.LOST
            while (outcome := await sandbox.run(job(ECHO, 1))).ending is Ending.LOST:
                pass  # a busy machine may need longer than 0.5 s for a child
        assert value(outcome) == 1
        await end_of([forks])
    finally:
        await sandbox.stop()
