"""A project with something of everything that the contracts keep, and how to ask for it."""

from __future__ import annotations

import io
import json
import re
import uuid
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from polycall.v1 import package_pb2, tenancy_service_pb2
from tests.contracts.routes import Route
from tests.harness import Response, Server, until

__all__ = ["SAID", "Tenant", "furnished", "newcomer", "nobodys", "plain"]


_CODE = "def execute(input): return 1"
Ids = Mapping[str, str]  # by the path variables of a contract

# What has to be said so that a request gets as far as what it names: in its body or, of GET and DELETE, in its query.
# {} and nothing get all others there.
SAID: dict[str, Callable[[Ids], Any]] = {
    "native.CreateSchedule": lambda ids: {
        "schedule": {"function": f"packages/{ids['packages']}/functions/f", "cron": "0 0 1 1 *"}
    },
    "native.Execute": lambda ids: {
        "code": _CODE,
        "runtime": f"runtimes/{ids['runtimes']}/revisions/{ids['revisions']}",
        "secretEnv": {"A": f"secrets/{ids['secrets']}"},
    },
    "native.CreateVersion": lambda ids: {"files": {"files": [{"path": "main.py", "contents": "eCA9IDE="}]}},
    "native.ListExecutions": lambda ids: {"parent": f"packages/{ids['packages']}"},
    "native.UpdateSecret": lambda ids: {"value": "another"},
    "cognite.CreateFunctions": lambda ids: {"items": [{"name": "another", "fileId": int(ids["file_id"])}]},
    "cognite.DeleteFunctions": lambda ids: {"items": [{"id": int(ids["function_id"])}]},
    "cognite.DeleteFiles": lambda ids: {"items": [{"id": int(ids["file_id"])}]},
    "cognite.RetrieveFiles": lambda ids: {"items": [{"id": int(ids["file_id"])}]},
    "cognite.RetrieveFunctions": lambda ids: {"items": [{"id": int(ids["function_id"])}]},
    "cognite.ListCalls": lambda ids: {"scheduleId": ids["schedule_id"]},
    "cognite.RetrieveCalls": lambda ids: {"items": [{"id": int(ids["call_id"])}]},
    "cognite.CreateSchedules": lambda ids: {"items": [_yearly("another", ids["function_id"], "a nonce")]},
    "cognite.RetrieveSchedules": lambda ids: {"items": [{"id": int(ids["schedule_id"])}]},
    "cognite.DeleteSchedules": lambda ids: {"items": [{"id": int(ids["schedule_id"])}]},
    "cognite.RetrieveSessions": lambda ids: {"items": [{"id": int(ids["session_id"])}]},
    "cognite.RevokeSessions": lambda ids: {"items": [{"id": int(ids["session_id"])}]},
    "guance.AddAuthLink": lambda ids: {"data": {"funcId": ids["func_id"], "funcCallKwargsJSON": {}}},
    "guance.GetFuncResult": lambda ids: {"taskId": ids["task_id"]},
    "guance.ExecuteOuterFunction": lambda ids: {"funcId": ids["func_id"]},
    "riza.CreateTool": lambda ids: _riza_code(ids) | {"name": "another"},
    "riza.ExecuteFunction": lambda ids: _riza_code(ids),
    "riza.ExecuteTool": lambda ids: {"env": [{"name": "A", "secret_id": ids["secret_id"]}]},
    "riza.CreateRevision": lambda ids: {"manifest_file": {"name": "requirements.txt", "contents": "six"}},
    "riza.UpdateTool": lambda ids: {"description": "another"},
    "xpander.UpdateCustomFunction": lambda ids: {"name": "another"},
}


def _riza_code(ids: Ids) -> dict[str, Any]:
    """Return code for a runtime."""
    return {"language": "python", "code": _CODE, "runtime_revision_id": ids["revision_id"]}


def _yearly(name: str, function_id: str | int, nonce: str) -> dict[str, Any]:
    """Return a schedule of a Cognite function."""
    return {"name": name, "functionId": int(function_id), "cronExpression": "0 0 1 1 *", "nonce": nonce}


_BASICS = {"native": "authorization", "riza": "authorization", "cognite": "authorization"}
_HEADERS = {"guance": "df-api-key", "xpander": "x-api-key", "domo": "x-domo-developer-token"}


