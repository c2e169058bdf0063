"""Servers that die, stand still and are restarted under load, while the database stays."""

from __future__ import annotations

import asyncio
import contextlib
import random
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import psutil

from bench.edge import Edge
from bench.ledger import SOURCE, Ledger, codes, milliseconds
from bench.postmaster import Postmaster
from bench.verdict import Scale, Verdict
from polycall.v1 import execution_service_pb2, server_service_pb2, server_service_pb2_grpc
from tests.harness import Server, until
from tests.replicas import Gateway, gateway, replicas

__all__ = ["FUNCTIONS", "deploy", "embedded_kills", "frozen", "loaded", "replica_killed", "rolling", "three"]

FUNCTIONS = [f"packages/load-{number}/functions/work" for number in range(6)]
_SLOTS = "16"
_BOOT_S = 1.0
_RECORDED_S = 0.1  # POLYCALL_RECORDS_FLUSH_MS, by default
_FOLLOWED = 5  # of so many Calls one's caller waits for the end: it looks several times a second
_KILL_SHARE = 0.3  # of a spell: what a kill may come sooner or later


def deploy(server: Server) -> None:
    """Deploy the functions of the load, and have each run once: known functions are what is promised to go on."""
    for function in FUNCTIONS:
        server.deploy(function.split("/")[1], {"main.py": SOURCE}, release=True)
    know(server)


def know(server: Server) -> None:
    """Run each function once on a server."""
    for function in FUNCTIONS:
        request = execution_service_pb2.RunFunctionRequest(function=function, input_json='{"n": 0}')
        assert server.executions.RunFunction(request, metadata=server.metadata).output_json == "0"


@contextlib.asynccontextmanager
async def loaded(ledger: Ledger, scale: Scale) -> AsyncIterator[None]:
    """Keep the load up for the length of a block, a spell before it and one after it."""
    over = asyncio.Event()
    load = asyncio.create_task(ledger.ask(calls=scale.calls, runs=scale.runs, over=over))
    try:
        await asyncio.sleep(scale.spell_s)
        yield
        await asyncio.sleep(scale.spell_s)
    finally:
        over.set()
        await load


@contextlib.contextmanager
def three(postmaster: Postmaster, directory: Path, scale: Scale, **settings: str) -> Iterator[tuple[Server, ...]]:
    """Run three replicas (or as many as shall be) that know the functions."""
    common = {
        "POLYCALL_SLOTS": _SLOTS,
        "POLYCALL_HEARTBEAT_S": str(scale.lease_s / 3),
        "POLYCALL_LEASE_S": str(scale.lease_s),
        **settings,
    }
    names = ("first", "second", "third")[: scale.replicas]
    with replicas(directory, postmaster.url(), names, common) as servers:
        deploy(servers[0])
        for server in servers[1:]:
            know(server)
        yield servers


def embedded_kills(scale: Scale) -> list[Verdict]:
    """kill -9 of a server on the embedded store, again and again, under load."""
    with tempfile.TemporaryDirectory(prefix="polycall-kills-") as scratch:
        return asyncio.run(_embedded_kills(Path(scratch), scale))


async def _embedded_kills(directory: Path, scale: Scale) -> list[Verdict]:
    server = Server(directory, environment={"POLYCALL_SLOTS": _SLOTS}).start()
    boots, kills = list[float](), list[float]()
    chance = random.Random(1)
    try:
        await asyncio.to_thread(deploy, server)
        ledger = Ledger(server.grpc, FUNCTIONS)
        for _ in range(scale.kills):
            over = asyncio.Event()
            load = asyncio.create_task(ledger.ask(calls=scale.calls, runs=scale.runs, over=over))
            await asyncio.sleep(scale.spell_s * (1 + _KILL_SHARE * chance.uniform(-1, 1)))
            kills.append(await asyncio.to_thread(server.kill))
            over.set()
            await load
            boots.append(await asyncio.to_thread(_booted, server))
        accounts = await ledger.settled()
        unrecorded = await ledger.unrecorded()
        assert await asyncio.to_thread(server.terminate) == 0
    finally:
        if server.process is not None and server.process.poll() is None:
            server.kill()
    answered = sum(run.code == "OK" for run in ledger.runs)
    slowest, median = max(boots), statistics.median(boots)
    # by how much the answer of what is missing came before the kill
    ages = [next(kill for kill in kills if kill > run.sent) - run.ended for run in unrecorded]
    oldest = max(0.0, *ages) if ages else 0.0
    return [
        Verdict(
            f"embedded, {scale.kills} x kill -9: no accepted call lost, each recorded once",
            str(accounts),
            accounts.clean,
        ),
        Verdict(
            "every start serves its first call within 1 s",
            f"median {median:.2f} s, slowest {slowest:.2f} s of {len(boots)}",
            slowest <= _BOOT_S,
            timed=True,
        ),
        Verdict(
            "of answered runs no record is missing but of the last 100 ms before a kill",
            f"{len(unrecorded)} of {answered} are missing, the first was answered {oldest * 1000:.0f} ms before",
            oldest <= _RECORDED_S,
            timed=True,
        ),
    ]


