"""A caller of the Guance face, and the scripts it calls."""

from __future__ import annotations

import pytest

from tests.contracts.guance.driver import Guance
from tests.contracts.guance.studio import Studio, new_studio
from tests.harness import Server

# The script of the vendor's document: its function hands a dict to Redis, which takes none.
OPENAPI = """
from redis.exceptions import DataError


@DFF.API("Test")
def test(workspace_token, workspace_uuid, your_name="OpenAPI User"):
    for value in (workspace_token, workspace_uuid, your_name):
        if isinstance(value, dict):
            raise DataError("Invalid input of type: 'dict'. Convert to a bytes, string, int or float first.")
    return f"Hello, {your_name}"


@DFF.API("Hello")
def hello_world(name):
    return f"Hello, {name}"


def not_registered():
    return "secret"
"""

ENDS = """
import ctypes, math, os, sys, time


def echo(**kwargs):
    return kwargs


def give(what):
    cycle = []
    cycle.append(cycle)
    return {
        "set": {1}, "nan": [math.nan, math.inf], "cycle": cycle, "none": None, "zero": 0, "false": False, "empty": "",
        "list": [], "dict": {}, "float": 30.0, "exception": ValueError("returned"), "big": "x" * (7 << 20),
        "text": "http://x/\\u00e9", "surrogate": "\\ud800", "lambda": echo,
    }[what]


def fail(how):
    print("about to", how)
    if how == "raise":
        raise ZeroDivisionError("division by zero")
    if how == "exit":
        sys.exit(3)
    if how == "_exit":
        os._exit(4)
    if how == "crash":
        ctypes.string_at(0)
    if how == "memory":
        return len(b"x" * (2 << 30))
    if how == "swallow":
        while True:
            try:
                time.sleep(60)
            except BaseException:
                pass
    if how == "deep":
        return fail(how)


def flood():
    for _ in range(2000):
        print("x" * 10_000)
    return "dry"


_STATE = []


def remember():
    _STATE.append(1)
    return [len(_STATE), os.path.exists("/tmp/mark"), open("/tmp/mark", "w").close()]
"""

TIMES = """
import time


@DFF.API("Slow", timeout=1)
def slow():
    time.sleep(30)


@DFF.API("Patient", timeout=60, api_timeout=60)
def patient():
    return "no hurry"
"""


@pytest.fixture(scope="session")
def guance(polycall: Server) -> Guance:
    """A caller of project default, with the scripts of these tests published."""
    errors = "class DataError(Exception):\n    pass\n"
    polycall.deploy(
        "guance__openapi", {"main.py": OPENAPI, "redis/__init__.py": "", "redis/exceptions.py": errors}, release=True
    )
    polycall.deploy("tests__ends", {"main.py": ENDS})
    polycall.deploy("tests__times", {"main.py": TIMES})
    polycall.deploy("tests__broken", {"main.py": "def f(:\n"})
    polycall.deploy("tests__unloadable", {"main.py": "import no_such_module\n\ndef f():\n    pass\n"})
    return Guance(polycall, polycall.new_key())


@pytest.fixture(scope="session")
def studio(polycall: Server) -> Studio:
    """Somebody who writes scripts, with a script set ``tests``."""
    made = new_studio(polycall)
    made.script_set("tests")
    return made


@pytest.fixture(scope="session")
def elsewhere(polycall: Server) -> Studio:
    """Somebody of another project, with a script set ``tests`` of their own."""
    made = new_studio(polycall)
    made.script_set("tests")
    return made


@pytest.fixture(scope="session")
def caller(studio: Studio) -> Guance:
    """Who calls the functions of ``studio`` through the gateway."""
    return Guance(studio.server, studio.key)
