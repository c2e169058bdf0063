"""SecretService on a real server: values go in, are used, and never come out."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

import pytest
from google.protobuf import field_mask_pb2, timestamp_pb2

from polycall.errors import Code
from polycall.v1 import (
    execution_pb2,
    execution_service_pb2,
    key_service_pb2,
    package_pb2,
    package_service_pb2,
    secret_pb2,
    secret_service_pb2,
    tenancy_service_pb2,
)
from tests.harness import Server
from tests.integration.native import bad_fields, refusal

S = 30.0
VALUE = "hunter2-\u00e9-that-nobody-reads"
READS = "import os\ndef execute(input): return os.environ['TOKEN']"


def do(server: Server, method: str, request: Any, key: str | None = None) -> Any:
    metadata = [("authorization", f"Bearer {key or server.key}")]
    return getattr(server.secrets, method)(request, metadata=metadata, timeout=S)


def create(server: Server, value: str = VALUE, name: str = "a token", **fields: Any) -> secret_pb2.Secret:
    secret = secret_pb2.Secret(display_name=name, value=value)
    made: secret_pb2.Secret = do(
        server, "CreateSecret", secret_service_pb2.CreateSecretRequest(secret=secret, **fields)
    )
    return made


def update(server: Server, secret: secret_pb2.Secret, *paths: str) -> secret_pb2.Secret:
    request = secret_service_pb2.UpdateSecretRequest(
        secret=secret, update_mask=field_mask_pb2.FieldMask(paths=paths) if paths else None
    )
    changed: secret_pb2.Secret = do(server, "UpdateSecret", request)
    return changed


def execute(server: Server, secret: str) -> execution_pb2.Execution:
    request = execution_service_pb2.ExecuteRequest(code=READS, secret_env={"TOKEN": secret})
    answer: execution_pb2.Execution = server.executions.Execute(request, metadata=server.metadata, timeout=S)
    return answer


def test_a_secret_lives_and_dies_and_its_value_is_told_to_nobody(polycall: Server) -> None:
    made = create(polycall)
    assert made.name.startswith("secrets/")
    assert (made.display_name, made.value, made.face) == ("a token", "", "")
    assert abs(made.create_time.ToMilliseconds() / 1000 - time.time()) < 60
    assert made.update_time == made.create_time
    assert do(polycall, "GetSecret", secret_service_pb2.GetSecretRequest(name=made.name)) == made
    assert made in do(polycall, "ListSecrets", secret_service_pb2.ListSecretsRequest(page_size=1000)).secrets

    renamed = update(polycall, secret_pb2.Secret(name=made.name, display_name="another", value="x"), "display_name")
    assert (renamed.display_name, renamed.update_time) == ("another", made.update_time)
    assert json.loads(execute(polycall, made.name).output_json) == VALUE
    changed = update(polycall, secret_pb2.Secret(name=made.name, value="new"))
    assert (changed.display_name, changed.value) == ("another", "")
    assert changed.update_time.ToNanoseconds() >= made.update_time.ToNanoseconds()
    assert json.loads(execute(polycall, made.name).output_json) == "new"

    do(polycall, "DeleteSecret", secret_service_pb2.DeleteSecretRequest(name=made.name))
    for method, request in (
        ("GetSecret", secret_service_pb2.GetSecretRequest(name=made.name)),
        ("DeleteSecret", secret_service_pb2.DeleteSecretRequest(name=made.name)),
        ("UpdateSecret", secret_service_pb2.UpdateSecretRequest(secret=made)),
    ):
        gone = refusal(lambda method=method, request=request: do(polycall, method, request))  # type: ignore[misc]
        assert (gone.code, gone.reason, gone.metadata) == (Code.NOT_FOUND, "SECRET_NOT_FOUND", {"resource": made.name})
    unusable = refusal(lambda: execute(polycall, made.name))
    assert (unusable.code, unusable.reason) == (Code.FAILED_PRECONDITION, "SECRET_UNUSABLE")
    assert unusable.metadata == {"secret": made.name}
    assert unusable.message == f"{made.name} is referred to and does not exist in this project; create it."
    assert VALUE not in polycall.log.read_text()


def test_an_id_may_be_chosen_and_is_taken_once(polycall: Server) -> None:
    id = f"my secret/{uuid.uuid4().hex[:8]}"
    checked = create(polycall, secret_id=id, validate_only=True)
    made = create(polycall, secret_id=id)
    assert checked.name == made.name == f"secrets/my%20secret%2F{id[-8:]}"
    taken = refusal(lambda: create(polycall, secret_id=id))
    assert (taken.code, taken.reason) == (Code.ALREADY_EXISTS, "ALREADY_EXISTS")
    assert json.loads(execute(polycall, made.name).output_json) == VALUE


def test_a_repeated_creation_is_made_once(polycall: Server) -> None:
    token = str(uuid.uuid4())
    assert create(polycall, request_id=token) == create(polycall, request_id=token)


def test_secrets_are_listed_newest_first_in_pages(polycall: Server) -> None:
    project = f"p-{uuid.uuid4().hex[:8]}"
    scopes = tenancy_service_pb2.ApiKey
    key = polycall.new_key(project=project, scopes=[scopes.SCOPE_READ, scopes.SCOPE_DEPLOY])
    names = []
    for number in range(3):
        secret = secret_pb2.Secret(display_name=str(number), value="v")
        names.append(do(polycall, "CreateSecret", secret_service_pb2.CreateSecretRequest(secret=secret), key).name)
    page = do(polycall, "ListSecrets", secret_service_pb2.ListSecretsRequest(page_size=2), key)
    request = secret_service_pb2.ListSecretsRequest(page_size=2, page_token=page.next_page_token)
    rest = do(polycall, "ListSecrets", request, key)
    assert sorted(secret.name for answer in (page, rest) for secret in answer.secrets) == sorted(names)
    assert (len(page.secrets), rest.next_page_token) == (2, "")
    stranger = refusal(lambda: do(polycall, "ListSecrets", request))
    assert set(bad_fields(stranger)) == {"page_token"}


def test_a_version_names_secrets_and_shows_the_names(polycall: Server) -> None:
    made = create(polycall)
    package = f"secret-{uuid.uuid4().hex[:8]}"
    request = package_service_pb2.CreateVersionRequest(
        parent=f"packages/{package}",
        version=package_pb2.Version(secret_env={"TOKEN": made.name}, env={"A": "1"}),
        files=package_pb2.SourceFiles(
            files=[package_pb2.SourceFile(path="main.py", contents=READS.replace("input", "x=0").encode())]
        ),
        create_package=True,
    )
    version = polycall.packages.CreateVersion(request, metadata=polycall.metadata, timeout=S)
    assert (dict(version.secret_env), dict(version.env)) == ({"TOKEN": made.name}, {"A": "1"})
    run = execution_service_pb2.RunFunctionRequest(function=f"packages/{package}/functions/execute")
    runner = [("authorization", f"Bearer {polycall.new_key()}")]  # run and read: the deployer has decided
    for value in (VALUE, "new"):
        answer = polycall.executions.RunFunction(run, metadata=runner, timeout=S)
        assert json.loads(answer.output_json) == value
        update(polycall, secret_pb2.Secret(name=made.name, value="new"))
    do(polycall, "DeleteSecret", secret_service_pb2.DeleteSecretRequest(name=made.name))
    unusable = refusal(lambda: polycall.executions.RunFunction(run, metadata=runner, timeout=S))
    assert (unusable.code, unusable.reason) == (Code.FAILED_PRECONDITION, "SECRET_UNUSABLE")


def test_naming_a_secret_in_a_request_takes_the_scope_deploy(polycall: Server) -> None:
    made = create(polycall)
    request = execution_service_pb2.ExecuteRequest(code=READS, secret_env={"TOKEN": made.name})
    runner = [("authorization", f"Bearer {polycall.new_key()}")]
    denied = refusal(lambda: polycall.executions.Execute(request, metadata=runner, timeout=S))
    assert (denied.code, denied.metadata) == (Code.PERMISSION_DENIED, {"scope": "deploy"})


@pytest.mark.parametrize(
    ("method", "request_", "fields"),
    [
        (
            "CreateSecret",
            secret_service_pb2.CreateSecretRequest(secret_id="-", request_id="x"),
            {"secret_id", "request_id"},
        ),
        ("CreateSecret", secret_service_pb2.CreateSecretRequest(), {"secret.display_name", "secret.value"}),
        (
            "CreateSecret",
            secret_service_pb2.CreateSecretRequest(secret=secret_pb2.Secret(display_name="n", value=VALUE * 4000)),
            {"secret.value"},
        ),
        (
            "CreateSecret",
            secret_service_pb2.CreateSecretRequest(
                secret=secret_pb2.Secret(display_name="n" * 257, value=VALUE + "\0")
            ),
            {"secret.display_name", "secret.value"},
        ),
        ("GetSecret", secret_service_pb2.GetSecretRequest(name=VALUE), {"name"}),
        ("GetSecret", secret_service_pb2.GetSecretRequest(name="secrets/"), {"name"}),
        ("ListSecrets", secret_service_pb2.ListSecretsRequest(page_size=-1), {"page_size"}),
        ("ListSecrets", secret_service_pb2.ListSecretsRequest(page_token="x"), {"page_token"}),
        (
            "UpdateSecret",
            secret_service_pb2.UpdateSecretRequest(update_mask=field_mask_pb2.FieldMask(paths=["value", "name"])),
            {"secret.name", "update_mask.paths[1]"},
        ),
        (
            "UpdateSecret",
            secret_service_pb2.UpdateSecretRequest(
                secret=secret_pb2.Secret(name="secrets/s"), update_mask=field_mask_pb2.FieldMask(paths=["*"])
            ),
            {"secret.display_name", "secret.value"},
        ),
    ],
    ids=[*(f"create {n}" for n in range(4)), "get", "get none", "list size", "list token", "update mask", "update all"],
)
def test_bad_input_is_named_and_never_quoted(polycall: Server, method: str, request_: Any, fields: set[str]) -> None:
    refused = refusal(lambda: do(polycall, method, request_))
    assert set(bad_fields(refused)) == fields
    assert "hunter2" not in refused.message
    assert not any("hunter2" in description for description in bad_fields(refused).values())


def test_references_that_cannot_be_are_named_and_never_quoted(polycall: Server) -> None:
    kinds = execution_pb2.Credential
    rule = execution_pb2.EgressRule(
        host="api.example.com",
        credentials=[
            kinds(bearer=kinds.Bearer(token="t", secret="secrets/s")),
            kinds(query=kinds.Query(key="k", secret=VALUE)),
        ],
    )
    request = execution_service_pb2.ExecuteRequest(
        code=READS, secret_env={"A": VALUE, "B": "packages/p"}, egress=execution_pb2.EgressPolicy(rules=[rule])
    )
    refused = refusal(lambda: polycall.executions.Execute(request, metadata=polycall.metadata, timeout=S))
    assert set(bad_fields(refused)) == {
        "egress.rules[0].credentials[1].query.secret",
        "secret_env['A']",
        "secret_env['B']",
    }
    assert "hunter2" not in refused.message
    request.secret_env["A"] = request.secret_env["B"] = "secrets/s"
    request.env["A"] = "1"
    rule.credentials[1].query.secret = "secrets/s"
    request.egress.rules[0].CopyFrom(rule)
    refused = refusal(lambda: polycall.executions.Execute(request, metadata=polycall.metadata, timeout=S))
    assert set(bad_fields(refused)) == {"egress.rules[0].credentials[0].bearer.token", "secret_env['A']"}


def test_secrets_are_kept_by_rest_too(polycall: Server) -> None:
    def send(method: str, path: str, body: Any = None) -> Any:
        headers = {"authorization": f"Bearer {polycall.key}", "content-type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        answer = polycall.http(method, f"/polycall/v1{path}", body=data, headers=headers)
        assert answer.status == 200, answer.body
        return answer.json()

    made = send("POST", "/secrets", {"secret": {"displayName": "rest", "value": VALUE}})
    assert set(made) == {"name", "displayName", "createTime", "updateTime"}
    assert send("GET", f"/{made['name']}") == made
    assert made in send("GET", "/secrets?pageSize=1000")["secrets"]
    changed = send("PATCH", f"/{made['name']}", {"value": "new"})
    assert changed | {"updateTime": ""} == made | {"updateTime": ""}
    code = {"code": READS, "secretEnv": {"TOKEN": made["name"]}}
    assert send("POST", "/executions:execute", code)["outputJson"] == '"new"'
    assert send("DELETE", f"/{made['name']}") == {}


def test_a_key_is_shown_without_its_text_by_either_service(polycall: Server) -> None:
    request = tenancy_service_pb2.CreateApiKeyRequest(
        display_name="shown", expire_time=timestamp_pb2.Timestamp(seconds=int(time.time()) + 3600)
    )
    made = polycall.keys.CreateApiKey(request, metadata=polycall.metadata, timeout=S)
    asked = key_service_pb2.GetApiKeyRequest(name=made.api_key.name)
    assert polycall.keys.GetApiKey(asked, metadata=polycall.metadata, timeout=S) == made.api_key
    answer = polycall.http(
        "GET", f"/polycall/v1/{made.api_key.name}", headers={"authorization": f"Bearer {polycall.key}"}
    )
    assert answer.json()["displayName"] == "shown"
    listed = tenancy_service_pb2.ListApiKeysRequest()
    both = [
        stub.ListApiKeys(listed, metadata=polycall.metadata, timeout=S) for stub in (polycall.keys, polycall.tenancy)
    ]
    assert [[key.name for key in answer.api_keys] for answer in both] == [[key.name for key in both[0].api_keys]] * 2
    unknown = key_service_pb2.GetApiKeyRequest(name="apiKeys/0123456789abcdef")
    gone = refusal(lambda: polycall.keys.GetApiKey(unknown, metadata=polycall.metadata, timeout=S))
    assert (gone.code, gone.reason) == (Code.NOT_FOUND, "API_KEY_NOT_FOUND")
