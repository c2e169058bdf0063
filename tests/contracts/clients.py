"""Vendors' clients that cannot live in the project's own environment: each in one of its own, made once.

They come from the registries as their vendors published them. What was made is kept in ``.cache/clients`` by what was
asked for, and shared by every process of a test run.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

__all__ = ["made", "node_client", "python_client"]

CACHE = Path(__file__).parents[2] / ".cache" / "clients"
INSTALL_S = 600.0


def python_client(*requirements: str) -> Path:
    """Return the interpreter of an environment that has exactly these requirements, such as ``domolibrary2==2.1.4``."""

    def install(directory: Path) -> None:
        wanted = sorted(requirements)
        uv = [str(Path(sys.executable).with_name("uv"))]
        venv.create(directory, symlinks=True)
        python = str(directory / "bin" / "python")
        # ten times as fast as pip, which knows of more places where a machine may have its packages
        if _status([*uv, "pip", "install", "-q", "--python", python, *wanted], directory) != 0:
            venv.create(directory, with_pip=True, symlinks=True)
            _run([python, "-m", "pip", "install", "-q", *wanted], directory)

    key = json.dumps(["python", sys.version_info[:2], sorted(requirements)])
    return made(key, install) / "bin" / "python"


def node_client(dependencies: Mapping[str, str]) -> Path:
    """Return a directory whose ``node_modules`` has these packages of npm; skips the test without Node.js."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("Node.js and npm are not installed on this machine")

    def install(directory: Path) -> None:
        directory.mkdir()
        package = {"name": "client", "private": True, "dependencies": dict(dependencies)}
        (directory / "package.json").write_text(json.dumps(package))
        _run(["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"], directory)

    return made(json.dumps(["node", dict(sorted(dependencies.items()))]), install)


def made(key: str, install: Callable[[Path], None]) -> Path:
    """Return the directory of a key, made by whoever comes first. A half-made one is made anew."""
    CACHE.mkdir(parents=True, exist_ok=True)
    name = hashlib.sha256(key.encode()).hexdigest()[:16]
    directory, complete = CACHE / name, CACHE / f"{name}.json"
    lock = os.open(CACHE / f"{name}.lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists():
            shutil.rmtree(directory, ignore_errors=True)
            install(directory)
            complete.write_text(key)
        return directory
    finally:
        os.close(lock)


def _status(command: list[str], directory: Path) -> int:
    return subprocess.run(command, cwd=directory, capture_output=True, timeout=INSTALL_S, check=False).returncode


def _run(command: list[str], directory: Path) -> None:
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    assert done.returncode == 0, done.stderr
