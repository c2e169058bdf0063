"""polycall.services.once."""

from __future__ import annotations

import asyncio

import pytest

from polycall.errors import AlreadyExists, Unavailable
from polycall.services import once
from polycall.services.once import Once


class Counter:
    def __init__(self) -> None:
        self.count = 0

    async def __call__(self) -> int:
        self.count += 1
        await asyncio.sleep(0)
        return self.count


async def test_a_repeat_returns_the_first_answer() -> None:
    act, first = Counter(), Once[int]()
    assert [await first("p", "id", act) for _ in range(3)] == [1, 1, 1]


async def test_repeats_at_the_same_time_wait_for_the_first() -> None:
    act, first = Counter(), Once[int]()
    assert await asyncio.gather(*(first("p", "id", act) for _ in range(5))) == [1] * 5


async def test_other_ids_other_projects_and_no_id_are_other_requests() -> None:
    act, first = Counter(), Once[int]()
    assert [await first("p", "a", act), await first("p", "b", act), await first("q", "a", act)] == [1, 2, 3]
    assert [await first("p", None, act), await first("p", None, act)] == [4, 5]


async def test_what_failed_may_be_repeated() -> None:
    first = Once[int]()

    async def fail() -> int:
        await asyncio.sleep(0)
        raise AlreadyExists("t", "n")

    results = await asyncio.gather(first("p", "id", fail), first("p", "id", fail), return_exceptions=True)
    assert [type(result) for result in results] == [AlreadyExists, AlreadyExists]
    assert await first("p", "id", Counter()) == 1


async def test_a_repeat_of_what_was_cancelled_is_told_to_come_back() -> None:
    first = Once[int]()
    begun = asyncio.Event()

    async def hang() -> int:
        begun.set()
        await asyncio.Event().wait()
        return 1

    task = asyncio.create_task(first("p", "id", hang))
    await begun.wait()
    repeat = asyncio.create_task(first("p", "id", hang))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(Unavailable):
        await repeat
    assert task.cancelled() or await asyncio.wait([task])
    assert await first("p", "id", Counter()) == 1


async def test_the_oldest_answers_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(once, "_MOST_ANSWERS", 2)
    act, first = Counter(), Once[int]()
    assert [await first("p", id, act) for id in "abc"] == [1, 2, 3]
    assert [await first("p", id, act) for id in "bca"] == [2, 3, 4]
