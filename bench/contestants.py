"""Who is measured: how each is started, asked, and stopped by its pid."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import grpc
import psutil

from bench.load import FIRST, Endpoint, Job
from bench.machine import Memory, memory_of
from polycall.v1 import execution_pb2, execution_service_pb2
from tests.harness import Server, running_server

__all__ = [
    "FUNCTION",
    "SERVICE",
    "Absent",
    "Polycall",
    "Rival",
    "adding_job",
    "execute_job",
    "functions_framework",
    "polycall",
    "rest_job",
    "run_function_job",
    "workerd",
    "yardstick",
]

FUNCTION = "packages/bench/functions/add"
SERVICE = "/polycall.v1.ExecutionService"
_INPUT = json.dumps({"a": FIRST, "b": 2})
_OUTPUT = json.dumps({"sum": FIRST + 2}).encode()
_START_S = 30.0
_PYTHON = "def execute(input):\n    return {'sum': input['a'] + input['b']}\n"
_JAVASCRIPT = "function execute(input) { return {sum: input.a + input.b}; }\n"
_TYPESCRIPT = (
    "type Input = {a: number; b: number};\n"
    "function execute(input: Input): {sum: number} { return {sum: input.a + input.b}; }\n"
)
_FLASK = """import functions_framework

@functions_framework.http
def add(request):
    data = request.get_json()
    return {"sum": data["a"] + data["b"]}
"""
_WORKER = "export default { async fetch(r) { const d = await r.json(); return Response.json({sum: d.a + d.b}); } };\n"
_CAPNP = """using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = (
    modules = [(name = "worker.js", esModule = embed "worker.js")], compatibilityDate = "2024-09-01"))],
  sockets = [(name = "http", address = "127.0.0.1:%d", http = (), service = "main")]);
