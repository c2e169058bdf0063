"""What is refused, in which words; and that the server is none the worse for it."""

from __future__ import annotations

import gzip
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from polycall.v1 import execution_pb2, package_pb2, tenancy_service_pb2
from tests.contracts.xpander.driver import GREETER, Xpander, refused
from tests.harness import Server

_MIB = 1 << 20
_NOT_FOUND = "Custom function not found"


def _json_invalid(position: int, why: str) -> list[dict[str, Any]]:
    return [
        {
            "type": "json_invalid",
            "loc": ["body", position],
            "msg": "JSON decode error",
            "input": {},
            "ctx": {"error": why},
        }
    ]


@pytest.mark.parametrize(
    ("body", "position", "why"),
    [
        (b"{city: 1}", 1, "Expecting property name enclosed in double quotes"),
        (b"{", 1, "Expecting property name enclosed in double quotes"),
        (b" ", 1, "Expecting value"),
        (b"nonsense", 0, "Expecting value"),
        (b'{"city": "SF",}', 14, "Expecting property name enclosed in double quotes"),
        (b'{"city": "SF"} x', 15, "Extra data"),
        (b'{"city": NaN}', 9, "the body is not valid JSON: invalid character"),
        (b'{"city": "\xff"}', 10, "'utf-8' codec can't decode byte 0xff in position 10: invalid start byte"),
    ],
)
def test_a_body_that_is_no_json_is_explained(
    xpander: Xpander, greeter: str, body: bytes, position: int, why: str
) -> None:
    answer = xpander.send(greeter, body)
    assert (answer.status, refused(answer)) == (422, _json_invalid(position, why))


@pytest.mark.parametrize("value", [b'"\\ud800"', b"[" * 100_000 + b"]" * 100_000])
def test_what_no_parser_should_take_is_no_json(xpander: Xpander, greeter: str, value: bytes) -> None:
    answer = xpander.send(greeter, b'{"city": "SF", "unknown": %s}' % value)
    assert answer.status == 422
    assert [problem["type"] for problem in refused(answer)] == ["json_invalid"]


@pytest.mark.parametrize("body", [[1], 42, "text", True])
def test_a_body_must_be_an_object(xpander: Xpander, greeter: str, body: object) -> None:
    assert xpander.detail(greeter, body) == (
        422,
        [{"type": "dict_type", "loc": ["body"], "msg": "Input should be a valid dictionary", "input": body}],
    )
    answer = xpander.send(greeter, b"null")
    assert (answer.status, refused(answer)[0]["type"], refused(answer)[0]["input"]) == (422, "dict_type", None)


@pytest.mark.parametrize(
    ("data", "encoding", "status"),
    [
        (gzip.compress(b"{}")[:-9], "gzip", 422),
        (b"nonsense", "gzip", 422),
        (b"{}", "gzip", 422),
        (b"{}", "br", 415),
    ],
)
def test_a_broken_or_unknown_encoding_is_refused(
    xpander: Xpander, greeter: str, data: bytes, encoding: str, status: int
) -> None:
    answer = xpander.send(greeter, data, {"x-api-key": xpander.key, "content-encoding": encoding})
    assert answer.status == status
    refused(answer)


def test_a_body_beyond_16_mib_is_too_large(xpander: Xpander, greeter: str) -> None:
    large = b'{"city": "%s"}' % (b"x" * (16 * _MIB))
    packed = {"x-api-key": xpander.key, "content-encoding": "gzip"}
    for answer in (
        xpander.send(greeter, large),
        xpander.send(greeter, gzip.compress(large, 1), packed),
        xpander.send(greeter, b" " * (64 * _MIB + 1)),
    ):
        assert (answer.status, refused(answer)) == (413, "Request body too large")


def test_a_large_body_within_the_limit_passes(xpander: Xpander) -> None:
    function = xpander.deploy("def xpander_run_action(n: list[int]):\n    return len(n)\n")
    assert xpander.send(function, b'{"n":[%s1]}' % (b"1," * _MIB)).body == b"1048577"


