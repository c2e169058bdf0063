"""Waiting for executions that run elsewhere: news wakes who waits; what is lost of it is looked up for all at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_asyncio

from polycall.bus import Bus
from polycall.cluster import Cluster
from polycall.domain import (
    Execution,
    ExecutionError,
    ExecutionKind,
    ExecutionState,
    OutputChunk,
    Reason,
    Stream,
)
from polycall.engine import ends as module
from polycall.engine import following
from polycall.engine.ends import Ends
from polycall.engine.executions import Executions
from polycall.engine.following import Following
from polycall.engine.hearing import Hearing
from polycall.engine.live import Finished, LiveRuns, Started, StreamEvent
from polycall.errors import Unavailable
from polycall.ids import new_id, now_ms
from polycall.store.sql import SqlStore, StoreConfig, open_store
from tests.engine.house import DEFAULT, until
from tests.store.examples import ended, queued

_NEVER_S = 3600.0
_SOON_MS, _LATE_MS = 20, 30_000  # after which records are written: those of the second server by being asked for


class Counting:
    """A store, how often it was asked for what, and whether it is away."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store
        self.asked: Counter[str] = Counter()
        self.away = False

    async def get(self, *args: Any) -> Execution:
        self.asked["get"] += 1
        return await self._store.get(*args)

    async def ended(self, *args: Any) -> Any:
        self.asked["ended"] += 1
        if self.away:
            raise Unavailable("The database is away.")
        return await self._store.ended(*args)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


@dataclass
class Server:
    """What of a server takes part in waiting."""

    name: str
    store: SqlStore
    siblings: Any
    counting: Counting = field(init=False)
    ends: Ends = field(init=False)
    live: LiveRuns = field(init=False)
    executions: Executions = field(init=False)
    hearing: Hearing = field(init=False)

    def __post_init__(self) -> None:
        self.counting = Counting(self.store)
        between = cast("SqlStore", self.counting)
        self.ends = Ends(between, self.siblings)
        self.live = LiveRuns(self.ends)
        self.executions = Executions(between, self.live, self.ends, self.siblings)
        nobody: Any = None
        self.hearing = Hearing(nobody, nobody, nobody, nobody, self.store, self.live, self.ends, lambda _: None)

    def wait(self, execution_id: Any) -> asyncio.Task[Execution]:
        """Wait for an execution as a caller does."""
        return asyncio.create_task(self.executions.wait(DEFAULT, execution_id, 30))

    async def begin(self) -> Execution:
        """Claim the only Call that waits, and run it."""
        (claimed,) = await self.store.claim(self.name, {"default": 1})
        self.live.open(claimed)
        return claimed

    async def finish(self, claimed: Execution) -> Execution:
        """End it, and say so as it is done."""
        final = await self.write(claimed)
        live = self.live.get(final.project_id, final.id)
        assert live is not None
        self.live.close(live, final)
        return final

    async def write(self, claimed: Execution) -> Execution:
        """Write the end of a Call, and say nothing."""
        final = replace(ended(claimed), owner=None)
        assert await self.store.finish(final, owner=self.name)
        return final


@asynccontextmanager
async def joined(first: Server, second: Server) -> AsyncIterator[tuple[Server, Server]]:
    """Close them in the end."""
    try:
        yield first, second
    finally:
        for server in (first, second):
            await server.ends.close()


async def collected(events: AsyncIterator[StreamEvent]) -> list[StreamEvent]:
    """Return all that is told."""
    return [event async for event in events]


Pair = tuple[Server, Server]


