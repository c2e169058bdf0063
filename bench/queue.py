"""How fast Calls are accepted, how soon they start on an idle server, and what each costs; beside other queues."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from bench.contestants import Absent, Polycall
from bench.postgres import postgres
from bench.queues import Queue, celery, of_polycall, pgqueuer
from bench.rounds import Figure, Recorder

__all__ = ["ACCEPTED", "OURS", "OURS_ON_POSTGRES", "PGQUEUER", "STARTED", "queue"]

OURS, OURS_ON_POSTGRES = "polycall Call, SQLite", "polycall Call, PostgreSQL"
PGQUEUER = "pgqueuer"
ACCEPTED, STARTED = "16 producers, accepted", "20/s, sent to started"
_DRAINED, _ACKNOWLEDGED = "... and all have run", "20/s, accepted"
_PRODUCERS, _RATE = 16, 20.0


def queue(recorder: Recorder, ours: Polycall) -> None:
    """Measure each queue in turn, its worker beside it: functions that do nothing, one at a time and in a flood."""
    del ours  # it works for other parts, and has tasks of theirs
    with postgres("polycall", "pgqueuer") as database:
        contestants: tuple[Callable[[], AbstractContextManager[Queue]], ...] = (
            lambda: of_polycall(OURS),
            lambda: of_polycall(OURS_ON_POSTGRES, database),
            lambda: pgqueuer(database),
            celery,
        )
        for start in contestants:
            try:
                with start() as found:
                    _measure(recorder, found)
            except Absent as reason:
                recorder.absent(str(reason))


def _measure(recorder: Recorder, found: Queue) -> None:
    seconds = recorder.effort.seconds
    count = max(20, round(_RATE * 2.5 * seconds))
    accepted, waited = found.paced(_RATE, count)
    waited.sort()
    part, name = recorder.part, found.name
    recorder.keep(
        Figure(part=part, name=name, load=_ACKNOWLEDGED, count=count, p50=accepted.p50, p99=accepted.p99, rate=_RATE)
    )
    p50, p99 = waited[count // 2], waited[count * 99 // 100]
    recorder.keep(Figure(part=part, name=name, load=STARTED, count=count, p50=p50, p99=p99, rate=_RATE))
    begun, cpu = time.perf_counter(), found.cpu_s()
    flood = found.closed(_PRODUCERS, seconds)
    found.drained()
    took, cost_us = time.perf_counter() - begun, (found.cpu_s() - cpu) / flood.total * 1e6
    recorder.keep(
        Figure(
            part=part,
            name=name,
            load=ACCEPTED,
            count=flood.count,
            rate=flood.count / flood.seconds,
            p50=flood.p50,
            p99=flood.p99,
            client_us=flood.client_us,
            server_us=cost_us,
            tree_us=cost_us,
        )
    )
    recorder.keep(Figure(part=part, name=name, load=_DRAINED, count=flood.total, rate=flood.total / took))
