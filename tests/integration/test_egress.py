"""Egress through the contracts: a policy goes in, requests are on the record, no secret comes out anywhere."""

from __future__ import annotations

import base64
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from rizaio import Riza as Client

from polycall.v1 import (
    execution_pb2,
    execution_service_pb2,
    package_pb2,
    package_service_pb2,
    secret_pb2,
    secret_service_pb2,
)
from tests.contracts.riza.driver import Riza
from tests.harness import Server, running_server
from tests.sandbox.egress.outside import Certificates, Site, site

SECRETS = {kind: f"{kind}-that-nobody-sees" for kind in ("password", "token", "value", "parameter")}
CODE = """
import json, urllib.request
def execute(url):
    with urllib.request.urlopen(url, timeout=20) as answer:
        return json.load(answer)
"""


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("egress")


@pytest.fixture(scope="module")
def certificates(directory: Path) -> Certificates:
    return Certificates(directory)


@pytest.fixture(scope="module")
def upstream(certificates: Certificates) -> Iterator[Site]:
    with site(certificates.server("localhost")) as found:
        yield found


@pytest.fixture(scope="module")
def environment(certificates: Certificates) -> dict[str, str]:
    return {
        "POLYCALL_EGRESS_NETWORKS": "127.0.0.0/8, ::1/128",
        "POLYCALL_EGRESS_CA_FILE": str(certificates.authority),
    }


@pytest.fixture(scope="module")
def server(directory: Path, environment: dict[str, str]) -> Iterator[Server]:
    with running_server(directory / "data", **environment) as found:
        yield found


def policy(host: str) -> execution_pb2.EgressPolicy:
    kinds = execution_pb2.Credential
    credentials = [
        kinds(basic=kinds.Basic(user_id="user", password=SECRETS["password"])),
        kinds(header=kinds.Header(name="X-Api-Key", value=SECRETS["value"])),
        kinds(query=kinds.Query(key="api_key", value=SECRETS["parameter"])),
    ]
    return execution_pb2.EgressPolicy(rules=[execution_pb2.EgressRule(host=host, credentials=credentials)])


def check_upstream(upstream: Site) -> None:
    (request,) = upstream.seen
    upstream.seen.clear()
    pair = base64.b64encode(f"user:{SECRETS['password']}".encode()).decode()
    assert request.all("authorization") == [f"Basic {pair}"]
    assert request.all("x-api-key") == [SECRETS["value"]]
    assert request.path == f"/a?x=1&api_key={SECRETS['parameter']}"


def test_code_reaches_what_it_may_and_the_record_says_so(server: Server, upstream: Site) -> None:
    host = f"localhost:{upstream.port}"
    url = f"https://{host}/a?x=1"
    request = execution_service_pb2.ExecuteRequest(code=CODE, input_json=f'"{url}"', egress=policy(host))
    answer = server.executions.Execute(request, metadata=server.metadata)
    assert answer.state == execution_pb2.Execution.STATE_COMPLETED, answer
    check_upstream(upstream)
    kept = server.executions.GetExecution(
        execution_service_pb2.GetExecutionRequest(name=answer.name), metadata=server.metadata
    )
    (made,) = kept.outbound_requests.requests
    assert kept.outbound_requests == answer.outbound_requests
    assert (made.host, made.port, made.method, made.status) == ("localhost", upstream.port, "GET", 200)
    assert (made.received_bytes, made.refused) == (len(answer.output_json), "")


def test_a_host_that_is_not_allowed_is_on_the_record_too(server: Server, upstream: Site) -> None:
    request = execution_service_pb2.ExecuteRequest(
        code=CODE, input_json='"https://example.org/"', egress=policy(f"localhost:{upstream.port}")
    )
    answer = server.executions.Execute(request, metadata=server.metadata)
    assert answer.error.message.endswith("403 example.org is not among the hosts that this run may reach>")
    (made,) = answer.outbound_requests.requests
    assert (made.host, made.method, made.HasField("status")) == ("example.org", "CONNECT", False)
    assert made.refused == "example.org is not among the hosts that this run may reach"


