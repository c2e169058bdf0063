"""The deliverer over a real store: what it begins at once, what it gives back, what it does without the database."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from polycall.domain import DeliveryState, Execution, Principal, Project, Scope
from polycall.engine.webhooks.backoff import Backoff
from polycall.engine.webhooks.deliverer import Deliverer, Living
from polycall.engine.webhooks.post import Answer, NoAnswer, Post
from polycall.engine.webhooks.targets import Target, Targets
from polycall.engine.webhooks.webhooks import Webhooks
from polycall.errors import Unavailable
from polycall.ids import now_ms
from polycall.sealing import Sealer
from polycall.store.sql import SqlStore, StoreConfig, open_store
from tests.store.examples import queued

OLD, NEW = bytes(32), b"n" * 32
PATIENCE_S = 60.0
Sent = tuple[str, Target, dict[str, str], Any]


class Posted:
    """Takes the place of what sends: keeps what it is given, and answers as it is told."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []
        self.under_way: Counter[tuple[str, str]] = Counter()
        self.answer: Callable[[Target], Answer] = lambda target: Answer(200)
        self.free = asyncio.Event()
        self.free.set()

    async def send(self, project_id: str, target: Target, headers: Sequence[tuple[str, str]], body: bytes) -> Answer:
        self.sent.append((project_id, target, dict(headers), json.loads(body)))
        lane = (project_id, target.authority.host)
        self.under_way[lane] += 1
        try:
            await self.free.wait()
            return self.answer(target)
        finally:
            self.under_way[lane] -= 1

    def close(self) -> None:
        pass


class Home:
    """A store, and what sends."""

    def __init__(self, store: SqlStore) -> None:
        self.store = store
        self.posted = Posted()
        self.deliverer = self.make()

    def make(self, *keys: bytes, node: str = "node") -> Deliverer:
        return Deliverer(
            self.store,
            Sealer(keys or [OLD]),
            Targets("*.example, a.example", http=False),
            cast("Post", self.posted),
            backoff=Backoff(first_s=0.01, attempts=3),
            timeout_s=5,
            node=node,
            living=Living(()),
        )

    async def rotate(self, project_id: str = "default", *keys: bytes, overlap_ms: int = 0) -> str:
        webhooks = Webhooks(self.store, Sealer(keys or [OLD]), Targets("", http=False))
        who = Principal(project_id=project_id, key_id="key", scopes=frozenset({Scope.DEPLOY}))
        return (await webhooks.rotate(who, overlap_ms)).text

    async def ended(self, host: str = "a.example", project_id: str = "default") -> Execution:
        made = await self.store.enqueue(queued(project_id=project_id, completion_url=f"https://{host}/"))
        return await self.store.request_cancel(project_id, made.id, now_ms())

    async def state(self, execution: Execution) -> DeliveryState:
        return (await self.store.get_delivery(execution.project_id, execution.id)).state

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.deliverer.run())
        try:
            yield
        finally:
            self.posted.free.set()
            await self.deliverer.stop()
            await task


@pytest.fixture
async def home(database_dir: Path) -> AsyncIterator[Home]:
    store = open_store(StoreConfig(data_dir=database_dir, flush_ms=20))
    await store.start()
    yield Home(store)
    await store.stop()


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.005)


async def reached(home: Home, execution: Execution, state: DeliveryState) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while await home.state(execution) is not state:
            await asyncio.sleep(0.005)


async def test_a_host_and_a_project_have_their_share_and_the_next_project_its_turn(home: Home) -> None:
    await home.store.create_project(Project(id="other", created_at=1))
    for project_id in ("default", "other"):
        await home.rotate(project_id)
    home.posted.free.clear()
    for _ in range(6):
        await home.ended("a.example")
    for host in range(20):
        await home.ended(f"h{host}.example")
    async with home.running():
        await until(lambda: home.posted.under_way.total() == 16)
        assert home.posted.under_way["default", "a.example"] <= 4
        await home.ended("a.example", "other")
        home.deliverer.ring()
        await until(lambda: home.posted.under_way["other", "a.example"] == 1)
        assert home.posted.under_way.total() == 17
        assert home.deliverer.sending == 17
        home.posted.free.set()
        await until(lambda: len(home.posted.sent) == 27)
    assert home.deliverer.attempted == {DeliveryState.DELIVERED: 27}


