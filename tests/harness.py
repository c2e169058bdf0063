"""A real polycall for tests: `polycall serve` in a process of its own, with the real Envoy and the real sandbox."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from grpc import Channel, RpcError, insecure_channel

from polycall.sandbox.cgroup import _find
from polycall.v1 import (
    audit_service_pb2_grpc,
    execution_pb2,
    execution_service_pb2_grpc,
    key_service_pb2_grpc,
    package_pb2,
    package_service_pb2,
    package_service_pb2_grpc,
    policy_service_pb2_grpc,
    runtime_service_pb2_grpc,
    schedule_service_pb2_grpc,
    secret_service_pb2_grpc,
    server_service_pb2,
    server_service_pb2_grpc,
    tenancy_service_pb2,
    tenancy_service_pb2_grpc,
    webhook_service_pb2_grpc,
)

__all__ = ["KEY", "Response", "Server", "free_port", "groups_of", "running_server", "until"]

START_S = 90.0  # a bound for a loaded machine, not a promise; bench/ measures the start
STOP_S = 90.0
KEY = "test-key-with-all-rights"
PROGRAM = Path(sys.executable).with_name("polycall")


@dataclass(frozen=True)
class Response:
    """An HTTP answer, as it came."""

    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body as Python values."""
        return json.loads(self.body)


def free_port() -> int:
    """Return a port of 127.0.0.1 that is given to nobody else as long as this process lives.

    It stays bound here, where nobody listens: the kernel chooses it for no other socket, and a server that sets
    SO_REUSEADDR or SO_REUSEPORT, as all of ours do, can listen on it, stop and listen again.
    """
    held = socket.socket()
    for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
        held.setsockopt(socket.SOL_SOCKET, option, 1)
    held.bind(("127.0.0.1", 0))
    port: int = held.getsockname()[1]
    held.detach()  # held by the process
    return port


def until(condition: Any, *, seconds: float = 60.0, what: str = "the condition") -> Any:
    """Return the first true value of ``condition()``; fail after ``seconds``, a bound for a loaded machine."""
    begun = time.monotonic()
    while not (value := condition()):
        waited = time.monotonic() - begun
        if waited > seconds:
            raise AssertionError(f"{what} did not come true within {seconds:g} s")
        # most ask a server: what takes long is asked less often
        time.sleep(min(max(0.01, waited / 20), 0.05))
    return value


def groups_of(processes: Iterable[psutil.Process]) -> set[Path]:
    """Return the directories of the cgroups that servers have made for what these processes are, and fork."""
    found = _find()
    places = tuple(found[1].values()) if found is not None else ()
    names = set[str]()
    for process in processes:
        with contextlib.suppress(OSError):  # some come and go
            names.update(re.findall(r"/(polycall-[0-9a-f]+)/", Path(f"/proc/{process.pid}/cgroup").read_text()))
    return {Path(place, name) for place in places for name in names}


