"""Every change by every contract leaves its event, as the descriptors have them.

Whatever lands later fails here until it is known whether it changes something; and, if it does, until it is tried.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import grpc
import pytest

from polycall.interceptors.actions import ACTIONS
from polycall.v1 import audit_service_pb2, tenancy_service_pb2
from tests.contracts.routes import methods, routes
from tests.contracts.tenants import Tenant, furnished
from tests.contracts.test_tenancy import order
from tests.harness import Server

# Methods that change nothing, by what they are called.
_READS = re.compile(r"(Get|List|Retrieve|Filter|Wait|Stream|Analyze|Inspect)[A-Z]\w*")
# Those that run code, whose record is the execution; and those that change nothing, whatever they are called.
_RUNS = {
    *("native.Execute", "native.RunFunction", "native.Call", "native.RunSchedule"),
    *(
        "riza.Execute",
        "riza.ExecuteFunction",
        "riza.ExecuteTool",
        "cognite.CallFunction",
        "guance.ExecuteOuterFunction",
    ),
    *("guance.CallFunc", "guance.CallFuncDraft", "guance.CallAuthLink", "guance.OpenAuthLink"),
    *("xpander.ExecuteCustomFunction", "xpander.InvokeTool", "xpander.InvokeOperation"),
    *("domo.RunFunction", "domo.RunAlias", "domo.RunAliasComplex", "domo.RunAppFunction"),
    "cognite.Activate",  # says that it is so already
}
# They change nothing in the database: a token is kept nowhere, and what is cancelled here has ended.
_KEPT_NOWHERE = {"CancelExecution", "CreateToken", "SignIn"}
_CODE = "def tncfunction(*a, **k): return 1\n"
Ids = Mapping[str, str]


def test_it_is_known_of_every_method_whether_it_changes_something() -> None:
    unknown, twice = [], []
    for face, service, method in methods():
        changes = f"/{service}/{method.name}" in ACTIONS
        reads = _READS.fullmatch(method.name) is not None or f"{face}.{method.name}" in _RUNS
        if not (changes or reads):
            unknown.append(f"/{service}/{method.name}")
        if changes and reads:
            twice.append(f"/{service}/{method.name}")
    assert not unknown, f"say in interceptors/actions.py what these change, or here that they run code: {unknown}"
    assert not twice
    assert set(ACTIONS) <= {f"/{service}/{method.name}" for _, service, method in methods()}


def test_every_change_by_every_route_leaves_one_event(polycall: Server) -> None:
    """One test, because to make all that can be changed takes longer than to change it."""
    owner = furnished(polycall, routes())
    reader = polycall.new_key(project=owner.project, scopes=[tenancy_service_pb2.ApiKey.SCOPE_AUDIT])
    by_path = {(face, method.name): f"/{service}/{method.name}" for face, service, method in methods()}
    more(owner)
    wrong, so_far = [], len(events(owner, reader))
    for route in sorted(routes(), key=order):
        answer = owner.send(route, owner.ids[route.face])
        method = by_path[route.face, route.rpc]
        if method not in ACTIONS or answer.status >= 300:
            continue  # what is refused is written later; and what reads or runs is looked for at the end
        left = events(owner, reader)[so_far:]
        so_far += len(left)
        if [(e["method"], e["action"]) for e in left] != [(method, ACTIONS[method].name)]:
            wrong.append(f"{route.verb} {route.path} -> {answer.status} left {left}")
    assert not wrong, "\n".join(wrong)

    everything = events(owner, reader)
    assert {e["method"] for e in everything} <= set(ACTIONS)
    beside = {"/polycall.v1.SecretService/ResealSecrets", "/polycall.v1.AuditService/ExportAuditEvents"}
    never = set(ACTIONS) - {e["method"] for e in everything} - beside
    assert not never, f"try these as well: {never}"
    apart = {e["method"] for e in everything} - {e["method"] for e in everything if "stored" not in e["detail"]}
    assert {method.rpartition("/")[2] for method in apart} <= _KEPT_NOWHERE, "put what they write into store/changes.py"
    assert owner.canary not in json.dumps(everything), "what was written, run or kept secret is nothing for the log"
    for e in everything:
        assert e["project"] == f"projects/{owner.project}"
        assert e["outcome"] == "OUTCOME_DONE"
        assert e["client"] == "127.0.0.1"
        assert e["resource"]
        assert e["actor"] in ("bootstrap", owner.key.split("_")[1]), e


def test_the_log_is_read_with_its_own_scope_and_across_projects_by_operators_alone(polycall: Server) -> None:
    scope = tenancy_service_pb2.ApiKey
    request = audit_service_pb2.ListAuditEventsRequest
    every = [scope.SCOPE_RUN, scope.SCOPE_READ, scope.SCOPE_DEPLOY, scope.SCOPE_ADMIN, scope.SCOPE_OPERATOR]
    reader = polycall.new_key(project="audit-a", scopes=[scope.SCOPE_AUDIT])
    operator = polycall.new_key(project="audit-a", scopes=[scope.SCOPE_AUDIT, scope.SCOPE_OPERATOR])
    polycall.new_key(project="audit-b")
    for key, project, code in (
        (polycall.new_key(project="audit-a", scopes=every), "", grpc.StatusCode.PERMISSION_DENIED),
        (reader, "projects/audit-b", grpc.StatusCode.PERMISSION_DENIED),
        (reader, "projects/-", grpc.StatusCode.PERMISSION_DENIED),
        (reader, "audit-b", grpc.StatusCode.INVALID_ARGUMENT),
    ):
        with pytest.raises(grpc.RpcError) as refused:
            polycall.audit.ListAuditEvents(request(project=project), metadata=[("authorization", f"Bearer {key}")])
        assert refused.value.code() is code
        export = audit_service_pb2.ExportAuditEventsRequest(project=project)
        with pytest.raises(grpc.RpcError) as refused:
            list(polycall.audit.ExportAuditEvents(export, metadata=[("authorization", f"Bearer {key}")]))
        assert refused.value.code() is code
    exported = audit_service_pb2.AuditFilter(action="audit.export")
    for _ in range(2):  # whoever takes the log elsewhere is in it, before he has it
        export = audit_service_pb2.ExportAuditEventsRequest(filter=exported)
        exports = list(polycall.audit.ExportAuditEvents(export, metadata=[("authorization", f"Bearer {reader}")]))
    assert [event.actor for event in exports] == [reader.split("_")[1]]
    for key, project, seen in (
        (reader, "", {"projects/audit-a"}),
        (reader, "projects/audit-a", {"projects/audit-a"}),
        (operator, "projects/audit-b", {"projects/audit-b"}),
        (operator, "projects/-", {"projects/audit-a", "projects/audit-b"}),
    ):
        answer = polycall.audit.ListAuditEvents(
            request(project=project, page_size=1000, filter={"action": "key.*"}),
            metadata=[("authorization", f"Bearer {key}")],
        )
        found = {event.project for event in answer.events}
        assert found >= seen if project == "projects/-" else found == seen


def events(owner: Tenant, reader: str) -> list[dict[str, Any]]:
    """Return the events of a project as curl gets them, oldest first."""
    answer = owner.server.http("GET", "/polycall/v1/auditEvents:export", headers={"authorization": f"Bearer {reader}"})
    assert answer.status == 200, answer.body
    found = [json.loads(line) for line in answer.body.splitlines()]
    return [event for event in found if event["action"] != "audit.export"]  # this very one, before


def more(owner: Tenant) -> None:
    """Do what neither furnishing a project nor asking each route once does."""
    good, ids = owner.good, owner.ids
    made = {"id": "d", "name": "t", "language": "PYTHON", "code": _CODE, "version": "1.0.0"}
    good("domo", "POST", "/api/codeengine/v2/packages", made)
    good("domo", "PUT", "/api/codeengine/v2/packages/d/versions/1.0.0", {"code": _CODE + "\n"})
    good("domo", "POST", "/api/codeengine/v2/packages/d/versions/1.0.0/release", {})
    good("domo", "POST", "/api/codeengine/v2/packages/d/share", {"permissions": ["READ"], "userIds": [1]})
    draft = {"data": {"codeDraft": f"# of a draft\n{_CODE}"}}
    good("guance", "POST", f"/api/v1/scripts/{ids['guance']['script_id']}/do/modify", draft)
    good("guance", "POST", "/api/v1/auth/do/sign-in", {"signIn": {"username": "ada", "password": owner.key}})
    owner.server.deploy(ids["native"]["packages"], {"main.py": _CODE}, version="8", key=owner.key)
    good("native", "POST", f"/polycall/v1/packages/{ids['native']['packages']}/versions/8:release", {})
    schedule = {"items": [{"id": int(ids["cognite"]["schedule_id"])}]}
    good("cognite", "POST", f"/api/v1/projects/{owner.project}/functions/schedules/delete", schedule)
    form = {"grant_type": "client_credentials", "client_id": "app", "client_secret": owner.key}
    headers = {"content-type": "application/x-www-form-urlencoded"}
    token = owner.server.http("POST", "/oauth2/token", body=urlencode(form).encode(), headers=headers)
    assert token.status == 200, token.body
    renamed = tenancy_service_pb2.Project(name=f"projects/{owner.project}", display_name="another")
    owner.server.tenancy.UpdateProject(
        tenancy_service_pb2.UpdateProjectRequest(project=renamed), metadata=owner.server.metadata
    )
    metadata = [("authorization", f"Bearer {owner.key}")]
    made = owner.server.tenancy.CreateApiKey(tenancy_service_pb2.CreateApiKeyRequest(), metadata=metadata)
    revoke = tenancy_service_pb2.RevokeApiKeyRequest(name=made.api_key.name)
    owner.server.tenancy.RevokeApiKey(revoke, metadata=metadata)
