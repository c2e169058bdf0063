"""What the tests of the image share with those of what it serves: one installation, one server."""

from __future__ import annotations

import fnmatch
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contracts.clients import made
from tests.harness import Server, free_port

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "deploy" / "requirements.txt"


def given() -> list[str]:
    """Return the tracked files that .dockerignore lets into the build."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    tracked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert rules[0] == "*"  # nothing, but for what follows

    def let_in(path: str) -> bool:
        inside = False
        for rule in rules:
            name = rule.removeprefix("!")
            anywhere = name.startswith("**/") and fnmatch.fnmatch(Path(path).name, name.removeprefix("**/"))
            if name == "*" or path == name or path.startswith(f"{name}/") or anywhere:
                inside = rule.startswith("!")
        return inside

    return [path for path in tracked if let_in(path)]


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the build stage makes: an environment with the locked requirements, and polycall of the given files."""
    uv = str(Path(sys.executable).with_name("uv"))
    source = tmp_path_factory.mktemp("source")
    for path in given():
        target = source / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, target)

    def install(directory: Path) -> None:
        subprocess.run([uv, "venv", "-q", "--python", sys.executable, str(directory)], check=True)
        command = [uv, "pip", "install", "-q", "--python", str(directory / "bin" / "python"), "--require-hashes"]
        subprocess.run([*command, "--requirement", str(REQUIREMENTS)], check=True)

    requirements = made(f"image {sys.version_info[:2]} {REQUIREMENTS.read_text()}", install)
    place = tmp_path_factory.mktemp("image") / "opt"
    # links instead of a second copy of 300 MB; scripts name the interpreter that they were installed for
    shutil.copytree(requirements, place, symlinks=True, copy_function=_link)
    command = [uv, "pip", "install", "-q", "--python", str(place / "bin" / "python"), "--no-deps", str(source)]
    subprocess.run(command, check=True, cwd="/")
    shutil.rmtree(source)
    return place


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)


@pytest.fixture(scope="session")
def serving(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that runs from there, and shows metrics."""
    environment = {
        "POLYCALL_METRICS_ADDRESS": f"127.0.0.1:{free_port()}",
        "POLYCALL_SLOTS": "3",
        "POLYCALL_QUEUE": "7",
    }
    program = installed / "bin" / "polycall"
    server = Server(tmp_path_factory.mktemp("serving"), program=program, environment=environment).start()
    try:
        yield server
    finally:
        server.terminate()