@dataclass(frozen=True)
class Tenant:
    """Somebody with a key of a project that may do all that a project's key may do."""

    server: Server
    project: str
    key: str
    ids: dict[str, dict[str, str]] = field(default_factory=dict)  # of each contract, by its path variables

    @property
    def canary(self) -> str:
        """What is in every text of the project that somebody could be shown."""
        return f"canary-of-{self.project}"

    @property
    def code(self) -> str:
        """Code that comes with its request."""
        return f"def execute(input): return {self.canary!r}"

    @property
    def source(self) -> str:
        """Code that is deployed, for any contract."""
        return f"def tncfunction(*a, **k): return {self.canary!r}\ndef handle(data): return [{self.canary!r}]\n"

    def send(self, route: Route, ids: Ids) -> Response:
        """Ask a route for the things with these ids."""
        said = SAID[route.name](ids) if route.name in SAID else None
        if route.verb not in ("GET", "DELETE"):
            return self.ask(route.face, route.verb, route.filled(ids), {} if said is None else said)
        query = f"?{urlencode(said)}" if said is not None else ""
        return self.ask(route.face, route.verb, f"{route.filled(ids)}{query}")

    def ask(self, face: str, verb: str, path: str, body: Any = None) -> Response:
        """Send a request with this project's key where the contract wants it."""
        headers = {"content-type": "application/json"}
        if face in _BASICS:
            headers[_BASICS[face]] = f"Bearer {self.key}"
        else:
            headers[_HEADERS[face]] = self.key
        data = None if body is None else json.dumps(body).encode()
        return self.server.http(verb, path, body=data, headers=headers)

    def good(self, face: str, verb: str, path: str, body: Any = None) -> Any:
        """Return what is answered; it must be a success."""
        answer = self.ask(face, verb, path, body)
        assert answer.status in (200, 201), (path, answer.status, answer.body)
        return answer.json()


def newcomer(server: Server) -> Tenant:
    """Return somebody with a new project."""
    project = f"tnc-{uuid.uuid4().hex[:8]}"
    scopes = tenancy_service_pb2.ApiKey
    everything = [scopes.SCOPE_RUN, scopes.SCOPE_READ, scopes.SCOPE_DEPLOY, scopes.SCOPE_ADMIN]
    return Tenant(server, project, server.new_key(project=project, scopes=everything))


def furnished(server: Server, routes: tuple[Route, ...]) -> Tenant:
    """Return somebody whose project has something for every path variable of the routes."""
    tenant = newcomer(server)
    tenant.ids.update(
        native=_native(tenant),
        riza=_riza(tenant),
        cognite=_cognite(tenant),
        guance=_guance(tenant),
        xpander=_xpander(tenant),
        domo=_domo(tenant),
    )
    missing = {(route.name, name) for route in routes for name in route.variables if name not in tenant.ids[route.face]}
    assert not missing, f"make one of these in tests/contracts/tenants.py, so that strangers can ask for it: {missing}"
    return tenant


