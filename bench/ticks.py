"""Time: the ticks of schedules while servers are killed and stand still, and servers whose clocks are wrong."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import psutil

from bench.crashes import FUNCTIONS, know, loaded, three
from bench.ledger import Ledger, codes
from bench.postmaster import Postmaster
from bench.verdict import Scale, Verdict
from polycall.v1 import execution_service_pb2, schedule_pb2, schedule_service_pb2
from tests.harness import Server, until

__all__ = ["schedules", "wrong_clocks"]

_SCHEDULES = 12
_PAUSE_S = 2.0
_SKEW_S = 3600
_DEADLINE_S = 60.0


def schedules(scale: Scale) -> list[Verdict]:
    """Ticks of twelve schedules over three replicas; in turns one is killed, stands still over a tick, or neither."""
    with (
        tempfile.TemporaryDirectory(prefix="polycall-ticks-") as scratch,
        Postmaster() as postmaster,
        three(postmaster, Path(scratch), scale) as servers,
    ):
        asked = servers[0]
        for number in range(_SCHEDULES):
            wanted = schedule_pb2.Schedule(function=FUNCTIONS[0], cron="0 0 1 1 *", input_json='{"n": 1}')
            request = schedule_service_pb2.CreateScheduleRequest(schedule_id=f"s{number}", schedule=wanted)
            asked.schedules.CreateSchedule(request, metadata=asked.metadata)
        for round_number in range(1, scale.ticks + 1):
            victim = servers[1 + round_number % 2]
            _all_due(postmaster)
            with _mishap(victim, ("killed", "still", "none")[round_number % 3]):
                until(lambda n=round_number: _over(asked, n), seconds=60, what="the ticks of all")
        found = _all(asked)
        ran, skipped = sum(one.run_count for one in found), sum(one.skipped_count for one in found)
        ticks = _ticks(asked)
    ticked = _SCHEDULES * scale.ticks
    return [
        Verdict(
            "every tick over three replicas makes one execution or is counted as skipped",
            f"{ticked} ticks, {ran} ran, {skipped} skipped, {len(ticks)} executions' ticks, "
            f"{sum(ticks.values()) - len(ticks)} doubled",
            ran + skipped == ticked and len(ticks) == ran and set(ticks.values()) == {1},
        )
    ]


@contextlib.contextmanager
def _mishap(victim: Server, what: str) -> Iterator[None]:
    assert victim.process is not None
    if what == "killed":
        victim.kill()
        yield
        victim.start()
    elif what == "still":
        process = psutil.Process(victim.process.pid)
        process.suspend()
        try:
            yield
            time.sleep(_PAUSE_S)
        finally:
            process.resume()
    else:
        yield


def _all_due(postmaster: Postmaster) -> None:
    tick = int(time.time() * 1000) - 10
    postmaster.query(f"UPDATE schedules SET next_run = {tick} WHERE next_run > {tick}")


def _all(server: Server) -> list[schedule_pb2.Schedule]:
    request = schedule_service_pb2.ListSchedulesRequest(page_size=100)
    return list(server.schedules.ListSchedules(request, metadata=server.metadata, timeout=10).schedules)


def _over(server: Server, rounds: int) -> bool:
    return all(one.run_count + one.skipped_count >= rounds for one in _all(server))


def _ticks(server: Server) -> Counter[tuple[str, int]]:
    request = execution_service_pb2.ListExecutionsRequest(page_size=1000)
    listed = server.executions.ListExecutions(request, metadata=server.metadata)
    return Counter((run.schedule, run.scheduled_time.ToMilliseconds()) for run in listed.executions if run.schedule)


def wrong_clocks(scale: Scale) -> list[Verdict]:
    """One replica's clock is an hour fast, another's an hour slow; Calls have deadlines."""
    with (
        tempfile.TemporaryDirectory(prefix="polycall-clocks-") as scratch,
        Postmaster() as postmaster,
        three(postmaster, Path(scratch), scale) as servers,
    ):
        for server, skew_s in zip(servers[1:], (_SKEW_S, -_SKEW_S), strict=True):
            assert server.terminate() == 0
            server.environment = {**server.environment, "PYTHONPATH": str(_with_skew(Path(scratch), skew_s))}
            server.start()
            know(server)
        return asyncio.run(_wrong_clocks(servers, scale))


async def _wrong_clocks(servers: Sequence[Server], scale: Scale) -> list[Verdict]:
    # without deadlines of their own: gRPC counts those on the right clock, and only Python's is wrong here
    ledgers = [Ledger(server.grpc, FUNCTIONS, deadline_s=_DEADLINE_S, answer_s=None) for server in servers]
    share = replace(scale, calls=scale.calls / len(servers), runs=scale.runs / len(servers))
    async with contextlib.AsyncExitStack() as stack:
        for ledger in ledgers:
            await stack.enter_async_context(loaded(ledger, share))
    accounts = [await ledger.settled(servers[0].grpc) for ledger in ledgers]
    failed = [one for ledger in ledgers for one in (*ledger.calls, *ledger.runs) if one.code != "OK"]
    return [
        Verdict(
            "clocks of two of three replicas an hour off: calls keep their deadlines, and their owners",
            f"right, fast, slow: {'; '.join(map(str, accounts))}; {len(failed)} failed ({codes(failed)})",
            not failed and all(part.clean and not part.again for part in accounts),
        )
    ]


def _with_skew(directory: Path, seconds: int) -> Path:
    """Return a directory on whose path Python's clock is wrong by so much."""
    made = directory / f"skew{seconds}"
    made.mkdir()
    (made / "sitecustomize.py").write_text(
        "import time\n"
        f"whole, exact = time.time, time.time_ns\n"
        f"time.time = lambda: whole() + {seconds}\n"
        f"time.time_ns = lambda: exact() + {seconds} * 10**9\n"
    )
    return made
