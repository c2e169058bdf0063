"""polycall.engine.analyses: nothing waits for ever, and nobody waits for one project alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from polycall.domain import Language, Version, VersionState
from polycall.engine import analyses
from polycall.engine.analyses import Analyses
from polycall.errors import Internal, QueueFull, Unavailable


class Work:
    """What the registry does, noted; ``failures`` are raised first."""

    def __init__(self, *left: Version) -> None:
        self.left = left
        self.done: list[str] = []
        self.given_up: list[str] = []
        self.failures: list[Exception] = []
        self.turn = asyncio.Semaphore(0)  # how many may go on
        self.begun = asyncio.Event()

    async def look(self, limit: int) -> tuple[Version, ...]:
        return self.left[:limit]

    async def analyze(self, project_id: str, package_id: str, version_id: str) -> None:
        self.begun.set()
        await self.turn.acquire()
        if self.failures:
            raise self.failures.pop(0)
        self.done.append(f"{project_id}/{version_id}")

    async def give_up(self, project_id: str, package_id: str, version_id: str, why: str) -> None:
        self.given_up.append(f"{project_id}/{version_id}: {why[:20]}")


def left(name: str, created_at: int = 0) -> Version:
    return Version(
        project_id="a",
        package_id="p",
        id=name,
        state=VersionState.ANALYSING,
        language=Language.PYTHON,
        created_at=created_at,
        bundle="",
    )


@asynccontextmanager
async def running(work: Work) -> AsyncIterator[Analyses]:
    built = Analyses(work.look, work.analyze, work.give_up)
    task = asyncio.create_task(built.run())
    try:
        yield built
    finally:
        task.cancel()
        await asyncio.wait([task])


async def until(condition: Any) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.001)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analyses, "_AGAIN_S", 0.001)


async def test_projects_take_turns() -> None:
    work = Work()
    async with running(work) as built:
        for name in ("1", "2", "3"):
            built.add("many", "p", name)
        built.add("one", "p", "1")
        for _ in range(4):
            work.turn.release()
        await until(lambda: len(work.done) == 4)
    assert work.done == ["many/1", "one/1", "many/2", "many/3"]


async def test_what_an_earlier_server_left_is_taken_up_at_once_however_young() -> None:
    work = Work(left("1"), left("2", created_at=1 << 60))
    for _ in range(2):
        work.turn.release()
    async with running(work):
        await until(lambda: not work.left or len(work.done) == 1)
    assert work.done[0] == "a/1"


async def test_one_that_is_added_twice_is_analysed_once() -> None:
    work = Work()
    async with running(work) as built:
        for _ in range(3):
            built.add("a", "p", "1")
        for _ in range(3):
            work.turn.release()
        await until(lambda: work.done)
        await asyncio.sleep(0.01)
    assert work.done == ["a/1"]


async def test_one_whose_source_changes_meanwhile_is_analysed_again() -> None:
    work = Work()
    async with running(work) as built:
        built.add("a", "p", "1")
        await work.begun.wait()
        built.add("a", "p", "1")
        for _ in range(2):
            work.turn.release()
        await until(lambda: len(work.done) == 2)
    assert work.done == ["a/1", "a/1"]


async def test_what_is_not_its_own_doing_is_tried_again_for_as_long_as_it_takes() -> None:
    work = Work()
    work.failures = [Unavailable("The database is away.")] * 5 + [QueueFull("Busy.", subject="analysis")] * 5
    async with running(work) as built:
        built.add("a", "p", "1")
        for _ in range(11):
            work.turn.release()
        await until(lambda: work.done)
    assert work.given_up == []


@pytest.mark.parametrize("failure", [Internal("Lost."), ValueError("ours")])
async def test_one_that_cannot_be_analysed_is_given_up_and_the_next_is_not(failure: Exception) -> None:
    work = Work()
    work.failures = [failure] * (3 if isinstance(failure, Internal) else 1)
    async with running(work) as built:
        built.add("a", "p", "1")
        for _ in range(len(work.failures) + 1):
            work.turn.release()
        await until(lambda: work.given_up)
        built.add("a", "p", "2")
        await until(lambda: work.done)
    assert (work.given_up, work.done) == (["a/1: The sandbox was lost"[:25]], ["a/2"])


async def test_so_many_of_a_project_may_wait_and_no_more() -> None:
    built = Analyses(Work().look, Work().analyze, Work().give_up)
    for number in range(1000):
        built.check_room("a")
        built.add("a", "p", str(number))
    with pytest.raises(QueueFull):
        built.check_room("a")
    built.check_room("b")
