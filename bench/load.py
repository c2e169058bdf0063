"""The load tool, a process of its own: closed loop or paced; every answer is checked.

Run as ``python -m bench.load``: reads a plan as JSON from standard input, writes what it measured as JSON.
"""

from __future__ import annotations

import base64
import dataclasses
import itertools
import json
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from bench.wire import Connection, GrpcConnection, HttpConnection

__all__ = ["FIRST", "Endpoint", "Job", "Sample", "closed", "measure"]

# The number in every request: seven digits always, so that a request is its template with other digits.
FIRST = 1_000_000
_ASKED, _SUM = b"%d" % FIRST, b"%d" % (FIRST + 2)
# A request that takes longer than this is an error of the contestant.
_PATIENCE_S = 60.0
# Connections and caches are warm after this.
_WARM_UP_S = 0.5


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where requests go. ``path``: of the gRPC method, or of the URL. ``headers`` go with every request."""

    protocol: str  # grpc or http
    port: int
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def connect(self) -> Connection:
        """Return a new connection."""
        kind = GrpcConnection if self.protocol == "grpc" else HttpConnection
        return kind("127.0.0.1", self.port, self.path, self.headers)


@dataclass(frozen=True, slots=True)
class Job:
    """A request that asks for ``1000000 + 2``, and what its answer must contain; both have those digits once."""

    body: bytes
    expected: bytes

    def number(self, count: int) -> tuple[bytes, bytes]:
        """Return request and answer of another number."""
        first, number = b"%d" % FIRST, FIRST + count
        return self.body.replace(first, b"%d" % number), self.expected.replace(
            b"%d" % (FIRST + 2), b"%d" % (number + 2)
        )


@dataclass(frozen=True, slots=True)
class Sample:
    """What one measurement gave. Latencies in ms; ``cpu_us``: what a request cost the load tool itself."""

    count: int
    total: int  # with those of the warm-up
    seconds: float
    p50: float
    p90: float
    p99: float
    worst: float
    cpu_us: float

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.count / self.seconds


def measure(endpoint: Endpoint, job: Job, *, concurrency: int = 1, seconds: float, pace_s: float = 0.0) -> Sample:
    """Load an endpoint from a process of its own.

    ``pace_s`` 0: every caller sends its next request when it has its answer. Otherwise one caller sends one every
    ``pace_s`` seconds. Raises RuntimeError for any answer but the right one.
    """
    plan = {
        "endpoint": dataclasses.asdict(endpoint),
        "body": base64.b64encode(job.body).decode(),
        "expected": base64.b64encode(job.expected).decode(),
        "concurrency": concurrency,
        "seconds": seconds,
        "pace_s": pace_s,
    }
    done = subprocess.run(
        [sys.executable, "-m", "bench.load"], input=json.dumps(plan), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{endpoint.path}: {done.stderr.strip().rpartition(chr(10))[2]}")
    return Sample(**json.loads(done.stdout))


def main() -> None:
    """Do what the plan says."""
    plan = json.load(sys.stdin)
    endpoint = Endpoint(**plan["endpoint"])
    job = Job(base64.b64decode(plan["body"]), base64.b64decode(plan["expected"]))
    connections = [endpoint.connect() for _ in range(plan["concurrency"])]
    requests = (job.number(count) for count in itertools.count())
    samples = []
    for seconds in (min(_WARM_UP_S, plan["seconds"]), plan["seconds"]):
        if plan["pace_s"]:
            samples.append(_paced(connections[0], requests, plan["pace_s"], seconds))
        else:
            samples.append(closed(connections, requests, seconds))
    total = sum(sample.count for sample in samples)
    json.dump(dataclasses.asdict(dataclasses.replace(samples[-1], total=total)), sys.stdout)


def closed(connections: list[Connection], requests: Iterator[tuple[bytes, bytes]], seconds: float) -> Sample:
    """Have every connection send its next request when it has its answer. Raises WrongAnswer, Refused, TimeoutError."""
    poll = select.epoll()
    by_fd = {connection.fileno(): connection for connection in connections}
    sent: dict[int, float] = {}
    latencies: list[float] = []
    cpu, begun = time.process_time(), time.perf_counter()
    for fd, connection in by_fd.items():
        poll.register(fd, select.EPOLLIN)
        sent[fd] = time.perf_counter()
        connection.send(*next(requests))
    until = begun + seconds
    while sent:
        ready = poll.poll(_PATIENCE_S)
        if not ready:
            raise TimeoutError(f"no answer within {_PATIENCE_S:g} s")
        for fd, _ in ready:
            if not by_fd[fd].receive():
                continue
            now = time.perf_counter()
            since = sent.pop(fd, None)
            if since is None:
                raise RuntimeError("an answer that nobody asked for")
            latencies.append(now - since)
            if now < until:
                body, expected = next(requests)
                sent[fd] = time.perf_counter()
                by_fd[fd].send(body, expected)
    return _sample(latencies, time.perf_counter() - begun, time.process_time() - cpu)


def _paced(connection: Connection, requests: Iterator[tuple[bytes, bytes]], pace_s: float, seconds: float) -> Sample:
    poll = select.epoll()
    poll.register(connection.fileno(), select.EPOLLIN)
    latencies: list[float] = []
    cpu, begun = time.process_time(), time.perf_counter()
    for turn in range(max(1, round(seconds / pace_s))):
        # what comes meanwhile, a ping for example, is read while there is time
        while (left := begun + turn * pace_s - time.perf_counter()) > 0:
            if poll.poll(left):
                connection.receive()
        body, expected = next(requests)
        since = time.perf_counter()
        connection.send(body, expected)
        while not (poll.poll(_PATIENCE_S) and connection.receive()):
            if time.perf_counter() - since > _PATIENCE_S:
                raise TimeoutError(f"no answer within {_PATIENCE_S:g} s")
        latencies.append(time.perf_counter() - since)
    return _sample(latencies, time.perf_counter() - begun, time.process_time() - cpu)


def _sample(latencies: list[float], seconds: float, cpu_s: float) -> Sample:
    ordered = sorted(latencies)

    def quantile(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000

    return Sample(
        count=len(ordered),
        total=len(ordered),
        seconds=seconds,
        p50=quantile(0.5),
        p90=quantile(0.9),
        p99=quantile(0.99),
        worst=ordered[-1] * 1000,
        cpu_us=cpu_s / len(ordered) * 1e6,
    )


if __name__ == "__main__":
    main()
