"""The metrics of a server: read where they are kept, when somebody asks; nothing is pushed anywhere.

Names and units as Prometheus has them (seconds, bytes, ``_total``). Labels have words of our own only: there is no
project, package or function in them, since clients choose those, and how many.
"""

from __future__ import annotations

import asyncio
import platform
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from polycall import __version__
from polycall.acts import AuditOutcome
from polycall.domain import DeliveryState, ExecutionState, StartKind
from polycall.durations import Durations
from polycall.engine.allowance import Allowance
from polycall.engine.dispatcher import Dispatcher
from polycall.engine.engine import Engine
from polycall.engine.membership import Membership
from polycall.engine.scheduler import Scheduler
from polycall.engine.sharing import Sharing
from polycall.engine.tally import Tally
from polycall.engine.webhooks.deliverer import Deliverer
from polycall.errors import Code, PolycallError
from polycall.quick import dataclass
from polycall.sandbox.pool import PoolCounts
from polycall.store.outside import Outside
from polycall.store.protocol import Fired
from polycall.store.sql import SqlStore

__all__ = ["Metrics"]

_REAPED = (ExecutionState.QUEUED, ExecutionState.FAILED, ExecutionState.CANCELLED)
_ATTEMPTED = {DeliveryState.DELIVERED: "delivered", DeliveryState.PENDING: "failed", DeliveryState.DEAD: "given_up"}
_BACKLOG_S = 2.0  # how long a scrape waits for the database, which may be what is wrong
_BACKLOG_FRESH_S = 1.0  # however many scrape


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """What is shown, and where it is kept. ``membership``, ``sharing``: None without others."""

    engine: Engine
    dispatcher: Dispatcher
    scheduler: Scheduler
    deliverer: Deliverer
    membership: Membership | None
    sharing: Sharing | None
    store: SqlStore
    tally: Tally
    allowance: Allowance
    calls: Counter[tuple[str, Code]]
    pool: Callable[[], PoolCounts]
    backlog: _Backlog

    @classmethod
    def of(cls, **parts: Any) -> Metrics:
        """Return the metrics of a server's parts."""
        return cls(backlog=_Backlog(parts["store"]), **parts)

    async def expose(self) -> tuple[str, bytes]:
        """Return content type and text, in Prometheus' format."""
        families = [*self._families(), *_store(self.store, await self.backlog.count())]
        registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=registry)
        registry.register(_Collected(families))
        return CONTENT_TYPE_PLAIN_0_0_4, generate_latest(registry)

    def _families(self) -> Iterator[Metric]:
        yield from _about(self.engine)
        yield from _slots(self.engine)
        yield from _executions(self.tally, self.dispatcher)
        yield from _workers(self.pool())
        yield from _ticks(self.scheduler)
        yield from _webhooks(self.deliverer)
        yield from _audit(self.store, self.allowance)
        yield _counted(
            "polycall_rpcs", "Calls answered, by gRPC method and code", ("method", "code"), _rpcs(self.calls)
        )
        if self.membership is not None:
            yield from _node(self.membership)
        if self.sharing is not None:
            yield _environments(self.sharing)
        if self.store.outside.some:
            yield _objects(self.store.outside)