@pytest.fixture
def by_news_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have nothing looked up."""
    monkeypatch.setattr(module, "_LOOK_S", _NEVER_S)


class Waiting:
    """What holds whatever the servers share; ``servers`` gives two of them."""

    @pytest.mark.usefixtures("by_news_alone")
    async def test_who_waits_is_answered_when_another_server_ends_it(self, servers: Pair) -> None:
        first, second = servers
        call = await first.store.enqueue(queued())
        waiting = [first.wait(call.id) for _ in range(3)]
        claimed = await second.begin()
        await until(lambda: call.id in second.ends.elsewhere)
        assert not any(task.done() for task in waiting)
        final = await second.finish(claimed)
        assert await asyncio.gather(*waiting) == [final] * 3
        assert (first.ends.here, second.ends.elsewhere) == ({}, {})

    @pytest.mark.usefixtures("by_news_alone")
    async def test_who_follows_is_told_when_another_server_ends_it(
        self, servers: Pair, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, second = servers
        monkeypatch.setattr(following, "_FIRST_POLL_S", _NEVER_S)
        monkeypatch.setattr(following, "_POLL_S", _NEVER_S)
        call = await first.store.enqueue(queued())
        claimed = await second.begin()
        events = Following(first.executions, first.live, first.ends).events(DEFAULT, call.id)
        assert await anext(events) == Started(replace(claimed, input=call.input, spec=call.spec))
        rest = asyncio.create_task(collected(events))
        await until(lambda: call.id in second.ends.elsewhere)
        final = await second.finish(claimed)
        at = final.ended_at or 0
        output = [OutputChunk(Stream.STDOUT, at, b"out"), OutputChunk(Stream.STDERR, at, b"err")]
        assert await rest == [*output, Finished(final)]

    @pytest.mark.usefixtures("by_news_alone")
    async def test_what_ends_before_the_word_of_who_waits_has_come_is_told_all_the_same(
        self, servers: Pair, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, second = servers
        monkeypatch.setattr(module, "_SAY_S", 0.2)
        call = await first.store.enqueue(queued())
        claimed = await second.begin()
        waiting = first.wait(call.id)
        await until(lambda: first.counting.asked["get"] == 1)
        final = await second.finish(claimed)
        assert await waiting == final

    @pytest.mark.usefixtures("by_news_alone")
    async def test_who_waits_for_what_is_queued_is_answered_when_it_has_run_here(self, servers: Pair) -> None:
        first, _ = servers
        call = await first.store.enqueue(queued())
        waiting = first.wait(call.id)
        await until(lambda: first.counting.asked["get"] == 1)
        claimed = await first.begin()
        await until(lambda: first.ends.here == {})  # it waits for the run now
        assert await first.finish(claimed) == await waiting
        assert first.counting.asked["get"] == 1

    @pytest.mark.usefixtures("by_news_alone")
    async def test_a_synchronous_run_of_another_server_is_answered_before_its_record_is_written(
        self, servers: Pair
    ) -> None:
        first, second = servers
        run = replace(queued(), kind=ExecutionKind.SYNC, state=ExecutionState.RUNNING, started_at=now_ms(), attempt=1)
        live = second.live.open(run)
        waiting = first.wait(run.id)
        await until(lambda: run.id in second.ends.elsewhere)
        final = replace(ended(run), input=None)
        second.store.record(final)
        second.live.close(live, final)
        assert await waiting == await second.store.get("default", run.id)
        assert (await waiting).state is ExecutionState.COMPLETED

    @pytest.mark.usefixtures("by_news_alone")
    async def test_ends_that_nobody_can_name_are_looked_up(self, servers: Pair) -> None:
        first, second = servers
        call = await first.store.enqueue(queued(deadline=now_ms() - 1))
        waiting = first.wait(call.id)
        await until(lambda: call.id in second.ends.elsewhere)
        late = ExecutionError(reason=Reason.EXECUTION_TIMEOUT, message="Too late.")
        assert await second.store.expire(late) == 1
        second.ends.some_ended()
        assert (await waiting).state is ExecutionState.TIMEOUT

    async def test_a_cancel_is_kept_that_a_server_has_heard_and_did_not_carry_out(
        self, servers: Pair, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("polycall.engine.executions._STOP_S", 0.2)
        asked, runs = servers
        await asked.store.enqueue(queued())
        call = await runs.begin()
        answer = await asked.executions.cancel(DEFAULT, call.id)
        assert (live := runs.live.get("default", call.id)) is not None
        assert live.stopped is not None  # it was told, and may be lost now
        assert (answer.state, answer.cancel_requested) == (ExecutionState.RUNNING, True)
        assert (await runs.store.get("default", call.id)).cancel_requested

    async def test_an_end_that_was_not_told_is_found(self, servers: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
        first, second = servers
        monkeypatch.setattr(module, "_LOOK_S", 0.05)
        call = await first.store.enqueue(queued())
        waiting = first.wait(call.id)
        assert await second.write(await second.begin()) == await waiting

    async def test_many_who_wait_are_looked_up_together(self, servers: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
        first, second = servers
        monkeypatch.setattr(module, "_LOOK_S", 0.01)
        monkeypatch.setattr(module, "_LOOKED_AT", 40)
        calls = [await first.store.enqueue(queued()) for _ in range(60)]
        ids = [call.id for call in calls for _ in range(2)]
        waiting = [first.wait(execution_id) for execution_id in ids]
        await until(lambda: first.counting.asked["get"] == len(waiting))
        looked = first.counting.asked["ended"]
        await until(lambda: first.counting.asked["ended"] >= looked + 6)
        assert first.counting.asked["get"] == len(waiting)  # however often all were looked at
        final = await second.write(*await second.store.claim(second.name, {"default": 1}))
        told = [task for task, execution_id in zip(waiting, ids, strict=True) if execution_id == final.id]
        assert await asyncio.gather(*told) == [final] * 2
        assert first.counting.asked["get"] == len(waiting) + 2
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)

    async def test_who_waits_goes_on_while_the_database_is_away(
        self, servers: Pair, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        first, second = servers
        monkeypatch.setattr(module, "_LOOK_S", 0.01)
        first.counting.away = True
        call = await first.store.enqueue(queued())
        waiting = first.wait(call.id)
        final = await second.write(await second.begin())
        await until(lambda: first.counting.asked["ended"] >= 3)
        assert not waiting.done()
        assert "cannot look after executions that are waited for: The database is away." in caplog.text
        first.counting.away = False
        assert await waiting == final


class TestProcesses(Waiting):
    """Of one machine, over one SQLite file; they speak over the bus."""

    @pytest_asyncio.fixture(loop_scope="session")
    async def servers(self, database_dir: Path) -> AsyncIterator[Pair]:
        sockets = [database_dir / name for name in ("a", "b")]
        async with AsyncExitStack() as stack:

            async def start(place: int, flush_ms: int) -> Server:
                store = open_store(StoreConfig(data_dir=database_dir, shared=True, flush_ms=flush_ms))
                await store.start()
                stack.push_async_callback(store.stop)
                bus = Bus(sockets[place], [sockets[1 - place]], lambda news: pair[place].hearing(news))
                bus.start()
                stack.push_async_callback(bus.close)
                return Server("ab"[place], store, bus)

            pair = [await start(0, _SOON_MS), await start(1, _LATE_MS)]
            yield await stack.enter_async_context(joined(*pair))


class TestReplicas(Waiting):
    """Servers that share a PostgreSQL; they speak over its channel."""

    @pytest_asyncio.fixture(loop_scope="session")
    async def servers(self, emptied_postgres: str) -> AsyncIterator[Pair]:
        async with AsyncExitStack() as stack:

            async def start(place: int, flush_ms: int) -> Server:
                store = open_store(StoreConfig(database_url=emptied_postgres, flush_ms=flush_ms))
                await store.start()
                stack.push_async_callback(store.stop)
                cluster = Cluster(emptied_postgres, "ab"[place], lambda news: pair[place].hearing(news), lambda: None)
                cluster.others = lambda: "ba"[place]
                await cluster.start()
                stack.push_async_callback(cluster.close)
                return Server("ab"[place], store, cluster)

            pair = [await start(0, _SOON_MS), await start(1, _LATE_MS)]
            yield await stack.enter_async_context(joined(*pair))


async def test_what_others_wait_for_is_forgotten_if_they_do_not_say_so_again(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = Ends(cast("Any", None), cast("Any", Bus(Path("/none"), [Path("/other")], cast("Any", None))))
    monkeypatch.setattr(module, "_AWAITED_S", -1.0)
    ends.asked([new_id()])
    monkeypatch.setattr(module, "_AWAITED_S", 60.0)
    monkeypatch.setattr(module, "_MOST", 2)
    kept = [new_id() for _ in range(3)]
    ends.asked(kept)
    assert list(ends.elsewhere) == kept[:2]  # the look has to do for the third
    ends.asked(kept[:1])  # who goes on to wait keeps the place
    assert list(ends.elsewhere) == [kept[1], kept[0]]
