"""`python -m bench.soak`: half an hour of everything at once, and whether anything grows.

A real server with its gateway under a mixed load; every answer is checked. Memory, descriptors, threads, processes,
cgroups and files are sampled while it runs. The verdict has two parts. At rest there are, before and after, exactly as
many processes, descriptors and threads, and no more memory in the sandboxes. Under load the memory of server and
gateway does not climb: a straight line through the second half of the samples rises by less than a bound.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from bench.mixture import Mixture, deploy
from tests.harness import Server, running_server
from tests.sandbox.programs import cgroups

__all__ = ["Sample", "Soak", "Verdict", "main"]

_MIB = 1 << 20
# A warm worker that idles longer ends: so there is a state of rest to compare.
_WARM_IDLE_S = 1
_REST_S, _REST_STEP_S, _STILL_S = 60.0, 0.25, 2.0
# What the second half may climb: caches that fill, a heap that is divided anew. A leak of 100 bytes a call is 20 MiB
# after half an hour at 100 calls a second.
_MOST_SHARE, _MOST_MIB = 0.10, 16.0
# Before that the line through the samples is noise: which workers there are at a moment.
_JUDGED_S = 300.0


@dataclass(frozen=True, slots=True)
class Sample:
    """The server at a moment. ``pss_mib`` is of the server alone, ``tree_mib`` of all below it, Envoy apart."""

    seconds: float
    pss_mib: float
    envoy_mib: float
    tree_mib: float
    files: int
    threads: int
    processes: int
    cgroups: int
    data_files: int
    database_mib: float

    @property
    def countable(self) -> dict[str, int]:
        """What has to come back exactly."""
        return {name: getattr(self, name) for name in ("files", "threads", "processes")}


@dataclass(frozen=True, slots=True)
class Verdict:
    """``problems`` says what is not flat; nothing if all is."""

    problems: tuple[str, ...]
    slopes_mib: dict[str, float]  # over the second half
    before: Sample
    after: Sample


class Soak:
    """One soak of one server."""

    def __init__(self, server: Server, *, callers: int, every_s: float) -> None:
        self._server = server
        self._callers = callers
        self._every_s = every_s
        self._began = time.monotonic()
        self.mixture = Mixture(server)
        self.samples: list[Sample] = []

    async def run(self, seconds: float, tell: Callable[[str], None]) -> Verdict:
        """Warm up, rest, load, rest; return the verdict. Raises AssertionError for a wrong answer."""
        await asyncio.to_thread(deploy, self._server)
        # everything once: what is made at the first use of a thing is no leak
        await self._load(min(seconds, 10.0), tell=None)
        before = await self._rest()
        await self._load(seconds, tell)
        after = await self._rest(before)
        return self._judge(before, after)

    async def _load(self, seconds: float, tell: Callable[[str], None] | None) -> None:
        end = time.monotonic() + seconds
        load = asyncio.create_task(self.mixture.run(callers=self._callers, until=lambda: time.monotonic() > end))
        while not load.done():
            await asyncio.wait([load], timeout=self._every_s)
            if tell is not None and not load.done():
                sample = await asyncio.to_thread(self.look)
                self.samples.append(sample)
                tell(f"{sample.seconds:7.0f} s  {sum(self.mixture.tally.values()):8} answers  {_line(sample)}")
        await load

    async def _rest(self, before: Sample | None = None) -> Sample:
        """Wait until nothing changes any more, and nothing is more than it was ``before``; not for ever."""
        deadline = time.monotonic() + _REST_S
        last, since = await asyncio.to_thread(self.look), time.monotonic()
        while time.monotonic() < deadline:
            still = time.monotonic() - since > _WARM_IDLE_S + _STILL_S
            if still and (before is None or not grown(before, last)):
                break
            await asyncio.sleep(_REST_STEP_S)
            now = await asyncio.to_thread(self.look)
            if now.countable != last.countable:
                last, since = now, time.monotonic()
        return await asyncio.to_thread(self.look)

    def look(self) -> Sample:
        """Return what there is now."""
        assert self._server.process is not None
        server = psutil.Process(self._server.process.pid)
        below = server.children(recursive=True)
        envoy = [process for process in below if _name(process) == "envoy"]
        data = [path for path in self._server.data_dir.rglob("*") if path.is_file()]
        return Sample(
            seconds=time.monotonic() - self._began,
            pss_mib=_pss(server),
            envoy_mib=sum(map(_pss, envoy)),
            tree_mib=sum(_pss(process) for process in below if process not in envoy),
            files=_open_files(server.pid),
            threads=server.num_threads(),
            processes=len(below),
            cgroups=sum(len(os.listdir(group)) for group in cgroups(server.pid)),
            data_files=len(data),
            database_mib=sum(_size(path) for path in data if ".db" in path.name) / _MIB,
        )

    def _judge(self, before: Sample, after: Sample) -> Verdict:
        problems = grown(before, after)
        if after.tree_mib > before.tree_mib + most_growth(before.tree_mib):
            problems.append(
                f"the sandboxes' memory: {before.tree_mib:.1f} MiB at rest before, {after.tree_mib:.1f} after"
            )
        half = self.samples[len(self.samples) // 2 :]
        slopes = {}
        for name in ("pss_mib", "envoy_mib", "tree_mib"):
            values = [getattr(sample, name) for sample in half]
            slopes[name] = climb([sample.seconds for sample in half], values)
            if name == "tree_mib" or not values or half[-1].seconds - half[0].seconds < _JUDGED_S / 2:
                continue  # of the sandboxes there are more and fewer all the time: they are compared at rest
            bound = most_growth(statistics.fmean(values))
            if slopes[name] > bound:
                problems.append(f"{name} climbed by {slopes[name]:.1f} MiB in the second half (at most {bound:.1f})")
        return Verdict(tuple(problems), slopes, before, after)


def most_growth(mib: float) -> float:
    """Return by how much so much memory may grow and still be flat."""
    return max(_MOST_MIB, _MOST_SHARE * mib)


def grown(before: Sample, after: Sample) -> list[str]:
    """Say what there is more of than there was."""
    return [
        f"{name}: {was} at rest before, {after.countable[name]} after"
        for name, was in before.countable.items()
        if after.countable[name] > was
    ]


def climb(times: Sequence[float], values: Sequence[float]) -> float:
    """Return by how much the straight line through some points rises from the first to the last."""
    if len(times) < 3 or times[0] == times[-1]:
        return 0.0
    slope, _ = statistics.linear_regression(times, values)
    return slope * (times[-1] - times[0])


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.NoSuchProcess:
        return ""


def _pss(process: psutil.Process) -> float:
    """Proportional set size: summed RSS counts pages that forked processes share many times."""
    try:
        return float(process.memory_full_info().pss) / _MIB
    except (psutil.NoSuchProcess, psutil.AccessDenied, FileNotFoundError):
        return 0.0


def _size(path: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


def _open_files(pid: int) -> int:
    """Count them, but those of cgroups: each slot keeps some from its first use on, up to the number of slots."""
    count = 0
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            count += not os.readlink(f"/proc/{pid}/fd/{fd}").startswith("/sys/fs/cgroup")
    return count


def _line(sample: Sample) -> str:
    return (
        f"server {sample.pss_mib:6.1f} MiB  envoy {sample.envoy_mib:6.1f}  tree {sample.tree_mib:7.1f}  "
        f"files {sample.files:4}  threads {sample.threads:3}  processes {sample.processes:3}  "
        f"database {sample.database_mib:6.1f} MiB"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a soak; 0 if everything is flat."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--callers", type=int, default=12, help="requests in flight")
    parser.add_argument("--json", type=Path, help="where to write samples and verdict")
    options = parser.parse_args(arguments)
    seconds = options.minutes * 60
    with (
        tempfile.TemporaryDirectory(prefix="polycall-soak-") as scratch,
        running_server(Path(scratch) / "data", POLYCALL_WARM_IDLE_S=str(_WARM_IDLE_S)) as server,
    ):
        soak = Soak(server, callers=options.callers, every_s=max(1.0, seconds / 120))
        verdict = asyncio.run(soak.run(seconds, lambda line: print(line, flush=True)))
    print(f"\nat rest before  {_line(verdict.before)}\nat rest after   {_line(verdict.after)}")
    print("second half     " + "  ".join(f"{name} {by:+.1f}" for name, by in verdict.slopes_mib.items()))
    print("answers         " + "  ".join(f"{name} {count}" for name, count in soak.mixture.tally.most_common()))
    print("flat" if not verdict.problems else "NOT FLAT: " + "; ".join(verdict.problems))
    if options.json is not None:
        options.json.write_text(json.dumps(_document(soak, verdict), indent=1) + "\n")
    return 1 if verdict.problems else 0


def _document(soak: Soak, verdict: Verdict) -> dict[str, Any]:
    samples = [asdict(sample) for sample in soak.samples]
    return {"verdict": asdict(verdict), "answers": dict(soak.mixture.tally), "samples": samples}


if __name__ == "__main__":
    sys.exit(main())
