"""The vendor's document and contract against a running server: inputs, results, records."""

from __future__ import annotations

import gzip
import json
import re
import uuid
from datetime import datetime

import pytest

from tests.contracts.domo.driver import PACKAGE, VERSION, Domo

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def test_the_documents_request_gives_the_documents_response(domo: Domo) -> None:
    body = {"inputVariables": {"paramName": ["any", 1, None]}, "settings": {"getLogs": True}}
    answer = domo.post("getExecutionDetails", body)
    record = answer.json()
    expected = {
        "executionId": record["executionId"],
        "packageId": PACKAGE,
        "version": VERSION,
        "functionName": "getExecutionDetails",
        "status": "SUCCESS",
        "settings": {"getLogs": True},
        "startedOn": record["startedOn"],
        "startedBy": record["startedBy"],
        "completedOn": record["completedOn"],
        "result": {"paramName": ["any", 1, None], "platform": "python"},
        "stdout": {"log": ["asked for ['any', 1, None]"]},
        "stderr": {"log": []},
        "errorInformation": {
            "result": None,
            "expectedType": "object",
            "actualType": "object",
            "expectedIsList": False,
            "actualIsList": False,
            "expectedAllowNull": False,
            "errorMessages": [],
        },
    }
    assert (answer.status, answer.reason) == (200, "OK")
    assert answer.headers["content-type"] == "application/json;charset=UTF-8"
    assert json.dumps(record) == json.dumps(expected)  # the order of the keys, too
    assert str(uuid.UUID(record["executionId"])) == record["executionId"]
    assert re.fullmatch(r"\d+", record["startedBy"])
    assert TIME.fullmatch(record["startedOn"])
    assert TIME.fullmatch(record["completedOn"])
    assert datetime.fromisoformat(record["startedOn"]) <= datetime.fromisoformat(record["completedOn"])


def test_an_execution_is_read_again_as_it_was_answered(domo: Domo) -> None:
    for body in (
        {"inputVariables": {"a": 1, "b": 2}, "settings": {"getLogs": True}},
        {"inputVariables": {"a": 1, "b": 2}},
    ):
        answered = domo.post("add", body)
        execution_id = domo.record(answered)["executionId"]
        read = domo.get(execution_id)
        assert (read.status, read.headers["content-type"]) == (200, "application/json;charset=UTF-8")
        assert read.body == answered.body


def test_values_come_back_byte_for_byte(domo: Domo) -> None:
    value = b'{"n": 9007199254740993, "x": 1.0, "y": 1, "z": {"b": 1, "a": 2}}'
    answer = domo.post("echo", b'{"inputVariables": {"value": ' + value + b"}}")
    assert domo.record(answer)["status"] == "SUCCESS"
    assert b'"result":' + value + b',"stdout":' in answer.body


def test_inputs_are_bound_by_declared_name_and_passed_by_position(domo: Domo) -> None:
    answer = domo.post("add", b'{"inputVariables": {"b": 2.0, "c": "ignored", "a": 1}}')
    assert domo.record(answer)["status"] == "SUCCESS"
    assert b'"result":3,' in answer.body


def test_inputs_arrive_as_declared(domo: Domo) -> None:
    record = domo.run("kinds", n=3.0, ns=[1, 2.0])
    assert record["status"] == "RESULT_TYPE_FAILURE"  # it returns a list of everything
    assert record["errorInformation"]["result"] == ["int", ["int", "int"], None, "from the manifest", None]
    record = domo.run("kinds", n=1, ns=[], o={"x": 1.0}, t="given", e="e")
    assert record["errorInformation"]["result"] == ["int", [], {"x": 1.0}, "given", "e"]


def test_a_function_without_declared_inputs_takes_what_it_gets(domo: Domo) -> None:
    assert domo.run("anything", a=1, b=[None])["result"] == {"a": 1, "b": [None]}
    assert domo.run("two", a=1, z=3)["result"] == [1, 2]
    record = domo.run("two", b=1)
    assert (record["status"], record["result"]) == ("FAILED", None)
    assert record["errorInformation"]["errorMessages"] == [
        "TypeError: two() missing 1 required positional argument: 'a'"
    ]


def test_a_coroutine_is_awaited(domo: Domo) -> None:
    assert domo.run("later", a=7)["result"] == 7


@pytest.mark.parametrize("body", [b"", b"{}", b'{"inputVariables": null, "settings": null, "more": true}'])
def test_a_body_may_be_absent(domo: Domo, body: bytes) -> None:
    record = domo.record(domo.post("remember", body))
    assert (record["result"], record["settings"]) == (1, {"getLogs": False})


def test_every_execution_has_its_own_state(domo: Domo) -> None:
    assert [domo.run("remember")["result"] for _ in range(3)] == [1, 1, 1]


def test_logs_are_only_returned_if_asked_for(domo: Domo) -> None:
    record = domo.run("add", a=1, b=2, get_logs=True)
    assert (record["stdout"], record["stderr"]) == ({"log": ["adding"]}, {"log": ["a warning"]})
    record = domo.run("add", a=1, b=2)
    assert (record["stdout"], record["stderr"]) == ({"log": []}, {"log": []})


def test_a_compressed_request_of_any_content_type_is_read(domo: Domo) -> None:
    body = gzip.compress(b'{"inputVariables": {"a": 1, "b": 2}}')
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/x-www-form-urlencoded"}
    assert domo.record(domo.post("add", body, headers=headers))["result"] == 3


def test_a_query_changes_nothing(domo: Domo) -> None:
    answer = domo.post("add", {"inputVariables": {"a": 1, "b": 2}}, query="?function_name=secret&version=9")
    assert domo.record(answer)["functionName"] == "add"


@pytest.mark.parametrize("header", ["x-domo-developer-token", "x-domo-authentication", "Authorization"])
def test_the_token_may_come_in_three_headers(domo: Domo, header: str) -> None:
    token = f"Bearer {domo.key}" if header == "Authorization" else domo.key
    headers = {"X-DOMO-Developer-Token": "", header: token}
    if header == "x-domo-developer-token":
        del headers["X-DOMO-Developer-Token"]
    caller = Domo(domo.server, "")
    assert caller.record(caller.post("remember", headers=headers))["result"] == 1
