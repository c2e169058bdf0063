"""What one run leaves to the next: nothing; and what isolation leaves to a run: all that it may expect."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from polycall.sandbox.job import Ending
from polycall.sandbox.sandbox import Sandbox
from tests.sandbox.conftest import Run
from tests.sandbox.programs import job, limits, value

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.levels(3, 2)]


@pytest.mark.levels(3, 2, 1)
async def test_event_loops_and_pipes_still_work(run: Run) -> None:
    outcome = await run("""
        import asyncio, socket
        async def execute(input):
            left, right = socket.socketpair()
            left.send(b'x')
            received = await asyncio.get_running_loop().run_in_executor(None, right.recv, 9)
            return [received.decode(), await asyncio.sleep(0, 2)]
    """)
    assert value(outcome) == ["x", 2]


@pytest.mark.levels(3, 2, 1)
async def test_nothing_is_left_for_the_next_run(run: Run) -> None:
    await run("""
        import os, tempfile, builtins
        def execute(input):
            builtins.leaked = 1
            os.environ['LEAKED'] = '1'
            for directory in ('.', tempfile.gettempdir()):
                open(os.path.join(directory, 'leaked'), 'w').close()
    """)
    look = """
        import os, tempfile, builtins
        def execute(input):
            folders = [os.listdir('.'), os.listdir(tempfile.gettempdir())]
            return [*folders, 'LEAKED' in os.environ, hasattr(builtins, 'leaked')]
    """
    for _ in range(4):
        assert value(await run(look)) == [[], [], False, False]


@pytest.mark.levels(3, 2, 1)
async def test_every_run_has_its_own_chance(run: Run) -> None:
    dice = (
        "import random, secrets, uuid\ndef execute(i): return [random.random(), secrets.token_hex(4), uuid.uuid4().hex]"
    )
    seen: list[Any] = [value(await run(dice)) for _ in range(6)]
    for column in range(3):
        assert len({row[column] for row in seen}) == 6


@pytest.mark.levels(3, 2)
async def test_runs_that_are_ended_together_leave_no_process(sandbox: Sandbox) -> None:
    hang = job("import time\ndef execute(input): time.sleep(60)", limits=limits(timeout_ms=700))
    began = time.monotonic()
    outcomes = await asyncio.gather(*(sandbox.run(hang) for _ in range(8)))
    assert {outcome.ending for outcome in outcomes} == {Ending.TIMED_OUT}
    assert time.monotonic() - began < 30
