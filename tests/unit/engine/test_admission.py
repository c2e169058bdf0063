from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection
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


async def _hold(admission: Admission, size: int = 0, project_id: str = "") -> None:
    slot = await admission.take(size=size, project_id=project_id)
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


# between projects


class Rounds:
    """Runs that hold their slots until they are told to go on, one after the other."""

    def __init__(self, admission: Admission) -> None:
        self.admission = admission
        self.order: list[str] = []
        self._held: list[Slot] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def ask(self, *projects: str) -> None:
        for project in projects:
            self._tasks.append(asyncio.create_task(self._one(project)))
            await asyncio.sleep(0)

    async def ask_for_calls(self, projects: Collection[str]) -> None:
        self._tasks.append(asyncio.create_task(self._call(projects)))
        await asyncio.sleep(0)

    async def go_on(self, project: str | None = None) -> None:
        """End the longest run, of a project if one is named."""
        slot = next(slot for slot in self._held if project in (None, slot.project_id))
        self._held.remove(slot)
        slot.release()
        for _ in range(3):
            await asyncio.sleep(0)

    async def end(self) -> None:
        while self._held:
            await self.go_on()
        await asyncio.gather(*self._tasks)
        assert (self.admission.busy, self.admission.waiting) == (0, 0)

    async def _one(self, project: str) -> None:
        self._held.append(await self.admission.take(project_id=project))
        self.order.append(project)

    async def _call(self, projects: Collection[str]) -> None:
        slot = await self.admission.take_for(projects)
        self._held.append(slot)
        self.order.append(f"call of {slot.project_id}")


async def test_projects_that_wait_take_turns() -> None:
    rounds = Rounds(Admission(1, 100))
    await rounds.ask("a", *["loud"] * 4, "quiet", "calm", "quiet")
    await rounds.end()
    assert rounds.order == ["a", "loud", "quiet", "calm", "loud", "quiet", "loud", "loud"]


async def test_a_project_of_long_runs_gets_no_more_slots_than_one_of_short_ones() -> None:
    rounds = Rounds(Admission(4, 100))
    await rounds.ask(*["long"] * 8, *["short"] * 8)
    assert rounds.order == ["long"] * 4
    await rounds.go_on()
    await rounds.go_on()
    for _ in range(4):  # the short ones come and go, in half of the slots
        await rounds.go_on("short")
    assert rounds.order == ["long"] * 4 + ["short"] * 6
    await rounds.end()


async def test_a_project_has_no_more_slots_than_it_may_have_though_some_are_free() -> None:
    rounds = Rounds(Admission(4, 100, project_slots=2))
    await rounds.ask(*["loud"] * 4)
    assert (rounds.order, rounds.admission.busy, rounds.admission.waiting) == (["loud"] * 2, 2, 2)
    await rounds.ask("quiet")
    assert rounds.order == ["loud", "loud", "quiet"]
    await rounds.go_on()
    assert rounds.order == ["loud", "loud", "quiet", "loud"]
    await rounds.end()


async def test_calls_take_turns_with_runs_of_other_projects_and_of_their_own() -> None:
    rounds = Rounds(Admission(1, 100))
    await rounds.ask("a", "a", "a", "b", "b")
    due = {"a": 1, "c": 1}
    for turn in ("call of a", "b", "call of c", "a", "b", "call of c", "call of a", "call of c", "a"):
        if rounds.admission.waiting - rounds.admission._waits == 0:
            await rounds.ask_for_calls(due)
        await rounds.go_on()
        assert rounds.order[-1] == turn
    await rounds.end()


async def test_calls_take_turns_also_where_nobody_has_to_wait() -> None:
    admission = Admission(1, 1)
    order = []
    for _ in range(6):
        slot = await admission.take_for({"a": 1, "b": 1, "c": 1})
        order.append(slot.project_id)
        slot.release()
    assert order == ["a", "b", "c", "a", "b", "c"]


