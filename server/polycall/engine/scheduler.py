"""The scheduler: fires the ticks of schedules.

Every server process looks, on the database's clock, and tries; of all of them one moves a schedule on from its tick, in
the transaction that inserts the execution (``polycall.store.schedules.fire``). There is no leader, and nothing is lost
or doubled when one is killed: what it had not committed, another one fires.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections import Counter
from dataclasses import replace

from polycall.domain import MissedTicks, Schedule
from polycall.engine.complaints import complain
from polycall.engine.cron import Cron
from polycall.engine.engine import Engine
from polycall.engine.plans import Plans
from polycall.errors import InvalidArgument, PolycallError, Unavailable
from polycall.store.protocol import Fired, Firing, ScheduleStore

__all__ = ["Scheduler"]

_POLL_S = 1.0  # how long a schedule that another machine has made may be unseen
_SOONEST_S = 0.001
_AT_ONCE = 8  # schedules fired at once; each may have an input of megabytes in memory
_BATCH = 256
# Missed ticks of one schedule that are counted one by one: a week of minutes, which takes some 30 ms. Of more it is
# said that there were so many.
_MOST_MISSED = 10_000
_LONGEST_WHY = 1000  # characters
_LATE = "No server fired it in time: none ran, or the database was away."
_FAULT = "Internal error; see the server's log."

log = logging.getLogger(__name__)


class Scheduler:
    """Fires ticks that are at most ``grace_s`` late; older ones are missed. ``node`` is the name of this process."""

    def __init__(self, engine: Engine, store: ScheduleStore, plans: Plans, *, grace_s: float, node: str) -> None:
        self._engine = engine
        self._store = store
        self._plans = plans
        self._grace_ms = int(grace_s * 1000)
        self._node = node
        self._bell = asyncio.Event()
        self.fired: Counter[Fired] = Counter()  # ticks, by what came of them
        self.missed = 0  # ticks that were too late when somebody looked
        engine.schedules.on_change = self._bell.set

    async def run(self) -> None:
        """Fire until cancelled. A tick that is being fired then is committed, or left to others."""
        while True:
            self._bell.clear()
            try:
                wait_s = await self._look()
            except Exception as error:
                complain(log, "cannot look after schedules", error)
                wait_s = _POLL_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._bell.wait()

    async def _look(self) -> float:
        """Fire what is due; return for how long nothing is."""
        due = await self._store.due_schedules(_BATCH)
        turns = asyncio.Semaphore(_AT_ONCE)
        async with asyncio.TaskGroup() as group:
            # in an order of this process's own: others look at the same ones in this moment
            tasks = [group.create_task(self._tried(seen, due.now, turns)) for seen in sorted(due.items, key=self._rank)]
        fired = [task.result() for task in tasks]
        if not all(fired):
            return _POLL_S
        if len(fired) == _BATCH:
            return 0.0
        soonest = min((tick for tick in (due.next_run, *fired) if tick is not None and tick is not True), default=None)
        return _POLL_S if soonest is None else min(_POLL_S, max(_SOONEST_S, (soonest - due.now) / 1000))

    def _rank(self, schedule: Schedule) -> bytes:
        return hashlib.sha256(f"{self._node} {schedule.project_id} {schedule.id}".encode()).digest()

    async def _tried(self, seen: Schedule, now: int, turns: asyncio.Semaphore) -> int | bool:
        """Fire one; return its next tick, True if it has none, False if it has to be tried again."""
        async with turns:
            try:
                return await self._fire(seen, now) or True
            except Exception as error:
                complain(log, f"cannot fire schedule {seen.id}", error)
                return False

    async def _fire(self, seen: Schedule, now: int) -> int | None:
        """Fire one; return its next tick. Raises Unavailable."""
        assert seen.next_run is not None  # noqa: S101  due
        try:
            cron = Cron.kept(seen.cron, seen.timezone)
        except InvalidArgument as error:  # it left the database of time zones
            await self._store.fire(seen, Firing(at=seen.next_run, next_run=None, why=error.message))
            return None
        if now - seen.next_run > self._grace_ms:  # there may be many
            ticks = await asyncio.to_thread(cron.until, seen.next_run, now, _MOST_MISSED)
        else:
            ticks = cron.until(seen.next_run, now, _MOST_MISSED)
        firing = Firing(
            at=ticks[-1],
            next_run=cron.after(now),
            missed=len(ticks) - 1,
            last_missed=ticks[-2] if len(ticks) > 1 else None,
            why=_LATE,
        )
        if now - firing.at <= self._grace_ms or seen.missed is MissedTicks.RUN_LAST:
            firing = await self._planned(seen, firing)
        try:
            fired = await self._store.fire(seen, firing)
        except Unavailable:
            raise
        except Exception:
            # whatever it is about the execution: the next tick may do better, and others must not wait behind this one
            log.exception("the execution of schedule %s is refused", seen.id)
            fired = await self._store.fire(seen, replace(firing, execution=None, why=_FAULT))
        self.fired[fired] += 1
        if fired is not Fired.LOST:
            self.missed += firing.missed
        if fired is Fired.RAN:
            self._engine.on_enqueue(seen.project_id)
        return firing.next_run

    async def _planned(self, seen: Schedule, firing: Firing) -> Firing:
        """Return the firing with its execution, or with why there is none. Raises Unavailable."""
        try:
            whole = await self._store.get_schedule(seen.project_id, seen.id)
            return replace(firing, execution=await self._plans.at(whole, firing.at))
        except Unavailable:
            raise  # the database is away, or this server shuts down: it is for later, or for others
        except PolycallError as error:
            return replace(firing, why=_plain(error.message))
        except Exception:
            log.exception("the execution of schedule %s cannot be made", seen.id)
            return replace(firing, why=_FAULT)


def _plain(text: str) -> str:
    """Return a text that every database holds: errors of versions may quote their sources."""
    return text[:_LONGEST_WHY].encode(errors="replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
