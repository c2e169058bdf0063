"""Code asks the server something while it runs."""

from __future__ import annotations

import asyncio

import pytest

from polycall.domain import IsolationLevel, StartKind
from polycall.sandbox.job import Ending
from polycall.sandbox.sandbox import Sandbox
from tests.sandbox.conftest import Run
from tests.sandbox.programs import eventually, job, key, limits, value
from tests.sandbox.services import ADAPTER, ASKING, Services

pytestmark = pytest.mark.asyncio(loop_scope="session")

ECHO = "def execute(input): return [ask('echo', item) for item in input]\n"


@pytest.mark.levels(*IsolationLevel)
async def test_code_is_answered_at_every_level(run: Run) -> None:
    assert value(await run(ECHO, ["\u00e9", {"n": 2**70, "x": 1.0}, None], **ASKING)) == [
        "\u00e9",
        {"n": 2**70, "x": 1.0},
        None,
    ]


async def test_a_refusal_is_an_exception_that_the_adapter_knows(run: Run) -> None:
    code = "def execute(input):\n    try: ask('nothing', 1)\n    except AskRefused as refusal: return str(refusal)\n"
    assert value(await run(code, **ASKING)) == "nothing is not one of mine"


async def test_a_refusal_that_nobody_catches_is_the_codes_own(run: Run) -> None:
    outcome = await run("def execute(input): ask('nothing', 1)", **ASKING)
    assert outcome.ending is Ending.RAISED
    assert outcome.error is not None
    assert outcome.error.message == "nothing is not one of mine"


async def test_large_questions_and_answers_arrive_whole(run: Run) -> None:
    code = "def execute(input): return [len(ask('echo', 'x' * 1_900_000)), len(ask('large', 3_000_000))]"
    assert value(await run(code, **ASKING)) == [1_900_000, 3_000_000]


async def test_a_question_that_is_too_large_is_refused_before_it_is_sent(run: Run) -> None:
    code = """
def execute(input):
    try: ask('echo', 'x' * (2 << 20))
    except AskRefused: return ask('echo', 'and on')
"""
    assert value(await run(code, **ASKING)) == "and on"


async def test_threads_take_turns(run: Run) -> None:
    code = """
from concurrent.futures import ThreadPoolExecutor
def execute(input):
    with ThreadPoolExecutor(4) as pool: return list(pool.map(lambda n: ask('echo', n), range(40)))
"""
    assert value(await run(code, **ASKING)) == list(range(40))


async def test_a_warm_worker_asks_in_every_call(run: Run) -> None:
    first = await run(ECHO, [1], key=key("asks"), **ASKING)
    second = await run(ECHO, [2], key=key("asks"), **ASKING)
    assert (value(first), value(second)) == ([1], [2])
    assert second.start_kind is StartKind.WARM


async def test_the_time_of_an_answer_is_the_runs_own(run: Run) -> None:
    services = Services()
    slow = {"adapter": ADAPTER, "services": services}
    outcome = await run("def execute(input): ask('never', 1)", limits=limits(timeout_ms=200), **slow)
    assert outcome.ending is Ending.TIMED_OUT
    assert services.ended == ["never"]


async def test_a_run_that_is_cancelled_ends_what_it_asked_for(sandbox: Sandbox) -> None:
    services = Services(begun=asyncio.Event())
    asking = job("def execute(input): ask('never', 1)", adapter=ADAPTER, services=services)
    task = asyncio.get_running_loop().create_task(sandbox.run(asking))
    assert services.begun is not None
    await asyncio.wait_for(services.begun.wait(), 20)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await eventually(lambda: services.ended == ["never"])
