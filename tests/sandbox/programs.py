"""How tests write jobs, and look at what a sandbox leaves behind."""

from __future__ import annotations

import hashlib
import json
import os
import textwrap
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import psutil

from polycall.domain import Convention, InputFile, Limits
from polycall.sandbox.job import Bundle, Ending, Job, Outcome, WorkerKey

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


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def descendants() -> set[int]:
    return {process.pid for process in psutil.Process().children(recursive=True)}


def cgroups() -> set[str]:
    found = set()
    for root in ("/sys/fs/cgroup/memory", "/sys/fs/cgroup/pids", "/sys/fs/cgroup"):
        for directory, folders, _ in os.walk(root):
            found |= {os.path.join(directory, name) for name in folders if name.startswith("polycall-")}
    return found
