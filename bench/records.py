"""What the record of a synchronous execution costs the serving process, and the database."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field

from bench.contestants import Polycall, polycall, run_function_job
from bench.load import measure
from bench.machine import serving_cpu_s
from bench.postgres import postgres
from bench.rounds import Recorder

__all__ = ["KEPT", "NOT_KEPT", "RECORD_COST", "records"]

RECORD_COST = "polycall RunFunction, warm"
KEPT, NOT_KEPT = "records kept, {}", "no records, {}"
_TURNS = 4  # of each server, one after the other: what else the machine does meets both
_CALLERS = 16


@dataclass(slots=True)
class _Spent:
    """What a server took in each of its turns, microseconds a call."""

    server: list[float] = field(default_factory=list)
    database: list[float] = field(default_factory=list)


def records(recorder: Recorder, ours: Polycall) -> None:
    """Measure a server that keeps records and one that does not, by turns, on each database."""
    del ours
    _measure(recorder, "SQLite", {}, lambda: 0.0)
    with postgres("kept", "bare") as server:
        urls = {"all": server.database("kept"), "none": server.database("bare")}
        _measure(recorder, "PostgreSQL", urls, server.cpu_s)


def _measure(recorder: Recorder, database: str, urls: dict[str, str], database_cpu_s: Callable[[], float]) -> None:
    with contextlib.ExitStack() as stack:
        servers = {}
        for keep in ("all", "none"):
            settings = {"POLYCALL_RECORDS_SYNC": keep, "POLYCALL_GATEWAY": "false"}
            if urls:
                settings["POLYCALL_DATABASE_URL"] = urls[keep]
            servers[keep] = stack.enter_context(polycall(**settings))
        spent = {keep: _Spent() for keep in servers}
        seconds = max(0.3, recorder.effort.seconds / 2)
        for turn in range(-1, _TURNS):  # the first warms up
            for keep, server in servers.items():
                before, of_database = serving_cpu_s(server.pid), database_cpu_s()
                sample = measure(server.grpc("RunFunction"), run_function_job(), concurrency=_CALLERS, seconds=seconds)
                if turn >= 0:
                    spent[keep].server.append((serving_cpu_s(server.pid) - before) / sample.total * 1e6)
                    spent[keep].database.append((database_cpu_s() - of_database) / sample.total * 1e6)
        for keep, load in (("all", KEPT), ("none", NOT_KEPT)):
            name = load.format(database)
            recorder.value(RECORD_COST, name, statistics.median(spent[keep].server), "us")
            if urls:
                recorder.value(f"{RECORD_COST}, database", name, statistics.median(spent[keep].database), "us")
