"""Membership while the database is away: no promise is held that cannot be kept, and no processor is burnt."""

from __future__ import annotations

import asyncio
import time
from typing import cast

from polycall.domain import ExecutionError, ExecutionState
from polycall.engine.live import LiveRuns
from polycall.engine.membership import Membership
from polycall.engine.running import LEASE_LOST
from polycall.errors import Unavailable
from polycall.store.protocol import Beat, NodeStore
from tests.store.examples import queued


class AwayStore:
    """Answers until it is away; counts how often it is asked."""

    def __init__(self) -> None:
        self.away = False
        self.asked = 0
        self.owned: frozenset[object] = frozenset()

    async def join(self, node: str, replica: str) -> None:
        """Do nothing."""

    async def leave(self, node: str) -> None:
        """Do nothing."""

    async def beat(self, node: str, replica: str, lease_ms: int) -> Beat:
        return self._answer(Beat(others=frozenset(), owned=self.owned))  # type: ignore[arg-type]

    async def reap(self, error: ExecutionError, lease_ms: int) -> dict[ExecutionState, int]:
        self._answer(Beat(frozenset(), frozenset()))
        return {}

    def _answer(self, beat: Beat) -> Beat:
        self.asked += 1
        if self.away:
            raise Unavailable("The database is away.")
        return beat


def _membership(store: AwayStore, live: LiveRuns) -> Membership:
    return Membership(cast("NodeStore", store), live, node="n", replica="r", heartbeat_s=0.05, lease_s=0.3)


async def test_without_the_database_the_lease_ends_calls_are_stopped_and_nobody_spins() -> None:
    store, live = AwayStore(), LiveRuns()
    execution = queued(state=ExecutionState.RUNNING, attempt=1)
    run = live.open(execution)
    store.owned = frozenset([execution.id])
    membership = _membership(store, live)
    await membership.join()
    assert membership.holds
    store.away, store.asked = True, 0
    saying = asyncio.create_task(membership.run())
    try:
        async with asyncio.timeout(30):
            while run.stopped is None:
                await asyncio.sleep(0.01)
        assert not membership.holds
        assert run.stopped == (ExecutionState.FAILED, LEASE_LOST)
        asked, begun = store.asked, time.monotonic()
        await asyncio.sleep(0.5)
        # once an interval, and what was under way
        assert store.asked - asked <= (time.monotonic() - begun) / 0.05 + 2
        store.away = False
        async with asyncio.timeout(30):
            while not membership.holds:
                await asyncio.sleep(0.01)
    finally:
        saying.cancel()
        await asyncio.wait([saying])


async def test_a_call_that_was_taken_over_is_stopped() -> None:
    store, live = AwayStore(), LiveRuns()
    execution = queued(state=ExecutionState.RUNNING, attempt=1)
    run = live.open(execution)
    membership = _membership(store, live)
    await membership.join()
    assert run.stopped == (ExecutionState.FAILED, LEASE_LOST)