"""


class Absent(Exception):
    """Raised for a rival that is not installed; says how to get it."""


@dataclass(frozen=True, slots=True)
class Rival:
    """One that runs: the process that serves, and where."""

    name: str
    pid: int
    endpoint: Endpoint
    job: Job


@dataclass(frozen=True, slots=True)
class Polycall:
    """Our server, with a function deployed."""

    server: Server
    memory: Memory  # at rest, Envoy apart
    languages: frozenset[str]

    @property
    def pid(self) -> int:
        """The process that serves."""
        assert self.server.process is not None
        return self.server.process.pid

    @property
    def headers(self) -> dict[str, str]:
        """What authenticates a call."""
        return {"authorization": f"Bearer {self.server.key}"}

    def grpc(self, method: str) -> Endpoint:
        """Return the endpoint of a method of ExecutionService."""
        return Endpoint("grpc", self.server.grpc_port, f"{SERVICE}/{method}", self.headers)

    def rest(self) -> Endpoint:
        """Return the endpoint of the function through Envoy."""
        return Endpoint("http", self.server.rest_port, f"/polycall/v1/{FUNCTION}:run", self.headers)


def run_function_job() -> Job:
    """Return RunFunction of the function that adds."""
    return adding_job(FUNCTION)


def adding_job(function: str) -> Job:
    """Return RunFunction of a function that adds."""
    request = execution_service_pb2.RunFunctionRequest(function=function, input_json=_INPUT)
    return Job(request.SerializeToString(), _OUTPUT)


def execute_job(language: str = "python") -> Job:
    """Return Execute of code that adds."""
    code, value = {
        "python": (_PYTHON, execution_pb2.LANGUAGE_PYTHON),
        "javascript": (_JAVASCRIPT, execution_pb2.LANGUAGE_JAVASCRIPT),
        "typescript": (_TYPESCRIPT, execution_pb2.LANGUAGE_TYPESCRIPT),
    }[language]
    request = execution_service_pb2.ExecuteRequest(code=code, language=value, input_json=_INPUT)
    return Job(request.SerializeToString(), _OUTPUT if language == "python" else _OUTPUT.replace(b" ", b""))


def rest_job() -> Job:
    """Return the native REST call of the function that adds."""
    text = json.dumps(_OUTPUT.decode()).encode()  # JSON text in a JSON string
    return Job(json.dumps({"input_json": _INPUT}).encode(), text)


@contextlib.contextmanager
def polycall(**settings: str) -> Iterator[Polycall]:
    """Run our server; ``settings`` are POLYCALL_* variables."""
    with (
        tempfile.TemporaryDirectory(prefix="polycall-bench-") as scratch,
        running_server(Path(scratch) / "data", **{"POLYCALL_QUEUE": "1000", **settings}) as server,
    ):
        time.sleep(2)  # let it come to rest
        assert server.process is not None
        memory = memory_of(server.process.pid)
        server.deploy("bench", {"main.py": "def add(a, b):\n    return {'sum': a + b}\n"})
        yield Polycall(server, memory, frozenset(_languages(server)))


def _languages(server: Server) -> Iterator[str]:
    """Yield what the server runs: an execution that is only checked tells."""
    for language in ("python", "javascript", "typescript"):
        request = execution_service_pb2.ExecuteRequest.FromString(execute_job(language).body)
        request.validate_only = True
        try:
            server.executions.Execute(request, metadata=server.metadata)
        except grpc.RpcError:
            continue
        yield language


@contextlib.contextmanager
def yardstick(mode: str) -> Iterator[Rival]:
    """Run one of ``bench.yardstick``. Raises Absent."""
    if mode == "bwrap" and shutil.which("bwrap") is None:
        raise Absent("bwrap per request: bubblewrap is not installed (Debian: apt-get install bubblewrap)")
    name = {"inline": "grpc.aio inline", "pool": "grpc.aio + process pool", "bwrap": "bwrap python per request"}[mode]
    method = "Execute" if mode == "bwrap" else "RunFunction"
    job = execute_job() if mode == "bwrap" else run_function_job()
    with _process([sys.executable, "-m", "bench.yardstick", mode]) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        rival = Rival(name, process.pid, Endpoint("grpc", port, f"{SERVICE}/{method}"), job)
        _until_right(rival)
        yield rival


@contextlib.contextmanager
def functions_framework() -> Iterator[Rival]:
    """Run functions-framework: Flask behind gunicorn. Raises Absent."""
    if importlib.util.find_spec("functions_framework") is None:
        raise Absent("functions-framework: not installed (pip install -e '.[bench]')")
    with tempfile.TemporaryDirectory(prefix="polycall-bench-") as scratch:
        port, source = _free_port(), Path(scratch) / "main.py"
        source.write_text(_FLASK)
        command = [Path(sys.executable).with_name("functions-framework"), "--source", source, "--target", "add"]
        with _process([*map(str, command), "--host", "127.0.0.1", "--port", str(port)]) as process:
            rival = _http_rival("functions-framework", process.pid, port)
            # gunicorn's arbiter only watches: its worker serves
            yield replace(rival, pid=psutil.Process(process.pid).children()[0].pid)


@contextlib.contextmanager
def workerd() -> Iterator[Rival]:
    """Run workerd, the JavaScript runtime of Cloudflare's workers. Raises Absent."""
    local = Path(__file__).parent / "node_modules" / ".bin" / "workerd"
    binary = str(local) if local.exists() else shutil.which("workerd")
    if binary is None:
        raise Absent("workerd: not installed (npm install --prefix bench)")
    with tempfile.TemporaryDirectory(prefix="polycall-bench-") as scratch:
        port = _free_port()
        (Path(scratch) / "worker.js").write_text(_WORKER)
        config = Path(scratch) / "config.capnp"
        config.write_text(_CAPNP % port)
        with _process([binary, "serve", str(config)]) as process:
            yield _http_rival("workerd", process.pid, port)


def _http_rival(name: str, pid: int, port: int) -> Rival:
    expected = b'{"sum":%d}' % (FIRST + 2)
    rival = Rival(name, pid, Endpoint("http", port, "/"), Job(_INPUT.encode(), expected))
    _until_right(rival)
    return rival


def _until_right(rival: Rival) -> None:
    """Wait until it gives a right answer."""
    deadline = time.monotonic() + _START_S
    while True:
        try:
            connection = rival.endpoint.connect()
            with contextlib.closing(connection):
                connection.send(rival.job.body, rival.job.expected)
                while not connection.receive():
                    pass
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


@contextlib.contextmanager
def _process(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """Run a process; at the end nothing of it and of what it started is left."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
    try:
        yield process
    finally:
        below = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.kill()
        for child in below:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        process.wait()
        psutil.wait_procs(below, timeout=5)
        if process.stdout is not None:
            process.stdout.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
