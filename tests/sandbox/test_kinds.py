"""Processes of several kinds beside each other: each image has its own, and none waits for another's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import psutil
import pytest
import pytest_asyncio

from polycall.domain import StartKind
from polycall.sandbox.image import Image
from polycall.sandbox.sandbox import Sandbox
from polycall.sandbox.spawner import Spawner
from tests.sandbox.conftest import config
from tests.sandbox.programs import end_of, eventually, job, key, tree, value

pytestmark = pytest.mark.asyncio(loop_scope="session")

ECHO = "def execute(input): return input"
# a module that nothing else imports
OWN = Image(preload=("colorsys",))
LOADED = "import sys\ndef execute(input): return [name in sys.modules for name in ('colorsys', 'sndhdr')]"


@pytest_asyncio.fixture(loop_scope="session")
async def small() -> AsyncIterator[Sandbox]:
    sandbox = Sandbox(config(waiting=1, warm=2, processes=4, kind_idle_s=0.3, image_idle_s=0.3, images=1))
    await sandbox.start()
    yield sandbox
    processes = tree(sandbox)
    await sandbox.stop()
    await end_of(processes)


async def test_children_of_an_image_have_what_it_preloads_and_others_have_not(small: Sandbox) -> None:
    assert value(await small.run(job(LOADED, image=OWN))) == [True, False]
    assert value(await small.run(job(LOADED))) == [False, False]


async def test_the_first_run_of_a_kind_is_a_cold_start_and_later_ones_find_a_child_waiting() -> None:
    sandbox = Sandbox(config(waiting=1))
    await sandbox.start()
    try:
        kinds = [(await sandbox.run(job(ECHO, 1, image=OWN))).start_kind for _ in range(8)]
        assert kinds[0] is StartKind.COLD
        assert StartKind.FORKED in kinds
    finally:
        await sandbox.stop()


async def test_a_kind_that_is_not_used_any_more_leaves_nothing(small: Sandbox) -> None:
    await small.run(job(ECHO, 1, image=OWN))
    assert len(small.zygotes) == 2
    await eventually(lambda: len(small.zygotes) == 1)
    assert value(await small.run(job(ECHO, 2, image=OWN))) == 2


async def test_a_warm_worker_keeps_its_image(small: Sandbox) -> None:
    keyed = job(ECHO, 1, image=OWN, key=key())
    await small.run(keyed)
    await asyncio.sleep(0.8)  # longer than its kind is kept
    assert (await small.run(keyed)).start_kind is StartKind.WARM
    assert (await small.run(job(ECHO, 1, key=key()))).start_kind is not StartKind.WARM


async def test_an_image_that_takes_its_time_to_get_ready_keeps_nobody_else_waiting(
    small: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a machine that has much else to do takes longer for the runs below than a zygote may take
    monkeypatch.setattr("polycall.sandbox.pool._ZYGOTE_S", 60.0)
    monkeypatch.setattr("polycall.sandbox.spawner._START_S", 60.0)
    made: list[Spawner] = []

    def make(*arguments: Any) -> Spawner:
        made.append(Spawner(*arguments))
        return made[-1]

    monkeypatch.setattr("polycall.sandbox.sandbox.Spawner", make)
    waiting = asyncio.create_task(small.run(job(ECHO, "slow", image=Image(revision="slow"))))
    while not made or not hasattr(made[0], "_process"):
        await asyncio.sleep(0)
    zygote = psutil.Process(made[0].pid)  # its interpreter has hardly begun
    zygote.suspend()
    try:
        outcomes = await asyncio.gather(*(small.run(job(ECHO, number)) for number in range(12)))
        assert [value(outcome) for outcome in outcomes] == list(range(12))
        assert not waiting.done()
    finally:
        zygote.resume()
    assert value(await waiting) == "slow"


async def test_more_images_than_there_is_room_for_take_turns(small: Sandbox) -> None:
    images = [Image(revision=str(number)) for number in range(6)]
    for _ in range(2):
        outcomes = await asyncio.gather(*(small.run(job(ECHO, image.revision, image=image)) for image in images))
        assert [value(outcome) for outcome in outcomes] == [image.revision for image in images]
    await eventually(lambda: len(small.zygotes) == 1)