async def test_what_a_stop_cuts_off_is_given_back_as_if_it_had_not_begun(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("polycall.engine.webhooks.deliverer._STOP_S", 0.05)
    await home.rotate()
    execution = await home.ended()
    home.posted.free.clear()
    task = asyncio.create_task(home.deliverer.run())
    await until(lambda: home.posted.under_way.total() == 1)
    await home.deliverer.stop()
    await task
    assert home.posted.under_way.total() == 0
    delivery = await home.store.get_delivery("default", execution.id)
    assert (delivery.state, delivery.owner, delivery.attempts) == (DeliveryState.PENDING, None, 0)
    home.posted.free.set()
    home.deliverer = home.make(node="another")
    async with home.running():
        await reached(home, execution, DeliveryState.DELIVERED)
    first, second = home.posted.sent
    assert (first[2]["webhook-id"], first[3]) == (second[2]["webhook-id"], second[3])


async def test_a_database_that_is_frozen_holds_up_no_stop(
    home: Home, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def frozen(*args: Any) -> int:
        await asyncio.Event().wait()
        return 0

    monkeypatch.setattr("polycall.engine.webhooks.deliverer._RETURN_S", 0.05)
    monkeypatch.setattr(home.store, "return_deliveries", frozen)
    async with asyncio.timeout(PATIENCE_S):
        await home.deliverer.stop()
    assert "are sent again in 50 s: the database did not answer" in caplog.text


async def test_what_cannot_be_recorded_while_the_database_is_away_is_recorded_when_it_is_back(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    await home.rotate()
    execution = await home.ended()
    settle, refused = home.store.settle_delivery, 0

    async def away(*args: Any) -> bool:
        nonlocal refused
        refused += 1
        if refused < 3:
            raise Unavailable("The database is away.")
        return await settle(*args)

    monkeypatch.setattr(home.store, "settle_delivery", away)
    async with home.running():
        await reached(home, execution, DeliveryState.DELIVERED)
    assert (refused, len(home.posted.sent)) == (3, 1)


async def test_what_nobody_foresaw_is_a_failed_attempt_and_the_others_go_on(home: Home) -> None:
    await home.rotate()

    def answer(target: Target) -> Answer:
        if target.authority.host == "bad.example":
            raise RuntimeError("nobody foresaw this")
        if target.authority.host == "away.example":
            raise NoAnswer("it is away")
        return Answer(200)

    home.posted.answer = answer
    bad, away, good = [await home.ended(host) for host in ("bad.example", "away.example", "good.example")]
    async with home.running():
        await reached(home, good, DeliveryState.DELIVERED)
        for execution, why in ((bad, "Internal error; see the server's log."), (away, "it is away")):
            await reached(home, execution, DeliveryState.DEAD)
            delivery = await home.store.get_delivery("default", execution.id)
            assert (delivery.attempts, delivery.error) == (3, why)
    assert home.deliverer.attempted == {
        DeliveryState.DELIVERED: 1,
        DeliveryState.DEAD: 2,
        DeliveryState.PENDING: 4,
    }


async def test_a_secret_that_cannot_be_opened_is_in_nobodys_way_once_it_is_replaced(home: Home) -> None:
    await home.rotate("default", OLD)
    home.deliverer = home.make(NEW)  # the old key is lost
    lost = await home.ended()
    async with home.running():
        await reached(home, lost, DeliveryState.DEAD)
        assert "sealed with another key" in (await home.store.get_delivery("default", lost.id)).error
        assert home.posted.sent == []
        text = await home.rotate("default", NEW, overlap_ms=60_000)
        await home.store.redeliver("default", lost.id)
        home.deliverer.ring()
        await reached(home, lost, DeliveryState.DELIVERED)
    (sent,) = home.posted.sent
    assert len(sent[2]["webhook-signature"].split(" ")) == 1
    assert len(base64.b64decode(text.removeprefix("whsec_"))) == 32


async def test_a_host_that_is_listed_no_more_is_not_told(home: Home) -> None:
    await home.rotate()
    execution = await home.ended("hooks.elsewhere")
    async with home.running():
        await reached(home, execution, DeliveryState.DEAD)
    assert home.posted.sent == []
    assert "not among the hosts" in (await home.store.get_delivery("default", execution.id)).error
