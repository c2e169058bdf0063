"""Many runs at once: every answer its own, and nothing leaks."""

from __future__ import annotations

import asyncio

import pytest

from polycall.domain import IsolationLevel, StartKind
from polycall.sandbox.job import Ending
from polycall.sandbox.sandbox import Sandbox
from tests.sandbox.conftest import config
from tests.sandbox.programs import cgroups, end_of, job, key, limits, open_files, tree, value

CONCURRENCY = 16
FRESH, WARM = 300, 1500

CODE = """
    import os
    def execute(input):
        print('out', input)
        open('mine', 'w').write(str(input))
        return [input, open('mine').read(), len(os.listdir('.'))]
"""
MIXED = """
    import os, time
    def execute(input):
        kind = input % 5
        if kind == 1: raise ValueError(input)
        if kind == 2: os._exit(input % 100)
        if kind == 3: time.sleep(60)
        if kind == 4: return {input}
        return input
"""


@pytest.mark.parametrize("level", [3, 2])
async def test_every_answer_is_its_own_and_nothing_leaks(level: int) -> None:
    files, groups = await open_files(), cgroups()
    sandbox = Sandbox(config(IsolationLevel(level), waiting=4))
    await sandbox.start()
    gate = asyncio.Semaphore(CONCURRENCY)

    async def fresh(number: int) -> None:
        async with gate:
            outcome = await sandbox.run(job(CODE, number))
        assert value(outcome) == [number, str(number), 1]
        assert outcome.stdout == b"out %d\n" % number

    async def warm(number: int) -> None:
        async with gate:
            outcome = await sandbox.run(job(CODE, number, key=key(str(number % 7))))
        assert value(outcome) == [number, str(number), 1]
        assert outcome.stdout == b"out %d\n" % number

    async def mixed(number: int) -> None:
        async with gate:
            soon = limits(timeout_ms=400) if number % 5 == 3 else limits()  # the others end, when the machine lets them
            outcome = await sandbox.run(job(MIXED, number, key=key("mixed") if number % 2 else None, limits=soon))
        expected = (Ending.RETURNED, Ending.RAISED, Ending.EXITED, Ending.TIMED_OUT, Ending.NOT_SERIALIZABLE)
        assert outcome.ending is expected[number % 5] or (number % 5 == 2 and outcome.ending is Ending.EXITED)
        if outcome.ending is Ending.RETURNED:
            assert value(outcome) == number

    async with asyncio.TaskGroup() as group:
        for number in range(FRESH):
            group.create_task(fresh(number))
    async with asyncio.TaskGroup() as group:
        for number in range(WARM):
            group.create_task(warm(number))
    async with asyncio.TaskGroup() as group:
        for number in range(100):
            group.create_task(mixed(number))
    assert (await sandbox.run(job(CODE, 1, key=key("1")))).start_kind is StartKind.WARM
    processes = tree(sandbox)
    await sandbox.stop()
    await end_of(processes)
    assert await open_files() <= files  # the idle workers of others may have ended meanwhile
    assert cgroups() <= groups
