"""What every store does with priorities, limits, retries and policies."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from dataclasses import replace

import pytest
import sqlalchemy as sa

from polycall.domain import Attempt, Execution, ExecutionError, ExecutionState, Project, Reason, RetryPolicy
from polycall.errors import AlreadyExists, InvalidArgument, NotFound, QuotaExceeded
from polycall.ids import now_ms
from polycall.store.protocol import Store
from tests.store.examples import LOST, ended, package, queued

OTHER = "other"
FAILURE = ExecutionError(reason=Reason.USER_EXCEPTION, message="no", type="ValueError", traceback="t")
RETRY = RetryPolicy(
    max_attempts=3, initial_ms=100, maximum_ms=200, multiplier=1.5, jitter=0.5, reasons=(Reason.USER_EXIT,)
)


async def _limited(store: Store, limit: int | None, function: str = "function", package_id: str = "package") -> None:
    with contextlib.suppress(AlreadyExists):
        await store.create_package(package(package_id))
    await store.set_policy("default", package_id, function, {"max_running": limit}, 1000)


async def _queue(store: Store, count: int, **changes: object) -> list[Execution]:
    return [await store.enqueue(queued(**changes)) for _ in range(count)]


async def _claim(store: Store, most: int = 100, owner: str = "n", project: str = "default") -> list[Execution]:
    return list(await store.claim(owner, {project: most}))


class LimitsConformance:
    """To be inherited by a class with a fixture ``store``."""

    async def test_the_highest_priority_comes_first_and_of_equals_what_was_due_first(self, store: Store) -> None:
        calls = {priority: await _queue(store, 2, priority=priority) for priority in (0, -9, 9, 3)}
        late = await store.enqueue(queued(priority=9), delay_ms=3_600_000)
        taken = [call.priority for _ in range(4) for call in await _claim(store, 2)]
        assert taken == [9, 9, 3, 3, 0, 0, -9, -9]
        assert await _claim(store) == []
        assert (await store.get("default", late.id)).state is ExecutionState.QUEUED
        assert (await store.get("default", calls[9][0].id)).priority == 9

    async def test_no_more_of_a_function_run_than_its_limit(self, store: Store) -> None:
        await _limited(store, 3)
        calls = await _queue(store, 8)
        others = await _queue(store, 2, function="another")
        first = await store.claim("n", {"default": 100})
        assert Counter(call.function for call in first) == {"function": 3, "another": 2}
        assert (first.limited, first.contended) == (frozenset({"default"}), frozenset())
        assert await _claim(store) == []
        assert await store.finish(ended(next(call for call in first if call.function == "function")), owner="n")
        assert len(await _claim(store)) == 1
        # what is lost and queued again gives its room away, and what ends for good as well
        assert await store.recover(LOST) == {ExecutionState.QUEUED: 5}
        assert {call.id for call in await _claim(store)} >= {other.id for other in others}
        policy = await store.get_policy("default", "package", "function")
        assert (policy.max_running, policy.running, policy.queued) == (3, 3, len(calls) - 1 - 3)

    async def test_a_limit_holds_for_what_waited_when_it_was_set_raised_lowered_and_taken_away(
        self, store: Store
    ) -> None:
        await _queue(store, 12)
        started = await _claim(store, 2)
        await _limited(store, 3)
        started += (two := await _claim(store))
        assert len(two) == 1
        await _limited(store, 5)
        started += (two := await _claim(store))
        assert len(two) == 2
        await _limited(store, 1)
        assert await _claim(store) == []
        for call in started[:4]:
            assert await store.finish(ended(call), owner="n")
            assert await _claim(store) == []
        assert await store.finish(ended(started[4]), owner="n")
        assert len(await _claim(store)) == 1
        await _limited(store, None)
        # what waited under it goes on, and so does what comes now
        await _queue(store, 1)
        assert len(await _claim(store)) == 12 + 1 - 6
        assert (await store.get_policy("default", "package", "function")).max_running is None

    async def test_no_more_of_a_project_run_than_its_limit(self, store: Store) -> None:
        await store.create_project(Project(id=OTHER, created_at=1))
        assert (await store.change_project("default", {"max_running": 4})).max_running == 4
        await _limited(store, 3)
        await _queue(store, 6)
        await _queue(store, 6, function="another")
        await _queue(store, 6, project_id=OTHER)
        first = await _claim(store)
        assert len(first) == 4
        assert Counter(call.function for call in first)["function"] <= 3
        assert await _claim(store) == []
        assert len(await _claim(store, project=OTHER)) == 6
        await store.finish(ended(first[0]), owner="n")
        assert len(await _claim(store)) == 1
        assert (await store.get_project("default")).max_running == 4
        assert [one.max_running for one in await store.list_projects()] == [4, None]
        renamed = await store.change_project("default", {"display_name": "d", "max_running": None})
        assert (renamed.display_name, renamed.max_running) == ("d", None)
        await _claim(store)
        assert (await store.get_policy("default", "package", "function")).running == 3
        assert (await store.get_policy("default", "package", "another")).queued == 0
        with pytest.raises(NotFound):
            await store.change_project("nobody", {"max_running": 1})

    async def test_limited_calls_take_their_turn_among_the_others_of_their_project(self, store: Store) -> None:
        await _limited(store, 2)
        low = await _queue(store, 2, function="another", priority=-1)
        first = await _queue(store, 1)
        middle = await _queue(store, 1, function="another")
        await asyncio.sleep(0.002)
        last = await _queue(store, 1)
        high = await _queue(store, 1, priority=1)
        order = [(await _claim(store, 1))[0].id for _ in range(4)]
        # the limit holds the last one back
        assert order[0] == high[0].id
        assert set(order[1:3]) == {first[0].id, middle[0].id}
        assert order[3] in {call.id for call in low}
        assert (await store.get("default", last[0].id)).state is ExecutionState.QUEUED

    async def test_many_who_claim_at_once_never_exceed_a_limit(self, store: Store) -> None:
        for number in range(4):
            await _limited(store, 3, f"f{number}")
            await _queue(store, 10, function=f"f{number}")
        await store.change_project("default", {"max_running": 10})
        left = 40
        while left:
            taken = await asyncio.gather(*[store.claim(f"n{number}", {"default": 4}) for number in range(8)])
            running = [call for part in taken for call in part]
            assert len(running) <= 10
            assert max(Counter(call.function for call in running).values(), default=0) <= 3
            for call in running:
                assert await store.finish(ended(call), owner=call.owner or "")
            left -= len(running)

    async def test_a_policy_says_what_it_was_told_and_goes_with_its_package(self, store: Store) -> None:
        await store.create_package(package("package"))
        policy = await store.get_policy("default", "package", "function")
        assert (policy.max_running, policy.retry, policy.updated_at) == (None, None, None)
        await store.set_policy("default", "package", "function", {"retry": RETRY, "max_running": 7}, 1)
        await store.set_policy("default", "package", "function", {"max_running": 8}, 1)
        policy = await store.get_policy("default", "package", "function")
        assert (policy.max_running, policy.retry) == (8, RETRY)
        assert policy.updated_at is not None
        assert abs(policy.updated_at - now_ms()) < 60_000
        assert await store.find_retry("default", "package", "function") == RETRY
        assert await store.find_retry("default", "package", "other") is None
        with pytest.raises(QuotaExceeded):
            await store.set_policy("default", "package", "second", {"max_running": 7}, 1)
        with pytest.raises(NotFound):
            await store.set_policy("default", "nothing", "function", {"max_running": 7}, 9)
        with pytest.raises(NotFound):
            await store.get_policy("default", "nothing", "function")
        waiting = await _queue(store, 1)
        await store.delete_package("default", "package")
        await store.create_package(package("package"))
        policy = await store.get_policy("default", "package", "function")
        assert (policy.max_running, policy.retry, policy.queued) == (None, None, 1)
        # what waits of it is still taken, to find that its package is gone
        assert [call.id for call in await _claim(store)] == [call.id for call in waiting]

    async def test_policies_are_listed_by_package_and_function(self, store: Store) -> None:
        for package_id, function in (("b", "f"), ("a", "g"), ("a", "f")):
            await _limited(store, 5, function, package_id)
        await store.change_project("default", {"max_running": 4})
        await _limited(store, None, "g", "a")
        assert [(one.package_id, one.function) for one in (await store.list_policies("default", 9)).items] == [
            ("a", "f"),
            ("b", "f"),
        ]
        first = await store.list_policies("default", 1)
        second = await store.list_policies("default", 1, first.next_token)
        assert [one.package_id for one in (*first.items, *second.items)] == ["a", "b"]
        assert second.next_token == ""
        assert (await store.list_policies(OTHER, 9)).items == ()
        with pytest.raises(InvalidArgument):
            await store.list_policies("default", 1, "nonsense")

    async def test_limits_that_were_taken_away_are_forgotten_once_nothing_is_under_them(self, store: Store) -> None:
        await _limited(store, 1)
        await _queue(store, 2)
        await store.set_policy("default", "package", "kept", {"max_running": 1, "retry": RETRY}, 9)
        await store.set_policy("default", "package", "kept", {"max_running": None}, 9)
        await _limited(store, None)
        assert await store.sweep_lanes() == 0  # too young

        def age(conn: sa.Connection) -> None:
            conn.execute(sa.text("UPDATE policies SET lifted_at = 1"))

        await store._executor.write(age)  # type: ignore[attr-defined]
        assert await store.sweep_lanes() == 1
        assert len(await _claim(store)) == 2
        assert await store.sweep_lanes() == 0  # they run, and may be queued again
        assert await store.recover(LOST) == {ExecutionState.QUEUED: 2}
        for call in await _claim(store):
            assert await store.finish(ended(call), owner="n")
        assert await store.sweep_lanes() == 1
        assert await store.find_retry("default", "package", "kept") == RETRY

    async def test_what_failed_is_queued_again_after_a_while(self, store: Store) -> None:
        call = await store.enqueue(queued(retry=RETRY))
        (claimed,) = await _claim(store)
        failed = ended(claimed, state=ExecutionState.FAILED, error=FAILURE)
        attempt = Attempt(number=1, started_at=claimed.started_at, ended_at=failed.ended_at, error=FAILURE)
        failed = replace(failed, attempts=(attempt,))
        assert not await store.retry(failed, owner="another", wait_ms=3_600_000)
        assert not await store.retry(replace(failed, attempt=2), owner="n", wait_ms=3_600_000)
        assert await store.retry(failed, owner="n", wait_ms=3_600_000)
        assert not await store.retry(failed, owner="n", wait_ms=0)
        assert not await store.finish(failed, owner="n")
        waits = await store.get("default", call.id)
        assert (waits.state, waits.attempt, waits.owner, waits.started_at) == (ExecutionState.QUEUED, 1, None, None)
        assert (waits.error, waits.attempts, waits.result, waits.retry) == (FAILURE, (attempt,), None, RETRY)
        assert waits.run_at is not None
        assert abs(waits.run_at - now_ms() - 3_600_000) < 60_000
        assert await _claim(store) == []
        # a cancel ends the wait
        assert (await store.request_cancel("default", call.id, now_ms())).state is ExecutionState.CANCELLED

    async def test_what_is_tried_again_is_another_attempt(self, store: Store) -> None:
        await store.enqueue(queued())
        (claimed,) = await _claim(store)
        assert await store.retry(replace(claimed, error=FAILURE), owner="n", wait_ms=0)
        (again,) = await _claim(store)
        assert (again.attempt, again.id) == (2, claimed.id)
        assert not await store.finish(ended(claimed), owner="n")
        assert await store.finish(ended(again, error=None), owner="n")

    async def test_nothing_is_tried_again_that_was_cancelled_or_would_be_too_late(self, store: Store) -> None:
        cancelled = await store.enqueue(queued())
        late = await store.enqueue(queued(deadline=now_ms() + 1_000_000))
        claimed = {call.id: replace(call, error=FAILURE) for call in await _claim(store)}
        await store.request_cancel("default", cancelled.id, now_ms())
        assert not await store.retry(claimed[cancelled.id], owner="n", wait_ms=0)
        assert not await store.retry(claimed[late.id], owner="n", wait_ms=2_000_000)
        assert await store.retry(claimed[late.id], owner="n", wait_ms=10)
