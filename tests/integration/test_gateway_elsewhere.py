"""A gateway that runs by itself, in front of two servers on one PostgreSQL."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import httpx
import pytest
import requests
import sqlalchemy as sa

from polycall.v1 import execution_pb2, execution_service_pb2, execution_service_pb2_grpc
from tests.harness import KEY, STOP_S, Server, free_port, until

# a package each: what is warm has one version loaded
FUNCTIONS = [f"packages/sticky-{number}/functions/echo" for number in range(6)]
SOURCE = "def echo(n):\n    return n\n"


@dataclass(frozen=True)
class Cluster:
    """Two servers and the gateway's addresses."""

    servers: tuple[Server, Server]
    rest: str
    mesh: str
    admin: Path

    def healthy(self) -> int:
        """Return how many servers the gateway sends requests to."""
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(self.admin))) as client:
            return client.get("http://admin/clusters").text.count("::health_flags::healthy")

    def run(self, function: str, n: int) -> requests.Response:
        return requests.post(
            f"http://{self.rest}/polycall/v1/{function}:run",
            headers={"authorization": f"Bearer {KEY}"},
            json={"input_json": json.dumps({"n": n})},
            timeout=30,
        )


@pytest.fixture
def cluster(postgres: str, tmp_path: Path) -> Iterator[Cluster]:
    url = sa.make_url(postgres).set(drivername="postgresql").render_as_string(hide_password=False)
    ports = [free_port(), free_port()]
    servers = [
        Server(
            tmp_path / name,
            environment={
                "POLYCALL_DATABASE_URL": url,
                "POLYCALL_ENCRYPTION_KEY": base64.b64encode(bytes(32)).decode(),
                "POLYCALL_GATEWAY": "false",
                "POLYCALL_INTERNAL_ADDRESS": f"127.0.0.1:{port}",
                "POLYCALL_HEARTBEAT_S": "0.3",
                "POLYCALL_LEASE_S": "3",
            },
        )
        for name, port in zip(("first", "second"), ports, strict=True)
    ]
    try:
        for server in servers:
            server.start()
        for function in FUNCTIONS:
            servers[0].deploy(function.split("/")[1], {"main.py": SOURCE}, release=True)
        with _gateway(tmp_path, [f"127.0.0.1:{port}" for port in ports]) as (rest, mesh):
            made = Cluster(
                (servers[0], servers[1]), rest, mesh, tmp_path / "gateway" / "gateway" / "envoy" / "admin.sock"
            )
            until(lambda: made.healthy() == 2, seconds=60, what="a gateway that knows both")
            yield made
    finally:
        for server in servers:
            if server.process is not None and server.process.poll() is None:
                server.terminate()


@contextmanager
def _gateway(directory: Path, replicas: list[str]) -> Iterator[tuple[str, str]]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("POLYCALL_")}
    environment |= {
        "POLYCALL_DATA_DIR": str(directory / "gateway"),
        "POLYCALL_REST_ADDRESS": f"127.0.0.1:{free_port()}",
        "POLYCALL_MESH_ADDRESS": f"127.0.0.1:{free_port()}",
        "POLYCALL_REPLICAS": ",".join(replicas),
    }
    process = subprocess.Popen(
        [Path(sys.executable).with_name("polycall"), "gateway", "run", "--json"],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        rest = f"http://{told['rest_address']}"
        until(lambda: requests.get(f"{rest}/healthz", timeout=5).status_code == 200, what="a healthy server")
        yield told["rest_address"], told["mesh_address"]
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP_S) == 0
        if process.stdout is not None:
            process.stdout.close()


def test_a_function_stays_on_a_server_and_a_gateway_that_ends_lets_open_requests_end(
    cluster: Cluster, tmp_path: Path
) -> None:
    for function in FUNCTIONS:
        kinds = [cluster.run(function, n).json()["startKind"] for n in range(6)]
        assert kinds[0] != "START_KIND_WARM"
        assert kinds[1:] == ["START_KIND_WARM"] * 5
    with grpc.insecure_channel(cluster.mesh) as channel:
        stub = execution_service_pb2_grpc.ExecutionServiceStub(channel)
        for function in FUNCTIONS:
            ran = stub.RunFunction(
                execution_service_pb2.RunFunctionRequest(function=function, input_json='{"n": 1}'),
                metadata=[("authorization", f"Bearer {KEY}"), ("x-polycall-function", function)],
            )
            assert (ran.output_json, ran.start_kind) == ("1", execution_pb2.Execution.START_KIND_WARM)
    # faces come along
    answer = requests.post(
        f"http://{cluster.rest}/v1/execute-function",
        headers={"authorization": f"Bearer {KEY}"},
        json={"language": "python", "code": "def execute(input): return input", "input": [1]},
        timeout=30,
    )
    assert (answer.status_code, answer.json()["output"]) == (200, [1])
    cluster.servers[0].deploy("slow", {"main.py": "import time\ndef nap(s): time.sleep(s)"}, release=True)
    replicas = [server.environment["POLYCALL_INTERNAL_ADDRESS"] for server in cluster.servers]
    with ThreadPoolExecutor() as pool:
        with _gateway(tmp_path / "second", replicas) as (rest, _):
            slow = pool.submit(
                requests.post,
                f"http://{rest}/polycall/v1/packages/slow/functions/nap:run",
                headers={"authorization": f"Bearer {KEY}"},
                json={"input_json": '{"s": 3}'},
                timeout=30,
            )
            until(lambda: any(_runs(server) for server in cluster.servers), what="a run under way")
        # the gateway is gone
        assert slow.result().json()["state"] == "STATE_COMPLETED"


def _runs(server: Server) -> bool:
    # RUNNING is in the store a second after the start
    request = execution_service_pb2.ListExecutionsRequest(states=[execution_pb2.Execution.STATE_RUNNING])
    return bool(server.executions.ListExecutions(request, metadata=server.metadata).executions)


def test_a_rolling_restart_fails_no_call(cluster: Cluster) -> None:
    answers: list[tuple[int, str]] = []
    over = threading.Event()

    def ask(offset: int) -> None:
        n = offset
        while not over.is_set():
            n += 1
            answer = cluster.run(FUNCTIONS[n % len(FUNCTIONS)], n)
            answers.append((answer.status_code, answer.text if answer.status_code != 200 else ""))
            time.sleep(0.02)

    clients = [threading.Thread(target=ask, args=(offset,)) for offset in range(4)]
    for client in clients:
        client.start()
    try:
        for server in cluster.servers:
            before = len(answers)
            assert server.terminate() == 0
            until(lambda before=before: len(answers) > before + 10, what="calls served by the other")
            server.start()
            until(lambda: cluster.healthy() == 2, seconds=60, what="a gateway that knows both")
    finally:
        over.set()
        for client in clients:
            client.join()
    assert [answer for answer in answers if answer[0] != 200] == []
    assert len(answers) > 20