def _booted(server: Server) -> float:
    """Start a server again; return how long it took to the answer of its first call."""
    begun = time.monotonic()
    server.start()
    request = execution_service_pb2.RunFunctionRequest(function=FUNCTIONS[0], input_json='{"n": 1}')
    assert server.executions.RunFunction(request, metadata=server.metadata).output_json == "1"
    return time.monotonic() - begun


def replica_killed(scale: Scale) -> list[Verdict]:
    """kill -9 of one of three replicas behind a gateway, under load; then a rolling restart of all three."""
    with (
        tempfile.TemporaryDirectory(prefix="polycall-replicas-") as scratch,
        Postmaster() as postmaster,
        three(postmaster, Path(scratch), scale) as servers,
        gateway(Path(scratch) / "gateway", servers) as front,
    ):
        return asyncio.run(_replica_killed(servers, front, scale)) + asyncio.run(_rolling(servers, front, scale))


async def _replica_killed(servers: Sequence[Server], front: Gateway, scale: Scale) -> list[Verdict]:
    ledger, edge = Ledger(front.mesh, FUNCTIONS, seconds=0.1), Edge.of(front.access_log)
    async with loaded(ledger, scale):
        assert servers[1].process is not None
        below = await asyncio.to_thread(servers[1].descendants)
        open_then = ledger.in_flight()
        servers[1].process.kill()
        await asyncio.to_thread(servers[1].process.wait)  # until then it takes connections
        killed, killed_ms = time.monotonic(), time.time() * 1000
        servers[1].close_channel()
        await asyncio.to_thread(psutil.wait_procs, below)  # they end with it
        await asyncio.sleep(scale.lease_s + 1)
    accounts = await ledger.settled()
    open_then |= {run.number for run in ledger.runs if run.sent < killed < run.ended}
    failed = [run for run in ledger.runs if run.code != "OK"]
    strangers = [run for run in failed if run.number not in open_then]
    again = [one.start_time.ToMilliseconds() - killed_ms for one in accounts.again]
    latest = max(again, default=0.0) / 1000
    await asyncio.to_thread(servers[1].start)
    return [
        Verdict(
            "one of three replicas killed: no accepted call lost, each recorded once", str(accounts), accounts.clean
        ),
        Verdict(
            "synchronous failures are at most what ran on it",
            f"{len(failed)} of {len(ledger.runs)} failed ({codes(failed)}), {len(open_then)} were under way in all, "
            f"{len(strangers)} came later; {milliseconds(ledger.runs)}; at the gateway: {edge.failures()}",
            not strangers,
        ),
        Verdict(
            f"what it ran is started again within its lease and a second ({scale.lease_s + 1:g} s)",
            f"{len(again)} started again, the last after {latest:.2f} s",
            latest <= scale.lease_s + 1,
            timed=True,
        ),
    ]


def rolling(scale: Scale) -> list[Verdict]:
    """A rolling restart alone."""
    with (
        tempfile.TemporaryDirectory(prefix="polycall-rolling-") as scratch,
        Postmaster() as postmaster,
        three(postmaster, Path(scratch), scale) as servers,
        gateway(Path(scratch) / "gateway", servers) as front,
    ):
        return asyncio.run(_rolling(servers, front, scale))


