"""What code may do with the token that it gets, and for how long; and the client that uses it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from polycall.v1 import tenancy_service_pb2
from tests.contracts.cognite.driver import ECHO, Cognite, newcomer
from tests.harness import Server, running_server, until
from tests.index import running_index
from tests.ticks import make_due

_TOKEN = "def handle(secrets):\n    return secrets['token']\n"


@pytest.fixture(scope="module")
def caller(polycall: Server) -> Cognite:
    return newcomer(polycall, "rights")


def _begun(caller: Cognite, item: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Open a session, make a call with it, and return both and the token that the code got."""
    session = caller.post("sessions", {"items": [item]}).json()["items"][0]
    function = caller.deploy(_TOKEN)
    call = caller.ended(caller.post(f"functions/{function}/call", {"nonce": session["nonce"]}).json())
    return session, call, str(caller.result(call))


def test_a_token_runs_and_reads_and_does_nothing_else(caller: Cognite, polycall: Server) -> None:
    session, _, token = _begun(caller, {"tokenExchange": True})
    as_code = Cognite(polycall, token, project="rights")
    function = caller.deploy(ECHO)
    assert as_code.result(as_code.run(function, b'{"a":1}')) == {"a": 1}
    for answer in (
        as_code.post("files", {"name": "n"}),
        as_code.post("functions", {"items": [{"name": "f", "fileId": 1}]}),
        as_code.post("functions/delete", {"items": [{"id": function}]}),
        as_code.get(f"/api/v1/projects/default/functions/{function}"),
    ):
        assert answer.status == 403
    listed = polycall.http("GET", "/polycall/v1/apiKeys", headers={"authorization": f"Bearer {token}"})
    assert listed.status == 403
    assert caller.post("sessions/revoke", {"items": [{"id": session["id"]}]}).status == 200
    assert as_code.get(f"functions/{function}").status == 401


def test_a_token_ends_with_the_key_that_its_session_acts_for(caller: Cognite, polycall: Server) -> None:
    key = polycall.new_key(project="rights")
    _, call, token = _begun(caller, {"clientId": "app", "clientSecret": key})
    as_code = Cognite(polycall, token, project="rights")
    assert as_code.get(f"functions/{call['functionId']}").status == 200
    polycall.tenancy.RevokeApiKey(
        tenancy_service_pb2.RevokeApiKeyRequest(name=f"apiKeys/{key.split('_')[1]}", project="projects/rights"),
        metadata=polycall.metadata,
    )
    assert as_code.get(f"functions/{call['functionId']}").status == 401


def test_a_tick_of_a_schedule_acts_for_the_session_of_the_schedule(caller: Cognite, polycall: Server) -> None:
    function = caller.deploy(_TOKEN)
    asked = {"name": "s", "functionId": function, "cronExpression": "0 0 1 1 *", "nonce": caller.nonce()}
    [schedule] = caller.post("functions/schedules", {"items": [asked]}).json()["items"]
    make_due(polycall, str(schedule["id"]), project=caller.project)
    wanted = {"filter": {"scheduleId": schedule["id"], "status": "Completed"}}
    [call] = until(
        lambda: caller.post(f"functions/{function}/calls/list", wanted).json()["items"], seconds=60, what="the tick"
    )
    as_code = Cognite(polycall, caller.result(call), project="rights")
    assert as_code.get(f"functions/{function}").status == 200
    assert caller.post("functions/schedules/delete", {"items": [{"id": schedule["id"]}]}).status == 200
    assert as_code.get(f"functions/{function}").status == 401  # its session went with it


@pytest.mark.parametrize(
    ("item", "status"), [({"oneshotTokenExchange": True}, "EXPIRED"), ({"tokenExchange": True}, "ACTIVE")]
)
def test_a_oneshot_session_ends_with_its_call(
    caller: Cognite, polycall: Server, item: dict[str, Any], status: str
) -> None:
    session = caller.post("sessions", {"items": [item]}).json()["items"][0]
    function = caller.deploy(_TOKEN)
    call = caller.ended(caller.post(f"functions/{function}/call", {"nonce": session["nonce"]}).json())
    token = caller.result(call)

    def shown() -> bool:
        answer = caller.post("sessions/byids", {"items": [{"id": session["id"]}]})
        return bool(answer.json()["items"][0]["status"] == status)

    until(shown, what=f"the session {status}")
    answer = Cognite(polycall, token, project="rights").get(f"functions/{function}")
    assert answer.status == (401 if status == "EXPIRED" else 200)


