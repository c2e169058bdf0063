"""A caller of the Domo face, and the package it calls."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from polycall.v1 import execution_pb2, package_pb2, tenancy_service_pb2
from tests.contracts.domo.driver import PACKAGE, VERSION, Domo, declare, typed
from tests.harness import KEY, Server, running_server


@dataclass(frozen=True)
class Upstream:
    """Where a service is."""

    port: int


class Echo(BaseHTTPRequestHandler):
    """Answers what it was asked; below ``/status/`` with that status, ``/text`` as text."""

    def answer(self) -> None:
        sent = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
        headers = {name.lower(): value for name, value in self.headers.items()}
        told = {"method": self.command, "path": self.path, "headers": headers, "body": sent}
        text = self.path.startswith("/text")
        body = b"plain" if text else json.dumps(told).encode()
        self.send_response(int(self.path.rpartition("/")[2]) if self.path.startswith("/status/") else 200)
        self.send_header("content-type", "text/plain" if text else "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = answer

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


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

SETTINGS = """
[projects.default]
instance = "http://localhost:{port}/acme/"
people = {{ 481303514 = "Ada Lovelace" }}

[projects.default.aliases.addNumbers]
packageId = "sums"
version = "1.0.0"
functionName = "add"
parameters = [{{ alias = "n1", name = "a" }}, {{ alias = "n2", name = "b" }}]
output = {{ alias = "sum" }}

[projects.default.aliases.text]
packageId = "sums"
version = "1.0.0"
functionName = "text"

[projects.default.aliases.gone]
packageId = "sums"
version = "9.9.9"
functionName = "add"
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
def upstream() -> Iterator[Upstream]:
    """A service on this machine that says what it was asked."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as service:
        threading.Thread(target=service.serve_forever, daemon=True).start()
        yield Upstream(service.server_port)
        service.shutdown()


@pytest.fixture(scope="session")
def configured(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Domo]:
    """The administrator of a server whose operator has set an app identity, aliases, people and open hosts."""
    directory = tmp_path_factory.mktemp("domo")
    (directory / "domo.toml").write_text(SETTINGS.format(port=upstream.port))
    with running_server(
        directory / "data",
        POLYCALL_DOMO_FILE=str(directory / "domo.toml"),
        POLYCALL_DOMO_APP_KEY=KEY,
        POLYCALL_DOMO_HOSTS=f"localhost:{upstream.port}, nowhere.example.com",
        POLYCALL_EGRESS_NETWORKS="127.0.0.0/8, ::1/128",
    ) as server:
        yield Domo(server, server.key)


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