@pytest.mark.parametrize(
    "function_id", ["0b8f2a52-6f0e-4c3e-9b59-5a3f4f0b8a11", "unknown", "a_b", "%20", "x" * 300, "..%2F..", "%C3%A9"]
)
def test_an_unknown_function_is_not_found(xpander: Xpander, function_id: str) -> None:
    answer = xpander.send(function_id, b"{")
    assert (answer.status, refused(answer)) == (404, _NOT_FOUND)


def test_another_organizations_function_is_not_found(xpander: Xpander, greeter: str) -> None:
    other = Xpander(xpander.server, xpander.server.new_key(project="xpander-other"))
    answer = other.send(greeter, b'{"city": "SF"}')
    assert (answer.status, refused(answer)) == (404, _NOT_FOUND)


def test_a_function_called_another_way_is_no_custom_function(xpander: Xpander) -> None:
    handle = package_pb2.Function(name="handle", convention=execution_pb2.CONVENTION_HANDLE)
    function = xpander.deploy("def handle(data):\n    return data\n", functions=[handle])
    assert xpander.detail(function, {}) == (404, _NOT_FOUND)
    ambiguous = xpander.deploy("def one():\n    return 1\n\ndef two():\n    return 2\n")
    assert xpander.detail(ambiguous, {}) == (404, _NOT_FOUND)


def test_a_function_that_did_not_pass_analysis_is_not_ready(xpander: Xpander) -> None:
    function = xpander.deploy("def xpander_run_action(:\n    pass\n")
    assert xpander.detail(function, [1]) == (409, "Custom function is not ready (status: error)")


def test_a_new_version_is_what_runs(xpander: Xpander) -> None:
    function = xpander.deploy("def xpander_run_action():\n    return 1\n")
    assert xpander.call(function) == 1
    xpander.deploy("def xpander_run_action():\n    return 2\n", function_id=function)
    assert xpander.call(function) == 2
    xpander.deploy("def xpander_run_action(:\n", function_id=function)  # not ready: the one before goes on
    assert xpander.call(function) == 2


def test_a_key_without_the_scope_may_not_run(xpander: Xpander, greeter: str) -> None:
    key = xpander.server.new_key(scopes=[tenancy_service_pb2.ApiKey.SCOPE_READ])
    for function_id in (greeter, "unknown"):
        answer = xpander.send(function_id, b"{", {"x-api-key": key})
        assert answer.status == 403
        assert "`run`" in refused(answer)


def test_other_methods_and_routes_are_refused(xpander: Xpander, greeter: str, polycall: Server) -> None:
    path = f"/v1/custom_functions/{greeter}/execute"
    for method in ("GET", "PUT", "DELETE"):
        answer = polycall.http(method, path, headers={"x-api-key": xpander.key})
        assert (answer.status, refused(answer), answer.headers["allow"]) == (405, "Method Not Allowed", "POST")
    answer = polycall.http("POST", f"{path}/more", body=b"{}", headers={"x-api-key": xpander.key})
    assert (answer.status, refused(answer)) == (404, "Not Found")


def test_a_full_queue_is_told_before_anything_ran(little: Server) -> None:
    busy = Xpander(little, little.key)
    slow = busy.deploy("import time\ndef xpander_run_action():\n    time.sleep(2)\n    return 'done'\n")
    quick = busy.deploy(GREETER)
    with ThreadPoolExecutor(5) as threads:
        asked = [threads.submit(busy.send, slow, b"{}") for _ in range(5)]
        answers = sorted((each.result() for each in asked), key=lambda answer: answer.status)
    assert [answer.status for answer in answers] == [200, 200, 429, 429, 429]  # one slot, one place in the queue
    for answer in answers[2:]:
        assert refused(answer) == "Too Many Requests"
        assert int(answer.headers["retry-after"]) >= 1
    assert busy.call(quick, {"city": "SF"}) == "Hello, SF"
