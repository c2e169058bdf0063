"""The vendor's document: its request, its answer, its error."""

from __future__ import annotations

import json
import re

import pytest

from polycall.ids import from_ulid
from polycall.v1 import execution_service_pb2
from tests.contracts.riza.driver import PATH, Riza
from tests.harness import Server

_DOCUMENTED = (
    b'{"language":"python","code":"def execute(input): return { \\"name\\": input[\\"name\\"],'
    b' \\"executed\\": True }","input":{"name":"John"}}'
)


def test_the_documented_request_has_the_documented_answer(riza: Riza) -> None:
    answer = riza.send(_DOCUMENTED)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert list(body) == ["output", "output_status", "execution"]
    assert body["output"] == {"name": "John", "executed": True}
    assert body["output_status"] == "valid"
    execution = body["execution"]
    assert list(execution) == ["id", "exit_code", "stdout", "stderr", "duration"]
    assert re.fullmatch("[0-7][0-9A-HJKMNP-TV-Z]{25}", execution["id"])
    assert (execution["exit_code"], execution["stdout"], execution["stderr"]) == (0, "", "")
    assert type(execution["duration"]) is int
    assert execution["duration"] >= 0


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": "Bearer "},
        {"authorization": "Bearer not-a-key"},
        {"authorization": "Bearer " + "x" * 8000},
        {"authorization": "Basic dXNlcjpwYXNz"},
        {"x-api-key": "test-key-with-all-rights"},
    ],
    ids=lambda headers: str(headers)[:40],
)
def test_the_documented_error_is_answered_word_for_word(polycall: Server, headers: dict[str, str]) -> None:
    answer = polycall.http("POST", PATH, body=_DOCUMENTED, headers={"content-type": "application/json", **headers})
    assert (answer.status, answer.body) == (401, b'{"code":16,"message":"unauthenticated"}')
    assert answer.headers["content-type"] == "application/json"


def test_a_payload_comes_back_byte_for_byte(riza: Riza) -> None:
    payload = b'{"n": 9007199254740993, "x": 1.0, "y": 1, "z": {"b": 1, "a": 2}}'
    answer = riza.send(b'{"language":"python","code":"def execute(input): return input","input":%s}' % payload)
    assert answer.status == 200
    assert answer.body.startswith(b'{"output":%s,"output_status":"valid",' % payload)


@pytest.mark.parametrize(
    "payload",
    [
        "null",
        "true",
        "0",
        "-0.0",
        "1e-07",
        "2.0",
        str(2**63),
        "123456789012345678901234567890",
        '""',
        '"é😀"',
        "[]",
        "{}",
    ],
)
def test_any_json_value_may_go_in_and_come_out(riza: Riza, payload: str) -> None:
    text = payload.encode()
    answer = riza.send(b'{"language":"python","code":"def execute(input): return input","input":%s}' % text)
    assert answer.body.startswith(b'{"output":%s,' % text)


def test_the_id_is_the_execution_that_the_server_keeps(riza: Riza, polycall: Server) -> None:
    kept = from_ulid(riza.run().id)
    found = polycall.executions.GetExecution(
        execution_service_pb2.GetExecutionRequest(name=f"executions/{kept}"), metadata=polycall.metadata
    )
    assert found.name == f"executions/{kept}"
    assert found.output_json == "null"


def test_numbers_stay_numbers_for_the_code(riza: Riza) -> None:
    code = "def execute(input): return [type(v).__name__ for v in input] + list(range(input[0]))"
    assert riza.run(code, input=[2, 2.0, True, 2**70]).output == ["int", "float", "bool", "int", 0, 1]


def test_input_is_none_if_it_is_absent_or_null(riza: Riza) -> None:
    code = "def execute(input): return input is None"
    assert riza.run(code).output is True
    assert riza.run(code, input=None).output is True


def test_a_form_content_type_is_json_all_the_same(riza: Riza) -> None:
    answer = riza.send(_DOCUMENTED, {"content-type": "application/x-www-form-urlencoded"})
    assert answer.json()["output"] == {"name": "John", "executed": True}


def test_a_query_is_ignored(riza: Riza) -> None:
    answer = riza.server.http(
        "POST", f"{PATH}?language=cobol&body=x", body=_DOCUMENTED, headers={"authorization": f"Bearer {riza.key}"}
    )
    assert json.loads(answer.body)["output"] == {"name": "John", "executed": True}
