"""Signals at every moment of a server's start: it ends, leaves nothing, and the next start is healthy."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.verdict import Scale, Verdict
from polycall.v1 import execution_service_pb2
from tests.harness import PROGRAM, Server, free_port, groups_of

__all__ = ["stopped_at_every_moment"]

_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER, linux/prctl.h
_SPREAD = 2.5  # moments lie within so many times what a start takes: 1.5 s where it takes 0.6
_SIGNALS: tuple[tuple[signal.Signals, ...], ...] = (
    (signal.SIGTERM,),
    (signal.SIGINT,),
    (signal.SIGTERM, signal.SIGTERM),
    (signal.SIGHUP,),
    (signal.SIGKILL,),
)
_BETWEEN_S = 0.01  # two signals
_ENDED_S = 3.0  # a start has nothing to wait for; an idle server neither
_BOUND_S = 60.0
_DEATH_S = 10.0  # what died with its server is reaped by then, on a busy machine


@dataclass(frozen=True, slots=True)
class _Trial:
    """What became of one start."""

    moment_s: float
    signals: Sequence[signal.Signals]
    took_s: float
    faults: Sequence[str]

    @property
    def name(self) -> str:
        return "+".join(number.name for number in self.signals)

    def __str__(self) -> str:
        return f"{self.name} after {self.moment_s * 1000:.0f} ms: {', '.join(self.faults)}"


def stopped_at_every_moment(scale: Scale) -> list[Verdict]:
    """SIGTERM, SIGINT, two of them, SIGHUP and SIGKILL, each at moments spread over a start."""
    return [verdict for processes in (1, 2) for verdict in _stopped(processes, scale)]


def _stopped(processes: int, scale: Scale) -> list[Verdict]:
    settings = {"POLYCALL_PROCESSES": str(processes)}
    with tempfile.TemporaryDirectory(prefix="polycall-stops-") as scratch, _orphans_are_ours():
        directory = Path(scratch)
        whole_s = _healthy(directory, settings)
        trials = [
            _tried(directory, settings, whole_s * _SPREAD * number / scale.moments, signals)
            for number, signals in zip(range(scale.moments), itertools.cycle(_SIGNALS), strict=False)
        ]
        _healthy(directory, settings)
    slowest = max(trials, key=lambda trial: trial.took_s)
    wrong = [trial for trial in trials if trial.faults]
    what = "one process" if processes == 1 else f"{processes} processes"
    return [
        Verdict(
            f"a signal at any moment of a start of {what} ends it and leaves no process, cgroup or run directory; the "
            "next one is healthy",
            f"{len(wrong)} of {len(trials)} did not, over {_SPREAD * whole_s:.2f} s"
            + "".join(f"; {trial}" for trial in wrong),
            not wrong,
        ),
        Verdict(
            f"it ends within {_ENDED_S:g} s",
            f"the slowest took {slowest.took_s:.2f} s ({slowest.name} after {slowest.moment_s:.2f} s of a start that "
            f"takes {whole_s:.2f} s)",
            slowest.took_s <= _ENDED_S,
            timed=True,
        ),
    ]


@contextlib.contextmanager
def _orphans_are_ours() -> Iterator[None]:
    """Have the children of processes that end come to this one, where they are seen."""
    libc = ctypes.CDLL(None)
    libc.prctl(_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        libc.prctl(_SUBREAPER, 0, 0, 0, 0)


def _healthy(directory: Path, settings: Mapping[str, str]) -> float:
    """Start a server, have it run something, stop it; return how long it took to start."""
    begun = time.monotonic()
    server = Server(directory, environment=settings).start()
    took = time.monotonic() - begun
    try:
        request = execution_service_pb2.ExecuteRequest(code="def execute(input): return 1")
        assert server.executions.Execute(request, metadata=server.metadata, timeout=_BOUND_S).output_json == "1"
    finally:
        assert server.terminate() == 0, server.log.read_text()[-4000:]
    return took


def _tried(directory: Path, settings: Mapping[str, str], moment_s: float, signals: Sequence[signal.Signals]) -> _Trial:
    before = set(psutil.Process().children())
    environment = {name: value for name, value in os.environ.items() if not name.startswith("POLYCALL_")} | {
        "POLYCALL_DATA_DIR": str(directory),
        "POLYCALL_REST_ADDRESS": "127.0.0.1:0",
        "POLYCALL_GRPC_ADDRESS": f"127.0.0.1:{free_port()}",
        **settings,
    }
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen([PROGRAM, "serve", "--json"], env=environment, stdout=subprocess.DEVNULL, stderr=log)
        time.sleep(moment_s)
        with contextlib.suppress(psutil.NoSuchProcess):
            groups = groups_of(psutil.Process(process.pid).children(recursive=True))
        begun = time.monotonic()
        for number in signals:
            process.send_signal(number)
            time.sleep(_BETWEEN_S if len(signals) > 1 else 0)
        faults: list[str] = []
        try:
            process.wait(_BOUND_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            faults.append("it did not end")
        took = time.monotonic() - begun
        log.seek(0)
        written = log.read()
    # before it listens to signals there is nothing to be ended but itself; Python shows where SIGINT has met it then
    early = process.returncode in {-number for number in signals} | ({130} if signal.SIGINT in signals else set())
    if process.returncode != 0 and not early:
        faults.append(f"status {process.returncode}: {written[-300:]}")
    if "Traceback" in written and not early:
        faults.append(f"a traceback: {written[-300:]}")
    left = [child for child in psutil.Process().children() if child not in before]
    _, alive = psutil.wait_procs(left, timeout=_DEATH_S if signal.SIGKILL in signals else 0)
    faults += [f"{_name(child)} is left" for child in alive]
    if signal.SIGKILL not in signals:  # the next start clears these away
        faults += [f"{group} is left" for group in groups if group.exists()]
        if (directory / "run").exists():
            faults.append("its run directory is left")
    return _Trial(moment_s, signals, took, faults)


def _name(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline()[:6])
    return str(process.pid)
