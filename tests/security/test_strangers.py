"""Every door, tried by those who have no business there: without a key, with a wrong one, with another project's."""

from __future__ import annotations

import contextlib
import json
import resource
import socket
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import grpc
import psutil
import pytest
from google.api import annotations_pb2
from google.protobuf import json_format, message_factory
from google.protobuf.descriptor import MethodDescriptor

from polycall.faces.cognite.v1 import cognite_pb2
from polycall.faces.domo.v1 import domo_pb2
from polycall.faces.guance.v1 import guance_pb2
from polycall.faces.riza.v1 import riza_pb2
from polycall.faces.xpander.v1 import xpander_pb2
from polycall.services.options import MOST_CONNECTIONS
from polycall.v1 import (
    execution_service_pb2,
    package_service_pb2,
    server_service_pb2,
    tenancy_service_pb2,
)
from tests.harness import Server, until
from tests.integration.test_server_life import envoys

NATIVE = [
    method
    for module in (execution_service_pb2, package_service_pb2, server_service_pb2, tenancy_service_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]
FACES = [
    method
    for module in (riza_pb2, cognite_pb2, guance_pb2, xpander_pb2, domo_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]
# a run, a package, a version of somebody else, and what is asked of them; * marks where their names go
ASKED: dict[str, Any] = {
    "RunFunction": {"function": "packages/theirs/functions/execute"},
    "Call": {"function": "packages/theirs/versions/1/functions/execute"},
    "GetExecution": {"name": "*"},
    "WaitExecution": {"name": "*", "timeout": "0s"},
    "CancelExecution": {"name": "*"},
    "StreamExecution": {"name": "*"},
    "GetPackage": {"name": "packages/theirs"},
    "UpdatePackage": {"package": {"name": "packages/theirs", "displayName": "mine"}},
    "DeletePackage": {"name": "packages/theirs"},
    "CreateVersion": {
        "parent": "packages/theirs",
        "files": {"files": [{"path": "main.py", "contents": "ZGVmIGV4ZWN1dGUoaSk6IHBhc3M="}]},
    },
    "GetVersion": {"name": "packages/theirs/versions/1"},
    "ListVersions": {"parent": "packages/theirs"},
    "ReleaseVersion": {"name": "packages/theirs/versions/1"},
    "DeleteVersion": {"name": "packages/theirs/versions/1"},
    "RevokeApiKey": {"name": "apiKeys/*"},
    "GetProject": {"name": "projects/theirs"},
    "UpdateProject": {"project": {"name": "projects/theirs", "displayName": "mine"}},
}
# What takes a scope that nobody of a project has is refused before anything is looked for.
OPERATORS = {"GetProject", "UpdateProject"}
NOBODYS = {  # what has no name of anybody's in it
    "Execute", "ListExecutions", "CreatePackage", "ListPackages", "AnalyzeSource", "GetServerInfo", "CreateProject",
    "ListProjects", "CreateApiKey", "ListApiKeys",
}  # fmt: skip


def ids(method: MethodDescriptor) -> str:
    return f"{method.containing_service.name}.{method.name}"


def ask(server: Server, method: MethodDescriptor, body: dict[str, Any], *authorization: str) -> tuple[str, str]:
    """Call a method of the native address; return the code and the reason (or the answer as text)."""
    request = json_format.ParseDict(body, message_factory.GetMessageClass(method.input_type)())
    path = f"/{method.containing_service.full_name}/{method.name}"
    answers = message_factory.GetMessageClass(method.output_type).FromString
    call = server.channel.unary_stream if method.server_streaming else server.channel.unary_unary
    metadata = [("authorization", value) for value in authorization]
    serialize = type(request).SerializeToString
    try:
        answer: Any = call(path, serialize, answers)(request, metadata=metadata, timeout=30)
        return "OK", str(list(answer) if method.server_streaming else answer)
    except grpc.RpcError as error:
        details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
        reason = details.partition(b"\n")[2] if isinstance(details, bytes) else b""
        return error.code().name, f"{error.details()} {reason!r}"


@pytest.fixture(scope="module")
def theirs(polycall: Server) -> dict[str, str]:
    """What belongs to project default: a package, an execution with a secret in it, a key."""
    polycall.deploy("theirs", {"main.py": "def execute(input): return 'THEIR-SECRET'"}, version="1")
    run = execution_service_pb2.RunFunctionRequest(
        function="packages/theirs/functions/execute", input_json='{"input": 1}'
    )
    execution = polycall.executions.RunFunction(run, metadata=polycall.metadata)
    made = polycall.tenancy.CreateApiKey(tenancy_service_pb2.CreateApiKeyRequest(), metadata=polycall.metadata)
    assert "THEIR-SECRET" in execution.output_json
    return {"execution": execution.name, "key": made.api_key.name.removeprefix("apiKeys/"), "text": made.key}


@pytest.fixture(scope="module")
def stranger(polycall: Server) -> str:
    """A key with every right of another project."""
    kind = tenancy_service_pb2.ApiKey
    scopes = [kind.SCOPE_RUN, kind.SCOPE_READ, kind.SCOPE_DEPLOY, kind.SCOPE_ADMIN]
    return polycall.new_key(project="strangers", scopes=scopes)


@pytest.mark.parametrize("method", NATIVE, ids=ids)
def test_no_method_answers_without_a_key_that_is_valid_now(polycall: Server, method: MethodDescriptor) -> None:
    for authorization in ((), ("Bearer wrong",), ("Bearer ",), (polycall.key,), (f"Bearer {polycall.key}x",)):
        code, told = ask(polycall, method, {}, *authorization)
        assert (code, "API_KEY_" in told) == ("UNAUTHENTICATED", True)


@pytest.mark.parametrize("method", NATIVE, ids=ids)
def test_another_projects_things_do_not_exist(
    polycall: Server, theirs: dict[str, str], stranger: str, method: MethodDescriptor
) -> None:
    if method.name in NOBODYS:
        assert method.name not in ASKED
        return
    names = {"theirs": "nobody", theirs["key"]: "0" * 16, theirs["execution"]: f"executions/{uuid.uuid4()}"}
    text = json.dumps(ASKED[method.name]).replace("apiKeys/*", "apiKeys/" + theirs["key"])
    text = text.replace('"*"', json.dumps(theirs["execution"]))
    code, told = ask(polycall, method, json.loads(text), f"Bearer {stranger}")
    assert code == ("PERMISSION_DENIED" if method.name in OPERATORS else "NOT_FOUND")
    # and what is told is what is told of things that never existed
    for theirs_name, nobodys_name in names.items():
        text, told = text.replace(theirs_name, nobodys_name), told.replace(theirs_name, nobodys_name)
    assert ask(polycall, method, json.loads(text), f"Bearer {stranger}") == (code, told)


def test_lists_hold_nothing_of_another_project(polycall: Server, theirs: dict[str, str], stranger: str) -> None:
    for method in NATIVE:
        if method.name in ("ListExecutions", "ListPackages", "ListApiKeys"):
            code, told = ask(polycall, method, {}, f"Bearer {stranger}")
            assert code == "OK"
            assert not any(word in told for word in ("theirs", theirs["execution"], theirs["key"]))


def test_page_tokens_open_no_other_project(polycall: Server, theirs: dict[str, str], stranger: str) -> None:
    run = execution_service_pb2.RunFunctionRequest(function="packages/theirs/functions/execute", input_json="{}")
    for _ in range(2):
        polycall.executions.RunFunction(run, metadata=polycall.metadata)
    first = execution_service_pb2.ListExecutionsRequest(page_size=1)
    token = until(lambda: polycall.executions.ListExecutions(first, metadata=polycall.metadata).next_page_token)
    request = execution_service_pb2.ListExecutionsRequest(page_size=1000, page_token=token)
    with pytest.raises(grpc.RpcError) as refused:
        polycall.executions.ListExecutions(request, metadata=[("authorization", f"Bearer {stranger}")])
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_request_id_of_another_project_is_a_new_request(polycall: Server, stranger: str) -> None:
    request = execution_service_pb2.ExecuteRequest(
        code="def execute(input): return 'THEIR-SECRET'", request_id=str(uuid.uuid4())
    )
    first = polycall.executions.Execute(request, metadata=polycall.metadata)
    request.code = "def execute(input): return 'mine'"
    second = polycall.executions.Execute(request, metadata=[("authorization", f"Bearer {stranger}")])
    assert (first.output_json, second.output_json) == ('"THEIR-SECRET"', '"mine"')


@pytest.mark.parametrize("method", FACES, ids=ids)
def test_the_faces_services_are_not_on_the_native_address(polycall: Server, method: MethodDescriptor) -> None:
    """They take the gateway's word in headers; who could call them directly would speak for it."""
    metadata = [("authorization", f"Bearer {polycall.key}"), ("x-polycall-face", "riza"), ("df-api-key", polycall.key)]
    path = f"/{method.containing_service.full_name}/{method.name}"
    with pytest.raises(grpc.RpcError) as refused:
        polycall.channel.unary_unary(path)(b"", metadata=metadata, timeout=30)
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


def rest_routes(methods: list[MethodDescriptor]) -> Iterator[tuple[str, str]]:
    for method in methods:
        rule = method.GetOptions().Extensions[annotations_pb2.http]
        for binding in (rule, *rule.additional_bindings):
            if (verb := binding.WhichOneof("pattern")) is not None:  # some RPCs have no route
                yield verb.upper(), getattr(binding, verb)


def concrete(path: str) -> str:
    """Return a path of that template, with things of project default in it."""
    parts, rest = [], path
    while "{" in rest:
        head, _, rest = rest.partition("{")
        variable, _, rest = rest.partition("}")
        _, _, pattern = variable.partition("=")
        parts += [head, pattern.replace("*", "1") if pattern else "default" if variable == "project" else "1"]
    return "".join([*parts, rest])


# "No auth", by xpander's contract; it tells nothing but that somebody is there.
OPEN = {("GET", "/health")}


@pytest.mark.parametrize(("verb", "path"), sorted({*rest_routes([*NATIVE, *FACES])} - OPEN))
@pytest.mark.parametrize("key", [None, "wrong"])
def test_no_route_answers_without_a_key(polycall: Server, verb: str, path: str, key: str | None) -> None:
    headers = {"content-type": "application/json"}
    if key is not None:
        headers["authorization"] = f"Bearer {key}"
        headers |= dict.fromkeys(("df-api-key", "x-domo-developer-token", "x-api-key"), key)
    body = None if verb in ("GET", "DELETE") else b"{}"
    answer = polycall.http(verb, concrete(path), body=body, headers=headers)
    assert answer.status in (401, 403), answer
    assert polycall.key.encode() not in answer.body


def test_strangers_cannot_fill_the_servers_memory(polycall: Server) -> None:
    """Forty requests of 60 MB each: without a key none of them is read."""
    assert polycall.process is not None
    process = psutil.Process(polycall.process.pid)
    before, most = process.memory_info().rss, 0
    request = execution_service_pb2.ExecuteRequest(code="x" * 60_000_000).SerializeToString()
    channels = [
        grpc.insecure_channel(
            polycall.grpc, [("grpc.max_send_message_length", 1 << 27), ("grpc.use_local_subchannel_pool", 1)]
        )
        for _ in range(4)
    ]
    refused: list[grpc.StatusCode] = []

    def send(channel: grpc.Channel) -> None:
        call = channel.unary_unary("/polycall.v1.ExecutionService/Execute")
        sent = [call.future(request, metadata=[("authorization", "Bearer wrong")]) for _ in range(10)]
        refused.extend(answer.exception().code() for answer in sent)

    threads = [threading.Thread(target=send, args=(channel,)) for channel in channels]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        most = max(most, process.memory_info().rss)
        threads[0].join(0.01)
    for thread in threads:
        thread.join()
    for channel in channels:
        channel.close()
    assert refused == [grpc.StatusCode.UNAUTHENTICATED] * 40
    assert most - before < 400_000_000  # it was 3.4 GB when they were read


def test_strangers_cannot_use_up_the_files_that_runs_need(polycall: Server) -> None:
    """Each connection is one of the server's descriptors, each process of a run some six."""
    assert polycall.process is not None
    process = psutil.Process(polycall.process.pid)
    soft, hard = process.rlimit(psutil.RLIMIT_NOFILE)
    assert soft == (65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536))
    mine = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, mine[1]), mine[1]))
    before = process.num_fds()
    with contextlib.ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, mine)
        for _ in range(MOST_CONNECTIONS + 200):
            stack.enter_context(socket.create_connection(("127.0.0.1", polycall.grpc_port), timeout=10))
        until(lambda: process.num_fds() > before + MOST_CONNECTIONS // 2)
        run = execution_service_pb2.ExecuteRequest(code="def execute(input): return 1")
        for _ in range(3):
            assert polycall.executions.Execute(run, metadata=polycall.metadata).output_json == "1"
        assert process.num_fds() <= before + MOST_CONNECTIONS + 100
    until(lambda: process.num_fds() < before + 100)


def test_strangers_bodies_are_not_kept_by_the_server_nor_without_bound_by_the_gateway(polycall: Server) -> None:
    """Envoy holds a body until all of it has arrived: forty of 60 MB were 5 GB there and 9 GB in the server."""
    assert polycall.process is not None
    server = psutil.Process(polycall.process.pid)
    (envoy,) = envoys(polycall)
    before, most = server.memory_info().rss, [0, 0]
    body = b'{"code": "%s"}' % (b"x" * 60_000_000)
    head = b"POST /v1/execute-function HTTP/1.1\r\nhost: a\r\nauthorization: Bearer wrong\r\ncontent-length: %d\r\n\r\n"
    answers: list[bytes] = []

    def send() -> None:
        with socket.create_connection(("127.0.0.1", polycall.rest_port), timeout=60) as connection:
            try:
                connection.sendall(head % len(body) + body)
                answers.append(connection.recv(12))
            except OSError:
                answers.append(b"")  # closed: too much at once

    threads = [threading.Thread(target=send) for _ in range(40)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        most = [max(a, process.memory_info().rss) for a, process in zip(most, (server, envoy), strict=True)]
        threads[0].join(0.02)
    assert set(answers) <= {b"HTTP/1.1 401", b"HTTP/1.1 503", b""}
    assert len(answers) == 40
    assert most[0] - before < 200_000_000
    assert most[1] < 2_000_000_000
    # and the gateway serves on
    until(lambda: polycall.http("GET", "/healthz").status == 200)
