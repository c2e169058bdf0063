from __future__ import annotations

import asyncio

import pytest

from polycall.engine.tasks import end, through


async def test_work_goes_on_though_its_caller_is_cancelled_as_often_as_it_likes() -> None:
    go, done = asyncio.Event(), asyncio.Event()

    async def work() -> int:
        await go.wait()
        done.set()
        return 1

    caller = asyncio.create_task(through(work()))
    for _ in range(3):
        await asyncio.sleep(0)
        caller.cancel()
    assert not caller.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert done.is_set()


async def test_work_gives_what_it_gives() -> None:
    async def work(value: int) -> int:
        return 1 // value

    assert await through(work(1)) == 1
    with pytest.raises(ZeroDivisionError):
        await through(work(0))


async def test_an_ended_task_has_cleaned_up_though_who_ends_it_is_cancelled() -> None:
    go = asyncio.Event()
    clean = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await go.wait()
            clean.append(1)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    ending = asyncio.create_task(end(task))
    await asyncio.sleep(0)
    ending.cancel()
    await asyncio.sleep(0)
    assert not ending.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await ending
    assert clean == [1]


async def test_what_an_ended_task_raises_is_dropped() -> None:
    async def work() -> None:
        raise ZeroDivisionError

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    await end(task)
    await end(task)
    assert task.done()
