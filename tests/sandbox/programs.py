"""How tests write jobs, and look at what a sandbox leaves behind."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import signal
import textwrap
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import psutil

from polycall.domain import Convention, InputFile, Limits
from polycall.sandbox.job import Bundle, Ending, Job, Outcome, WorkerKey
from polycall.sandbox.sandbox import Sandbox

MIB = 1 << 20
LIMITS = Limits(
    timeout_ms=20_000,
    memory_bytes=64 * MIB,
    processes=32,
    open_files=128,
    disk_bytes=16 * MIB,
    result_bytes=1 * MIB,
    stdout_bytes=1 * MIB,
    stderr_bytes=1 * MIB,
)


def limits(**changes: int) -> Limits:
    return replace(LIMITS, **changes)


def bundle(files: Mapping[str, str]) -> Bundle:
    data = {path: textwrap.dedent(text).encode() for path, text in files.items()}
    digest = hashlib.sha256(json.dumps({path: text.hex() for path, text in data.items()}).encode()).hexdigest()
    return Bundle(digest=digest, files=data)


def job(code: str | Mapping[str, str], value: Any = None, **changes: Any) -> Job:
    """Ad-hoc code by default: ``main.py`` with ``execute(input)``."""
    files = {"main.py": code} if isinstance(code, str) else code
    settings: dict[str, Any] = {
        "entrypoint": "main:execute",
        "convention": Convention.INPUT,
        "limits": LIMITS,
        "payload": json.dumps(value).encode(),
    }
    return Job(bundle=bundle(files), **(settings | changes))


def script(code: str, **changes: Any) -> Job:
    return job(code, **({"entrypoint": "main.py", "convention": Convention.SCRIPT} | changes))


def key(version: str = "1", package: str = "k", project: str = "p") -> WorkerKey:
    return WorkerKey(project, package, version)


def file(path: str, text: str = "") -> InputFile:
    return InputFile(path, text.encode())


def value(outcome: Outcome) -> Any:
    """Return what the run returned; fail with all that is known if it did not."""
    assert outcome.ending is Ending.RETURNED, outcome
    assert outcome.value is not None
    return json.loads(outcome.value)


# what a run does that waits for ``go_on``; what comes before ``go_on`` is kept for it
HELD = "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCONT})"
WAIT = "signal.sigwait({signal.SIGCONT})"


def go_on(sandbox: Sandbox) -> None:
    """Let the runs of a sandbox go on that wait, if they have come so far; nobody else minds."""
    for process in tree(sandbox):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGCONT)


async def all_at_once(sandbox: Sandbox, jobs: Iterable[Job]) -> list[Outcome]:
    """Return the outcomes of jobs that do ``HELD`` and ``WAIT``: all of them run before the first goes on."""
    begun = asyncio.Semaphore(0)
    runs = [asyncio.create_task(sandbox.run(job, begun=begun.release)) for job in jobs]
    async with asyncio.timeout(60):
        for _ in runs:
            await begun.acquire()
        while not all(run.done() for run in runs):
            go_on(sandbox)
            await asyncio.sleep(0.02)
    return [await run for run in runs]


async def eventually(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


def tree(sandbox: Sandbox) -> set[psutil.Process]:
    """Return all processes of a sandbox: its zygotes and what descends from them."""
    found = set()
    for pid in sandbox.zygotes:
        with contextlib.suppress(psutil.NoSuchProcess):
            zygote = psutil.Process(pid)
            found |= {zygote, *zygote.children(recursive=True)}
    return found


def with_a_thread(sandbox: Sandbox) -> set[psutil.Process]:
    """Return those of a sandbox's processes that have a second thread."""
    found = set()
    for process in tree(sandbox):
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.num_threads() == 2:
                found.add(process)
    return found


async def end_of(processes: Iterable[psutil.Process]) -> None:
    """Wait until all of them are gone."""
    await eventually(lambda: not any(process.is_running() for process in processes))


async def open_files() -> int:
    """Return how many files this process has open, once the sandboxes that are shared between tests are at rest."""
    count, since = -1, 0.0
    while time.monotonic() - since < 0.3:
        now = len(os.listdir("/proc/self/fd"))
        if now != count:
            count, since = now, time.monotonic()
        await asyncio.sleep(0.05)
    return count


def _lock_of(file: os.stat_result) -> str:
    return f"{os.major(file.st_dev):02x}:{os.minor(file.st_dev):02x}:{file.st_ino}"


def cgroups(holder: int | None = None) -> set[str]:
    """Return the cgroups that a server holds by its lock; other servers on this machine have their own."""
    holder = holder or os.getpid()
    with open("/proc/locks", encoding="ascii") as stream:
        # 1: FLOCK  ADVISORY  WRITE 123 00:1f:4711 0 EOF
        rows = [line.split() for line in stream]
    # with the device: the hierarchies of cgroup v1 each count their inodes for themselves
    held = {row[5] for row in rows if row[1] == "FLOCK" and row[4] == str(holder)}
    found = set()
    for directory, folders, _ in os.walk("/sys/fs/cgroup"):
        for name in folders:
            path = os.path.join(directory, name)
            with contextlib.suppress(OSError):
                if name.startswith("polycall-") and _lock_of(os.stat(path)) in held:
                    found.add(path)
    return found


def gone(paths: set[str]) -> bool:
    return not any(os.path.exists(path) for path in paths)