async def test_calls_of_a_project_that_has_its_most_leave_the_slot_to_others() -> None:
    rounds = Rounds(Admission(2, 100, project_slots=1))
    await rounds.ask("a")
    due = {"a": 1}
    await rounds.ask_for_calls(due)
    assert (rounds.admission.busy, rounds.admission.waiting) == (1, 1)
    due["b"] = 1
    rounds.admission.look()
    await asyncio.sleep(0)
    assert rounds.order == ["a", "call of b"]
    await rounds.end()


async def test_accepted_calls_take_no_place_of_the_queue() -> None:
    rounds = Rounds(Admission(1, 1))
    await rounds.ask("a")
    await rounds.ask_for_calls({"a": 1})
    await rounds.ask("a")
    assert rounds.admission.waiting == 2
    await rounds.end()
    assert rounds.order == ["a", "call of a", "a"]


async def test_a_dispatcher_that_is_cancelled_leaves_no_slot_behind() -> None:
    admission = Admission(1, 1)
    slot = await admission.take()
    for in_the_same_moment in (False, True):
        asking = asyncio.create_task(admission.take_for({"a": 1}))
        await asyncio.sleep(0)
        if in_the_same_moment:
            slot.release()
        asking.cancel()
        await asyncio.wait([asking])
        assert asking.cancelled()
    assert (admission.busy, admission.waiting) == (0, 0)


# slots that are lent


async def test_a_slot_that_is_lent_is_anothers_meanwhile_and_comes_back_first() -> None:
    admission = Admission(1, 10)
    go, order = asyncio.Event(), []

    async def wait() -> None:
        await go.wait()

    async def lender() -> None:
        slot = await admission.take(project_id="a")
        await slot.lend(wait)
        order.append("lender")
        assert slot.lent_s > 0
        slot.release()

    async def other(name: str) -> None:
        slot = await admission.take(project_id="a")
        order.append(name)
        if name == "first":
            go.set()
            await asyncio.sleep(0.01)
        slot.release()

    async with asyncio.TaskGroup() as group:
        group.create_task(lender())
        await asyncio.sleep(0)
        group.create_task(other("first"))
        group.create_task(other("second"))
    assert order == ["first", "lender", "second"]
    assert (admission.busy, admission.waiting) == (0, 0)


async def test_no_more_slots_are_lent_than_runs_may_wait() -> None:
    admission = Admission(1, 1)
    go = asyncio.Event()

    async def lender(*, bounded: bool = True) -> None:
        slot = await admission.take()
        try:
            await slot.lend(lambda: _until(go), bounded=bounded)
        finally:
            slot.release()

    first = asyncio.create_task(lender())
    await asyncio.sleep(0)
    with pytest.raises(QueueFull):
        await lender()
    accepted = asyncio.create_task(lender(bounded=False))  # Calls are bounded by their dispatcher
    await asyncio.sleep(0)
    assert admission.busy == 0
    go.set()
    await asyncio.gather(first, accepted)
    assert (admission.busy, admission.waiting) == (0, 0)


async def test_a_project_whose_runtimes_take_long_to_start_leaves_others_room_to_start_theirs() -> None:
    admission = Admission(1, 8)
    go = asyncio.Event()

    async def lender(project_id: str) -> None:
        slot = await admission.take(project_id=project_id)
        try:
            await slot.lend(lambda: _until(go))
        finally:
            slot.release()

    lenders = [asyncio.create_task(lender("loud")) for _ in range(5)]
    await asyncio.sleep(0.01)
    with pytest.raises(QueueFull) as caught:
        await lender("loud")
    assert caught.value.subject == "project_queue"
    lenders += [asyncio.create_task(lender("quiet")) for _ in range(2)]
    await asyncio.sleep(0.01)
    go.set()
    await asyncio.gather(*lenders)
    assert (admission.busy, admission.waiting) == (0, 0)


async def test_a_project_is_not_forgotten_while_its_slot_is_lent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("polycall.engine.admission._LINES", 2)
    admission = Admission(2, 4, project_slots=1)
    slot = await admission.take(project_id="a")

    async def others() -> None:
        for project_id in "bcd":
            (await admission.take(project_id=project_id)).release()

    await slot.lend(others)
    slot.release()
    again = admission.take_now("a")
    assert again is not None
    again.release()


