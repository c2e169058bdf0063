"""What the face refuses, and in which words."""

from __future__ import annotations

import gzip
import json

import pytest

from polycall.v1 import tenancy_service_pb2
from tests.contracts.cognite.driver import ECHO, Cognite, zipped
from tests.harness import Response, Server

_MIB = 1 << 20
_DEEP = b'{"a":' * 100_000 + b"1" + b"}" * 100_000


def _error(answer: Response) -> dict[str, object]:
    body = answer.json()
    assert list(body) == ["error"]
    assert body["error"]["code"] == answer.status
    assert answer.headers["content-type"] == "application/json"
    assert isinstance(body["error"]["message"], str)
    assert body["error"]["message"]
    return dict(body["error"])


# who


def test_without_a_token_a_caller_is_unauthorized(cognite: Cognite, polycall: Server) -> None:
    path = f"/api/v1/projects/default/functions/{cognite.echo}/call"
    for headers in (
        {},
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": "Bearer wrong"},
        {"authorization": f"Basic {polycall.key}"},
        {"authorization": polycall.key},
        {"api-key": polycall.key},
    ):
        answer = polycall.http("POST", path, body=b'{"nonce":"n"}', headers=headers)
        assert (answer.status, answer.body) == (401, b'{"error":{"code":401,"message":"Unauthorized"}}')
        assert answer.headers["x-request-id"]


def test_a_token_opens_its_own_project_only(cognite: Cognite, polycall: Server) -> None:
    foreign = polycall.new_key(project="elsewhere")
    for project, key in (("default", foreign), ("elsewhere", cognite.key), ("no-such-project", cognite.key)):
        for method, path, body in (
            ("POST", "sessions", b"{}"),
            ("GET", f"functions/{cognite.echo}", None),
            ("POST", "functions/byids", b"{}"),
            ("POST", f"functions/{cognite.echo}/call", b"{}"),
            ("POST", f"functions/{cognite.echo}/calls/byids", b"{}"),
            ("GET", f"functions/{cognite.echo}/calls/1", None),
            ("GET", f"functions/{cognite.echo}/calls/1/response", None),
            ("GET", f"functions/{cognite.echo}/calls/1/logs", None),
        ):
            answer = cognite.request(method, f"/api/v1/projects/{project}/{path}", body, key=key)
            assert _error(answer) == {"code": 403, "message": "The token has no access to this project."}


def test_nothing_of_one_project_is_seen_in_another(cognite: Cognite, polycall: Server) -> None:
    scopes = tenancy_service_pb2.ApiKey
    key = polycall.new_key(project="elsewhere", scopes=[scopes.SCOPE_RUN, scopes.SCOPE_READ, scopes.SCOPE_DEPLOY])
    elsewhere = Cognite(polycall, key, project="elsewhere")
    function = elsewhere.deploy(ECHO)
    call = elsewhere.run(function)
    assert cognite.get(f"functions/{function}").status == 400
    assert cognite.post(f"functions/{function}/call", {"nonce": cognite.nonce()}).status == 400
    assert cognite.get(f"functions/{function}/calls/{call['id']}/response").status == 400
    mine = cognite.deploy(ECHO)
    elsewhere.deploy(ECHO, function_id=mine)  # the same id, two functions
    assert _error(cognite.get(f"functions/{mine}/calls/{call['id']}"))["missing"] == [{"id": call["id"]}]
    answer = cognite.post(f"functions/{mine}/call", {"nonce": elsewhere.nonce()})
    assert _error(answer) == {"code": 400, "message": "Failed to bind nonce with session"}


# what is unknown


def test_unknown_ids_are_400_and_missing(cognite: Cognite) -> None:
    nope = 999_999_999
    missing = {"code": 400, "message": f"Function ids not found: (id: {nope})", "missing": [{"id": nope}]}
    assert _error(cognite.post(f"functions/{nope}/call", {"data": {}, "nonce": cognite.nonce()})) == missing
    assert _error(cognite.get(f"functions/{nope}")) == missing
    assert _error(cognite.get(f"functions/{nope}/calls/1")) == missing
    assert _error(cognite.post(f"functions/{nope}/calls/byids", {"items": [{"id": 1}]})) == missing
    no_call = {"code": 400, "message": f"Function call ids not found: (id: {nope})", "missing": [{"id": nope}]}
    for path in ("", "/response", "/logs"):
        assert _error(cognite.get(f"functions/{cognite.echo}/calls/{nope}{path}")) == no_call
    asked = {"items": [{"id": nope}]}
    assert _error(cognite.post(f"functions/{cognite.echo}/calls/byids", asked)) == no_call
    ignored = cognite.post(f"functions/{cognite.echo}/calls/byids", asked | {"ignoreUnknownIds": True})
    assert (ignored.status, ignored.body) == (200, b'{"items":[]}')


