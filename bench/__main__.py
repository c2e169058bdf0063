"""`make bench`: latency, rate, start and memory, beside two yardsticks.

Each round runs every contestant once; what is published is the median of the ratios over the rounds, with the raw
numbers next to it. A round whose fixed Python loop varied by more than 1.5 is thrown away: the machine was busy.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc.aio
import psutil

from bench.load import Call, Sample, closed_loop, fixed_loop_ms, load_average, paced
from polycall.v1 import execution_pb2, execution_service_pb2, execution_service_pb2_grpc
from tests.harness import Server, running_server

CODE = "def execute(input):\n    return {'sum': input['a'] + input['b']}\n"
NOISE = 1.5  # the most that the fixed loop may vary within a round


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement of one contestant."""

    name: str
    load: str
    sample: Sample


def main() -> int:
    """Run the rounds and print the report."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of each closed-loop measurement")
    options = parser.parse_args()
    rounds: list[dict[tuple[str, str], Sample]] = []
    with (
        tempfile.TemporaryDirectory(prefix="polycall-bench-") as scratch,
        running_server(Path(scratch) / "data", POLYCALL_QUEUE="1000") as server,
    ):
        print(start_and_memory(server))
        server.deploy("bench", {"main.py": "def add(a, b):\n    return {'sum': a + b}\n"})
        for number in range(options.rounds):
            before = fixed_loop_ms()
            rows = asyncio.run(one_round(server, options.seconds))
            after = fixed_loop_ms()
            noisy = max(before, after) / min(before, after) > NOISE
            fate = " (thrown away: the machine was busy)" if noisy else ""
            print(f"\nround {number + 1}: load {load_average():.2f}, fixed loop {before:.0f} -> {after:.0f} ms{fate}")
            for row in rows:
                print(f"  {row.name:28} {row.load:12} {describe(row.sample)}")
            if not noisy:
                rounds.append({(row.name, row.load): row.sample for row in rows})
    if not rounds:
        print("every round was noisy; run again on a quiet machine", file=sys.stderr)
        return 1
    print(f"\nmedian ratios over {len(rounds)} rounds")
    for line in ratios(rounds):
        print(f"  {line}")
    return 0


def describe(sample: Sample) -> str:
    """Return p50, p99 and rate."""
    p50, p99 = sample.quantile(0.5), sample.quantile(0.99)
    return f"p50 {p50:8.2f} ms   p99 {p99:8.2f} ms   {sample.rate:8.0f}/s   n={len(sample.latencies)}"


def ratios(rounds: list[dict[tuple[str, str], Sample]]) -> Iterator[str]:
    """Yield what the targets ask: ours over theirs, in the same round."""

    def median(of: Callable[[dict[tuple[str, str], Sample]], float]) -> float:
        return statistics.median(of(one) for one in rounds)

    warm, inline, pool = ("RunFunction, warm", "c=16"), ("yardstick: inline", "c=16"), ("yardstick: pool of 2", "c=16")
    yield f"warm rate / inline rate, c=16          {median(lambda r: r[warm].rate / r[inline].rate):.2f}  (target 0.75)"
    yield f"warm rate / naive pool rate, c=16      {median(lambda r: r[warm].rate / r[pool].rate):.2f}  (target 1.5)"
    spread = median(lambda r: r[warm].quantile(0.99) / r[warm].quantile(0.5))
    yield f"warm p99 / p50, c=16                   {spread:.2f}  (target at most 4)"
    fresh = ("Execute, fresh", "paced")
    yield f"fresh paced p50                        {median(lambda r: r[fresh].quantile(0.5)):.2f} ms  (target 3)"
    yield f"fresh paced p99                        {median(lambda r: r[fresh].quantile(0.99)):.2f} ms  (target 10)"


def start_and_memory(server: Server) -> str:
    """Return how fast the server was ready, and what it and its idle pool hold, Envoy apart."""
    time.sleep(2)  # let it come to rest
    assert server.process is not None
    own = [psutil.Process(server.process.pid), *server.descendants()]
    rss = pss = 0.0
    for process in own:
        with contextlib.suppress(psutil.NoSuchProcess):
            if "envoy" not in process.name():
                full = process.memory_full_info()
                rss += full.rss / 1048576
                pss += full.pss / 1048576
    return (
        f"isolation level {server.ready['isolation_level']}; ready after {server.ready['seconds']:.2f} s; "
        f"server and idle pool {pss:.0f} MiB PSS, {rss:.0f} MiB summed RSS (Envoy apart)"
    )


async def one_round(server: Server, seconds: float) -> list[Row]:
    """Measure every contestant."""
    rows: list[Row] = []
    for mode, name in (("inline", "yardstick: inline"), ("pool", "yardstick: pool of 2")):
        with yardstick(mode) as address:
            async with run_function(address, "") as call:
                rows += await closed(name, call, seconds)
    async with run_function(server.grpc, server.key) as call:
        rows += await closed("RunFunction, warm", call, seconds)
    async with execute(server.grpc, server.key) as call:
        rows += await closed("Execute, fresh", call, seconds)
        rows.append(Row("Execute, fresh", "paced", await paced(call, count=150, pause=0.02)))
    return rows


async def closed(name: str, call: Call, seconds: float) -> list[Row]:
    """Warm up, then measure alone and with sixteen in flight."""
    await closed_loop(call, concurrency=16, seconds=1.0)
    rows = []
    for concurrency in (1, 16):
        sample = await closed_loop(call, concurrency=concurrency, seconds=seconds)
        rows.append(Row(name, f"c={concurrency}", sample))
    return rows


@contextlib.contextmanager
def yardstick(mode: str) -> Iterator[str]:
    """Run a yardstick server."""
    process = subprocess.Popen([sys.executable, "-m", "bench.yardstick", mode], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield f"127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        for child in psutil.Process(process.pid).children(recursive=True):
            child.kill()
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@contextlib.asynccontextmanager
async def run_function(address: str, key: str) -> AsyncIterator[Call]:
    """Yield a call of RunFunction that checks its answer."""
    async with grpc.aio.insecure_channel(address) as channel:
        stub = execution_service_pb2_grpc.ExecutionServiceStub(channel)

        def request(text: str) -> Awaitable[execution_pb2.Execution]:
            message = execution_service_pb2.RunFunctionRequest(function="packages/bench/functions/add", input_json=text)
            answer: Awaitable[execution_pb2.Execution] = stub.RunFunction(message, metadata=credentials(key))
            return answer

        yield checked(request)


@contextlib.asynccontextmanager
async def execute(address: str, key: str) -> AsyncIterator[Call]:
    """Yield a call of Execute that checks its answer."""
    async with grpc.aio.insecure_channel(address) as channel:
        stub = execution_service_pb2_grpc.ExecutionServiceStub(channel)

        def request(text: str) -> Awaitable[execution_pb2.Execution]:
            message = execution_service_pb2.ExecuteRequest(code=CODE, input_json=text)
            answer: Awaitable[execution_pb2.Execution] = stub.Execute(message, metadata=credentials(key))
            return answer

        yield checked(request)


def credentials(key: str) -> list[tuple[str, str]]:
    """Return the metadata of a key."""
    return [("authorization", f"Bearer {key}")] if key else []


def checked(request: Callable[[str], Awaitable[execution_pb2.Execution]]) -> Call:
    """Return a call that raises unless the answer is the sum of its own number."""

    async def call(number: int) -> None:
        answer = await request(json.dumps({"a": number, "b": 2}))
        if answer.output_json != json.dumps({"sum": number + 2}):
            raise AssertionError(f"wrong answer to {number}: {answer}")

    return call


if __name__ == "__main__":
    raise SystemExit(main())