def test_neither_nonces_nor_tokens_nor_secrets_are_stored_or_logged_in_clear(tmp_path: Path) -> None:
    with running_server(tmp_path / "data") as server:
        mine = newcomer(server, "sealed")
        source = "def handle(secrets):\n    return [secrets['token'][::-1], len(secrets['pw'])]\n"
        made = mine.deployed(source, secrets={"pw": "hush-hush-hush"})
        turned, length = mine.result(mine.run(made["id"]))
        token = turned[::-1]
        assert (length, mine.get(f"functions/{made['id']}", key=token).status) == (14, 200)
        nonce, key = mine.nonce(), server.new_key(project="sealed")
        mine.post("sessions", {"items": [{"clientId": "me", "clientSecret": key}]})
        for _ in range(2):  # the second time it is refused
            mine.post(f"functions/{made['id']}/call", {"nonce": nonce})
        assert mine.deployed("1/0", secrets={"pw": "hush-hush-hush"})["status"] == "Failed"
    kept = b"".join(path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file())
    assert b"cognite" in kept
    for secret in (token, nonce, key):
        assert secret.encode() not in kept
    assert b"hush-hush-hush" not in kept


# with the SDK in the runtime


@pytest.fixture(scope="module")
def equipped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cognite]:
    """A caller of a server whose index has the SDK."""
    with running_index() as index:
        index.offer_installed("cognite-sdk")
        index.add("greeting", {"greeting.py": "WORD = 'Hello'\n"})
        with running_server(tmp_path_factory.mktemp("equipped"), POLYCALL_PYTHON_INDEX_URL=index.url) as server:
            yield newcomer(server, "equipped")


def test_requirements_are_installed_and_those_that_cannot_be_fail(equipped: Cognite) -> None:
    source = "import greeting\ndef handle(data):\n    return f\"{greeting.WORD}, {data['name']}\"\n"
    ready = equipped.deployed({"handler.py": source, "requirements.txt": "# mine\ngreeting==1.0\n"})
    assert ready["status"] == "Ready", ready
    assert equipped.result(equipped.run(ready["id"], b'{"name":"Ada"}')) == "Hello, Ada"
    failed = equipped.deployed({"handler.py": source, "requirements.txt": "surely-not-there\n"})
    assert failed["status"] == "Failed"
    assert failed["error"]["message"].startswith("requirements.txt could not be installed: ")
    assert "surely-not-there" in failed["error"]["trace"]
    for function in (ready, failed):  # its runtime goes with it
        assert equipped.post("functions/delete", {"items": [{"id": function["id"]}]}).status == 200
    answer = equipped.server.http("GET", "/polycall/v1/runtimes", headers={"authorization": f"Bearer {equipped.key}"})
    assert json.loads(answer.body).get("runtimes", []) == []


def test_the_client_of_a_handler_is_ready_for_its_project(equipped: Cognite) -> None:
    source = (
        "def handle(data, client: CogniteClient, secrets):\n"
        "    other = client.functions.call(id=data['other'], data={'from': 'inside'})\n"
        "    return [client.config.project, client.iam.token.inspect().projects[0].url_name, other.get_response()]\n"
    )
    other = equipped.deployed(ECHO)
    ready = equipped.deployed({"handler.py": source, "requirements.txt": "cognite-sdk\n"})
    assert ready["status"] == "Ready", ready["error"]
    call = equipped.run(ready["id"], json.dumps({"other": other["id"]}).encode())
    assert call["status"] == "Completed", call
    assert equipped.result(call) == ["equipped", "equipped", {"from": "inside"}]


def test_the_way_to_the_client_leads_nowhere_else(equipped: Cognite) -> None:
    source = (
        "import os, urllib.request\n"
        "def handle(data):\n"
        "    opener = urllib.request.build_opener(urllib.request.ProxyHandler())\n"
        "    try:\n"
        "        return opener.open(data['url'], timeout=10).status\n"
        "    except Exception as error:\n"
        "        return str(error)\n"
    )
    ready = equipped.deployed({"handler.py": source, "requirements.txt": "cognite-sdk\n"})
    assert ready["status"] == "Ready", ready
    asked = (f"{equipped.server.rest}/healthz", f"http://{equipped.server.grpc}/", "http://example.com/")
    calls = [equipped.run(ready["id"], json.dumps({"url": url}).encode()) for url in asked]
    healthz, grpc, out = map(equipped.result, calls)
    assert healthz == 200
    assert "403" in grpc
    assert "403" in out