async def _rolling(servers: Sequence[Server], front: Gateway, scale: Scale) -> list[Verdict]:
    def all_healthy() -> None:
        until(lambda: front.healthy() == len(servers), seconds=60, what="all replicas")

    await asyncio.to_thread(all_healthy)
    ledger = Ledger(front.mesh, FUNCTIONS, seconds=0.1, follow=_FOLLOWED)
    edge, took = Edge.of(front.access_log), []
    async with loaded(ledger, scale):
        for server in servers:
            begun = time.monotonic()
            assert await asyncio.to_thread(server.terminate) == 0
            await asyncio.to_thread(server.start)
            await asyncio.to_thread(all_healthy)
            took.append(f"{time.monotonic() - begun:.1f}")
    accounts = await ledger.settled()
    failed = [one for one in (*ledger.runs, *ledger.calls, *ledger.waits) if one.code != "OK"]
    return [
        Verdict(
            "a rolling restart fails no call",
            f"{len(failed)} of {len(ledger.runs)} runs, {len(ledger.calls)} calls and {len(ledger.waits)} waits for "
            f"their ends failed ({codes(failed)}); "
            f"{accounts}; {milliseconds(ledger.runs)}, at the gateway {edge.milliseconds()}, where there failed: "
            f"{edge.failures()}; restarts of {', '.join(took)} s",
            not failed and accounts.clean,
        )
    ]


def frozen(scale: Scale) -> list[Verdict]:
    """SIGSTOP of a replica for longer than its lease, and SIGCONT."""
    with (
        tempfile.TemporaryDirectory(prefix="polycall-frozen-") as scratch,
        Postmaster() as postmaster,
        three(postmaster, Path(scratch), scale) as servers,
    ):
        return asyncio.run(_frozen(servers, scale))


async def _frozen(servers: Sequence[Server], scale: Scale) -> list[Verdict]:
    still, other = servers[0], servers[1]
    assert still.process is not None
    # what the one that stands still runs takes longer than it stands still: it has to be killed
    there = Ledger(still.grpc, FUNCTIONS, seconds=2 * scale.lease_s + 2)
    elsewhere = Ledger(other.grpc, FUNCTIONS, seconds=0.05)
    over, over_there = asyncio.Event(), asyncio.Event()
    loads = [
        asyncio.create_task(there.ask(calls=scale.calls / 20, runs=0, over=over_there)),
        asyncio.create_task(elsewhere.ask(calls=scale.calls / 2, runs=scale.runs / 2, over=over)),
    ]
    await asyncio.sleep(scale.spell_s)
    process = psutil.Process(still.process.pid)
    process.suspend()
    over_there.set()
    try:
        await asyncio.sleep(scale.lease_s + 2)
    finally:
        process.resume()
    thawed = time.monotonic()
    await asyncio.sleep(scale.spell_s)
    over.set()
    await asyncio.gather(*loads)
    accounts = [await each.settled(other.grpc) for each in (there, elsewhere)]
    # nothing runs any more, so nothing may be left of what was stopped: the sandboxes that are, wait or are warm
    left = await asyncio.to_thread(_busy, still)
    log = still.log.read_text()
    fenced = log.count("it is not this server's any more") + log.count("this end is dropped")
    again = [one for part in accounts for one in part.again]
    return [
        Verdict(
            "a replica frozen past its lease: no accepted call lost, each recorded once",
            "; ".join(map(str, accounts)),
            all(part.clean for part in accounts),
        ),
        Verdict(
            "what it goes on to write is fenced off",
            f"{len(again)} were started again elsewhere, it dropped {fenced}",
            fenced > 0 and len(again) > 0,
        ),
        Verdict(
            "its sandboxes of what it lost are killed",
            f"{left} still busy {time.monotonic() - thawed:.0f} s later",
            left == 0,
        ),
    ]


def _busy(server: Server) -> int:
    """Return how many of its sandboxes are busy, once they had time to end."""
    stub = server_service_pb2_grpc.ServerServiceStub(server.channel)

    def busy() -> int:
        info = stub.GetServerInfo(server_service_pb2.GetServerInfoRequest(), metadata=server.metadata)
        return int(info.pool.busy)

    with contextlib.suppress(AssertionError):
        until(lambda: busy() == 0, seconds=5)
    return busy()
