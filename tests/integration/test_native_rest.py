"""The native contract as REST: the same services, transcoded by the real Envoy."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from tests.harness import Response, Server

API = "/polycall/v1"
EXACT = '{"n": 9007199254740993, "x": 1.0, "y": 1, "z": {"b": 1, "a": 2}}'


def send(server: Server, method: str, path: str, body: Any = None, key: str | None = None) -> Response:
    headers = {"authorization": f"Bearer {key or server.key}", "content-type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    return server.http(method, f"{API}{path}", body=data, headers=headers)


def good(answer: Response) -> Any:
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"] == "application/json"
    return answer.json()


def details(answer: Response) -> dict[str, Any]:
    """Return the details of an error by short name, without their type."""
    found = {}
    for detail in answer.json()["details"]:
        kind = detail.pop("@type").rpartition(".")[2]
        assert kind not in found
        found[kind] = detail
    return found


@pytest.fixture(scope="module", autouse=True)
def package(polycall: Server) -> None:
    polycall.deploy("native-rest", {"main.py": "def f(**x): return x\ndef hang():\n    import time; time.sleep(600)"})


def test_code_runs(polycall: Server) -> None:
    body = {"code": "def execute(input):\n    print('é')\n    return input", "inputJson": EXACT}
    answer = good(send(polycall, "POST", "/executions:execute", body))
    assert answer["outputJson"] == EXACT
    assert (answer["state"], answer["kind"], answer["exitCode"]) == ("STATE_COMPLETED", "KIND_SYNC", 0)
    assert answer["stdout"] == "é\n"
    assert "stderr" not in answer, "proto3 JSON leaves out what is empty"
    assert answer["limits"]["timeout"] == "30s"
    assert answer["createTime"].endswith("Z")


def test_field_names_of_the_protos_are_understood_too(polycall: Server) -> None:
    body = {"code": "def execute(input): return input", "input_json": "[1]"}
    assert good(send(polycall, "POST", "/executions:execute", body))["outputJson"] == "[1]"


@pytest.mark.parametrize(
    "function", ["packages/native-rest/functions/f", "packages/native-rest/versions/1/functions/f"]
)
def test_a_function_runs_and_is_called(polycall: Server, function: str) -> None:
    assert good(send(polycall, "POST", f"/{function}:run", {"inputJson": EXACT}))["outputJson"] == EXACT
    accepted = good(send(polycall, "POST", f"/{function}:call", {"inputJson": '{"a": 1}'}))
    assert accepted["kind"] == "KIND_CALL"
    ended = good(send(polycall, "POST", f"/{accepted['name']}:wait", {"timeout": "20s"}))
    assert (ended["state"], ended["outputJson"]) == ("STATE_COMPLETED", '{"a": 1}')
    assert good(send(polycall, "GET", f"/{accepted['name']}")) == ended


def test_executions_are_listed_by_query(polycall: Server) -> None:
    accepted = good(send(polycall, "POST", "/packages/native-rest/functions/f:call", {}))
    good(send(polycall, "POST", f"/{accepted['name']}:wait", {}))
    query = "?parent=packages/native-rest&states=STATE_COMPLETED&states=STATE_FAILED&pageSize=1"
    page = good(send(polycall, "GET", f"/executions{query}"))
    assert [e["name"] for e in page["executions"]] == [accepted["name"]]


def test_an_execution_is_cancelled(polycall: Server) -> None:
    accepted = good(send(polycall, "POST", "/packages/native-rest/functions/hang:call", {}))
    good(send(polycall, "POST", f"/{accepted['name']}:cancel", {}))
    ended = good(send(polycall, "POST", f"/{accepted['name']}:wait", {}))
    assert (ended["state"], ended["error"]["reason"]) == ("STATE_CANCELLED", "ERROR_REASON_EXECUTION_CANCELLED")


def test_a_package_lives_and_dies(polycall: Server) -> None:
    id = f"rest-{uuid.uuid4().hex[:8]}"
    made = good(send(polycall, "POST", "/packages", {"packageId": id, "package": {"displayName": "R"}}))
    assert made["name"] == f"packages/{id}"
    changed = good(send(polycall, "PATCH", f"/packages/{id}", {"description": "D"}))
    assert changed["description"] == "D"
    source = {"files": [{"path": "main.py", "contents": "ZGVmIGYoKTogcmV0dXJuIDc="}]}
    version = good(send(polycall, "POST", f"/packages/{id}/versions", {"files": source}))
    assert (version["state"], version["functions"][0]["name"]) == ("STATE_READY", "f")
    released = good(send(polycall, "POST", f"/{version['name']}:release", {}))
    assert released["state"] == "STATE_RELEASED"
    assert good(send(polycall, "GET", f"/packages/{id}/versions"))["versions"] == [released]
    shown = good(send(polycall, "GET", f"/{version['name']}?includeSource=true"))
    assert shown["source"] == source
    assert good(send(polycall, "POST", f"/packages/{id}/functions/f:run", {}))["outputJson"] == "7"
    assert good(send(polycall, "POST", "/packages:analyzeSource", {"files": source}))["functions"][0]["name"] == "f"
    assert good(send(polycall, "DELETE", f"/{version['name']}")) == {}
    assert good(send(polycall, "DELETE", f"/packages/{id}")) == {}
    assert send(polycall, "GET", f"/packages/{id}").status == 404


def test_keys_and_the_server_are_managed(polycall: Server) -> None:
    made = good(send(polycall, "POST", "/apiKeys", {"displayName": "rest"}))
    assert good(send(polycall, "GET", "/serverInfo", key=made["key"]))["runtimes"][0]["language"] == "LANGUAGE_PYTHON"
    revoked = good(send(polycall, "POST", f"/{made['apiKey']['name']}:revoke", {}))
    assert revoked["revokeTime"]
    assert send(polycall, "GET", "/serverInfo", key=made["key"]).status == 401


# errors


def test_an_error_comes_with_its_details(polycall: Server) -> None:
    answer = send(polycall, "POST", "/executions:execute", {"code": "", "env": {"": "x"}})
    assert answer.status == 400
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["code"] == 3
    assert answer.json()["message"] == (
        "code: must not be empty; env['']: a name must not be empty and must have no `=` and no NUL"
    )
    assert details(answer) == {
        "ErrorInfo": {"reason": "INVALID_INPUT", "domain": "polycall"},
        "BadRequest": {
            "fieldViolations": [
                {"field": "code", "description": "must not be empty"},
                {"field": "env['']", "description": "a name must not be empty and must have no `=` and no NUL"},
            ]
        },
    }


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "reason"),
    [
        ("GET", "/executions/01a20b84-ace9-73b6-99c3-20bb684e149c", None, 404, "EXECUTION_NOT_FOUND"),
        ("POST", "/packages/no-such/functions/f:run", {}, 404, "PACKAGE_NOT_FOUND"),
        ("POST", "/packages", {"packageId": "native-rest"}, 409, "ALREADY_EXISTS"),
        (
            "POST",
            "/executions:execute",
            {"code": "x", "limits": {"memoryMib": 1}},
            400,
            "LIMIT_OUT_OF_RANGE",
        ),
        ("GET", "/executions?pageSize=-1", None, 400, "INVALID_INPUT"),
    ],
)
def test_errors_have_the_http_status_of_their_code(
    polycall: Server, method: str, path: str, body: Any, status: int, reason: str
) -> None:
    answer = send(polycall, method, path, body)
    assert answer.status == status
    assert details(answer)["ErrorInfo"]["reason"] == reason


def test_a_key_is_needed(polycall: Server) -> None:
    answer = polycall.http("GET", f"{API}/serverInfo")
    assert (answer.status, answer.json()["code"]) == (401, 16)
    assert details(answer) == {"ErrorInfo": {"reason": "API_KEY_MISSING", "domain": "polycall"}}
    scope = polycall.new_key()
    denied = send(polycall, "GET", "/projects", key=scope)
    assert (denied.status, details(denied)["ErrorInfo"]["metadata"]) == (403, {"scope": "operator"})


@pytest.mark.parametrize("body", [b"{", b"[1]", b'{"code": 5, "inputJson": {}}', b"\xff"])
def test_a_body_that_is_no_request_is_refused(polycall: Server, body: bytes) -> None:
    headers = {"authorization": f"Bearer {polycall.key}", "content-type": "application/json"}
    answer = polycall.http("POST", f"{API}/executions:execute", body=body, headers=headers)
    assert answer.status == 400


def test_a_request_id_comes_back_with_an_error(polycall: Server) -> None:
    headers = {"authorization": f"Bearer {polycall.key}", "x-request-id": "rest-1"}
    answer = polycall.http("GET", f"{API}/executions/x", headers=headers)
    assert answer.status == 400
    assert "x-request-id" in answer.headers


def test_a_stream_is_followed(polycall: Server) -> None:
    accepted = good(send(polycall, "POST", "/packages/native-rest/functions/f:call", {}))
    answer = send(polycall, "GET", f"/{accepted['name']}:stream")
    assert answer.status == 200
    events = [json.loads(line) for line in answer.body.splitlines()]
    assert [next(iter(event)) for event in events] == ["started", "finished"]
    assert events[-1]["finished"]["state"] == "STATE_COMPLETED"