async def test_a_deadline_that_passes_while_a_slot_is_lent_says_that_it_was_the_start() -> None:
    admission = Admission(1, 1)
    slot = await admission.take()
    with pytest.raises(DeadlineExceeded) as caught:
        await slot.lend(lambda: _until(asyncio.Event()), time.monotonic() + 0.01)
    assert caught.value.metadata == {"phase": "start"}
    slot.release()
    assert admission.busy == 0


async def test_what_fails_while_a_slot_is_lent_leaves_none_behind() -> None:
    admission = Admission(1, 1)
    slot = await admission.take()

    async def fail() -> None:
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        await slot.lend(fail)
    slot.release()
    assert admission.busy == 0


async def _until(event: asyncio.Event) -> None:
    await event.wait()


# a full queue


async def test_one_project_may_have_only_so_many_waiting() -> None:
    admission = Admission(1, 10, project_queue=1)
    async with held(admission):
        waiting = asyncio.create_task(_hold(admission, project_id="loud"))
        await asyncio.sleep(0)
        with pytest.raises(QueueFull) as caught:
            await admission.take(project_id="loud")
        assert (caught.value.subject, caught.value.metadata) == ("project_queue", {"waiting": "1", "slots": "1"})
        assert "1 runs of this project wait" in str(caught.value)
        other = asyncio.create_task(_hold(admission, project_id="quiet"))
        await asyncio.sleep(0)
        assert admission.waiting == 2
    await asyncio.gather(waiting, other)


async def test_in_a_full_queue_who_has_most_gives_way_with_its_newest() -> None:
    admission = Admission(1, 3)
    async with held(admission):
        loud = [asyncio.create_task(_hold(admission, project_id="loud")) for _ in range(3)]
        await asyncio.sleep(0)
        quiet = asyncio.create_task(_hold(admission, project_id="quiet"))
        await asyncio.wait([loud[2]])
        assert isinstance(loud[2].exception(), QueueFull)
        assert admission.waiting == 3
        with pytest.raises(QueueFull):  # 2 and 1 is as even as it gets
            await admission.take(project_id="quiet")
        with pytest.raises(QueueFull):
            await admission.take(project_id="loud")
    await asyncio.gather(*loud[:2], quiet)
    assert (admission.busy, admission.waiting) == (0, 0)


async def test_large_requests_of_one_project_give_way_to_anothers() -> None:
    admission = Admission(1, 10, queue_bytes=100)
    async with held(admission):
        loud = [asyncio.create_task(_hold(admission, 25, "loud")) for _ in range(4)]
        await asyncio.sleep(0)
        quiet = asyncio.create_task(_hold(admission, 40, "quiet"))
        await asyncio.wait(loud[2:])
        assert [isinstance(task.exception(), QueueFull) for task in loud[2:]] == [True, True]
        with pytest.raises(QueueFull):
            await admission.take(size=100, project_id="other")  # would leave nothing to anybody
    await asyncio.gather(*loud[:2], quiet)


async def test_the_time_to_come_back_is_that_of_the_projects_own_share() -> None:
    admission = Admission(2, 10, project_queue=1)
    admission._average_s = 10.0
    async with held(admission), held(admission):
        waiting = [asyncio.create_task(_hold(admission, project_id=project)) for project in ("a", "b")]
        await asyncio.sleep(0)
        with pytest.raises(QueueFull) as caught:
            await admission.take(project_id="a")
        assert caught.value.retry_after_s == 20.0  # second of its line, in one slot of two
        assert "Retry in 20.0 s." in str(caught.value)
    await asyncio.gather(*waiting)


async def test_projects_that_come_and_go_are_forgotten() -> None:
    admission = Admission(1, 1)
    for number in range(10_000):
        (await admission.take(project_id=str(number))).release()
    assert len(admission._lines) <= 4096
