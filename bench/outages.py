"""The database goes away under load, in every way that it can, and comes back."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path

from bench.crashes import FUNCTIONS, deploy, know, loaded, three
from bench.ledger import Ledger, milliseconds
from bench.news import heard
from bench.postmaster import Postmaster
from bench.verdict import Scale, Verdict
from tests.harness import Server

__all__ = ["database_away", "disk_full", "start_without_database", "stop_without_answer"]

_AWAY_S = 4.0
_RECOVERED_S = 5.0
_DISK_MIB = 48
_UNWRITTEN = 3  # the exit status
_GRACE_S = 0.5
_STOPPED_S = 10.0  # beyond the grace: last writes, kills, and a busy machine


def database_away(scale: Scale) -> list[Verdict]:
    """PostgreSQL is stopped and started, crashes (immediate mode), and stands still, under load."""
    with (
        tempfile.TemporaryDirectory(prefix="polycall-outages-") as scratch,
        Postmaster() as postmaster,
        three(postmaster, Path(scratch), scale, POLYCALL_LEASE_S=str(3 * scale.lease_s)) as servers,
    ):
        key = servers[0].new_key()

        async def stopped() -> float:
            await asyncio.to_thread(postmaster.stop, signal.SIGINT)
            await asyncio.sleep(_AWAY_S)
            await asyncio.to_thread(postmaster.start)
            return time.monotonic()

        async def crashed() -> float:
            await asyncio.to_thread(postmaster.stop, signal.SIGQUIT)
            await asyncio.to_thread(postmaster.start)
            return time.monotonic()

        async def still() -> float:
            with postmaster.frozen():
                await asyncio.sleep(_AWAY_S)
            return time.monotonic()

        found: list[Verdict] = []
        for what, mishap in (("stopped and started", stopped), ("crashed", crashed), ("stood still", still)):
            found += asyncio.run(_away(what, mishap, servers, key, scale))
        return found


async def _away(
    what: str, mishap: Callable[[], Awaitable[float]], servers: Sequence[Server], key: str, scale: Scale
) -> list[Verdict]:
    ledger = Ledger(servers[0].grpc, FUNCTIONS, key=key)
    async with loaded(ledger, scale):
        begun = time.monotonic()
        back = await mishap()
        hears = await asyncio.to_thread(heard, servers)
    accounts = await ledger.settled()
    unrecorded = len(await ledger.unrecorded())
    during = ledger.between(begun, back)
    failed = [run for run in during if run.code != "OK"]
    refused = [call for call in ledger.calls if call.code != "OK"]
    late = max((call.sent for call in refused), default=back) - back
    recovered = max(late, hears - back, 0.0)
    bare = [call for call in refused if call.code == "UNAVAILABLE" and not call.retry_info]
    other = {call.code for call in refused} - {"UNAVAILABLE"}
    return [
        Verdict(f"database {what}: no accepted call lost, each recorded once", str(accounts), accounts.clean),
        Verdict(
            f"database {what}: synchronous calls of known functions are served meanwhile, and recorded",
            f"{len(failed)} of {len(during)} failed in {back - begun:.1f} s, {unrecorded} without a record; "
            f"{milliseconds(during)}",
            not failed and not unrecorded,
        ),
        Verdict(
            f"database {what}: calls are refused with UNAVAILABLE and RetryInfo, and all is well within 5 s",
            f"{len(refused)} refused ({', '.join(sorted(other)) or 'none otherwise'}, {len(bare)} without RetryInfo), "
            f"the last {late:.2f} s after it was back; news again after {hears - back:.2f} s",
            not other and not bare and recovered <= _RECOVERED_S,
            timed=True,
        ),
    ]


def start_without_database(scale: Scale) -> list[Verdict]:
    """Servers are started while PostgreSQL is not there."""
    with (
        tempfile.TemporaryDirectory(prefix="polycall-start-") as scratch,
        Postmaster() as postmaster,
        three(postmaster, Path(scratch), scale) as servers,
    ):
        server = servers[0]
        assert server.terminate() == 0
        postmaster.stop()
        begun = time.monotonic()
        failed = _failure(server)
        took = time.monotonic() - begun
        clear = "cannot be reached" in failed and "POLYCALL_DATABASE_URL" in failed and "postgres@" not in failed
        postmaster.start()
        server.start()
        know(server)
    return [
        Verdict(
            "a start without the database ends at once, saying what is missing",
            f"after {took:.1f} s: {failed.strip().splitlines()[-1][:160]}",
            clear,
        )
    ]


def _failure(server: Server) -> str:
    try:
        server.start()
    except AssertionError as error:
        return str(error)
    return ""


def stop_without_answer(scale: Scale) -> list[Verdict]:
    """A server is stopped under load while PostgreSQL stands still, its connections open."""
    alone = replace(scale, replicas=1)
    with (
        tempfile.TemporaryDirectory(prefix="polycall-stop-") as scratch,
        Postmaster() as postmaster,
        three(postmaster, Path(scratch), alone, POLYCALL_DRAIN_GRACE_S=str(_GRACE_S)) as servers,
    ):
        return asyncio.run(_stopped(postmaster, servers[0], alone))


async def _stopped(postmaster: Postmaster, server: Server, scale: Scale) -> list[Verdict]:
    ledger = Ledger(server.grpc, FUNCTIONS, seconds=0.1)
    over = asyncio.Event()
    load = asyncio.create_task(ledger.ask(calls=scale.calls, runs=scale.runs, over=over))
    await asyncio.sleep(scale.spell_s)
    below = await asyncio.to_thread(server.descendants)
    with postmaster.frozen():
        await asyncio.sleep(_GRACE_S)  # claims, ends and records are under way
        begun = time.monotonic()
        status = await asyncio.to_thread(server.terminate)
        took = time.monotonic() - begun
        left = [process for process in below if process.is_running()]
    over.set()
    await load
    said = [line for line in server.log.read_text().splitlines() if "did not take everything" in line]
    await asyncio.to_thread(server.start)
    accounts = await ledger.settled(server.grpc)
    unrecorded = await ledger.unrecorded(server.grpc)
    lost = sum(int(number) for line in said for number in re.findall(r"(\d+) records of synchronous", line))
    return [
        Verdict(
            f"a stop while the database stands still ends within its grace and {_STOPPED_S:g} s, leaving no process",
            f"after {took:.1f} s of which {_GRACE_S:g} s are grace, {len(left)} processes left",
            took <= _GRACE_S + _STOPPED_S and not left,
            timed=True,
        ),
        Verdict(
            "it says by its status and in words what was not written",
            f"status {status}, {said[-1][-200:] if said else 'nothing said'}",
            status == _UNWRITTEN and len(said) == 1 and len(unrecorded) <= lost,
        ),
        Verdict("no accepted call is lost, each recorded once", str(accounts), accounts.clean),
    ]


def disk_full(scale: Scale) -> list[Verdict]:
    """The file system of the embedded store has no room, under load, and then has some again."""
    with tempfile.TemporaryDirectory(prefix="polycall-full-") as scratch:
        mount = Path(scratch)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_DISK_MIB}m", "tmpfs", mount]).returncode:
            return []
        try:
            return asyncio.run(_disk_full(mount, scale))
        finally:
            subprocess.run(["umount", mount], check=False)


async def _disk_full(mount: Path, scale: Scale) -> list[Verdict]:
    server = Server(mount / "data", environment={"POLYCALL_SLOTS": "8"}).start()
    try:
        await asyncio.to_thread(deploy, server)
        ledger = Ledger(server.grpc, FUNCTIONS)
        async with loaded(ledger, scale):
            begun = time.monotonic()
            ballast = mount / "ballast"
            await asyncio.to_thread(_fill, ballast)
            await asyncio.sleep(_AWAY_S)
            ballast.unlink()
            back = time.monotonic()
        accounts = await ledger.settled()
        unrecorded = len(await ledger.unrecorded())
        assert await asyncio.to_thread(server.terminate) == 0
    finally:
        if server.process is not None and server.process.poll() is None:
            server.kill()
    refused = [call for call in ledger.calls if call.code != "OK"]
    during = ledger.between(begun, back)
    failed = [run for run in during if run.code != "OK"]
    late = max((call.sent for call in refused), default=back) - back
    return [
        Verdict("disk full: no accepted call lost, each recorded once", str(accounts), accounts.clean),
        Verdict(
            "disk full: synchronous calls go on, and are recorded when there is room",
            f"{len(failed)} of {len(during)} failed in {back - begun:.1f} s, {unrecorded} without a record",
            not failed and not unrecorded,
        ),
        Verdict(
            "disk full: calls are refused with UNAVAILABLE, and accepted when there is room",
            f"{len(refused)} refused ({', '.join(sorted({call.code for call in refused}))}), the last {late:.2f} s "
            "after there was room",
            {call.code for call in refused} == {"UNAVAILABLE"} and late <= _RECOVERED_S,
        ),
    ]


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
