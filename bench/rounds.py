"""A round: every contestant in turn, in the same minute, and beside each figure what the machine was like."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from bench.contestants import Polycall, Rival
from bench.load import Endpoint, Job, measure
from bench.machine import fixed_loop_ms, load_average, serving_cpu_s, tree_cpu_s

__all__ = ["NOISE", "Effort", "Figure", "Part", "Recorder"]

# The most that the fixed loop may vary within a round that counts.
NOISE = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How long everything is measured."""

    seconds: float
    concurrencies: tuple[int, ...]
    rounds: int
    rows: int = 1_000_000  # of a table with very many
    processes: int = 1  # server processes to measure with beside one; 1: none


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measurement of one contestant under one load, or one value that is not a load's (``value``)."""

    part: str
    name: str
    load: str  # "c=16", "50/s", ...
    count: int = 0
    rate: float = 0.0
    p50: float = 0.0  # ms, as all latencies
    p90: float = 0.0
    p99: float = 0.0
    worst: float = 0.0
    server_us: float = 0.0  # CPU of the serving process a request
    tree_us: float = 0.0  # ... of it and all processes below it
    client_us: float = 0.0  # ... of the load tool
    value: float = 0.0
    unit: str = ""
    loop_ms: float = 0.0
    load_average: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return what is not zero, rounded to what can be read."""
        return {k: round(v, 4) if isinstance(v, float) else v for k, v in asdict(self).items() if v}


class Recorder:
    """Measures, tells, and keeps the figures of one round."""

    def __init__(self, part: str, effort: Effort, tell: Callable[[Figure], None]) -> None:
        self.part = part
        self.effort = effort
        self.figures: list[Figure] = []
        self.missing: list[str] = []
        self._tell = tell

    @property
    def noisy(self) -> bool:
        """Whether the machine was too busy with other things for the figures to count."""
        loops = [figure.loop_ms for figure in self.figures if figure.loop_ms]
        return bool(loops) and max(loops) / min(loops) > NOISE

    def closed(self, name: str, pid: int, endpoint: Endpoint, job: Job, *concurrencies: int) -> None:
        """Measure closed loops; the effort's concurrencies if none are given."""
        for concurrency in concurrencies or self.effort.concurrencies:
            self._load(name, pid, endpoint, job, f"c={concurrency}", concurrency=concurrency)

    def paced(self, name: str, pid: int, endpoint: Endpoint, job: Job, rate: int = 50) -> None:
        """Measure one caller that sends so many requests a second."""
        self._load(name, pid, endpoint, job, f"{rate}/s", pace_s=1 / rate)

    def rival(self, rival: Rival, *concurrencies: int) -> None:
        """Measure a rival in closed loops."""
        self.closed(rival.name, rival.pid, rival.endpoint, rival.job, *concurrencies)

    def value(self, name: str, load: str, value: float, unit: str) -> None:
        """Keep a figure that was found otherwise."""
        self._keep(Figure(part=self.part, name=name, load=load, value=value, unit=unit, **_machine()))

    def absent(self, reason: str) -> None:
        """Note what could not be measured, and why."""
        self.missing.append(reason)

    def keep(self, figure: Figure) -> None:
        """Keep a figure that was made elsewhere."""
        self._keep(figure)

    def _load(
        self,
        name: str,
        pid: int,
        endpoint: Endpoint,
        job: Job,
        load: str,
        *,
        concurrency: int = 1,
        pace_s: float = 0.0,
    ) -> None:
        machine = _machine()
        server, tree = serving_cpu_s(pid), tree_cpu_s(pid)
        sample = measure(endpoint, job, concurrency=concurrency, seconds=self.effort.seconds, pace_s=pace_s)
        self._keep(
            Figure(
                part=self.part,
                name=name,
                load=load,
                count=sample.count,
                rate=sample.rate,
                p50=sample.p50,
                p90=sample.p90,
                p99=sample.p99,
                worst=sample.worst,
                server_us=(serving_cpu_s(pid) - server) / sample.total * 1e6,
                tree_us=(tree_cpu_s(pid) - tree) / sample.total * 1e6,
                client_us=sample.cpu_us,
                **machine,
            )
        )

    def _keep(self, figure: Figure) -> None:
        self.figures.append(figure)
        self._tell(figure)


def _machine() -> dict[str, Any]:
    return {"loop_ms": fixed_loop_ms(), "load_average": load_average()}


Part = Callable[[Recorder, Polycall], None]
