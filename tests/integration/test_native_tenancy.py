"""TenancyService and who may do what, on a real server."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf import field_mask_pb2, timestamp_pb2

from polycall.errors import Code
from polycall.v1 import (
    execution_service_pb2,
    key_service_pb2,
    package_pb2,
    package_service_pb2,
    secret_pb2,
    secret_service_pb2,
    server_service_pb2,
    server_service_pb2_grpc,
    tenancy_service_pb2,
)
from tests.harness import Server, until
from tests.integration.native import bad_fields, refusal

S = 30.0
Key = tenancy_service_pb2.ApiKey


def bearer(key: str) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {key}")]


def do(server: Server, method: str, request: Any, key: str | None = None) -> Any:
    stub = server.tenancy if method.endswith(("Project", "Projects")) else server.keys
    return getattr(stub, method)(request, metadata=bearer(key or server.key), timeout=S)


def new_key(server: Server, key: str | None = None, **fields: Any) -> Any:
    return do(server, "CreateApiKey", tenancy_service_pb2.CreateApiKeyRequest(**fields), key)


def info(server: Server, key: str) -> Any:
    stub = server_service_pb2_grpc.ServerServiceStub(server.channel)
    return stub.GetServerInfo(server_service_pb2.GetServerInfoRequest(), metadata=bearer(key), timeout=S)


def new_project(server: Server) -> str:
    id = f"p-{uuid.uuid4().hex[:8]}"
    do(server, "CreateProject", tenancy_service_pb2.CreateProjectRequest(project_id=id))
    return id


def test_a_project_is_made_and_listed(polycall: Server) -> None:
    id = f"p-{uuid.uuid4().hex[:8]}"
    request = tenancy_service_pb2.CreateProjectRequest(
        project_id=id, project=tenancy_service_pb2.Project(display_name="Team")
    )
    made = do(polycall, "CreateProject", request)
    assert (made.name, made.display_name) == (f"projects/{id}", "Team")
    assert abs(made.create_time.ToMilliseconds() / 1000 - time.time()) < 60
    listed = do(polycall, "ListProjects", tenancy_service_pb2.ListProjectsRequest()).projects
    assert made in listed
    names = [project.name for project in listed]
    assert "projects/default" in names
    assert names == sorted(names)
    again = refusal(lambda: do(polycall, "CreateProject", request))
    assert (again.code, again.reason) == (Code.ALREADY_EXISTS, "ALREADY_EXISTS")
    bad = tenancy_service_pb2.CreateProjectRequest(
        project_id="Bad", project=tenancy_service_pb2.Project(display_name="x" * 257)
    )
    assert set(bad_fields(refusal(lambda: do(polycall, "CreateProject", bad)))) == {
        *("project_id", "project.display_name"),
    }


def test_a_key_is_told_once_and_works_until_it_is_revoked(polycall: Server) -> None:
    made = new_key(polycall, display_name="ci")
    assert made.key.startswith("pc_")
    assert made.api_key.display_name == "ci"
    assert list(made.api_key.scopes) == [Key.SCOPE_RUN, Key.SCOPE_READ]
    assert made.api_key.project == "projects/default"
    assert not made.api_key.HasField("revoke_time")
    info(polycall, made.key)

    listed = do(polycall, "ListApiKeys", tenancy_service_pb2.ListApiKeysRequest()).api_keys
    assert made.api_key.name in [key.name for key in listed]
    assert made.key not in str(listed)

    request = tenancy_service_pb2.RevokeApiKeyRequest(name=made.api_key.name)
    revoked = do(polycall, "RevokeApiKey", request)
    assert revoked.HasField("revoke_time")
    assert do(polycall, "RevokeApiKey", request).revoke_time == revoked.revoke_time
    refused = refusal(lambda: info(polycall, made.key))
    assert (refused.code, refused.reason) == (Code.UNAUTHENTICATED, "API_KEY_INVALID")


def test_a_key_ends_when_it_expires(polycall: Server) -> None:
    soon = timestamp_pb2.Timestamp()
    soon.FromMilliseconds(int(time.time() * 1000) + 1_000)
    made = new_key(polycall, expire_time=soon)
    until(lambda: time.time() > soon.ToMilliseconds() / 1000, what="the expiry")
    assert refusal(lambda: info(polycall, made.key)).reason == "API_KEY_INVALID"
    assert bad_fields(refusal(lambda: new_key(polycall, expire_time=soon))) == {"expire_time": "must lie in the future"}


def test_a_key_that_is_no_key_of_ours_is_refused(polycall: Server) -> None:
    for key in ("x", "pc_0000_0000", polycall.key + "x", "x" * 5000):
        refused = refusal(lambda key=key: info(polycall, key))  # type: ignore[misc]
        assert (refused.code, refused.reason, refused.details) == (Code.UNAUTHENTICATED, "API_KEY_INVALID", {})


def test_what_does_not_exist_cannot_be_revoked(polycall: Server) -> None:
    request = tenancy_service_pb2.RevokeApiKeyRequest(name="apiKeys/0123456789abcdef")
    refused = refusal(lambda: do(polycall, "RevokeApiKey", request))
    assert (refused.code, refused.reason) == (Code.NOT_FOUND, "API_KEY_NOT_FOUND")
    unknown = refusal(lambda: new_key(polycall, project="projects/no-such"))
    assert (unknown.code, unknown.reason) == (Code.NOT_FOUND, "PROJECT_NOT_FOUND")


# scopes

SCOPES: dict[int, str] = {
    Key.SCOPE_RUN: "run",
    Key.SCOPE_READ: "read",
    Key.SCOPE_DEPLOY: "deploy",
    Key.SCOPE_ADMIN: "admin",
    Key.SCOPE_OPERATOR: "operator",
}
FUNCTION = "packages/native-scopes/functions/f"
VERSION = "packages/native-scopes/versions/1"
NOBODY = f"executions/{uuid.UUID(int=7)}"
E_, P, S_, K, T = "executions", "packages", "secrets", "keys", "tenancy"
RULES: list[tuple[str, str, Any, int]] = [
    (E_, "Execute", execution_service_pb2.ExecuteRequest(code="def execute(input): ..."), Key.SCOPE_RUN),
    (E_, "RunFunction", execution_service_pb2.RunFunctionRequest(function=FUNCTION), Key.SCOPE_RUN),
    (E_, "Call", execution_service_pb2.CallRequest(function=FUNCTION), Key.SCOPE_RUN),
    (E_, "CancelExecution", execution_service_pb2.CancelExecutionRequest(name=NOBODY), Key.SCOPE_RUN),
    (E_, "GetExecution", execution_service_pb2.GetExecutionRequest(name=NOBODY), Key.SCOPE_READ),
    (E_, "WaitExecution", execution_service_pb2.WaitExecutionRequest(name=NOBODY), Key.SCOPE_READ),
    (E_, "ListExecutions", execution_service_pb2.ListExecutionsRequest(), Key.SCOPE_READ),
    (E_, "StreamExecution", execution_service_pb2.StreamExecutionRequest(name=NOBODY), Key.SCOPE_READ),
    (
        E_,
        "StreamExecution",
        execution_service_pb2.StreamExecutionRequest(execute=execution_service_pb2.ExecuteRequest(code="x = 1")),
        Key.SCOPE_RUN,
    ),
    (P, "GetPackage", package_service_pb2.GetPackageRequest(name="packages/no-such"), Key.SCOPE_READ),
    (P, "ListPackages", package_service_pb2.ListPackagesRequest(), Key.SCOPE_READ),
    (P, "GetVersion", package_service_pb2.GetVersionRequest(name=VERSION, include_source=True), Key.SCOPE_READ),
    (P, "ListVersions", package_service_pb2.ListVersionsRequest(parent="packages/no-such"), Key.SCOPE_READ),
    (P, "CreatePackage", package_service_pb2.CreatePackageRequest(package_id="native-scopes"), Key.SCOPE_DEPLOY),
    (
        P,
        "UpdatePackage",
        package_service_pb2.UpdatePackageRequest(
            package=package_pb2.Package(name="packages/native-scopes"),
            update_mask=field_mask_pb2.FieldMask(paths=["labels"]),
        ),
        Key.SCOPE_DEPLOY,
    ),
    (P, "DeletePackage", package_service_pb2.DeletePackageRequest(name="packages/no-such"), Key.SCOPE_DEPLOY),
    (P, "CreateVersion", package_service_pb2.CreateVersionRequest(parent="packages/no-such"), Key.SCOPE_DEPLOY),
    (P, "ReleaseVersion", package_service_pb2.ReleaseVersionRequest(name=VERSION), Key.SCOPE_DEPLOY),
    (
        P,
        "DeleteVersion",
        package_service_pb2.DeleteVersionRequest(name="packages/native-scopes/versions/9"),
        Key.SCOPE_DEPLOY,
    ),
    (
        P,
        "AnalyzeSource",
        package_service_pb2.AnalyzeSourceRequest(files=package_pb2.SourceFiles()),
        Key.SCOPE_DEPLOY,
    ),
    (S_, "GetSecret", secret_service_pb2.GetSecretRequest(name="secrets/no-such"), Key.SCOPE_READ),
    (S_, "ListSecrets", secret_service_pb2.ListSecretsRequest(), Key.SCOPE_READ),
    (S_, "CreateSecret", secret_service_pb2.CreateSecretRequest(validate_only=True), Key.SCOPE_DEPLOY),
    (
        S_,
        "UpdateSecret",
        secret_service_pb2.UpdateSecretRequest(secret=secret_pb2.Secret(name="secrets/no-such", value="v")),
        Key.SCOPE_DEPLOY,
    ),
    (S_, "DeleteSecret", secret_service_pb2.DeleteSecretRequest(name="secrets/no-such"), Key.SCOPE_DEPLOY),
    (S_, "ResealSecrets", secret_service_pb2.ResealSecretsRequest(), Key.SCOPE_OPERATOR),
    (K, "GetApiKey", key_service_pb2.GetApiKeyRequest(name="apiKeys/0123456789abcdef"), Key.SCOPE_ADMIN),
    (K, "ListApiKeys", tenancy_service_pb2.ListApiKeysRequest(), Key.SCOPE_ADMIN),
    (T, "ListApiKeys", tenancy_service_pb2.ListApiKeysRequest(), Key.SCOPE_ADMIN),
    (T, "RevokeApiKey", tenancy_service_pb2.RevokeApiKeyRequest(name="apiKeys/0123456789abcdef"), Key.SCOPE_ADMIN),
    (T, "CreateProject", tenancy_service_pb2.CreateProjectRequest(project_id="default"), Key.SCOPE_OPERATOR),
    (T, "ListProjects", tenancy_service_pb2.ListProjectsRequest(), Key.SCOPE_OPERATOR),
    (
        T,
        "ListApiKeys",
        tenancy_service_pb2.ListApiKeysRequest(project="projects/no-such"),
        Key.SCOPE_OPERATOR,
    ),
]


@pytest.fixture(scope="module")
def keys(polycall: Server) -> dict[int, str]:
    """A key for each scope alone."""
    polycall.deploy("native-scopes", {"main.py": "def f(): return 1"})
    return {scope: new_key(polycall, scopes=[scope]).key for scope in SCOPES}


@pytest.mark.parametrize(
    ("service", "method", "request_", "scope"), RULES, ids=[f"{r[0]}-{r[1]}-{r[3]}" for r in RULES]
)
def test_a_method_needs_its_scope_and_no_other(
    polycall: Server, keys: dict[int, str], service: str, method: str, request_: Any, scope: int
) -> None:
    def act(key: str) -> Callable[[], Any]:
        return lambda: getattr(getattr(polycall, service), method)(request_, metadata=bearer(key), timeout=S)

    def denied(key: str) -> bool:
        try:
            answer = act(key)()
            if method == "StreamExecution":
                list(answer)
        except Exception as error:
            return "PERMISSION_DENIED" in str(error)
        return False

    assert not denied(keys[scope])
    for other, key in keys.items():
        operator = other == Key.SCOPE_OPERATOR and scope == Key.SCOPE_ADMIN  # may manage keys everywhere
        if other != scope and not operator:
            refused = refusal(act(key))
            assert (refused.code, refused.reason) == (Code.PERMISSION_DENIED, "SCOPE_MISSING")
            assert refused.metadata == {"scope": SCOPES[scope]}
            assert refused.details == {}


def test_a_key_gives_no_scope_that_it_does_not_have(polycall: Server, keys: dict[int, str]) -> None:
    refused = refusal(lambda: new_key(polycall, keys[Key.SCOPE_ADMIN], scopes=[Key.SCOPE_DEPLOY]))
    assert (refused.code, refused.metadata) == (Code.PERMISSION_DENIED, {"scope": "deploy"})


def test_any_key_may_ask_what_the_server_is(polycall: Server, keys: dict[int, str]) -> None:
    for key in keys.values():
        answer = info(polycall, key)
        assert answer.version
        assert answer.isolation_level >= 3


# projects apart


def test_what_belongs_to_another_project_does_not_exist(polycall: Server) -> None:
    project = new_project(polycall)
    scopes = [Key.SCOPE_RUN, Key.SCOPE_READ, Key.SCOPE_DEPLOY, Key.SCOPE_ADMIN]
    stranger = new_key(polycall, project=f"projects/{project}", scopes=scopes).key
    polycall.deploy("native-mine", {"main.py": "def f(): return 'mine'"})
    request = execution_service_pb2.CallRequest(function="packages/native-mine/functions/f")
    mine = polycall.executions.Call(request, metadata=polycall.metadata, timeout=S).name
    own_key = new_key(polycall).api_key.name

    attempts: list[tuple[Any, str, Any, str]] = [
        (
            polycall.executions,
            "RunFunction",
            execution_service_pb2.RunFunctionRequest(function="packages/native-mine/functions/f"),
            "PACKAGE_NOT_FOUND",
        ),
        (polycall.executions, "Call", request, "PACKAGE_NOT_FOUND"),
        (
            polycall.executions,
            "GetExecution",
            execution_service_pb2.GetExecutionRequest(name=mine),
            "EXECUTION_NOT_FOUND",
        ),
        (
            polycall.executions,
            "WaitExecution",
            execution_service_pb2.WaitExecutionRequest(name=mine),
            "EXECUTION_NOT_FOUND",
        ),
        (
            polycall.executions,
            "CancelExecution",
            execution_service_pb2.CancelExecutionRequest(name=mine),
            "EXECUTION_NOT_FOUND",
        ),
        (
            polycall.executions,
            "StreamExecution",
            execution_service_pb2.StreamExecutionRequest(name=mine),
            "EXECUTION_NOT_FOUND",
        ),
        (
            polycall.packages,
            "GetPackage",
            package_service_pb2.GetPackageRequest(name="packages/native-mine"),
            "PACKAGE_NOT_FOUND",
        ),
        (
            polycall.packages,
            "GetVersion",
            package_service_pb2.GetVersionRequest(name="packages/native-mine/versions/1", include_source=True),
            "PACKAGE_NOT_FOUND",
        ),
        (
            polycall.packages,
            "DeletePackage",
            package_service_pb2.DeletePackageRequest(name="packages/native-mine"),
            "PACKAGE_NOT_FOUND",
        ),
        (
            polycall.tenancy,
            "RevokeApiKey",
            tenancy_service_pb2.RevokeApiKeyRequest(name=own_key),
            "API_KEY_NOT_FOUND",
        ),
    ]
    for stub, method, message, reason in attempts:
        refused = refusal(
            lambda stub=stub, method=method, message=message: getattr(stub, method)(  # type: ignore[misc]
                message, metadata=bearer(stranger), timeout=S
            )
        )
        assert (method, refused.code, refused.reason) == (method, Code.NOT_FOUND, reason)
    listed = polycall.executions.ListExecutions(
        execution_service_pb2.ListExecutionsRequest(), metadata=bearer(stranger), timeout=S
    )
    assert list(listed.executions) == []


def test_two_projects_may_call_their_packages_alike(polycall: Server) -> None:
    project = new_project(polycall)
    scopes = [Key.SCOPE_RUN, Key.SCOPE_DEPLOY]
    other = new_key(polycall, project=f"projects/{project}", scopes=scopes).key
    polycall.deploy("native-alike", {"main.py": "def f(): return 'first'"})
    polycall.deploy("native-alike", {"main.py": "def f(): return 'second'"}, key=other)
    request = execution_service_pb2.RunFunctionRequest(function="packages/native-alike/functions/f")
    answers = [
        polycall.executions.RunFunction(request, metadata=bearer(key), timeout=S).output_json
        for key in (polycall.key, other, polycall.key)
    ]
    assert answers == ['"first"', '"second"', '"first"']


def test_request_ids_of_two_projects_are_apart(polycall: Server) -> None:
    other = new_key(polycall, project=f"projects/{new_project(polycall)}").key
    request = execution_service_pb2.ExecuteRequest(
        code="import os\ndef execute(input): return os.urandom(8).hex()", request_id=str(uuid.uuid4())
    )
    names = {
        polycall.executions.Execute(request, metadata=bearer(key), timeout=S).name for key in (polycall.key, other)
    }
    assert len(names) == 2