def test_an_unknown_external_id_is_spelled_both_ways(cognite: Cognite) -> None:
    answer = cognite.post("functions/byids", {"items": [{"externalId": "nope"}]})
    assert answer.status == 400
    assert answer.body == (
        b'{"error":{"code":400,"message":"Function ids not found: (externalId: nope)",'
        b'"missing":[{"external_id":"nope","externalId":"nope"}]}}'
    )


def test_a_call_belongs_to_its_function(cognite: Cognite) -> None:
    call = cognite.run(cognite.echo)
    other = cognite.deploy(ECHO)
    for path in ("", "/response", "/logs"):
        answer = cognite.get(f"functions/{other}/calls/{call['id']}{path}")
        assert _error(answer)["missing"] == [{"id": call["id"]}]


def test_a_refused_call_leaves_its_nonce(cognite: Cognite) -> None:
    nonce = cognite.nonce()
    broken = cognite.deploy("def handle(:\n")
    failed = cognite.post(f"functions/{broken}/call", {"nonce": nonce})
    assert _error(failed) == {"code": 400, "message": f"Function {broken} is not ready (status: Failed)"}
    assert cognite.post("functions/999999999/call", {"nonce": nonce}).status == 400
    assert cognite.post(f"functions/{cognite.echo}/call", {"nonce": nonce, "data": 1}).status == 400
    answer = cognite.post(f"functions/{cognite.echo}/call", {"nonce": nonce})
    assert answer.status == 201
    cognite.ended(answer.json())


def test_a_function_that_does_not_compile_has_failed(cognite: Cognite) -> None:
    shown = cognite.get(f"functions/{cognite.deploy('def handle(:')}").json()
    assert shown["status"] == "Failed"
    assert "handler.py" in shown["error"]["message"]
    assert list(shown["error"]) == ["message", "trace"]


# bodies


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the body is empty; it has to be JSON"),
        (b"{", "the body is not valid JSON: it ends too early"),
        (b"hello", "the body is not valid JSON: invalid character (byte 0)"),
        (b"null", "the body has the wrong shape: Expected `object`, got `null`"),
        (b"[]", "the body has the wrong shape: Expected `object`, got `array`"),
        (b"{}", "the body has the wrong shape: Object missing required field `nonce`"),
        (b'{"data":{}}', "the body has the wrong shape: Object missing required field `nonce`"),
        (b'{"nonce":null}', "nonce: Expected `str`, got `null`"),
        (b'{"nonce":5}', "nonce: Expected `str`, got `int`"),
        (b'{"nonce":"","data":{}}', "Failed to bind nonce with session"),
        (b'{"nonce":"unknown","data":{}}', "Failed to bind nonce with session"),
        (b'{"nonce":"n","data":[]}', "data: must be an object"),
        (b'{"nonce":"n","data":"{}"}', "data: must be an object"),
        (b'{"nonce":"n","data":3}', "data: must be an object"),
        pytest.param(b'{"nonce":"n","data":%s}' % _DEEP, "the body is nested too deeply", id="deep"),
        (b'{"nonce":"n","data":{"x":"\xff"}}', "the body is not valid UTF-8"),
        (b'{"nonce":"\xc3("}', "the body is not valid UTF-8"),
    ],
)
def test_a_body_that_is_no_call_is_400(cognite: Cognite, body: bytes, message: str) -> None:
    answer = cognite.post(f"functions/{cognite.echo}/call", body)
    assert answer.status == 400
    assert _error(answer) == {"code": 400, "message": message}


