"""What runs, from the moment it serves to its end."""

from __future__ import annotations

import asyncio
import logging
import time

import grpc.aio

from polycall.engine.dispatcher import Dispatcher
from polycall.engine.engine import Engine
from polycall.engine.tasks import end
from polycall.quick import dataclass
from polycall.services.native import HealthHandle
from polycall.services.settling import settled
from polycall.serving import Ready, unless
from polycall.store.sql import SqlStore
from polycall.supervision import SupervisedEnvoy

__all__ = ["App", "ended"]

_LAST_ANSWERS_S = 5.0  # once every run has ended, how long answers, also of what ran nothing, may take to leave
_LAST_WRITES_S = 3.0  # after the grace, how long the database may take for ends, records and good-bye together

log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class App:
    """What runs."""

    grace_s: float
    notice_s: float  # how long gateways elsewhere need to see that this server takes no more
    store: SqlStore
    engine: Engine
    dispatcher: Dispatcher
    work: asyncio.Task[None]
    ticking: asyncio.Task[None]
    servers: tuple[grpc.aio.Server, ...]
    addresses: tuple[str, ...]  # one of each server
    health: HealthHandle
    envoy: SupervisedEnvoy | None
    ready: Ready

    async def until(self, stop: asyncio.Event) -> str:
        """Wait for the signal. Returns why, if it is something else that ended."""
        waiting = asyncio.create_task(stop.wait())
        watch = asyncio.create_task(self._watch())
        try:
            await asyncio.wait((waiting, watch, self.work, self.ticking), return_when=asyncio.FIRST_COMPLETED)
            if self.work.done():
                return "The dispatcher of calls ended; see the log."
            if self.ticking.done():
                return "The scheduler ended; see the log."
            return watch.result() if watch.done() else ""
        finally:
            await end(waiting)
            await end(watch)

    async def _watch(self) -> str:
        if self.envoy is None:
            await asyncio.Event().wait()
            return ""
        return await self.envoy.watch()

    async def drain(self, now: asyncio.Event) -> None:
        """Stop taking work, let work end, stop; ``now`` ends the grace."""
        await self.health.set_not_serving()
        await end(self.ticking)  # what comes due now is for others, or for the next start
        if self.envoy is not None:
            # a server alone behind its own Envoy need not wait until that Envoy has probed its health
            await self.envoy.drain()
        if self.notice_s and not now.is_set():
            # what is sent here until they know is served
            await unless(now, asyncio.sleep(self.notice_s))
        until = time.monotonic() + self.grace_s
        self.store.end_in(self.grace_s + _LAST_WRITES_S)
        if await unless(now, self._end_work(self.grace_s)) is None:
            self.store.end_in(_LAST_WRITES_S)
            await self._end_work(0)
        # what still waits is to hear that nothing of it ran: who is cut off cannot know
        await unless(now, self._settle(max(_LAST_ANSWERS_S, until - time.monotonic())))
        await asyncio.gather(*(server.stop(_LAST_ANSWERS_S) for server in self.servers))

    @property
    def unwritten(self) -> str:
        """What the database did not take before the end, in words; "" if it took all."""
        left = []
        if self.store.lost_records:
            left.append(f"{self.store.lost_records} records of synchronous executions are lost")
        if self.dispatcher.unreleased:
            left.append("calls that have not ended go back to the queue by this server's lease, or at its next start")
        return f"The database did not take everything before the end: {'; '.join(left)}." if left else ""

    async def _settle(self, timeout_s: float) -> None:
        if not all(await asyncio.gather(*(settled(address, timeout_s) for address in self.addresses))):
            log.warning("calls still wait to be looked at; they are cut off, and nothing of them has run")

    async def _end_work(self, grace_s: float) -> bool:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.engine.drain(grace_s))
            group.create_task(self.dispatcher.stop(grace_s))
        return True


async def ended(task: asyncio.Task[None]) -> None:
    """End a task that runs for as long as the server does; log what it failed by."""
    await end(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("background work failed", exc_info=error)