def test_a_version_keeps_its_policy_and_shows_no_secret(
    server: Server, upstream: Site, directory: Path, environment: dict[str, str]
) -> None:
    host = f"localhost:{upstream.port}"
    version = package_service_pb2.CreateVersionRequest(
        parent="packages/egress",
        version_id="1",
        version=package_pb2.Version(egress=policy(host)),
        files=package_pb2.SourceFiles(
            files=[package_pb2.SourceFile(path="main.py", contents=CODE.replace("execute(url)", "get(url)").encode())]
        ),
        create_package=True,
        release=True,
    )
    made = server.packages.CreateVersion(version, metadata=server.metadata)
    shown = server.packages.GetVersion(package_service_pb2.GetVersionRequest(name=made.name), metadata=server.metadata)
    for answer in (made, shown):
        (rule,) = answer.egress.rules
        assert rule.host == host
        assert [one.WhichOneof("kind") for one in rule.credentials] == ["basic", "header", "query"]
        assert rule.credentials[1].header == execution_pb2.Credential.Header(name="X-Api-Key")
        assert not any(secret in str(answer) for secret in SECRETS.values())

    run = execution_service_pb2.RunFunctionRequest(
        function="packages/egress/functions/get", input_json=f'{{"url":"https://{host}/a?x=1"}}'
    )
    for _ in range(2):  # the second by a warm worker
        answer = server.executions.RunFunction(run, metadata=server.metadata)
        assert answer.state == execution_pb2.Execution.STATE_COMPLETED, answer
        check_upstream(upstream)
        assert len(answer.outbound_requests.requests) == 1

    call = execution_service_pb2.CallRequest(function=run.function, input_json=run.input_json)
    accepted = server.executions.Call(call, metadata=server.metadata)
    answer = server.executions.WaitExecution(
        execution_service_pb2.WaitExecutionRequest(name=accepted.name), metadata=server.metadata
    )
    assert [one.status for one in answer.outbound_requests.requests] == [200], answer
    check_upstream(upstream)

    # another server with another key does not start, or is told to: then the version says why it cannot run
    server.terminate()
    other = base64.b64encode(bytes(32)).decode()
    with pytest.raises(AssertionError, match="was sealed with a key that this server does not have") as refused:
        Server(server.data_dir, environment={**environment, "POLYCALL_ENCRYPTION_KEY": other}).start()
    found = re.search(r"POLYCALL_LOST_ENCRYPTION_KEYS=(\w+)", str(refused.value))
    assert found is not None
    without = {**environment, "POLYCALL_ENCRYPTION_KEY": other, "POLYCALL_LOST_ENCRYPTION_KEYS": found[1]}
    with running_server(server.data_dir, **without) as stranger:
        with pytest.raises(grpc.RpcError) as caught:
            stranger.executions.RunFunction(run, metadata=stranger.metadata)
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert "was sealed with another key" in caught.value.details()
    server.start()
    answer = server.executions.RunFunction(run, metadata=server.metadata)
    assert answer.state == execution_pb2.Execution.STATE_COMPLETED, answer
    check_upstream(upstream)

    for path in [*server.data_dir.glob("polycall.db*"), server.log]:
        data = path.read_bytes()
        assert not any(secret.encode() in data for secret in SECRETS.values()), path
    with sqlite3.connect(server.data_dir / "polycall.db") as database:
        (kept,) = database.execute("SELECT egress FROM versions").fetchone()
    assert host in kept
    assert (server.data_dir / "encryption.key").stat().st_mode & 0o777 == 0o600


def test_a_run_that_is_cancelled_keeps_its_record(server: Server, upstream: Site) -> None:
    host = f"localhost:{upstream.port}"
    code = CODE.replace("return json.load(answer)", "print(answer.status, flush=True)\n    import time; time.sleep(60)")
    request = execution_service_pb2.StreamExecutionRequest(
        execute=execution_service_pb2.ExecuteRequest(code=code, input_json=f'"https://{host}/a"', egress=policy(host))
    )
    name = ""
    for event in server.executions.StreamExecution(request, metadata=server.metadata):
        name = name or event.started.name
        if event.WhichOneof("event") == "output":
            server.executions.CancelExecution(
                execution_service_pb2.CancelExecutionRequest(name=name), metadata=server.metadata
            )
    upstream.seen.clear()
    kept = server.executions.GetExecution(
        execution_service_pb2.GetExecutionRequest(name=name), metadata=server.metadata
    )
    assert kept.state == execution_pb2.Execution.STATE_CANCELLED
    assert [made.status for made in kept.outbound_requests.requests] == [200]


def test_riza_adds_every_kind_of_credential(server: Server, upstream: Site) -> None:
    host = f"localhost:{upstream.port}"
    auth: dict[str, Any] = {
        "basic": {"user_id": "user", "password": SECRETS["password"]},
        "bearer": {"token": SECRETS["token"]},
        "header": {"name": "X-Api-Key", "value": SECRETS["value"]},
        "query": {"key": "api_key", "value": SECRETS["parameter"]},
    }
    riza = Riza(server, server.key)
    result = riza.run(CODE, input=f"https://{host}/a", http={"allow": [{"host": host, "auth": auth}]})
    assert result.ending == ("valid", 0), result
    (request,) = upstream.seen
    upstream.seen.clear()
    assert request.all("authorization") == [f"Bearer {SECRETS['token']}"]  # wins over basic
    assert request.all("x-api-key") == [SECRETS["value"]]
    assert request.path == f"/a?api_key={SECRETS['parameter']}"


