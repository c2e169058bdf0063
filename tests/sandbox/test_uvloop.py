"""The event loop of production."""

from __future__ import annotations

import asyncio

import pytest
import uvloop

from polycall.domain import IsolationLevel
from polycall.sandbox.sandbox import Sandbox
from tests.sandbox.conftest import config
from tests.sandbox.programs import job, key, value

ECHO = "def execute(input): return input"


@pytest.mark.parametrize("level", [3, 2, 1, 0])
def test_it_runs_on_uvloop_too(level: int) -> None:
    async def main() -> list[int]:
        sandbox = Sandbox(config(IsolationLevel(level)))
        await sandbox.start()
        try:
            outcomes = await asyncio.gather(*(sandbox.run(job(ECHO, number)) for number in range(12)))
            outcomes += [await sandbox.run(job(ECHO, number, key=key())) for number in range(20)]
            return [value(outcome) for outcome in outcomes]
        finally:
            await sandbox.stop()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(main()) == [*range(12), *range(20)]