@pytest.mark.parametrize("path", ["sessions", "functions/byids", "functions/1/calls/byids"])
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"items":[]}', b'{"items":{}}', b'{"items":[7]}'])
def test_a_body_without_items_is_400(cognite: Cognite, path: str, body: bytes) -> None:
    answer = cognite.post(path, body)
    assert answer.status == 400
    assert set(_error(answer)) == {"code", "message"}


@pytest.mark.parametrize(
    ("encoding", "body", "status"),
    [
        ("gzip", b"not gzip", 400),
        ("gzip", zipped({"nonce": "n"})[:-9], 400),
        ("gzip", zipped({"nonce": "n"}) + b"more", 400),
        ("gzip", b"", 400),
        pytest.param("gzip", gzip.compress(b"a" * (10 * _MIB), 1), 413, id="gzip-large"),
        pytest.param("gzip", gzip.compress(b"\0" * (64 * _MIB), 1), 413, id="gzip-bomb"),
        ("br", b"{}", 415),
    ],
)
def test_a_broken_encoding_is_refused(cognite: Cognite, encoding: str, body: bytes, status: int) -> None:
    answer = cognite.post(f"functions/{cognite.echo}/call", body, headers={"content-encoding": encoding})
    assert answer.status == status
    assert set(_error(answer)) == {"code", "message"}


def test_data_has_at_most_nine_megabytes(cognite: Cognite) -> None:
    function = cognite.deploy("def handle(data):\n    return len(data['x'])\n")
    fits = b'{"x":"%s"}' % (b"a" * (9 * _MIB - 8))
    call = cognite.run(function, fits)
    assert cognite.result(call) == 9 * _MIB - 8
    for more in (1, _MIB, 40 * _MIB):
        body = b'{"nonce":"n","data":{"x":"%s"}}' % (b"a" * (9 * _MIB - 8 + more))
        answer = cognite.post(f"functions/{function}/call", body)
        assert answer.status == 413
        assert set(_error(answer)) == {"code", "message"}


# paths


@pytest.mark.parametrize("bad", ["0", "-1", "1.5", "01", "abc", "9007199254740992", "%20", "1%2F2", "%EF%BC%91"])
def test_an_id_is_an_integer_up_to_two_to_the_53_less_one(cognite: Cognite, bad: str) -> None:
    for answer in (
        cognite.post(f"functions/{bad}/call", {"nonce": "n"}),
        cognite.get(f"functions/{bad}"),
        cognite.post(f"functions/{bad}/calls/byids", {"items": [{"id": 1}]}),
        cognite.get(f"functions/1/calls/{bad}"),
        cognite.get(f"functions/1/calls/{bad}/response"),
        cognite.get(f"functions/1/calls/{bad}/logs"),
    ):
        assert answer.status == 400
        assert "must be an integer from 1 to 9007199254740991" in str(_error(answer)["message"])
    for number in (0, 2**53, "1", 1.0):
        assert cognite.post("functions/byids", {"items": [{"id": number}]}).status == 400


def test_the_words_of_the_contract_are_not_ids(cognite: Cognite) -> None:
    for word in ("limits", "status", "schedules"):
        assert cognite.get(f"functions/{word}").status == 200
    for word in ("list", "byids", "delete"):
        assert _error(cognite.get(f"functions/{word}"))["code"] == 405
    for word in ("limits", "status", "list", "byids", "delete"):
        answer = cognite.post(f"functions/{word}/call", {"nonce": "n"})
        assert _error(answer) == {"code": 404, "message": "There is nothing at this path."}


def test_unknown_routes_have_the_vendors_body(cognite: Cognite) -> None:
    assert _error(cognite.get("functions/1/nothing"))["code"] == 404
    assert _error(cognite.get("timeseries"))["code"] == 404
    wrong = cognite.request("DELETE", f"functions/{cognite.echo}/call")
    assert _error(wrong)["code"] == 405
    assert wrong.headers["allow"] == "POST"


def test_a_query_changes_nothing(cognite: Cognite) -> None:
    answer = cognite.get(f"functions/{cognite.echo}?function_id=zz&project=elsewhere&%00")
    assert answer.json()["id"] == cognite.echo


def test_the_server_is_well_after_all_of_it(cognite: Cognite) -> None:
    assert json.loads(cognite.response(cognite.run(cognite.echo, b'{"ok":true}')))["response"] == {"ok": True}
