"""What is promised, as ratios within one round; the median over the rounds counts."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.lists import CLAIM, DELETING, EMPTY, FACE_PAGE, FINISH, FULL, GET, PAGE, PLAIN
from bench.overload import ALONE, FLOODED, REFUSALS
from bench.packages import NUMPY
from bench.payload import LARGE, SMALL
from bench.queue import ACCEPTED, OURS, OURS_ON_POSTGRES, PGQUEUER, STARTED
from bench.records import KEPT, NOT_KEPT, RECORD_COST
from bench.replicas import COLD, LEAST_REQUEST, RING_HASH, THROUGHPUT, several_servers
from bench.rounds import Figure

__all__ = ["REST", "TARGETS", "WARM", "Result", "Target", "results", "several"]

Round = Mapping[tuple[str, str], Figure]  # by name and load

WARM, REST = "polycall RunFunction, warm", "polycall REST, warm"
_INLINE, _POOL = "grpc.aio inline", "grpc.aio + process pool"
_FRESH, _BWRAP = "polycall Execute python", "bwrap python per request"
_FLASK = "functions-framework"
_WAIT, _CPU = "polycall, a run of 20 ms, 4 slots", "polycall RunFunction, server CPU"


def several(name: str) -> str:
    """Return what a contestant of ours is called with several server processes."""
    return f"{name}, 2 processes"


@dataclass(frozen=True, slots=True)
class Target:
    """A value of a round, and the bound it has to keep: ``least`` or ``most``."""

    number: int  # of the list in docs/performance.md
    what: str
    of: Callable[[Round], float]
    least: float | None = None
    most: float | None = None
    unit: str = ""

    def met(self, value: float) -> bool:
        """Whether a value keeps the bound."""
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)

    @property
    def bound(self) -> str:
        """The bound in words."""
        return f"at least {self.least:g}" if self.least is not None else f"at most {self.most:g}"


@dataclass(frozen=True, slots=True)
class Result:
    """A target, its value in each round that has it, and their median."""

    target: Target
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """What counts."""
        return statistics.median(self.values)

    @property
    def met(self) -> bool:
        """Whether the target is met."""
        return self.target.met(self.median)


def _spread(name: str) -> Callable[[Round], float]:
    return lambda r: r[name, "c=16"].p99 / r[name, "c=16"].p50


def _paced(language: str) -> Callable[[Round], float]:
    return lambda r: r[f"polycall Execute {language}", "10/s"].p50


def _over(what: str, ours: str, theirs: str, load: str = "c=16") -> Callable[[Round], float]:
    return lambda r: getattr(r[ours, load], what) / getattr(r[theirs, load], what)


def _record_cost(database: str) -> Callable[[Round], float]:
    kept, not_kept = KEPT.format(database), NOT_KEPT.format(database)
    return lambda r: r[RECORD_COST, kept].value / r[RECORD_COST, not_kept].value


def _page(of: str, database: str) -> Target:
    name = of.format(database)
    return Target(9, name, lambda r: r[name, FULL].value, most=10, unit="ms")


def _slowest(database: str) -> Target:
    slowest, plain = PAGE.format(database), PLAIN.format(database)
    return Target(9, f"{slowest} / the newest", lambda r: r[slowest, FULL].value / r[plain, FULL].value, most=3)


def _beside(what: str, database: str, table: str = FULL) -> Target:
    name = what.format(database)
    more = ", deleting" if table == DELETING else ""
    return Target(9, f"{name}{more} / empty", lambda r: r[name, table].value / r[name, EMPTY].value, most=2)


def _of_more(servers: int) -> Callable[[Round], float]:
    return lambda r: r[THROUGHPUT, several_servers(servers)].value / r[THROUGHPUT, several_servers(1)].value


def _cold(r: Round) -> float:
    return r[COLD, RING_HASH].value / r[COLD, LEAST_REQUEST].value


_DATABASES = ("SQLite", "PostgreSQL")

TARGETS = (
    Target(1, "warm rate / inline rate, c=16", _over("rate", WARM, _INLINE), least=0.75),
    Target(1, "warm rate / naive pool rate, c=16", _over("rate", WARM, _POOL), least=1.5),
    Target(1, "... of 2 processes / inline rate", _over("rate", several(WARM), _INLINE), least=0.75),
    Target(1, "... of 2 processes / naive pool rate", _over("rate", several(WARM), _POOL), least=1.5),
    Target(1, "warm p50 / inline p50, c=1", _over("p50", WARM, _INLINE, "c=1"), most=1.6),
    Target(2, "fresh python, 50/s: p50", lambda r: r[_FRESH, "50/s"].p50, most=3, unit="ms"),
    Target(2, "fresh python, 50/s: p99", lambda r: r[_FRESH, "50/s"].p99, most=10, unit="ms"),
    Target(2, "fresh rate / bwrap rate, c=16", _over("rate", _FRESH, _BWRAP), least=5),
    Target(2, "fresh javascript, 10/s: p50", _paced("javascript"), most=8, unit="ms"),
    Target(2, "fresh typescript, 10/s: p50", _paced("typescript"), most=8, unit="ms"),
    Target(3, "REST rate / functions-framework, c=16", _over("rate", REST, _FLASK), least=0.9),
    Target(3, "REST p99 / functions-framework p99, c=16", _over("p99", REST, _FLASK), most=1),
    Target(3, "... rate of 2 processes", _over("rate", several(REST), _FLASK), least=0.9),
    Target(3, "... p99 of 2 processes", _over("p99", several(REST), _FLASK), most=1),
    Target(4, "warm p99 / p50, c=16", _spread(WARM), most=4),
    Target(4, "fresh p99 / p50, c=16", _spread(_FRESH), most=4),
    Target(4, "REST p99 / p50, c=16", _spread(REST), most=4),
    Target(4, "goodput at 3 x / alone", lambda r: r[_WAIT, FLOODED].rate / r[_WAIT, ALONE].rate, least=0.9),
    Target(4, "refusal p99 at 3 x", lambda r: r[_WAIT, REFUSALS].p99, most=20, unit="ms"),
    Target(5, "server CPU, 1 MiB less 1 KiB", lambda r: r[_CPU, LARGE].value - r[_CPU, SMALL].value, most=2, unit="ms"),
    Target(6, "numpy, first call without a worker: p50", lambda r: r[NUMPY, "4/s"].p50, most=25, unit="ms"),
    Target(7, "server CPU with records / without, SQLite", _record_cost("SQLite"), most=1.25),
    Target(7, "server CPU with records / without, PostgreSQL", _record_cost("PostgreSQL"), most=1.25),
    Target(8, "Calls accepted / pgqueuer, PostgreSQL", _over("rate", OURS_ON_POSTGRES, PGQUEUER, ACCEPTED), least=1),
    Target(8, "sent to started, p50 / pgqueuer", _over("p50", OURS_ON_POSTGRES, PGQUEUER, STARTED), most=1.5),
    Target(8, "... on SQLite", _over("p50", OURS, PGQUEUER, STARTED), most=1.5),
    *(_page(of, database) for database in _DATABASES for of in (PAGE, FACE_PAGE)),
    *(_slowest(database) for database in _DATABASES),
    *(_beside(what, database) for database in _DATABASES for what in (GET, CLAIM, FINISH)),
    *(_beside(CLAIM, database, DELETING) for database in _DATABASES),
    Target(10, "runs of 2 servers / of 1", _of_more(2), least=1.8),
    Target(10, "runs of 3 servers / of 1", _of_more(3), least=2.5),
    Target(
        10,
        "cold starts, ring / least request",
        lambda r: r[COLD, RING_HASH].value / r[COLD, LEAST_REQUEST].value,
        most=0.6,
    ),
)


def results(rounds: Sequence[Sequence[Figure]]) -> list[Result]:
    """Return the targets of which every figure was measured in some round."""
    found = []
    for target in TARGETS:
        values = []
        for figures in rounds:
            try:
                values.append(target.of({(figure.name, figure.load): figure for figure in figures}))
            except (KeyError, ZeroDivisionError):
                continue
        if values:
            found.append(Result(target, tuple(values)))
    return found
