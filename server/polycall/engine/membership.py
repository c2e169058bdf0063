"""Membership: this server's lease among those that share a database.

A node says every few seconds that it lives. Whoever has not done so for a lease is taken to be dead, and what it ran is
queued again or ended, by any of the others. So a node that cannot say it for that long stops its Calls itself, and one
that finds them taken over, because it was frozen or cut off, stops them as well: nothing it could still write counts.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable

from polycall.domain import Execution, ExecutionError, ExecutionKind, ExecutionState, Reason
from polycall.engine.live import LiveRuns
from polycall.engine.running import LEASE_LOST
from polycall.errors import PolycallError
from polycall.store.protocol import NodeStore

__all__ = ["Membership"]

_REAP_S = 1.0  # how often one looks after what the dead have left

log = logging.getLogger(__name__)

_LOST = ExecutionError(
    reason=Reason.WORKER_LOST, message="The server that ran this was lost; what the code did is not known."
)


class Membership:
    """Says that ``node``, a boot of ``replica``, lives, and looks after what others left."""

    def __init__(
        self,
        store: NodeStore,
        live: LiveRuns,
        *,
        node: str,
        replica: str,
        heartbeat_s: float,
        lease_s: float,
    ) -> None:
        self._store = store
        self._live = live
        self._node = node
        self._replica = replica
        self._heartbeat_s = heartbeat_s
        self._lease_s = lease_s
        self._until = 0.0  # time.monotonic: the lease holds at least until then
        self.reaped: Counter[ExecutionState] = Counter()  # what became of executions of the dead
        self.others: frozenset[str] = frozenset()
        self.on_reap: Callable[[], None] = lambda: None  # something was queued again, or has ended

    @property
    def holds(self) -> bool:
        """Whether what is claimed now is not taken for a dead node's."""
        return time.monotonic() < self._until

    def joined(self, node: str) -> None:
        """Count with a node that says that it takes part, before the next heartbeat shows it."""
        self.others |= {node}

    async def join(self) -> None:
        """Take part, and look after what the dead have left. Raises Unavailable."""
        begun = time.monotonic()
        await self._store.join(self._node, self._replica)
        await self._beat(begun)
        await self._reap()

    async def run(self) -> None:
        """Say it again and again, for ever."""
        beat_at = time.monotonic() + self._heartbeat_s
        while True:
            await asyncio.sleep(min(_REAP_S, self._heartbeat_s, max(0.0, beat_at - time.monotonic())))
            begun = time.monotonic()
            try:
                async with asyncio.timeout(self._lease_s / 2):
                    if begun >= beat_at:
                        await self._beat(begun)
                        beat_at = begun + self._heartbeat_s
                    await self._reap()
            except (PolycallError, TimeoutError) as error:
                log.warning("this server cannot say that it lives: %s", error or "the database takes too long")
                beat_at = time.monotonic() + min(_REAP_S, self._heartbeat_s)
                if not self.holds:
                    self._stop(self._calls())

    async def leave(self) -> None:
        """Take part no more, once nothing runs here. What cannot be said is known after a lease."""
        self._until = 0.0
        try:
            await self._store.leave(self._node)
        except PolycallError as error:
            log.warning("the others learn in %g s that this server has left: %s", self._lease_s, error)

    async def _beat(self, begun: float) -> None:
        calls = self._calls()  # before: what is claimed meanwhile cannot be in the answer
        beat = await self._store.beat(self._node, self._replica, int(self._lease_s * 1000))
        if beat.others != self.others:
            log.info("%d other servers take part", len(beat.others))
        self.others = beat.others
        self._stop([call for call in calls if call.id not in beat.owned])
        self._until = begun + self._lease_s

    async def _reap(self) -> None:
        reaped = await self._store.reap(_LOST, int(self._lease_s * 1000))
        if reaped:
            self.reaped.update(reaped)
            log.warning(
                "took over from servers that were lost: %s",
                ", ".join(f"{count} {ExecutionState(state).name}" for state, count in reaped.items()),
            )
            self.on_reap()

    def _calls(self) -> list[Execution]:
        return [live.execution for live in self._live.all() if live.execution.kind is not ExecutionKind.SYNC]

    def _stop(self, calls: list[Execution]) -> None:
        for call in calls:
            live = self._live.find(call.id)
            if live is not None and live.finished is None and live.execution.attempt == call.attempt:
                log.warning("stopped execution %s: it is not this server's any more", call.id)
                live.stop(ExecutionState.FAILED, LEASE_LOST)
