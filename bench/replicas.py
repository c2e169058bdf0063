"""What more servers bring: as many runs as their slots have room for, and how many of them find a warm process.

One machine has the processors of one machine, so the functions sleep: what a server can do are its slots, not its share
of a processor. The servers share a PostgreSQL and stand behind `polycall gateway run`; what its ring is worth is seen
beside the same Envoy that sends each request to the server with the fewest in hand.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import random
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from bench.contestants import Polycall
from bench.postgres import postgres
from bench.rounds import Recorder
from polycall_gateway.binary import find_envoy
from tests.harness import Server, free_port, until
from tests.replicas import gateway
from tests.replicas import replicas as running_replicas

__all__ = ["COLD", "LEAST_REQUEST", "RING_HASH", "THROUGHPUT", "replicas", "several_servers"]

THROUGHPUT, COLD = "runs of 0.1 s, 4 slots a server", "starts that were not warm"
RING_HASH, LEAST_REQUEST = "ring hash, bound 125 %", "least request"
_MOST = 3
_SLOTS, _SLEEP_S = 4, 0.1
_CALLERS = 8  # for each server: its slots and as many that wait
# More functions than there are warm workers, as seldom ones are everywhere: each is asked for half as often as the one
# before it, nearly (Zipf's law).
_FUNCTIONS, _WARM, _ZIPF = 40, 12, 1.1
_RATE, _SHORT_S = 40.0, 0.02
_SOURCE = "import time\n\ndef nap(seconds):\n    time.sleep(seconds)\n    return 'done'\n"


def several_servers(count: int) -> str:
    """Return what a load of so many servers is called."""
    return f"{count} server{'s' if count > 1 else ''}"


@dataclass(slots=True)
class _Seen:
    """What came back, by how the process started that ran it."""

    starts: dict[str, int] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, start_kind: str) -> None:
        with self.lock:
            self.starts[start_kind] = self.starts.get(start_kind, 0) + 1

    @property
    def count(self) -> int:
        return sum(self.starts.values())

    @property
    def cold(self) -> float:
        """The share that found no warm process."""
        return 1 - self.starts.get("START_KIND_WARM", 0) / self.count


def replicas(recorder: Recorder, ours: Polycall) -> None:
    """Measure one, two and three servers; then both ways to send requests to three."""
    del ours
    settings = {"POLYCALL_SLOTS": str(_SLOTS), "POLYCALL_WARM_WORKERS": str(_WARM)}
    names = [f"server-{number}" for number in range(_MOST)]
    with (
        postgres("replicas") as database,
        tempfile.TemporaryDirectory(prefix="polycall-bench-") as scratch,
        running_replicas(Path(scratch), database.database("replicas"), names, settings) as servers,
    ):
        for number in range(_FUNCTIONS):
            servers[0].deploy(f"bench-{number}", {"main.py": _SOURCE}, release=True)
        for count in range(1, _MOST + 1):
            with gateway(Path(scratch) / f"gateway-{count}", servers[:count]) as found:
                seen, took = _closed(found.rest, servers[0].key, count * _CALLERS, 2 * recorder.effort.seconds)
            recorder.value(THROUGHPUT, several_servers(count), seen.count / took, "runs/s")
        ways: dict[str, Callable[[], contextlib.AbstractContextManager[str]]] = {
            RING_HASH: lambda: _ring(Path(scratch) / "ring", servers),
            LEAST_REQUEST: lambda: _least_request(Path(scratch) / "least", servers),
        }
        for name, way in ways.items():
            with way() as address:
                _arriving(address, servers[0].key, recorder.effort.seconds)  # workers are where they are sent to
                seen = _arriving(address, servers[0].key, 4 * recorder.effort.seconds)
            recorder.value(COLD, name, 100 * seen.cold, f"% of {seen.count}")


@contextlib.contextmanager
def _ring(directory: Path, servers: Sequence[Server]) -> Iterator[str]:
    with gateway(directory, servers) as found:
        yield found.rest


@contextlib.contextmanager
def _least_request(directory: Path, servers: Sequence[Server]) -> Iterator[str]:
    """Run the Envoy of `polycall gateway render` with another policy."""
    directory.mkdir()
    address = f"127.0.0.1:{free_port()}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("POLYCALL_")} | {
        "POLYCALL_DATA_DIR": str(directory),
        "POLYCALL_REST_ADDRESS": address,
        "POLYCALL_REPLICAS": ",".join(server.environment["POLYCALL_INTERNAL_ADDRESS"] for server in servers),
    }
    command = [str(servers[0].program), "gateway", "render"]
    rendered = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    document = yaml.safe_load(rendered)
    (cluster,) = document["static_resources"]["clusters"]
    cluster["lb_policy"] = "LEAST_REQUEST"
    del cluster["common_lb_config"]["consistent_hashing_lb_config"]
    (directory / "envoy.yaml").write_text(yaml.safe_dump(document))
    (directory / "run" / "envoy").mkdir(parents=True, exist_ok=True)
    with (directory / "envoy.log").open("wb") as log:
        process = subprocess.Popen(
            [find_envoy(), "-c", directory / "envoy.yaml", "--use-dynamic-base-id"], stdout=log, stderr=log
        )
    try:
        until(lambda: _healthy(address), seconds=30, what="Envoy")
        yield address
    finally:
        process.terminate()
        process.wait(30)


def _healthy(address: str) -> bool:
    with contextlib.suppress(OSError):
        connection = http.client.HTTPConnection(address, timeout=5)
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    return False


class _Caller(threading.local):
    """A connection for each thread."""

    def __init__(self, address: str, key: str) -> None:
        self._connection = http.client.HTTPConnection(address, timeout=60)
        self._headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}

    def run(self, number: int, seconds: float) -> str:
        """Run a function; return how its process started."""
        body = json.dumps({"input_json": json.dumps({"seconds": seconds})})
        path = f"/polycall/v1/packages/bench-{number}/functions/nap:run"
        self._connection.request("POST", path, body, self._headers)
        answer = self._connection.getresponse()
        told = json.loads(answer.read())
        assert answer.status == 200, told
        assert told.get("outputJson") == '"done"', told
        return str(told["startKind"])


def _closed(address: str, key: str, callers: int, seconds: float) -> tuple[_Seen, float]:
    """Have so many callers ask for all functions in turn; return what came back, and the time that took."""
    seen, caller = _Seen(), _Caller(address, key)
    begun = time.perf_counter()

    def one(first: int) -> None:
        for number in itertools.count(first):
            if time.perf_counter() - begun > seconds:
                return
            seen.add(caller.run(number % _WARM, _SLEEP_S))

    with ThreadPoolExecutor(callers) as threads:
        for done in [threads.submit(one, first) for first in range(callers)]:
            done.result()
    return seen, time.perf_counter() - begun


def _arriving(address: str, key: str, seconds: float) -> _Seen:
    """Send requests at random times, some functions often and most seldom."""
    seen, caller = _Seen(), _Caller(address, key)
    chance = random.Random(_FUNCTIONS)
    weights = [1 / rank**_ZIPF for rank in range(1, _FUNCTIONS + 1)]
    at = time.perf_counter()
    with ThreadPoolExecutor(64) as threads:
        running = []
        for number in chance.choices(range(_FUNCTIONS), weights, k=round(_RATE * seconds)):
            at += chance.expovariate(_RATE)
            time.sleep(max(0.0, at - time.perf_counter()))
            running.append(threads.submit(caller.run, number, _SHORT_S))
        for done in running:
            seen.add(done.result())
    return seen