def _native(tenant: Tenant) -> dict[str, str]:
    package = _deployed(tenant, f"tnc-{uuid.uuid4().hex[:8]}")
    good = tenant.good
    good("native", "POST", "/polycall/v1/webhooks:rotateSigningSecret", {})
    told = {"completionUrl": f"https://127.0.0.1/{tenant.canary}"}
    called = good("native", "POST", f"/polycall/v1/packages/{package}/functions/tncfunction:call", told)["name"]
    until(lambda: good("native", "GET", f"/polycall/v1/{called}")["state"] == "STATE_COMPLETED", what="the call")
    delivery = called.replace("executions/", "deliveries/")
    until(lambda: good("native", "GET", f"/polycall/v1/{delivery}")["state"] == "STATE_DEAD", what="its notification")
    secret = good(
        "native", "POST", "/polycall/v1/secrets", {"secret": {"displayName": tenant.canary, "value": tenant.canary}}
    )
    key = good("native", "POST", "/polycall/v1/apiKeys", {"displayName": tenant.canary})["apiKey"]["name"]
    revision = {"manifest": f"# {tenant.canary}\n"}
    made = {"runtimeId": f"tnc-{uuid.uuid4().hex[:8]}", "runtime": {"displayName": tenant.canary}, "revision": revision}
    runtime = good("native", "POST", "/polycall/v1/runtimes", made)
    newest = runtime["newestRevision"]["name"]
    good("native", "POST", f"/polycall/v1/{newest}:wait", {})
    function = f"packages/{package}/functions/tncfunction"
    good("native", "PATCH", f"/polycall/v1/{function}/policy", {"maxRunning": 7})
    yearly = {"displayName": tenant.canary, "function": function, "cron": "0 0 1 1 *"}
    schedule = good("native", "POST", "/polycall/v1/schedules", {"schedule": yearly})["name"]
    return {
        "projects": tenant.project,
        "packages": package,
        "versions": "7.7.7",
        "functions": "tncfunction",
        "executions": called.rpartition("/")[2],
        "deliveries": delivery.rpartition("/")[2],
        "schedules": schedule.rpartition("/")[2],
        "secrets": secret["name"].rpartition("/")[2],
        "apiKeys": key.rpartition("/")[2],
        "runtimes": made["runtimeId"],
        "revisions": newest.rpartition("/")[2],
    }


def _riza(tenant: Tenant) -> dict[str, str]:
    good = tenant.good
    manifest = {"name": "requirements.txt", "contents": f"# {tenant.canary}\n"}
    runtime = good(
        "riza", "POST", "/v1/runtimes", {"name": tenant.canary, "language": "python", "manifest_file": manifest}
    )
    ended = ("succeeded", "failed")
    until(lambda: good("riza", "GET", f"/v1/runtimes/{runtime['id']}")["status"] in ended, what="the build")
    run = good("riza", "POST", "/v1/execute-function", {"language": "python", "code": tenant.code})
    tool = {"name": tenant.canary, "language": "python", "code": tenant.code}
    return {
        "tool_id": good("riza", "POST", "/v1/tools", tool)["id"],
        "runtime_id": runtime["id"],
        "revision_id": runtime["revision_id"],
        "secret_id": good("riza", "POST", "/v1/secrets", {"name": tenant.canary, "value": tenant.canary})["id"],
        "execution_id": run["execution"]["id"],
    }


def _cognite(tenant: Tenant) -> dict[str, str]:
    at = f"/api/v1/projects/{tenant.project}"
    file = tenant.good("cognite", "POST", f"{at}/files", {"name": f"{tenant.canary}.zip"})
    upload = file["uploadUrl"].removeprefix(tenant.server.rest)
    assert tenant.server.http("PUT", upload, body=_zipped({"handler.py": tenant.source})).status == 200
    asked = {"name": tenant.canary, "fileId": file["id"], "functionPath": "handler.py"}
    function = tenant.good("cognite", "POST", f"{at}/functions", {"items": [asked]})["items"][0]["id"]
    until(lambda: tenant.good("cognite", "GET", f"{at}/functions/{function}")["status"] == "Ready", what="the function")
    tokens = {"items": [{"tokenExchange": True}]}
    session, kept = (tenant.good("cognite", "POST", f"{at}/sessions", tokens)["items"][0] for _ in range(2))
    scheduled = tenant.good(
        "cognite", "POST", f"{at}/functions/schedules", {"items": [_yearly(tenant.canary, function, kept["nonce"])]}
    )["items"][0]
    data = {"nonce": session["nonce"], "data": {"said": tenant.canary}}
    call = tenant.good("cognite", "POST", f"{at}/functions/{function}/call", data)
    until(
        lambda: tenant.good("cognite", "GET", f"{at}/functions/{function}/calls/{call['id']}")["status"] == "Completed",
        what="the call",
    )
    return {
        "project": tenant.project,
        "file_id": str(file["id"]),
        "function_id": str(function),
        "call_id": str(call["id"]),
        "session_id": str(session["id"]),
        "schedule_id": str(scheduled["id"]),
    }


