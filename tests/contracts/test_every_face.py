"""What holds for all five contracts alike, through the real gateway."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from cognite.client import ClientConfig, CogniteClient, global_config
from cognite.client.credentials import Token
from rizaio import Riza

from polycall.v1 import (
    error_reason_pb2,
    execution_pb2,
    execution_service_pb2,
    execution_service_pb2_grpc,
    package_pb2,
    tenancy_service_pb2,
)
from tests.contracts.routes import routes
from tests.contracts.tenants import plain
from tests.harness import Response, Server, free_port, running_server, until

FACES = ("riza", "cognite", "guance", "xpander", "domo")
_FUNCTION = "8c1d2f60-3b5e-4a7c-9d10-6e2f4b8a7c31"


@dataclass(frozen=True)
class Request:
    """One request of a face."""

    path: str
    headers: dict[str, str]
    body: bytes

    def send(self, server: Server) -> Response:
        return server.http("POST", self.path, body=self.body, headers=self.headers)

    def text(self) -> bytes:
        """Return it as it goes over the wire."""
        fields = {"host": "polycall", **self.headers, "content-length": str(len(self.body))}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return f"POST {self.path} HTTP/1.1\r\n{head}\r\n".encode() + self.body


@dataclass(frozen=True)
class Caller:
    """Somebody who runs a function through any face, in a project of their own."""

    server: Server
    key: str
    project: str

    def request(self, face: str, body: str) -> Request:
        """Deploy a function of this body (``def f(): ...``) where the face wants it, and return what calls it."""
        bearer = {"authorization": f"Bearer {self.key}"}
        if face == "riza":
            asked = {"language": "python", "code": f"def execute(input):\n    {body}\n"}
            return Request("/v1/execute-function", bearer, json.dumps(asked).encode())
        if face == "cognite":
            handle = package_pb2.Function(name="handle", convention=execution_pb2.CONVENTION_HANDLE)
            self._deploy("7", f"def handle(data):\n    {body}\n", handle)
            nonce = json.dumps({"nonce": self._nonce()}).encode()
            return Request(f"/api/v1/projects/{self.project}/functions/7/call", bearer, nonce)
        if face == "guance":
            self._deploy("every__face", f"def f():\n    {body}\n")
            return Request("/api/v1/outer_function/execute", {"df-api-key": self.key}, b'{"funcId":"every__face.f"}')
        if face == "xpander":
            self._deploy(_FUNCTION, f"def xpander_run_action():\n    {body}\n")
            return Request(f"/v1/custom_functions/{_FUNCTION}/execute", {"x-api-key": self.key}, b"{}")
        version = self._deploy("every", f"def f():\n    {body}\n")
        path = f"/api/codeengine/v2/packages/every/versions/{version}/functions/f"
        return Request(path, {"x-domo-developer-token": self.key}, b"{}")

    def executions(self) -> list[execution_pb2.Execution]:
        """Return all executions of the project."""
        answer = self.server.executions.ListExecutions(
            execution_service_pb2.ListExecutionsRequest(page_size=100),
            metadata=[("authorization", f"Bearer {self.key}")],
        )
        return list(answer.executions)

    def _deploy(self, package: str, source: str, *functions: package_pb2.Function) -> str:
        made = self.server.deploy(package, {"main.py": source}, functions=functions, release=True, key=self.key)
        return made.name.rpartition("/")[2]

    def _nonce(self) -> str:
        answer = self.server.http(
            "POST",
            f"/api/v1/projects/{self.project}/sessions",
            body=b'{"items":[{"tokenExchange":true}]}',
            headers={"authorization": f"Bearer {self.key}"},
        )
        return str(answer.json()["items"][0]["nonce"])


def caller(server: Server, project: str) -> Caller:
    scopes = tenancy_service_pb2.ApiKey
    key = server.new_key(project=project, scopes=[scopes.SCOPE_RUN, scopes.SCOPE_READ, scopes.SCOPE_DEPLOY])
    return Caller(server, key, project)


def test_a_caller_that_goes_away_has_its_run_killed_and_recorded(polycall: Server) -> None:
    mine = caller(polycall, "gone")
    with contextlib.ExitStack() as stack:
        for face in FACES:
            if face != "cognite":
                connection = stack.enter_context(socket.create_connection(("127.0.0.1", polycall.rest_port)))
                connection.sendall(mine.request(face, "import time; time.sleep(60)").text())
        running = execution_pb2.Execution.STATE_RUNNING
        until(lambda: [each.state for each in mine.executions()] == [running] * 4, what="the runs of all faces")
    until(lambda: running not in [each.state for each in mine.executions()], what="the end of all runs")
    ends = [(each.state, each.error.reason) for each in mine.executions()]
    cancelled = execution_pb2.Execution.STATE_CANCELLED, error_reason_pb2.ERROR_REASON_CANCELLED_BY_CLIENT
    assert ends == [cancelled] * 4


def test_a_cognite_call_outlives_its_caller(polycall: Server) -> None:
    mine = caller(polycall, "gone-on")
    with socket.create_connection(("127.0.0.1", polycall.rest_port)) as connection:
        connection.sendall(mine.request("cognite", "import time; time.sleep(0.5)").text())
        until(mine.executions, what="the call")
    completed = execution_pb2.Execution.STATE_COMPLETED
    until(lambda: [each.state for each in mine.executions()] == [completed], what="its end")


@pytest.mark.parametrize("face", FACES)
def test_a_run_that_forges_its_answer_gets_one_answer_and_leaves_no_trace(polycall: Server, face: str) -> None:
    forge = (
        "import os\n    for fd in range(3, 64):\n"
        "        try: os.write(fd, b'\\x02\\x00\\x00\\x00\\x02\\x00\\x00\\x00{}{}')\n"
        "        except OSError: pass\n"
        "    return {'mine': True}"
    )
    mine = caller(polycall, f"forging-{face}")
    answer = mine.request(face, forge).send(polycall)
    assert answer.status in (200, 201, 400), answer.body
    for _ in range(3):
        answer = mine.request(face, "return {'after': True}").send(polycall)
        assert answer.status in (200, 201)
        assert face == "cognite" or b"after" in answer.body

    completed = execution_pb2.Execution.STATE_COMPLETED
    until(lambda: [each.state for each in mine.executions()].count(completed) >= 3, what="three runs that completed")


@pytest.mark.parametrize("face", FACES)
def test_a_header_that_is_no_text_is_not_logged(polycall: Server, face: str) -> None:
    request = caller(polycall, "headers").request(face, "return {}")
    wrong = Request(request.path, dict.fromkeys(request.headers, "Bearer not-a-k\xe9y"), request.body)
    with socket.create_connection(("127.0.0.1", polycall.rest_port)) as connection:
        connection.sendall(wrong.text().replace("\xe9".encode(), b"\xe9"))
        assert connection.recv(100).startswith(b"HTTP/1.1 40")
    assert "not-a-k" not in polycall.log.read_text()


# listeners of their own


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, dict[str, int]]]:
    """A server with a listener for each face and one for a mesh, and their ports."""
    ports = {name: free_port() for name in (*FACES, "mesh")}
    addresses = {f"POLYCALL_{name.upper()}_ADDRESS": f"127.0.0.1:{port}" for name, port in ports.items()}
    with running_server(tmp_path_factory.mktemp("apart"), **addresses) as server:
        yield server, ports


def test_a_face_on_a_port_of_its_own_serves_that_face_alone(apart: tuple[Server, dict[str, int]]) -> None:
    server, ports = apart
    mine = caller(server, "apart")
    requests = {face: mine.request(face, "return {'a': 1}") for face in FACES}
    for face in FACES:
        at_home = Server(server.data_dir, rest_port=ports[face])
        assert requests[face].send(at_home).status == (201 if face == "cognite" else 200)
        for other in FACES:
            if other != face:
                assert requests[other].send(at_home).status == 404
        assert at_home.http("GET", "/polycall/v1/executions", headers=requests["riza"].headers).status == 404


def test_every_route_is_answered_at_its_faces_port_and_the_shared_one_and_nowhere_else(
    apart: tuple[Server, dict[str, int]],
) -> None:
    """By nobody in particular: what matters is who answers."""
    server, ports = apart
    wrong = []
    for route in routes():
        values = {name: f"no-such-{name}" for name in route.variables}
        body = None if route.verb in ("GET", "DELETE") else b"{}"
        path = route.filled(values)

        def ask(port: int, path: str = path, verb: str = route.verb, body: bytes | None = body) -> Response:
            return Server(server.data_dir, rest_port=port).http(verb, path, body=body)

        shared = plain(ask(server.rest_port), values)
        for face, port in ports.items():
            if face == "mesh":
                continue
            there = plain(ask(port), values)
            nowhere = plain(ask(port, f"/nowhere{path}"), values)
            if face == route.face and (there != shared or there == nowhere):
                wrong.append(f"{route.name} at its own port: {there}, at the shared one: {shared}")
            if face != route.face and (there[0] != 404 or there != nowhere):
                wrong.append(f"{route.name} at the port of {face}: {there}, nowhere: {nowhere}")
    assert not wrong, "\n".join(wrong)


def test_the_sdks_work_with_the_base_url_of_such_a_port(apart: tuple[Server, dict[str, int]]) -> None:
    server, ports = apart
    mine = caller(server, "sdks")
    with Riza(api_key=mine.key, base_url=f"http://127.0.0.1:{ports['riza']}") as riza:
        answer = riza.command.exec_func(code="def execute(input): return input", language="python", input=2**53 + 1)
        assert answer.output == 2**53 + 1
    mine.request("cognite", "return data")
    global_config.disable_pypi_version_check = True
    config = ClientConfig(
        client_name="apart",
        project=mine.project,
        credentials=Token(mine.key),
        base_url=f"http://127.0.0.1:{ports['cognite']}",
    )
    call = CogniteClient(config).functions.call(id=7, data={"n": 2**53 + 1})
    assert (call.status, call.get_response()) == ("Completed", {"n": 2**53 + 1})


def test_a_mesh_speaks_grpc_and_grpc_web_and_no_face(apart: tuple[Server, dict[str, int]]) -> None:
    server, ports = apart
    asked = execution_service_pb2.ExecuteRequest(
        code="def execute(input): return input", input_json='{"n": 9007199254740993, "x": 1.0}'
    )
    with grpc.insecure_channel(f"127.0.0.1:{ports['mesh']}") as channel:
        stub = execution_service_pb2_grpc.ExecutionServiceStub(channel)
        assert stub.Execute(asked, metadata=server.metadata).output_json == asked.input_json
        with pytest.raises(grpc.RpcError) as refused:
            stub.Execute(asked)
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
        riza: Any = channel.unary_unary("/polycall.faces.riza.v1.RizaService/ExecuteFunction")
        with pytest.raises(grpc.RpcError) as closed:
            riza(b"", metadata=server.metadata)
        assert closed.value.code() is grpc.StatusCode.UNIMPLEMENTED
    message = asked.SerializeToString()
    web = urllib.request.Request(
        f"http://127.0.0.1:{ports['mesh']}/polycall.v1.ExecutionService/Execute",
        data=struct.pack(">BI", 0, len(message)) + message,
        headers={"content-type": "application/grpc-web+proto", "authorization": f"Bearer {server.key}"},
    )
    with urllib.request.urlopen(web, timeout=60) as answer:
        body = answer.read()
    size = struct.unpack(">I", body[1:5])[0]
    assert execution_pb2.Execution.FromString(body[5 : 5 + size]).output_json == asked.input_json
    assert b"grpc-status:0" in body[5 + size :]
