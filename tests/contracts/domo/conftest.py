"""A caller of the Domo face, and the package it calls."""

from __future__ import annotations

import pytest

from polycall.v1 import execution_pb2, package_pb2, tenancy_service_pb2
from tests.contracts.domo.driver import PACKAGE, VERSION, Domo, declare, typed
from tests.harness import Server

SOURCE = """
import ctypes, os, sys


def getExecutionDetails(paramName):
    print("asked for", paramName)
    return {"paramName": paramName, "platform": "python"}


def add(first, second):
    print("adding")
    print("a warning", file=sys.stderr)
    return first + second


async def later(a):
    return a


def echo(value):
    return value


def anything(**kwargs):
    return kwargs


def two(a, b=2):
    return [a, b]


def kinds(n, ns, o, t, e):
    return [type(n).__name__, [type(x).__name__ for x in ns], o, t, e]


def give(what):
    cycle = []
    cycle.append(cycle)
    return {
        "text": "three", "number": 3, "float": 3.0, "decimal": 3.5, "boolean": True, "none": None, "list": [1],
        "empty": [], "object": {"id": "x"}, "set": {1}, "nan": float("nan"), "cycle": cycle, "surrogate": "\\ud800",
        "big": "x" * (7 << 20),
    }[what]


untyped = numbers = nullable = thing = give


def fail(how):
    print("about to", how)
    if how == "raise":
        raise ValueError("bad")
    if how == "exit":
        sys.exit(3)
    if how == "crash":
        ctypes.string_at(0)
    if how == "memory":
        return len(b"x" * (2 << 30))
    if how == "sleep":
        import time
        time.sleep(60)


def flood():
    for _ in range(2000):
        print("x" * 10_000)
    return 1


def secret():
    return "private"


def _hidden():
    return "hidden"


_STATE = []


def remember():
    _STATE.append(1)
    return len(_STATE)
"""

PERSON = typed("object", children=[package_pb2.Parameter(name="id", declared_type=typed("text"))])
NUMBER = typed("number")

FUNCTIONS = [
    declare("getExecutionDetails", typed("object"), paramName=typed("")),
    declare("add", NUMBER, a=NUMBER, b=NUMBER),
    declare("later", NUMBER, a=NUMBER),
    declare("echo", typed("object"), value=typed("object")),
    declare("anything"),
    declare("two"),
    declare(
        "kinds",
        typed("object", is_list=True, nullable=True),
        n=NUMBER,
        ns=typed("number", is_list=True),
        o=typed("object", nullable=True),
        t=typed("text"),
        e=typed("text", nullable=True),
        defaults={"t": '"from the manifest"'},
    ),
    declare("give", NUMBER, what=typed("text")),
    declare("untyped", None, what=typed("text")),
    declare("numbers", typed("number", is_list=True), what=typed("text")),
    declare("nullable", typed("number", nullable=True), what=typed("text")),
    declare("thing", PERSON, what=typed("text")),
    declare("fail", NUMBER, how=typed("text")),
    declare("flood", NUMBER),
    declare("missing", NUMBER),
    declare("secret", private=True),
    declare("_hidden"),
    declare("remember", NUMBER),
]


_SCOPES = tenancy_service_pb2.ApiKey
WRITER = (_SCOPES.SCOPE_RUN, _SCOPES.SCOPE_READ, _SCOPES.SCOPE_DEPLOY)


@pytest.fixture(scope="session")
def owner(polycall: Server) -> Domo:
    """A caller of project domo who may save packages."""
    return Domo(polycall, polycall.new_key(project="domo", scopes=WRITER))


@pytest.fixture(scope="session")
def other(polycall: Server) -> Domo:
    """Another caller of project domo, with the same scopes."""
    return Domo(polycall, polycall.new_key(project="domo", scopes=WRITER))


@pytest.fixture(scope="session")
def domo(polycall: Server) -> Domo:
    """A caller of project default, with the package of these tests released."""
    polycall.deploy(PACKAGE, {"main.py": SOURCE}, version=VERSION, functions=FUNCTIONS, release=True)
    quick = execution_pb2.Limits()
    quick.timeout.FromMilliseconds(500)
    polycall.deploy(PACKAGE, {"main.py": SOURCE}, version="1.1.0", functions=FUNCTIONS, limits=quick, release=True)
    polycall.deploy(PACKAGE, {"main.py": SOURCE}, version="2.0.0", functions=FUNCTIONS)
    polycall.deploy(PACKAGE, {"main.py": "def f(:\n"}, version="2.0.1")
    polycall.deploy(
        "unloadable", {"main.py": "import no_such_module\n\ndef f():\n    pass\n"}, version="1", release=True
    )
    return Domo(polycall, polycall.new_key())