def _guance(tenant: Tenant) -> dict[str, str]:
    of_set, other = (f"tnc_{uuid.uuid4().hex[:8]}" for _ in range(2))
    for name in (of_set, other):
        tenant.good("guance", "POST", "/api/v1/script-sets/do/add", {"data": {"id": name, "title": tenant.canary}})
    script = f"{of_set}__{uuid.uuid4().hex[:8]}"
    code = f"@DFF.API({tenant.canary!r})\ndef tncfunction(): return {tenant.canary!r}\n"
    tenant.good("guance", "POST", "/api/v1/scripts/do/add", {"data": {"id": script, "codeDraft": code}})
    tenant.good("guance", "POST", f"/api/v1/scripts/{script}/do/publish", {})
    later = {"kwargs": {}, "options": {"execMode": "async", "saveResult": True}}
    task = tenant.good("guance", "POST", f"/api/v1/func/{script}.tncfunction", later)["data"]["taskId"]
    result = f"/api/v1/func-result?taskId={task}"
    until(lambda: tenant.canary.encode() in tenant.ask("guance", "GET", result).body, what="the result")
    link = {"data": {"funcId": f"{script}.tncfunction", "funcCallKwargsJSON": {}, "note": tenant.canary}}
    return {
        "func_id": f"{script}.tncfunction",
        "task_id": task,
        "script_id": script,
        "script_set_id": other,
        "auth_link_id": tenant.good("guance", "POST", "/api/v1/auth-links/do/add", link)["data"]["id"],
    }


def _xpander(tenant: Tenant) -> dict[str, str]:
    code = f"def xpander_run_action():\n    return {tenant.canary!r}\n"
    made = tenant.good("xpander", "POST", "/v1/custom_functions", {"name": tenant.canary, "source_code": code})
    return {"function_id": made["id"], "tool_id": f"xpander-custom-functions_{made['id']}", "agent_id": "any-agent"}


def _domo(tenant: Tenant) -> dict[str, str]:
    package = _deployed(tenant, str(uuid.uuid4()), face="domo")
    at = f"/api/codeengine/v2/packages/{package}"
    run = tenant.good("domo", "POST", f"{at}/versions/7.7.7/functions/tncfunction", {"inputVariables": {}})
    return {
        "package_id": package,
        "version": "7.7.7",
        "function_name": "tncfunction",
        "alias": "no-alias",
        "execution_id": run["executionId"] if "executionId" in run else run["id"],
    }


def _zipped(files: Mapping[str, str]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return packed.getvalue()


def _deployed(tenant: Tenant, package: str, *functions: package_pb2.Function, face: str = "") -> str:
    """Deploy a package that a contract lists as its own; return its id."""
    about = {"displayName": tenant.canary, "description": tenant.canary, "labels": {"of": tenant.canary}, "face": face}
    tenant.good("native", "POST", "/polycall/v1/packages", {"packageId": package, "package": about})
    tenant.server.deploy(
        package, {"main.py": tenant.source}, version="7.7.7", functions=functions, release=True, key=tenant.key
    )
    return package


def nobodys(ids: Ids) -> dict[str, str]:
    """Return ids of the same kinds that nothing has."""
    return {name: _other(text) for name, text in ids.items()}


def _other(text: str) -> str:
    if text.isdecimal():
        return str(int(text) + 7_777_777)
    turned = text[-1].translate(
        str.maketrans("0123456789abcdefghijklmnopqrstuvwxyz", "1234567890bcdefaijklmnopqrstuvwxyzgh")
    )
    return text[:-1] + (turned if turned != text[-1] else "7")


def plain(answer: Response, ids: Ids) -> tuple[int, str]:
    """Return what is the same in all answers of a kind: without the ids that were sent, times, and traces."""
    text = answer.body.decode(errors="replace")
    for value in sorted(ids.values(), key=len, reverse=True):  # not by name: two kinds may have one number
        text = re.sub(rf"(?<![0-9A-Za-z]){re.escape(value)}(?![0-9A-Za-z])", "<sent>", text)
    text = re.sub(r"[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}|\b[0-9A-HJKMNP-TV-Z]{26}\b", "<id>", text)
    text = re.sub(r"\d{4}-\d\d-\d\d[T ][0-9:.]+(Z|\+00:00)?|\d{10,}|(trace|task)-[0-9A-Za-z-]+", "<volatile>", text)
    text = re.sub(r'"(reqCost|duration)":\s*[0-9.]+', r'"\1":<volatile>', text)
    return answer.status, text
