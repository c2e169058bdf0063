"""Ticks with several server processes: each fires once, whichever of them are killed or stand still."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from polycall.v1 import execution_pb2, execution_service_pb2, schedule_pb2, schedule_service_pb2
from tests.harness import Server, running_server, until
from tests.integration.test_family import SETTINGS, members

SCHEDULES = 12
SOURCE = "def tick(): return 1\n"
MOVE = "UPDATE schedules SET next_run = {tick} WHERE next_run > {tick}"


@pytest.fixture
def family(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """Two processes over one database, with schedules of which none is due while a test runs."""
    more = {"POLYCALL_DATABASE_URL": request.getfixturevalue("postgres")} if request.param == "postgres" else {}
    with running_server(tmp_path, **SETTINGS, **more) as server:
        server.deploy("p", {"main.py": SOURCE})
        for number in range(SCHEDULES):
            wanted = schedule_pb2.Schedule(function="packages/p/functions/tick", cron="0 0 1 1 *")
            request_ = schedule_service_pb2.CreateScheduleRequest(schedule_id=f"s{number}", schedule=wanted)
            server.schedules.CreateSchedule(request_, metadata=server.metadata)
        yield server


def all_due(server: Server) -> int:
    """Let the next tick of every schedule have come; return it."""
    tick = int(time.time() * 1000) - 10
    url = server.environment.get("POLYCALL_DATABASE_URL")
    if url is None:
        with contextlib.closing(sqlite3.connect(server.data_dir / "polycall.db", timeout=30)) as raw, raw:
            assert raw.execute(MOVE.format(tick=tick)).rowcount == SCHEDULES
    else:
        asyncio.run(_all_due(url, tick))
    return tick


async def _all_due(url: str, tick: int) -> None:
    engine = create_async_engine(sa.make_url(url).set(drivername="postgresql+asyncpg"))
    async with engine.begin() as conn:
        assert (await conn.execute(sa.text(MOVE.format(tick=tick)))).rowcount == SCHEDULES
    await engine.dispose()


def patiently(server: Server, act: Callable[[], Any]) -> Any:
    """Return what ``act`` returns; None if it asked a process that stands still, or was killed."""
    try:
        return act()
    except grpc.RpcError:
        server.close_channel()
        return None


def moved_on(server: Server, rounds: int) -> list[schedule_pb2.Schedule] | None:
    """Return all schedules once so many ticks of each are over."""
    request = schedule_service_pb2.ListSchedulesRequest(page_size=100)
    answer = patiently(server, lambda: server.schedules.ListSchedules(request, metadata=server.metadata, timeout=3))
    found = list(answer.schedules) if answer else []
    return found if found and all(one.run_count + one.skipped_count == rounds for one in found) else None


def executions(server: Server) -> list[execution_pb2.Execution]:
    request = execution_service_pb2.ListExecutionsRequest(page_size=1000)

    def ask() -> Any:
        return patiently(server, lambda: server.executions.ListExecutions(request, metadata=server.metadata, timeout=3))

    listed = until(ask, seconds=30)
    return list(listed.executions)


def ticks(server: Server) -> Counter[tuple[str, int]]:
    """How often each tick of each schedule has made an execution."""
    return Counter((run.schedule, run.scheduled_time.ToMilliseconds()) for run in executions(server))


@pytest.mark.parametrize("family", ["sqlite", "postgres"], indirect=True)
def test_every_tick_is_fired_once_while_processes_are_killed_and_stand_still(family: Server) -> None:
    expected: Counter[tuple[str, int]] = Counter()
    found: list[schedule_pb2.Schedule] = []
    for rounds in range(1, 5):
        victim = members(family)[rounds % 2]
        tick = all_due(family)
        if rounds == 3:
            victim.kill()
        if rounds == 2:
            victim.send_signal(signal.SIGSTOP)
            # it may hold the database's lock, which it lets go of when it goes on
            with contextlib.suppress(AssertionError):
                until(lambda: moved_on(family, 2), seconds=5)
            victim.send_signal(signal.SIGCONT)
        found = until(lambda rounds=rounds: moved_on(family, rounds), seconds=60, what="the ticks of all")
        for one in found:
            if one.last_run_time.ToMilliseconds() == tick:  # else it was counted as skipped: the machine was too slow
                expected[one.name, tick] = 1
        if rounds == 3:
            until(lambda: len(members(family)) == 2, seconds=30, what="the successor of the one that was killed")
    assert ticks(family) == expected
    assert len(expected) == sum(one.run_count for one in found)
    done = execution_pb2.Execution.STATE_COMPLETED
    until(lambda: {run.state for run in executions(family)} == {done}, seconds=60, what="the ends of all executions")
    assert ticks(family) == expected
