from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from polycall.engine.admission import Admission, Slot
from polycall.errors import DeadlineExceeded, QueueFull


@asynccontextmanager
async def held(admission: Admission, *, project_id: str = "", size: int = 0) -> AsyncIterator[None]:
    slot = await admission.take(project_id=project_id, size=size)
    yield
    slot.release()


async def test_slots_are_given_in_the_order_of_asking() -> None:
    admission = Admission(1, 10)
    order: list[int] = []

    async def work(number: int) -> None:
        async with held(admission):
            order.append(number)
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        for number in range(5):
            group.create_task(work(number))
    assert order == [0, 1, 2, 3, 4]
    assert (admission.busy, admission.waiting) == (0, 0)


async def test_a_full_queue_refuses_at_once_and_says_when_to_come_back() -> None:
    admission = Admission(1, 1)
    async with held(admission):
        waiting = asyncio.create_task(_hold(admission))
        await asyncio.sleep(0)
        with pytest.raises(QueueFull) as caught:
            await admission.take()
        assert caught.value.retry_after_s is not None
        assert caught.value.retry_after_s > 0
        assert caught.value.metadata == {"waiting": "1", "slots": "1"}
    await waiting


async def test_a_call_that_was_accepted_waits_whatever_the_queue() -> None:
    admission = Admission(1, 0)
    async with held(admission):
        waiting = asyncio.create_task(_hold(admission, bounded=False))
        await asyncio.sleep(0)
        assert admission.waiting == 1
    await waiting


async def test_a_deadline_ends_the_wait_and_says_that_it_was_the_queue() -> None:
    admission = Admission(1, 1)
    async with held(admission):
        with pytest.raises(DeadlineExceeded) as caught:
            await admission.take(time.monotonic() + 0.01)
        assert caught.value.metadata == {"phase": "queue"}
        assert admission.waiting == 0
    assert admission.busy == 0


async def test_cancelled_waiters_leave_no_slot_behind() -> None:
    admission = Admission(2, 100)
    tasks = [asyncio.create_task(_hold(admission)) for _ in range(50)]
    await asyncio.sleep(0)
    for task in tasks[::3]:
        task.cancel()
    await asyncio.wait(tasks)
    assert (admission.busy, admission.waiting) == (0, 0)


async def _hold(admission: Admission, size: int = 0, *, bounded: bool = True) -> None:
    slot = await admission.take(size=size, bounded=bounded)
    try:
        await asyncio.sleep(0)
    finally:
        slot.release()
        slot.release()  # harmless


async def test_the_project_with_the_fewest_runs_comes_first() -> None:
    admission = Admission(2, 10)
    order: list[str] = []
    go = asyncio.Event()

    async def work(project: str) -> None:
        async with held(admission, project_id=project):
            order.append(project)
            await go.wait()

    async with asyncio.TaskGroup() as group:
        for project in ("loud", "loud", "loud", "loud", "quiet"):
            group.create_task(work(project))
            await asyncio.sleep(0)
        assert order == ["loud", "loud"]
        go.set()
    assert order == ["loud", "loud", "quiet", "loud", "loud"]
    assert (admission.busy, admission.waiting) == (0, 0)


async def test_what_waiting_requests_hold_in_memory_is_bounded() -> None:
    admission = Admission(1, 10, queue_bytes=100)
    async with held(admission, size=1000):
        large = asyncio.create_task(_hold(admission, 1000))  # one alone may always wait
        await asyncio.sleep(0)
        with pytest.raises(QueueFull):
            await admission.take(size=1)
        large.cancel()
        await asyncio.wait([large])
        small = [asyncio.create_task(_hold(admission, 50)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(QueueFull):
            await admission.take(size=1)
        empty = asyncio.create_task(_hold(admission))
    await asyncio.gather(*small, empty)
    assert (admission.busy, admission.waiting) == (0, 0)


async def test_a_deadline_that_has_passed_takes_no_slot_though_one_is_free() -> None:
    admission = Admission(1, 1)
    with pytest.raises(DeadlineExceeded) as caught:
        await admission.take(time.monotonic())
    assert caught.value.metadata == {"phase": "queue"}
    assert admission.busy == 0


async def test_who_is_cancelled_with_the_slot_in_the_same_moment_passes_it_on() -> None:
    admission = Admission(1, 10)
    slot = await admission.take()
    first, second = (asyncio.create_task(admission.take()) for _ in range(2))
    await asyncio.sleep(0)
    slot.release()  # to the first
    first.cancel()
    assert (await second).waited_s > 0
    assert first.cancelled()
    (await asyncio.wait_for(asyncio.create_task(_take_after(admission, second.result())), 1)).release()
    assert (admission.busy, admission.waiting) == (0, 0)


async def _take_after(admission: Admission, slot: Slot) -> Slot:
    slot.release()
    return await admission.take()


async def test_accepted_calls_take_no_place_of_the_queue() -> None:
    admission = Admission(1, 1)
    slot = await admission.take()
    call = asyncio.create_task(_hold(admission, bounded=False))
    await asyncio.sleep(0)
    run = asyncio.create_task(_hold(admission))
    await asyncio.sleep(0)
    assert admission.waiting == 2
    slot.release()
    await asyncio.gather(call, run)
    assert (admission.busy, admission.waiting) == (0, 0)
