"""Where polycall is installed makes no difference, not even below the directories that a sandbox shadows."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import polycall

PROGRAM = """
import asyncio, hashlib, json, sys
from polycall.domain import Convention
from polycall.engine.limits import DEFAULTS
from polycall.sandbox.job import Bundle, Job
from polycall.sandbox.sandbox import Sandbox

async def main():
    sandbox = Sandbox()
    await sandbox.start()
    try:
        source = b"import csv, decimal\\ndef execute(input): return str(decimal.Decimal(input))"
        bundle = Bundle(digest=hashlib.sha256(source).hexdigest(), files={"main.py": source})
        job = Job(bundle=bundle, entrypoint="main:execute", convention=Convention.INPUT, limits=DEFAULTS, payload=b"7")
        outcome = await sandbox.run(job)
        print(json.dumps([int(sandbox.isolation), outcome.ending, (outcome.value or b"").decode()]))
    finally:
        await sandbox.stop()

asyncio.run(main())
"""


def _run(path: Path) -> list[object]:
    environment = {**os.environ, "PYTHONPATH": str(path), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    answer: list[object] = json.loads(done.stdout)
    return answer


@pytest.mark.parametrize("directory", ["/tmp", "/mnt", "/var/tmp"])
def test_an_installation_below_any_directory_isolates_as_well(directory: str) -> None:
    here = Path(polycall.__file__).parent
    if not os.access(directory, os.W_OK):
        directory = tempfile.gettempdir()
    with tempfile.TemporaryDirectory(dir=directory) as scratch:
        shutil.copytree(here, Path(scratch) / "polycall", ignore=shutil.ignore_patterns("__pycache__"))
        level, ending, value = _run(Path(scratch))
    assert (ending, value) == ("returned", '"7"')
    assert level == _run(here.parent)[0]
