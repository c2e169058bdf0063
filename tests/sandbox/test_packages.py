"""What code finds beside the standard library, at every level."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from polycall.domain import IsolationLevel
from polycall.runtimes.distributions import default_packages
from polycall.runtimes.environments import Environments
from polycall.sandbox.image import Image
from polycall.sandbox.sandbox import Sandbox
from tests.sandbox.conftest import config
from tests.sandbox.programs import job, value

pytestmark = pytest.mark.asyncio(loop_scope="session")

IMPORTS = """
def execute(input):
    import httpx, requests
    return [requests.__name__, httpx.__name__]
"""
FOUND = """
import importlib.util, os, sys

def execute(names):
    path = sys.path[-1]
    try:
        open(os.path.join(path, "new"), "w")
        written = True
    except OSError:
        written = False
    return [[name for name in names if importlib.util.find_spec(name)], written]
"""
OWN = "import own\ndef execute(input): return [own.WORD, 'requests' in __import__('sys').modules]"
# of Windows, Jython and macOS; shutil, copy, pickle and others try to import them
ELSEWHERE = ("nt", "_winapi", "msvcrt", "winreg", "org", "_scproxy")
CAUGHT = """
import importlib, sys

def execute(names):
    early = [name for name in names if name in sys.modules]
    return [early, sorted(name for name in names if hasattr(importlib.import_module(name), "ASKED"))]
"""
MISSING = "import requests\ndef execute(input): return input"


@pytest_asyncio.fixture(loop_scope="session", params=[3, 2, 1], ids=["L3", "L2", "L1"])
async def equipped(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Sandbox]:
    """A sandbox with the default packages, in a directory that only the server's user can enter."""
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    packages = default_packages(Environments(private))
    sandbox = Sandbox(config(IsolationLevel(request.param), packages=str(packages)))
    await sandbox.start()
    yield sandbox
    await sandbox.stop()


async def test_requests_and_httpx_are_there_and_nothing_else_of_the_server(equipped: Sandbox) -> None:
    assert value(await equipped.run(job(IMPORTS))) == ["requests", "httpx"]
    names = ["requests", "certifi", "grpc", "msgspec", "sqlalchemy", "polycall", "pip"]
    assert value(await equipped.run(job(FOUND, names))) == [["requests", "certifi"], False]


@pytest.mark.parametrize("equipped", [3, 2], ids=["L3", "L2"], indirect=True)
async def test_a_runtime_of_its_own_has_its_own_packages_only(equipped: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "own.py").write_text("WORD = 'mine'")
    image = Image(revision="r", path=str(tmp_path / "own"))
    assert value(await equipped.run(job(OWN, image=image))) == ["mine", False]
    outcome = await equipped.run(job(MISSING, image=image))
    assert outcome.error is not None
    assert outcome.error.type == "ModuleNotFoundError"


async def test_packages_are_not_found_before_the_process_has_locked_itself_in(
    equipped: Sandbox, tmp_path: Path
) -> None:
    """The standard library looks for modules that only other systems have, and takes whatever has their name."""
    trap = tmp_path / "trap"
    trap.mkdir()
    for name in ELSEWHERE:
        (trap / f"{name}.py").write_text("ASKED = True\n")
    image = Image(revision="trap", path=str(trap))
    assert value(await equipped.run(job(CAUGHT, list(ELSEWHERE), image=image))) == [[], sorted(ELSEWHERE)]