def test_a_riza_tool_sends_a_secret_that_the_upstream_alone_sees(server: Server, upstream: Site) -> None:
    host = f"localhost:{upstream.port}"
    code = """
import os, urllib.request
def execute(url):
    request = urllib.request.Request(url)
    status = urllib.request.urlopen(request, timeout=20).status
    seen = open("/proc/self/environ").read() + str(dict(os.environ)) + str(request.header_items())
    return [status, seen]
"""
    with Client(api_key=server.key, base_url=server.rest, _strict_response_validation=True) as client:
        ids = {kind: client.secrets.create(name=kind, value=value).id for kind, value in SECRETS.items()}
        tool = client.tools.create(code=code, language="python", name="fetch")
        kinds: dict[str, Any] = {
            "bearer": {"secret_id": ids["token"], "token": "loses"},
            "query": {"key": "api_key", "secret_id": ids["parameter"]},
        }
        for auth in (kinds, {"basic": {"user_id": "user", "secret_id": ids["password"]}}):
            allow: Any = [{"host": host, "auth": auth}]
            ran = client.tools.exec(tool.id, input=f"https://{host}/a", http={"allow": allow})
            assert ran.output_status == "valid", ran
            shown = client.executions.get(ran.execution.id).to_json()
            assert not any(secret in shown for secret in SECRETS.values())
            assert shown.count("***") == len(auth)
    first, second = upstream.seen
    upstream.seen.clear()
    assert first.all("authorization") == [f"Bearer {SECRETS['token']}"]
    assert first.path == f"/a?api_key={SECRETS['parameter']}"
    pair = base64.b64encode(f"user:{SECRETS['password']}".encode()).decode()
    assert (second.all("authorization"), second.path) == ([f"Basic {pair}"], "/a")
    riza = Riza(server, server.key)
    header = {"header": {"name": "X-Api-Key", "secret_id": ids["value"]}}  # not in the SDK
    body = {"input": f"https://{host}/a", "http": {"allow": [{"host": host, "auth": header}]}}
    assert riza.ask("POST", f"/v1/tools/{tool.id}/execute", body).json()["output"][0] == 200
    (request,) = upstream.seen
    upstream.seen.clear()
    assert request.all("x-api-key") == [SECRETS["value"]]
    broken = riza.ask("POST", "/v1/secrets", {"name": "n", "value": "line\nfeed"}).json()["id"]
    body = {"http": {"allow": [{"host": host, "auth": {"bearer": {"secret_id": broken}}}]}}
    status, code_, message = riza.refused(riza.ask("POST", f"/v1/tools/{tool.id}/execute", body))
    assert (status, code_) == (400, 9)
    assert "line" not in message


def test_a_credential_may_name_a_secret_whose_value_the_upstream_alone_sees(server: Server, upstream: Site) -> None:
    host = f"localhost:{upstream.port}"
    for secret_id, value in (("token", SECRETS["token"]), ("parameter", SECRETS["parameter"])):
        secret = secret_pb2.Secret(display_name=secret_id, value=value)
        request = secret_service_pb2.CreateSecretRequest(secret_id=secret_id, secret=secret)
        made = server.secrets.CreateSecret(request, metadata=server.metadata)
        assert value not in str(made)
    kinds = execution_pb2.Credential
    named = execution_pb2.EgressPolicy(
        rules=[
            execution_pb2.EgressRule(
                host=host,
                credentials=[
                    kinds(bearer=kinds.Bearer(secret="secrets/token")),
                    kinds(query=kinds.Query(key="api_key", secret="secrets/parameter")),
                ],
            )
        ]
    )
    url = f"https://{host}/a?x=1"
    answer = server.executions.Execute(
        execution_service_pb2.ExecuteRequest(code=CODE, input_json=f'"{url}"', egress=named), metadata=server.metadata
    )
    assert answer.state == execution_pb2.Execution.STATE_COMPLETED, answer
    version = package_service_pb2.CreateVersionRequest(
        parent="packages/named",
        version=package_pb2.Version(egress=named),
        files=package_pb2.SourceFiles(
            files=[package_pb2.SourceFile(path="main.py", contents=CODE.replace("execute(url)", "get(url)").encode())]
        ),
        create_package=True,
    )
    assert server.packages.CreateVersion(version, metadata=server.metadata).egress == named
    run = execution_service_pb2.RunFunctionRequest(
        function="packages/named/functions/get", input_json=f'{{"url":"{url}"}}'
    )
    assert server.executions.RunFunction(run, metadata=server.metadata).state == execution_pb2.Execution.STATE_COMPLETED
    for request_ in upstream.seen:
        assert request_.all("authorization") == [f"Bearer {SECRETS['token']}"]
        assert request_.path == f"/a?x=1&api_key={SECRETS['parameter']}"
    assert len(upstream.seen) == 2
    upstream.seen.clear()


def test_what_is_wrong_with_a_policy_is_named(server: Server) -> None:
    kinds = execution_pb2.Credential
    rules = [
        execution_pb2.EgressRule(host="https://example.com"),
        execution_pb2.EgressRule(host="*", credentials=[kinds(bearer=kinds.Bearer(token="t"))]),
        execution_pb2.EgressRule(host="h", credentials=[kinds(header=kinds.Header(name="Host", value="v"))]),
    ]
    request = execution_service_pb2.ExecuteRequest(code=CODE, egress=execution_pb2.EgressPolicy(rules=rules))
    with pytest.raises(grpc.RpcError) as caught:
        server.executions.Execute(request, metadata=server.metadata)
    words = caught.value.details()
    for field in ("egress.rules[0].host", "egress.rules[1].host", "egress.rules[2].credentials[0].header.name"):
        assert f"{field}: must" in words
