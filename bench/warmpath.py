"""What one warm RunFunction costs the serving process, counted: calls of functions, system calls, switches, CPU.

    .venv/bin/python -m bench.warmpath
    .venv/bin/python -m bench.warmpath --json after.json

Calls and system calls are the same however busy the machine is, so a change is judged by these first. CPU times are the
least of many short turns, in which grpc.aio inline takes part. System calls take strace.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.contestants import SERVICE, run_function_job, yardstick
from bench.load import Endpoint, closed
from bench.machine import load_average
from bench.wire import Connection
from tests.harness import Server

__all__ = ["Counts", "counting_server", "counts_of", "main"]

_WARM_UP = 50  # calls, after which caches are warm
_WAIT_S = 10.0


@dataclass(frozen=True, slots=True)
class Counts:
    """What the serving thread called for one call: functions of Python, and of C."""

    python: float
    c: float


@dataclass(frozen=True, slots=True)
class Cost:
    """What one call took: µs of the serving thread and of the whole process, and switches of its threads."""

    thread_us: float
    process_us: float
    switches: float


@contextlib.contextmanager
def counting_server(scratch: Path) -> Iterator[Server]:
    """Run a server that can be told to count (``bench.counting``), with the bench's function deployed."""
    program = scratch / "polycall"
    program.write_text(f"#!{sys.executable}\nfrom bench.counting import counted\n\ncounted()\n")
    program.chmod(0o700)
    settings = {
        "POLYCALL_GATEWAY": "false",
        "PYTHONPATH": str(Path(__file__).parent.parent),
        "BENCH_COUNTS": str(scratch / "counts.json"),
    }
    server = Server(scratch / "data", environment=settings, program=program).start()
    try:
        server.deploy("bench", {"main.py": "def add(a, b):\n    return {'sum': a + b}\n"})
        yield server
    finally:
        server.terminate()


def counts_of(server: Server, scratch: Path, calls: int) -> Counts:
    """Return what the serving thread called for one of so many calls, one after the other."""
    target = scratch / "counts.json"
    target.unlink(missing_ok=True)
    with contextlib.closing(_endpoint(server).connect()) as connection:
        _call(connection, _WARM_UP)
        os.kill(_pid(server), signal.SIGUSR2)
        _call(connection, calls)
        os.kill(_pid(server), signal.SIGUSR2)
        deadline = time.monotonic() + _WAIT_S
        while not target.exists():
            if time.monotonic() > deadline:
                raise TimeoutError("the server did not say what it has counted")
            _call(connection, 1)  # a signal is looked at between two steps of Python
    found = json.loads(target.read_text())
    return Counts(found["python"] / calls, found["c"] / calls)


def system_calls_of(server: Server, calls: int) -> dict[str, float]:
    """Return the system calls of the serving thread for one call, by name; none without strace."""
    if shutil.which("strace") is None:
        return {}
    with contextlib.closing(_endpoint(server).connect()) as connection, tempfile.NamedTemporaryFile("r") as told:
        tracing = subprocess.Popen(
            ["strace", "-c", "-o", told.name, "-p", str(_pid(server))], stderr=subprocess.PIPE, text=True
        )
        assert tracing.stderr is not None
        tracing.stderr.readline()  # it is attached
        _call(connection, calls)
        tracing.send_signal(signal.SIGINT)
        tracing.communicate()
        rows = re.findall(r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+) +(?:\d+ +)?(\w+)$", told.read(), re.MULTILINE)
    return {name: int(count) / calls for count, name in rows if name != "total"}


def cost_of(pid: int, connections: list[Connection], seconds: float) -> Cost:
    """Return what a call costs a process under closed loops for a moment."""
    before = _threads(pid)
    count = closed(connections, _requests, seconds).count
    after = _threads(pid)
    spent = {tid: now[0] - before.get(tid, (0, 0))[0] for tid, now in after.items()}
    switches = sum(now[1] - before.get(tid, (0, 0))[1] for tid, now in after.items())
    return Cost(spent[pid] / count / 1000, sum(spent.values()) / count / 1000, switches / count)


def _threads(pid: int) -> dict[int, tuple[int, int]]:
    """Return CPU time (ns) and switches of a process's threads."""
    found = {}
    for place in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            status = (place / "status").read_text()
            switches = sum(int(number) for number in re.findall(r"ctxt_switches:\s+(\d+)", status))
            found[int(place.name)] = int((place / "schedstat").read_text().split()[0]), switches
    return found


def _endpoint(server: Server) -> Endpoint:
    return Endpoint("grpc", server.grpc_port, f"{SERVICE}/RunFunction", {"authorization": f"Bearer {server.key}"})


def _pid(server: Server) -> int:
    assert server.process is not None
    return server.process.pid


_requests: Iterator[tuple[bytes, bytes]] = map(run_function_job().number, itertools.count())


def _call(connection: Connection, times: int) -> None:
    for _ in range(times):
        connection.send(*next(_requests))
        while not connection.receive():
            pass


def _costs(server: Server, callers: int, turns: int, seconds: float) -> dict[str, Cost]:
    """Return the least that a call cost, of ours and of inline, in turns."""
    with yardstick("inline") as inline, contextlib.ExitStack() as stack:
        who: dict[str, tuple[int, Endpoint]] = {
            "polycall": (_pid(server), _endpoint(server)),
            "grpc.aio inline": (inline.pid, inline.endpoint),
        }
        connected = {
            name: [stack.enter_context(contextlib.closing(endpoint.connect())) for _ in range(callers)]
            for name, (_, endpoint) in who.items()
        }
        found: dict[str, list[Cost]] = {name: [] for name in who}
        for turn in range(-1, turns):
            for name, (pid, _) in who.items():
                cost = cost_of(pid, connected[name], seconds)
                if turn >= 0:
                    found[name].append(cost)
    return {name: min(costs, key=lambda cost: cost.thread_us) for name, costs in found.items()}


def main(arguments: list[str] | None = None) -> int:
    """Count, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m bench.warmpath", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--calls", type=int, default=1000, help="calls that are counted; default: 1000")
    parser.add_argument("--turns", type=int, default=20, help="short turns of which the least counts; default: 20")
    parser.add_argument("--seconds", type=float, default=0.3, help="length of a turn; default: 0.3")
    parser.add_argument("--callers", type=int, default=16, help="closed loops of a turn; default: 16")
    parser.add_argument("--json", type=Path, help="write it there too")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="polycall-bench-") as name:
        scratch = Path(name)
        with counting_server(scratch) as server:
            counts = counts_of(server, scratch, options.calls)
            system_calls = system_calls_of(server, options.calls)
            costs = _costs(server, options.callers, options.turns, options.seconds)
    print(f"load average {load_average():.1f}")
    print(f"functions called in the serving thread: {counts.python:.0f} of Python, {counts.c:.0f} of C")
    shown = ", ".join(f"{name} {count:.1f}" for name, count in system_calls.items() if count >= 0.1)
    print(f"its system calls: {sum(system_calls.values()):.0f} ({shown})" if system_calls else "no strace here")
    for who, cost in costs.items():
        print(
            f"{who}, c={options.callers}: {cost.thread_us:.0f} µs of the serving thread, "
            f"{cost.process_us:.0f} of the process, {cost.switches:.1f} switches"
        )
    ours, theirs = costs["polycall"], costs["grpc.aio inline"]
    print(f"serving thread: {ours.thread_us / theirs.thread_us:.1f} times inline's")
    if options.json is not None:
        found = {name: asdict(cost) for name, cost in costs.items()}
        options.json.write_text(json.dumps({"counts": asdict(counts), "system_calls": system_calls, "costs": found}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
