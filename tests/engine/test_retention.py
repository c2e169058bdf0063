"""Retention, over a real store."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import cast

import pytest

from polycall.domain import DeliveryState, ExecutionFilter, Project, Session
from polycall.engine.engine import Engine
from polycall.engine.retention import Pruned, Retention
from polycall.faces.cognite.schedules import ScheduleData
from polycall.faces.cognite.sessions import Sessions
from polycall.faces.cognite.ticks import Ticks
from polycall.ids import id_at, now_ms
from polycall.store.sql import StoreConfig, open_store
from tests.store.examples import package, queued, recorded, schedule

DAY_MS = 86_400_000


@pytest.mark.parametrize(
    ("days", "executions", "left"),
    [(0, 0, [1, 2, 3, 4, 5]), (3.5, 0, [1, 2, 3]), (0, 2, [1, 2]), (3.5, 4, [1, 2, 3]), (4.5, 3, [1, 2, 3])],
)
async def test_what_is_older_and_what_is_more_is_deleted_in_every_project(
    tmp_path: Path, days: float, executions: int, left: list[int]
) -> None:
    store = open_store(StoreConfig(data_dir=tmp_path))
    await store.start()
    try:
        await store.create_project(Project(id="other", created_at=1))
        now = now_ms()
        for project in ("default", "other"):
            for age in (1, 2, 3, 4, 5):
                store.record(recorded(id=id_at(now - age * DAY_MS + (project == "other")), project_id=project))
        await store.flush()
        pruned = await Retention(store, days=days, executions=executions).round()
        assert pruned == Pruned(executions=2 * (5 - len(left)))
        for project in ("default", "other"):
            page = await store.list(project, ExecutionFilter(), 10)
            assert [round((now - kept.id.int // (1 << 80)) / DAY_MS) for kept in page.items] == left
    finally:
        await store.stop()


@pytest.mark.parametrize(
    ("days", "executions", "left", "untold"),
    [(1.5, 0, [1, 2, 3], 2), (0, 1, [1, 2], 3), (3.5, 2, [1, 2, 3, 4], 1), (0, 3, [1, 2, 3, 4, 5], 0)],
)
async def test_a_receiver_that_never_answers_keeps_twice_as_many_and_for_two_days_more(
    tmp_path: Path, days: float, executions: int, left: list[int], untold: int
) -> None:
    store = open_store(StoreConfig(data_dir=tmp_path))
    await store.start()
    try:
        now = now_ms()
        for age in (1, 2, 3, 4, 5):
            told = queued(id=id_at(now - age * DAY_MS), completion_url="https://dead.example/x")
            await store.enqueue(told)
            await store.request_cancel("default", told.id, now)
        assert await store.count_deliveries("default", DeliveryState.PENDING, 10) == 5
        pruned = await Retention(store, days=days, executions=executions).round()
        assert pruned == Pruned(untold=untold)
        page = await store.list("default", ExecutionFilter(), 10)
        assert [round((now - kept.id.int // (1 << 80)) / DAY_MS) for kept in page.items] == left
        assert await store.count_deliveries("default", DeliveryState.PENDING, 10) == len(left)
    finally:
        await store.stop()


async def test_the_session_of_a_paused_schedule_stays_for_as_long_as_the_schedule(tmp_path: Path) -> None:
    store = open_store(StoreConfig(data_dir=tmp_path))
    await store.start()
    try:
        for number in (1, 2):
            session = Session(
                project_id="default",
                id=number,
                type="TOKEN_EXCHANGE",
                status="ACTIVE",
                created_at=1,
                expires_at=2,
                nonce_expires_at=2,
            )
            await store.create_session(session, bytes([number]))
        await store.create_package(package())
        kept = ScheduleData(session_id=2, has_data=False).dump()
        held = schedule("1", version_id=None, face="cognite", face_data=kept, paused=True, next_run=None)
        await store.create_schedule(held, most=1)
        ticks = Ticks(cast("Engine", None), store, cast("Sessions", None))
        retention = Retention(store, days=90, executions=0, held=ticks.held_sessions)
        assert await retention.round() == Pruned(sessions=1)
        assert [each.id for each in await store.get_sessions("default", [1, 2])] == [2]
        await store.delete_schedule("default", "1")
        assert await retention.round() == Pruned(sessions=1)
    finally:
        await store.stop()


async def test_more_than_a_slice_is_deleted_while_others_write(tmp_path: Path) -> None:
    store = open_store(StoreConfig(data_dir=tmp_path))
    await store.start()
    try:
        for number in range(1201):
            store.record(recorded(id=id_at(1000 + number)))
        await store.flush()
        work = asyncio.create_task(Retention(store, days=1, executions=0).round())
        new = recorded()
        store.record(new)
        await store.flush()
        assert await work == Pruned(executions=1201)
        assert [kept.id for kept in (await store.list("default", ExecutionFilter(), 10)).items] == [new.id]
    finally:
        await store.stop()