@dataclass
class Server:
    """One running server with its gateway."""

    data_dir: Path
    key: str = KEY
    environment: Mapping[str, str] = field(default_factory=dict)
    rest_port: int = field(default_factory=free_port)
    grpc_port: int = field(default_factory=free_port)
    program: Path = PROGRAM
    process: subprocess.Popen[str] | None = None
    ready: dict[str, Any] = field(default_factory=dict)
    _channel: Channel | None = None

    @property
    def rest(self) -> str:
        """Base URL of all faces and of native REST."""
        return f"http://127.0.0.1:{self.rest_port}"

    @property
    def grpc(self) -> str:
        """Address of native gRPC."""
        return f"127.0.0.1:{self.grpc_port}"

    @property
    def metadata(self) -> list[tuple[str, str]]:
        """What authenticates a gRPC call with the bootstrap key."""
        return [("authorization", f"Bearer {self.key}")]

    @property
    def channel(self) -> Channel:
        """A channel to native gRPC."""
        if self._channel is None:
            limit = 128 * 1024 * 1024
            options = [("grpc.max_receive_message_length", limit), ("grpc.max_send_message_length", limit)]
            self._channel = insecure_channel(self.grpc, options)
        return self._channel

    @property
    def executions(self) -> execution_service_pb2_grpc.ExecutionServiceStub:
        """The ExecutionService."""
        return execution_service_pb2_grpc.ExecutionServiceStub(self.channel)

    @property
    def packages(self) -> package_service_pb2_grpc.PackageServiceStub:
        """The PackageService."""
        return package_service_pb2_grpc.PackageServiceStub(self.channel)

    @property
    def runtimes(self) -> runtime_service_pb2_grpc.RuntimeServiceStub:
        """The RuntimeService."""
        return runtime_service_pb2_grpc.RuntimeServiceStub(self.channel)

    @property
    def secrets(self) -> secret_service_pb2_grpc.SecretServiceStub:
        """The SecretService."""
        return secret_service_pb2_grpc.SecretServiceStub(self.channel)

    @property
    def policies(self) -> policy_service_pb2_grpc.PolicyServiceStub:
        """The PolicyService."""
        return policy_service_pb2_grpc.PolicyServiceStub(self.channel)

    @property
    def keys(self) -> key_service_pb2_grpc.KeyServiceStub:
        """The KeyService."""
        return key_service_pb2_grpc.KeyServiceStub(self.channel)

    @property
    def schedules(self) -> schedule_service_pb2_grpc.ScheduleServiceStub:
        """The ScheduleService."""
        return schedule_service_pb2_grpc.ScheduleServiceStub(self.channel)

    @property
    def webhooks(self) -> webhook_service_pb2_grpc.WebhookServiceStub:
        """The WebhookService."""
        return webhook_service_pb2_grpc.WebhookServiceStub(self.channel)

    @property
    def audit(self) -> audit_service_pb2_grpc.AuditServiceStub:
        """The AuditService."""
        return audit_service_pb2_grpc.AuditServiceStub(self.channel)

    @property
    def tenancy(self) -> tenancy_service_pb2_grpc.TenancyServiceStub:
        """The TenancyService."""
        return tenancy_service_pb2_grpc.TenancyServiceStub(self.channel)

    def pool(self) -> server_service_pb2.Pool:
        """Return what runs and what waits for its process, at this moment."""
        stub = server_service_pb2_grpc.ServerServiceStub(self.channel)
        request = server_service_pb2.GetServerInfoRequest()
        status: server_service_pb2.Pool = stub.GetServerInfo(request, metadata=self.metadata).pool
        return status

    def start(self) -> Server:
        """Start `polycall serve` and wait until it says that it serves."""
        # to compile all its modules anew is a quarter of a second of each start
        kept = (name for name in os.environ if not name.startswith("POLYCALL_") and name != "PYTHONDONTWRITEBYTECODE")
        environment = {name: os.environ[name] for name in kept}
        environment |= {
            "POLYCALL_REST_ADDRESS": f"127.0.0.1:{self.rest_port}",
            "POLYCALL_GRPC_ADDRESS": self.grpc,
            "POLYCALL_DATA_DIR": str(self.data_dir),
            "POLYCALL_BOOTSTRAP_KEY": self.key,
            **self.environment,
        }
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self.log.touch()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [self.program, "serve", "--json"],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.process.stdout is not None
        with _bounded_line(self.process) as line:
            pass
        if not line:
            self._reap()
            raise AssertionError(f"polycall did not start:\n{self.log.read_text()[-4000:]}")
        self.ready = json.loads(line)
        return self

    @property
    def log(self) -> Path:
        """What the server wrote to standard error."""
        return self.data_dir / "test-server.log"

    def descendants(self) -> list[psutil.Process]:
        """Return every process below the server."""
        assert self.process is not None
        return psutil.Process(self.process.pid).children(recursive=True)

    def terminate(self) -> int:
        """Send SIGTERM, wait for the end, return the exit code."""
        assert self.process is not None
        self.close_channel()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self._reap()

    def kill(self) -> float:
        """Send SIGKILL and wait for the end of the server and of everything below it; return when (time.monotonic)."""
        assert self.process is not None
        below = self.descendants()
        self.close_channel()
        killed = time.monotonic()
        self.process.kill()
        self._reap()
        _, alive = psutil.wait_procs(below, timeout=STOP_S)
        assert alive == []
        return killed

    def _reap(self) -> int:
        assert self.process is not None
        try:
            code = self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"polycall did not stop:\n{self.log.read_text()[-4000:]}") from None
        finally:
            if self.process.stdout is not None:
                self.process.stdout.close()
        return code

    def close_channel(self) -> None:
        """Close the gRPC channel; the next use opens another."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def http(
        self, method: str, path: str, *, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Response:
        """Send exactly this request to the REST address."""
        connection = http.client.HTTPConnection("127.0.0.1", self.rest_port, timeout=120)
        try:
            connection.request(method, path, body=body, headers=dict(headers or {}))
            answer = connection.getresponse()
            fields = {name.lower(): value for name, value in answer.getheaders()}
            return Response(answer.status, answer.reason, fields, answer.read())
        finally:
            connection.close()

    def deploy(
        self,
        package: str,
        files: Mapping[str, str | bytes],
        *,
        version: str = "",
        functions: Sequence[package_pb2.Function] = (),
        release: bool = False,
        limits: execution_pb2.Limits | None = None,
        env: Mapping[str, str] | None = None,
        fresh_process: bool = False,
        language: str = "python",
        key: str | None = None,
    ) -> package_pb2.Version:
        """Create a version (and its package) and return it."""
        source = package_pb2.SourceFiles(
            files=[
                package_pb2.SourceFile(path=path, contents=text.encode() if isinstance(text, str) else text)
                for path, text in files.items()
            ]
        )
        body = package_pb2.Version(
            language=f"LANGUAGE_{language.upper()}",
            functions=functions,
            limits=limits,
            env=env or {},
            fresh_process=fresh_process,
        )
        request = package_service_pb2.CreateVersionRequest(
            parent=f"packages/{package}",
            version_id=version,
            version=body,
            files=source,
            create_package=True,
            release=release,
        )
        metadata = [("authorization", f"Bearer {key or self.key}")]
        answer: package_pb2.Version = self.packages.CreateVersion(request, metadata=metadata)
        return answer

    def new_key(self, *, project: str | None = None, scopes: Sequence[tenancy_service_pb2.ApiKey.Scope] = ()) -> str:
        """Create an API key (and its project) and return its text."""
        if project is not None:
            with contextlib.suppress(RpcError):
                self.tenancy.CreateProject(
                    tenancy_service_pb2.CreateProjectRequest(project_id=project), metadata=self.metadata
                )
        request = tenancy_service_pb2.CreateApiKeyRequest(
            project=f"projects/{project}" if project else "",
            scopes=scopes or [tenancy_service_pb2.ApiKey.SCOPE_RUN, tenancy_service_pb2.ApiKey.SCOPE_READ],
        )
        answer = self.keys.CreateApiKey(request, metadata=self.metadata)
        return str(answer.key)


@contextlib.contextmanager
def _bounded_line(process: subprocess.Popen[str]) -> Iterator[str]:
    """Yield the first line of the process's output; kill it if none comes in time."""
    import threading

    assert process.stdout is not None
    timer = threading.Timer(START_S, process.kill)
    timer.start()
    try:
        yield process.stdout.readline()
    finally:
        timer.cancel()


@contextlib.contextmanager
def running_server(data_dir: Path, **environment: str) -> Iterator[Server]:
    """Run a server for the length of a block; it must stop cleanly and leave no process behind."""
    server = Server(data_dir, environment=environment).start()
    try:
        yield server
        below = server.descendants()
        assert server.terminate() == 0, server.log.read_text()[-4000:]
        _, alive = psutil.wait_procs(below, timeout=STOP_S)
        assert alive == []
    finally:
        if server.process is not None and server.process.poll() is None:
            server.kill()
