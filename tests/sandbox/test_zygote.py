"""What is left when processes die, and when everything is told to stop: nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from polycall.domain import IsolationLevel, Reason
from polycall.errors import Unavailable
from polycall.sandbox.job import Ending
from polycall.sandbox.sandbox import Sandbox
from tests.sandbox.conftest import config
from tests.sandbox.programs import cgroups, descendants, gone, job, key, open_files, value

pytestmark = pytest.mark.asyncio(loop_scope="session")

ECHO = "def execute(input): return input"
SLEEP = "import time\ndef execute(input): time.sleep(input)"
LEVELS = [IsolationLevel(level) for level in (3, 2, 1, 0)]


async def eventually(holds: Callable[[], bool], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


def zygotes(below: set[int]) -> list[psutil.Process]:
    """Return the processes that fork children: those that have been started by exec, and their first children."""
    found = []
    for pid in descendants() - below:
        try:
            process = psutil.Process(pid)
            if any("zygote.py" in word for word in process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return sorted(found, key=lambda process: process.pid)


@pytest_asyncio.fixture(loop_scope="session", params=LEVELS, ids=lambda level: f"L{int(level)}")
async def own(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Sandbox, set[int]]]:
    """A sandbox for this test alone, and the processes that were there before it."""
    before = descendants()
    sandbox = Sandbox(config(request.param))
    await sandbox.start()
    yield sandbox, before
    await sandbox.stop()
    await eventually(lambda: descendants() <= before)


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary directory for the server that no other server of this machine uses."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


async def test_nothing_is_left_after_stop(scratch: Path) -> None:
    processes, files, groups = descendants(), open_files(), cgroups()
    made: set[str] = set()
    for level in LEVELS:
        sandbox = Sandbox(config(level))
        await sandbox.start()
        await sandbox.run(job(ECHO, 1))
        await sandbox.run(job(ECHO, 1, key=key()))
        running = asyncio.create_task(sandbox.run(job(SLEEP, 60)))
        await asyncio.sleep(0.1)
        made |= cgroups() - groups
        await sandbox.stop()
        outcome = await running
        assert outcome.ending is Ending.LOST
        with pytest.raises(Unavailable):
            await sandbox.run(job(ECHO, 1))
    await eventually(lambda: descendants() <= processes)
    assert open_files() == files
    assert made
    assert gone(made)
    assert list(scratch.iterdir()) == []


async def test_a_zygote_that_is_killed_is_replaced(own: tuple[Sandbox, set[int]]) -> None:
    sandbox, before = own
    running = [asyncio.create_task(sandbox.run(job(SLEEP, 60))) for _ in range(3)]
    await sandbox.run(job(ECHO, 1, key=key()))
    await asyncio.sleep(0.2)
    zygotes(before)[0].send_signal(signal.SIGKILL)
    for outcome in await asyncio.gather(*running):
        assert outcome.ending is Ending.LOST
        assert outcome.error is not None
        assert outcome.error.reason is Reason.WORKER_LOST
    for number in range(10):
        assert value(await sandbox.run(job(ECHO, number))) == number
        assert value(await sandbox.run(job(ECHO, number, key=key()))) == number


async def test_a_zygote_is_replaced_after_its_forks_and_the_old_one_ends() -> None:
    before = descendants()
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
        await eventually(lambda: len([p for p in zygotes(before) if p.ppid() == os.getpid()]) == 1)
    finally:
        await sandbox.stop()
    await eventually(lambda: descendants() <= before)


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


async def test_lost_zygotes_leak_nothing(own: tuple[Sandbox, set[int]]) -> None:
    sandbox, before = own
    await sandbox.run(job(ECHO, 1))

    async def lose() -> None:
        running = asyncio.create_task(sandbox.run(job(SLEEP, 60)))
        await asyncio.sleep(0.1)
        zygotes(before)[0].kill()
        assert (await running).ending is Ending.LOST
        assert value(await sandbox.run(job(ECHO, 2))) == 2

    await lose()
    await asyncio.sleep(0.5)
    files, groups = open_files(), cgroups()
    for _ in range(3):
        await lose()
    await eventually(lambda: open_files() <= files + 3)
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
        tree = psutil.Process(server.pid).children(recursive=True)
        groups = cgroups(server.pid)
        assert len(tree) >= 5
        assert bool(groups) == (level == 3)
        assert bool(list(scratch.iterdir())) == (level < 2)
        server.kill()
    await eventually(lambda: not any(process.is_running() for process in tree))
    sandbox = Sandbox(config(level))
    await sandbox.start()
    assert gone(groups)
    await sandbox.stop()
    assert list(scratch.iterdir()) == []
