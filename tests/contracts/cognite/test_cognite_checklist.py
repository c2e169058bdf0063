"""What must hold for the unmodified SDK: the closing checklist of the contract, item by item.

The SDK itself goes its whole way in ``test_cognite_journey``; here is what it sends and reads on it.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.contracts.cognite.driver import ECHO, Cognite, newcomer, zipped
from tests.harness import Server

_GZIP = {"content-encoding": "gzip"}


@pytest.fixture(scope="module")
def caller(polycall: Server) -> Cognite:
    return newcomer(polycall, "checklist")


@pytest.fixture(scope="module")
def function(caller: Cognite) -> dict[str, Any]:
    return caller.deployed(ECHO, externalId="echo", secrets={"pw": "hush"})


def test_bodies_are_gzipped_or_empty_flags_have_capitals_and_cursors_are_null(
    caller: Cognite, function: dict[str, Any]
) -> None:
    assert caller.post("functions/list", zipped({"filter": {}, "limit": 10_000}), headers=_GZIP).status == 200
    assert caller.post("functions/status", b"").status == 202
    for flag in ("true", "True", "false", "False"):
        body = zipped({"name": "n", "externalId": f"flag-{flag}"})
        assert caller.post(f"files?overwrite={flag}", body, headers=_GZIP).status == 201
    calls = caller.post(f"functions/{function['id']}/calls/list", zipped({"limit": 5, "cursor": None}), headers=_GZIP)
    assert calls.json() == {"items": []}


def test_ids_and_times_are_numbers_and_what_is_not_there_is_left_out(caller: Cognite, function: dict[str, Any]) -> None:
    call = caller.run(function["id"])
    schedule = caller.post(
        "functions/schedules",
        {
            "items": [
                {"name": "n", "functionId": function["id"], "cronExpression": "0 0 1 1 *", "nonce": caller.nonce()}
            ]
        },
    )
    texts = [json.dumps(call), json.dumps(function), schedule.body.decode(), caller.get("sessions").body.decode()]
    for text in texts:
        assert re.findall(r'"(?!\w*xternalId)\w*(?:[iI]d|Time)":"', text) == []
        assert "null" not in text
    assert type(schedule.json()["items"][0]["sessionId"]) is int
    assert set(call) == {"id", "status", "startTime", "endTime", "functionId"}


def test_what_is_made_is_201_activation_202_and_all_else_200(caller: Cognite, function: dict[str, Any]) -> None:
    nonce = caller.nonce()
    assert caller.post("files", {"name": "n"}).status == 201
    assert caller.post("functions", {"items": [{"name": "f", "fileId": function["fileId"]}]}).status == 201
    assert caller.post(f"functions/{function['id']}/call", {"nonce": nonce}).status == 201
    assert caller.post("functions/status").status == 202
    for path in ("functions", f"functions/{function['id']}", "functions/limits", "functions/status", "sessions"):
        assert caller.get(path).status == 200
    for path in ("functions/byids", "files/byids"):
        number = function["id"] if path.startswith("functions") else function["fileId"]
        assert caller.post(path, {"items": [{"id": number}]}).status == 200
    assert caller.post("sessions", {"items": [{"tokenExchange": True}]}).status == 200


def test_a_nonce_is_for_one_call(caller: Cognite, function: dict[str, Any]) -> None:
    nonce = caller.nonce()
    answers = [caller.post(f"functions/{function['id']}/call", {"nonce": nonce}) for _ in range(2)]
    assert [answer.status for answer in answers] == [201, 400]


def test_a_file_is_uploaded_without_a_key_and_there_at_once(caller: Cognite) -> None:
    made = caller.post("files", {"name": "n"}).json()
    assert made["uploaded"] is False
    caller.server.http("PUT", made["uploadUrl"].removeprefix(caller.server.rest), body=b"PK")
    assert caller.post("files/byids", {"items": [{"id": made["id"]}]}).json()["items"][0]["uploaded"] is True


def test_unknown_ids_are_400_with_both_spellings_and_duplicates_409(caller: Cognite, function: dict[str, Any]) -> None:
    unknown = caller.post("functions/byids", {"items": [{"externalId": "nope"}, {"id": 999_999}]})
    assert (unknown.status, unknown.json()["error"]["missing"]) == (
        400,
        [{"external_id": "nope", "externalId": "nope"}, {"id": 999_999}],
    )
    again = {"items": [{"name": "f", "fileId": function["fileId"], "externalId": "echo"}]}
    duplicate = caller.post("functions", again)
    assert (duplicate.status, duplicate.json()["error"]["duplicated"]) == (409, [{"externalId": "echo"}])


def test_statuses_are_spelled_as_the_sdk_compares_them_and_secrets_are_masked(
    caller: Cognite, function: dict[str, Any]
) -> None:
    made = caller.create("import nowhere")
    assert made["status"] == "Queued"
    assert caller.end_of_deployment(made["id"])["status"] == "Failed"
    assert (function["status"], function["secrets"]) == ("Ready", {"pw": "***"})
    call = caller.call(function["id"])
    assert (call["status"], caller.ended(call)["status"]) == ("Running", "Completed")
    caller.run(function["id"])
    path = f"functions/{function['id']}/calls"
    assert "nextCursor" in caller.get(f"{path}?limit=1").json()
    assert "nextCursor" not in caller.get(path).json()


def test_client_credentials_may_be_basic_or_in_the_form_and_tokens_are_inspected(caller: Cognite) -> None:
    form = f"grant_type=client_credentials&client_id=app&client_secret={caller.key}".encode()
    kind = {"content-type": "application/x-www-form-urlencoded"}
    token = caller.server.http("POST", "/oauth2/token", body=form, headers=kind).json()["access_token"]
    shown = caller.server.http("GET", "/api/v1/token/inspect", headers={"authorization": f"Bearer {token}"}).json()
    assert [each["projectUrlName"] for each in shown["projects"]] == ["checklist"]


def test_every_answer_has_a_request_id_and_none_says_to_repeat_it(caller: Cognite, polycall: Server) -> None:
    for path, key in (("functions", caller.key), ("nowhere", caller.key), ("functions", "wrong")):
        answer = caller.get(path, key=key)
        assert answer.headers["x-request-id"]
        assert "cdf-is-auto-retryable" not in answer.headers
    assert polycall.http("POST", "/oauth2/token", body=b"x").headers["x-request-id"]


def test_a_response_is_any_json_and_logs_carry_tracebacks(caller: Cognite) -> None:
    source = "def handle(data):\n    print('so far')\n    return data['give'] if 'give' in data else 1 / 0\n"
    made = caller.deployed(source)
    for given in ("text", 4, [1.5], None, {"n": 4}, False):
        call = caller.run(made["id"], json.dumps({"give": given}).encode())
        assert repr(caller.result(call)) == repr(given)
    logs = caller.logs(caller.run(made["id"]))
    assert (logs[0], logs[1], logs[-1]) == (
        "so far",
        "Traceback (most recent call last):",
        "ZeroDivisionError: division by zero",
    )