class _Backlog:
    """How many Calls wait in the database, all servers' together; asked at most once a second."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store
        self._last: int | None = None
        self._until = 0.0
        self._one = asyncio.Lock()

    async def count(self) -> int | None:
        """Return it; None: the database does not answer."""
        async with self._one:
            if time.monotonic() >= self._until:
                self._last = await self._asked()
                self._until = time.monotonic() + _BACKLOG_FRESH_S
            return self._last

    async def _asked(self) -> int | None:
        try:
            async with asyncio.timeout(_BACKLOG_S):
                return await self._store.backlog()
        except (PolycallError, TimeoutError):
            return None


class _Collected:
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """Return what was collected."""
        return self._families


def _about(engine: Engine) -> Iterator[Metric]:
    labels = ("version", "python")
    build = GaugeMetricFamily("polycall_build_info", "What runs here; always 1.", labels=labels)
    build.add_metric((__version__, platform.python_version()), 1)
    yield build
    yield _gauge("polycall_serving", "1 while new work is taken, 0 while the server drains", not engine.draining)
    yield _gauge("polycall_isolation_level", "Isolation level of this machine, 0 to 3", int(engine.isolation))
    yield _gauge("polycall_isolation_floor", "Level below which code is refused", int(engine.isolation_floor))


def _slots(engine: Engine) -> Iterator[Metric]:
    admission = engine.admission
    yield _gauge("polycall_slots", "Runs at once at most", admission.slots)
    yield _gauge("polycall_slots_occupied", "Slots that runs and Calls have now", admission.busy)
    share = admission.busy / admission.slots
    yield _gauge("polycall_slots_occupied_ratio", "The same as a share of all slots; scale on it", share)
    yield _gauge("polycall_waiting", "Runs that wait for a slot", admission.waiting)
    yield _gauge("polycall_waiting_limit", "Runs that may wait for a slot; more are refused", admission.queue)
    yield _gauge("polycall_running", "Executions that run now", len(engine.live))


def _executions(tally: Tally, dispatcher: Dispatcher) -> Iterator[Metric]:
    ended = {
        (kind.value, state.name, "" if reason is None else reason.value): count
        for (kind, state, reason), count in tally.ended.items()
    }
    yield _counted("polycall_executions", "Executions that ended here", ("kind", "state", "reason"), ended)
    starts = {(kind.value,): tally.starts[kind] for kind in StartKind}
    yield _counted("polycall_sandbox_starts", "Processes that got a run, by what they were", ("kind",), starts)
    phases = {"queue": tally.queued, "start": tally.started, "run": tally.ran}
    yield _histogram("polycall_execution_seconds", "How long executions waited, were started, ran", "phase", phases)
    yield _counted("polycall_retries", "Failures that are tried again", (), {(): dispatcher.retries.count})
    yield _counted(
        "polycall_fenced",
        "Ends dropped, because others had taken the executions over",
        (),
        {(): dispatcher.finishing.fenced},
    )


def _workers(counts: PoolCounts) -> Iterator[Metric]:
    workers = GaugeMetricFamily("polycall_workers", "Sandboxed processes.", labels=("state",))
    for state in ("waiting", "idle", "busy"):
        workers.add_metric((state,), getattr(counts, state))
    yield workers
    yield _gauge("polycall_warm_memory_bytes", "Memory that warm workers hold", counts.warm_bytes)


def _ticks(scheduler: Scheduler) -> Iterator[Metric]:
    ticks = {(fired.name.lower(),): scheduler.fired[fired] for fired in Fired}
    yield _counted("polycall_schedule_ticks", "Ticks that were due, by what came of them here", ("result",), ticks)
    yield _counted("polycall_schedule_ticks_missed", "Ticks too late to run", (), {(): scheduler.missed})


def _webhooks(deliverer: Deliverer) -> Iterator[Metric]:
    results = {(word,): deliverer.attempted[state] for state, word in _ATTEMPTED.items()}
    yield _counted("polycall_webhook_attempts", "Notifications sent here, by what came of it", ("result",), results)
    yield _gauge("polycall_webhook_sending", "Notifications that are being sent now", deliverer.sending)


def _audit(store: SqlStore, allowance: Allowance) -> Iterator[Metric]:
    events = {(outcome.value,): store.audit_written[outcome] for outcome in AuditOutcome}
    yield _counted("polycall_audit_events", "Events that were added to the audit log here", ("outcome",), events)
    yield _counted(
        "polycall_changes_refused",
        "Changes refused because a project's keys had made as many as they may in an hour",
        (),
        {(): allowance.refused},
    )


def _store(store: SqlStore, backlog: int | None) -> Iterator[Metric]:
    yield _gauge("polycall_database_up", "1 if the database answered for this scrape", backlog is not None)
    if backlog is not None:
        yield _gauge("polycall_backlog", "Calls that are due and wait, of all servers on this database", backlog)
    times = store.measured.times
    yield _histogram("polycall_store_seconds", "How long work in the database took, waiting included", "how", times)
    away = {(): store.measured.unavailable}
    yield _counted("polycall_store_unavailable", "Work that failed because the database was away", (), away)
    records = store.record_counts
    results = {
        ("written",): records.written,
        ("dropped",): records.rows_dropped,
        ("bodies_dropped",): records.bodies_dropped,
    }
    yield _counted(
        "polycall_records", "Records of synchronous executions, by what became of them", ("result",), results
    )
    yield _gauge("polycall_records_waiting", "Records that wait to be written", store.records_waiting)


def _environments(sharing: Sharing) -> Metric:
    results = {(word,): sharing.counts[word] for word in ("built", "kept", "fetched", "damaged", "failed")}
    return _counted("polycall_environments", "Environments of runtimes, by what was done here", ("result",), results)


def _objects(outside: Outside) -> Metric:
    results = {(word,): outside.counts[word] for word in ("written", "read", "left", "away", "damaged")}
    return _counted("polycall_objects", "Values of the object store, by what came of it", ("result",), results)


def _node(membership: Membership) -> Iterator[Metric]:
    yield _gauge("polycall_lease_held", "1 while this server may claim Calls, as the others see it", membership.holds)
    yield _gauge("polycall_other_servers", "Other servers on this database that live", len(membership.others))
    reaped = {(state.name,): membership.reaped[state] for state in _REAPED}
    yield _counted("polycall_taken_over", "Executions of lost servers that were taken over here", ("state",), reaped)


def _rpcs(calls: Counter[tuple[str, Code]]) -> dict[tuple[str, ...], int]:
    return {(method.removeprefix("/"), code.name): count for (method, code), count in calls.items()}


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, f"{text}.", value=float(value))


def _counted(name: str, text: str, labels: tuple[str, ...], counts: dict[Any, int]) -> Metric:
    family = CounterMetricFamily(name, f"{text}.", labels=labels)
    for values, count in sorted(counts.items()):
        family.add_metric(values, count)
    return family


def _histogram(name: str, text: str, label: str, durations: dict[str, Durations]) -> Metric:
    family = HistogramMetricFamily(name, f"{text}.", labels=(label,))
    for value, found in durations.items():
        buckets = [("+Inf" if bound == float("inf") else f"{bound:g}", float(n)) for bound, n in found.cumulative]
        family.add_metric((value,), buckets=buckets, sum_value=found.total)
    return family
