"""What every store does with notifications of ends: made with the end, claimed once, settled by whoever claimed."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import pytest

from polycall.domain import (
    Delivery,
    DeliveryState,
    Execution,
    ExecutionKind,
    ExecutionState,
    Overlap,
    Project,
    SigningSecret,
)
from polycall.errors import InvalidArgument, NotFound, QuotaExceeded
from polycall.ids import new_id, now_ms
from polycall.store.protocol import Attempted, Firing, Lane, Store
from tests.store.examples import LATE, LOST, ended, package, queued, schedule, version

URL = "https://Hooks.example.com:8443/done?token=t"
HOST = "hooks.example.com"
LANE = Lane("default", HOST, 0)
LEASE_MS = 60_000
PENDING, DELIVERED, DEAD = DeliveryState.PENDING, DeliveryState.DELIVERED, DeliveryState.DEAD


def _told(**changes: object) -> Execution:
    """Return a Call that waits, and whose end shall be told."""
    return queued(completion_url=URL, **changes)


async def _finished(store: Store, **changes: object) -> Execution:
    """Return a Call that has ended, and whose end is to be told."""
    await store.enqueue(_told())
    (claimed,) = await store.claim("node", {"default": 1})
    final = ended(claimed, **changes)
    assert await store.finish(final, owner="node")
    return final


async def _all(store: Store, state: DeliveryState | None = None) -> list[uuid.UUID]:
    return [one.execution_id for one in (await store.list_deliveries("default", state, 100)).items]


async def _claimed(store: Store, owner: str = "node", most: int = 10, lane: Lane = LANE) -> list[Delivery]:
    due = await store.claim_deliveries(owner, lane, most, LEASE_MS, 100)
    return [one.delivery for one in due]


class DeliveryConformance:
    """Deliveries, and the secrets that sign them."""

    async def test_every_way_to_an_end_is_told_in_its_own_transaction(self, store: Store) -> None:
        await store.create_package(package("package"))
        await store.create_version(version(package_id="package"), {"main.py": b""})
        finished = await _finished(store)
        cancelled = await store.enqueue(_told())
        await store.request_cancel("default", cancelled.id, now_ms())
        expired = await store.enqueue(_told(deadline=1))
        assert await store.expire(LATE) == 1
        lost = await store.enqueue(_told(max_attempts=1, state=ExecutionState.RUNNING, owner="dead", attempt=1))
        assert await store.recover(LOST) == {ExecutionState.FAILED: 1}
        reaped = await store.enqueue(_told(max_attempts=1, state=ExecutionState.RUNNING, owner="dead", attempt=1))
        assert await store.reap(LOST, 1000) == {ExecutionState.FAILED: 1}
        seen = await store.create_schedule(
            schedule("s", package_id="package", overlap=Overlap.REPLACE, next_run=1000), most=10
        )
        # the next tick of a schedule takes the place of what waits
        replaced = await store.enqueue(_told(kind=ExecutionKind.SCHEDULE, schedule_id="s", scheduled_at=1))
        tick = _told(kind=ExecutionKind.SCHEDULE, schedule_id="s", scheduled_at=1000)
        await store.fire(seen, Firing(at=1000, next_run=2000, execution=tick))
        # and what has not ended is not told, nor what names no URL
        again = await store.enqueue(_told(state=ExecutionState.RUNNING, owner="dead", attempt=1))
        assert await store.recover(LOST) == {ExecutionState.QUEUED: 1}
        silent = await store.enqueue(queued())
        await store.request_cancel("default", silent.id, now_ms())
        told = {finished.id, cancelled.id, expired.id, lost.id, reaped.id, replaced.id}
        assert set(await _all(store)) == set(await _all(store, PENDING)) == told
        assert not {tick.id, again.id, silent.id} & told
        assert await store.count_deliveries("default", PENDING, 100) == 6
        assert await store.count_deliveries("default", PENDING, 5) == 5
        assert (await store.get("default", again.id)).completion_url == URL

    async def test_what_is_claimed_comes_with_all_that_is_told(self, store: Store) -> None:
        final = await _finished(store)
        (due,) = await store.claim_deliveries("node", LANE, 10, LEASE_MS, 8)
        made = due.delivery
        assert (made.execution_id, made.project_id, made.url, made.host) == (final.id, "default", URL, HOST)
        assert (made.state, made.attempts, made.owner, made.status, made.error) == (PENDING, 1, "node", None, "")
        assert made.next_attempt is not None
        assert made.attempted_at is not None
        assert made.next_attempt - made.attempted_at == LEASE_MS
        assert made.attempted_at >= made.created_at
        assert due.execution == replace(
            final, input=None, spec=None, stdout=b"", stderr=b"", outbound=(), outbound_omitted=0, owner=None
        )
        assert not due.result_omitted
        assert await store.settle_delivery(made, Attempted(state=PENDING))
        (due,) = await store.claim_deliveries("node", LANE, 10, LEASE_MS, 7)  # the result has 8 bytes
        assert (due.execution.result, due.result_omitted) == (None, True)
        await _finished(store, result=b'"' + b"x" * 100_000 + b'"')
        (due,) = await store.claim_deliveries("node", LANE, 10, LEASE_MS, 1 << 20)  # a blob
        assert (due.execution.result, due.result_omitted) == (None, True)
        await _finished(store, result=None)
        (due,) = await store.claim_deliveries("node", LANE, 10, LEASE_MS, 100)
        assert (due.execution.result, due.result_omitted) == (None, False)

    async def test_each_is_claimed_once_by_whoever_asks_at_once(self, store: Store) -> None:
        finals = [await _finished(store) for _ in range(6)]
        found = await asyncio.gather(*(_claimed(store, f"node {n}", 2) for n in range(5)))
        taken = [one.execution_id for some in found for one in some]
        assert len(taken) == len(set(taken)) == 6
        assert set(taken) == {final.id for final in finals}
        assert await _claimed(store) == []

    async def test_an_attempt_is_settled_by_who_made_it_and_once(self, store: Store) -> None:
        final = await _finished(store)
        (first,) = await _claimed(store, "first")
        assert await store.reclaim_deliveries(["second"]) == 1  # the first one is dead, or said to be
        (second,) = await _claimed(store, "second")
        assert (second.attempts, second.owner) == (2, "second")
        assert not await store.settle_delivery(first, Attempted(state=DELIVERED, status=200))
        assert not await store.settle_delivery(replace(second, project_id="other"), Attempted(state=DEAD))
        assert await store.settle_delivery(second, Attempted(state=PENDING, status=503, error="why", delay_ms=50_000))
        assert not await store.settle_delivery(second, Attempted(state=DELIVERED, status=200))
        waits = await store.get_delivery("default", final.id)
        assert (waits.state, waits.status, waits.error, waits.owner) == (PENDING, 503, "why", None)
        assert waits.next_attempt is not None
        pending = await store.pending_lanes({}, 10)
        assert pending.lanes == [Lane("default", HOST, waits.next_attempt)]
        assert 0 < waits.next_attempt - pending.now <= 50_000
        assert await _claimed(store) == []
        again = await store.redeliver("default", final.id)
        assert (again.state, again.attempts) == (PENDING, 0)
        (third,) = await _claimed(store, "third")
        assert (await store.redeliver("default", final.id)).owner == "third"  # it is under way
        assert await store.settle_delivery(third, Attempted(state=DEAD, status=410, error="gone"))
        dead = await store.get_delivery("default", final.id)
        assert (dead.state, dead.status, dead.error, dead.next_attempt, dead.owner) == (DEAD, 410, "gone", None, None)
        assert dead.ended_at is not None
        assert (await store.pending_lanes({}, 10)).lanes == []
        back = await store.redeliver("default", final.id)
        assert (back.state, back.ended_at) == (PENDING, None)
        (fourth,) = await _claimed(store, "fourth")
        assert await store.settle_delivery(fourth, Attempted(state=DELIVERED, status=204))
        assert await _all(store, DELIVERED) == [final.id]

    async def test_what_is_given_back_has_not_been_attempted(self, store: Store) -> None:
        one, other = [await _finished(store) for _ in range(2)]
        assert len(await _claimed(store)) == 2
        assert await store.return_deliveries("another") == 0
        assert await store.return_deliveries("node", [one.id]) == 1
        assert (await store.get_delivery("default", one.id)).attempts == 0
        assert (await store.get_delivery("default", other.id)).attempts == 1
        assert [delivery.execution_id for delivery in await _claimed(store)] == [one.id]
        assert await store.return_deliveries("node") == 2
        # servers that share a database: who has no heartbeat is dead
        await store.join("alive", "replica")
        assert len(await _claimed(store, "alive", 1)) == 1
        assert len(await _claimed(store, "dead", 1)) == 1
        assert await store.reclaim_deliveries(None, 60_000) == 1
        assert [delivery.owner for delivery in await _claimed(store, "next")] == ["next"]

    async def test_lanes_are_of_a_project_and_a_host(self, store: Store) -> None:
        await _finished(store)
        for url in ("https://a.example.com/", "https://b.example.com/1", "https://b.example.com/2"):
            made = await store.enqueue(queued(completion_url=url))
            await store.request_cancel("default", made.id, now_ms())
        lanes = (await store.pending_lanes({}, 10)).lanes
        assert [(lane.project_id, lane.host) for lane in lanes] == [
            ("default", "a.example.com"),
            ("default", "b.example.com"),
            ("default", HOST),
        ]
        assert len(await _claimed(store, lane=lanes[1])) == 2
        assert len(await _claimed(store, lane=lanes[1])) == 0
        assert len(await _claimed(store, lane=lanes[0])) == 1

    async def test_a_project_with_very_many_lanes_shows_some_at_a_time_and_hides_no_other(self, store: Store) -> None:
        await store.create_project(Project(id="other", created_at=1))
        await store.create_project(Project(id="default-2", created_at=1))
        for project_id, count in (("default", 25), ("other", 1), ("default-2", 3)):
            for number in range(count):
                url = f"https://h{number:02}.example.com/"
                made = await store.enqueue(queued(project_id=project_id, completion_url=url))
                await store.request_cancel(project_id, made.id, now_ms())
        seen: list[set[str]] = []
        places: Mapping[str, str] = {}
        for _ in range(4):
            pending = await store.pending_lanes(places, 28)
            places = pending.places
            hosts = Counter(lane.project_id for lane in pending.lanes)
            assert hosts == {"default": 9, "other": 1, "default-2": 3}
            seen.append({lane.host for lane in pending.lanes if lane.project_id == "default"})
        assert seen[0].isdisjoint(seen[1])
        assert len(set().union(*seen[:3])) == 25
        assert len((await store.pending_lanes(places, 29)).lanes) == 29
        assert (await store.pending_lanes(places, 29)).places == {}

    async def test_deliveries_are_a_projects_own(self, store: Store) -> None:
        final = await _finished(store)
        for nothing in (
            store.get_delivery("other", final.id),
            store.redeliver("other", final.id),
            store.get_delivery("default", new_id()),
        ):
            with pytest.raises(NotFound):
                await nothing
        assert (await store.list_deliveries("other", None, 10)).items == ()
        assert await store.count_deliveries("other", PENDING, 10) == 0
        newer = await _finished(store)
        page = await store.list_deliveries("default", PENDING, 1)
        assert [one.execution_id for one in page.items] == [max(final.id, newer.id)]
        rest = await store.list_deliveries("default", PENDING, 1, page.next_token)
        assert [one.execution_id for one in rest.items] == [min(final.id, newer.id)]
        assert rest.next_token == ""
        for project_id, state in (("default", None), ("default", DEAD), ("other", PENDING)):
            with pytest.raises(InvalidArgument):
                await store.list_deliveries(project_id, state, 1, page.next_token)

    async def test_what_is_to_be_told_is_kept_until_it_was(self, store: Store) -> None:
        await _finished(store)
        far = now_ms() + 60_000
        assert await store.prune_executions("default", far, 10) == 0
        (claimed,) = await _claimed(store)
        assert await store.settle_delivery(claimed, Attempted(state=DEAD, error="no"))
        assert await store.prune_executions("default", far, 10) == 1
        assert await _all(store) == []

    async def test_what_is_to_be_told_goes_untold_where_it_is_kept_too_long(self, store: Store) -> None:
        await _finished(store)
        (claimed,) = await _claimed(store)  # also while it is being told
        assert await store.prune_executions("default", now_ms() + 60_000, 10, untold=True) == 1
        assert await _all(store) == []
        assert not await store.settle_delivery(claimed, Attempted(state=DEAD, error="no"))
        waiting = await store.enqueue(_told())
        assert await store.prune_executions("default", now_ms() + 60_000, 10, untold=True) == 0
        assert (await store.get("default", waiting.id)).state is ExecutionState.QUEUED

    async def test_signing_secrets_take_over_from_each_other(self, store: Store) -> None:
        def secret(name: str) -> SigningSecret:
            return SigningSecret(project_id="default", id=name, created_at=now_ms())

        assert await store.signing_secrets("default") == []
        await store.rotate_signing_secret(secret("one"), "sealed one", 0, 3)
        until = await store.rotate_signing_secret(secret("two"), "sealed two", 60_000, 3)
        assert [(s.id, s.expires_at) for s in await store.signing_secrets("default")] == [("two", None), ("one", until)]
        await store.rotate_signing_secret(secret("three"), "sealed three", 600_000, 3)
        signing = await store.signing_secrets("default")
        assert [s.id for s in signing] == ["three", "two", "one"]
        assert signing[2].expires_at == until  # no rotation lets an older one sign longer
        with pytest.raises(QuotaExceeded):
            await store.rotate_signing_secret(secret("four"), "sealed four", 600_000, 3)
        assert await store.signing_secrets("default") == signing
        await _finished(store)
        (due,) = await store.claim_deliveries("node", LANE, 1, LEASE_MS, 100)
        assert due.secrets == (("three", "sealed three"), ("two", "sealed two"), ("one", "sealed one"))
        await store.rotate_signing_secret(secret("four"), "sealed four", 0, 3)
        assert [s.id for s in await store.signing_secrets("default")] == ["four"]
        assert await store.signing_secrets("other") == []
        with pytest.raises(NotFound):
            await store.rotate_signing_secret(replace(secret("five"), project_id="nobody"), "", 0, 3)
