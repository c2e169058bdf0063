"""What a Guance caller is told when something is wrong, and that the server does not mind."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from polycall.v1 import tenancy_service_pb2
from tests.contracts.guance.driver import GATEWAY_KEYS, PATH, Guance
from tests.harness import Response, Server


@pytest.fixture(autouse=True)
def server_is_healthy(guance: Guance) -> Any:
    """After every test the next call is served as ever."""
    yield
    assert guance.result("tests__ends.echo", a=1) == {"a": 1}


def gateway_error(answer: Response, status: int, error_code: str) -> Any:
    """Check an error of the gateway itself and return its message."""
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/json"
    envelope = answer.json()
    assert list(envelope) == GATEWAY_KEYS
    assert (envelope["code"], envelope["content"], envelope["errorCode"]) == (status, {}, error_code)
    assert envelope["success"] is False
    assert isinstance(envelope["traceId"], str)
    assert envelope["traceId"]
    return envelope["message"]


# the function fails


LOST = "billiard.exceptions.WorkerLostError: Worker exited prematurely: "


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ("raise", "ZeroDivisionError: division by zero"),
        ("exit", f"{LOST}exitcode 3."),
        ("_exit", f"{LOST}exitcode 4."),
        ("crash", f"{LOST}signal 11 (SIGSEGV)."),
        ("memory", "MemoryError: memory limit exceeded"),
        ("deep", "RecursionError: maximum recursion depth exceeded"),
    ],
)
def test_a_function_that_ends_badly_is_599_3(guance: Guance, how: str, text: str) -> None:
    content = guance.execute("tests__ends.fail", {"kwargs": {"how": how}})
    assert (content["error"], content["reason"]) == (599.3, "EFuncFailed")
    assert content["detail"]["einfoTEXT"].startswith(text)
    assert list(content["detail"]) == ["einfoTEXT", "id"]
    assert content["reqDump"]["bodyDump"] == f'{{\n  "kwargs": {{\n    "how": "{how}"\n  }}\n}}'


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("exception", "ValueError: returned"),
        ("cycle", "Exception: Func Response cannot been serialized: Circular reference detected"),
        ("big", "Exception: The returned value is larger than 6144 KiB"),
    ],
)
def test_a_result_that_cannot_be_shown_is_599_3(guance: Guance, what: str, text: str) -> None:
    content = guance.execute("tests__ends.give", {"kwargs": {"what": what}})
    assert (content["error"], content["reason"]) == (599.3, "EFuncFailed")
    assert content["detail"]["einfoTEXT"].startswith(text)


def test_a_function_as_a_result_is_shown_as_text(guance: Guance) -> None:
    assert guance.result("tests__ends.give", what="lambda").startswith("<function echo at 0x")


def test_a_flood_of_output_does_not_matter(guance: Guance) -> None:
    assert guance.result("tests__ends.flood") == "dry"


@pytest.mark.parametrize(
    ("func_id", "body"),
    [
        ("tests__times.slow", {}),
        ("tests__ends.fail", {"kwargs": {"how": "swallow"}, "options": {"apiTimeout": 1}}),
    ],
)
def test_a_slow_function_is_stopped_from_outside(guance: Guance, func_id: str, body: object) -> None:
    content = guance.execute(func_id, body)
    assert (content["error"], content["reason"]) == (599.31, "EFuncTimeout")
    assert content["message"] == "Calling Function timeout"
    assert content["detail"]["einfoTEXT"] == "billiard.exceptions.SoftTimeLimitExceeded: SoftTimeLimitExceeded()"
    assert list(content["detail"]) == ["einfoTEXT", "id"]


def test_a_function_may_allow_its_callers_more_time(guance: Guance) -> None:
    assert guance.result("tests__times.patient") == "no hurry"


def test_a_script_that_does_not_load_fails_like_its_function(guance: Guance) -> None:
    content = guance.execute("tests__unloadable.f", {})
    assert (content["error"], content["reason"]) == (599.3, "EFuncFailed")
    assert content["detail"]["einfoTEXT"] == "ModuleNotFoundError: No module named 'no_such_module'"


def test_a_script_that_does_not_compile_was_never_published(guance: Guance) -> None:
    content = guance.execute("tests__broken.f", {})
    assert (content["error"], content["reason"]) == (599.2, "EScriptPreCheck")
    assert content["message"] == (
        "Code pre-check failed. Script raised an EXCEPTION during executing, please check your code and try again"
    )
    assert "SyntaxError: invalid syntax" in content["detail"]["einfoTEXT"]


# the request is refused, inside content


@pytest.mark.parametrize(
    "func_id",
    [
        "guance__openapi.nothing",
        "guance__openapi.not_registered",
        "guance__openapi._private",
        "guance__nothing.test",
        "hello_world_msg",
        "tests__ends.",
        "../etc/passwd",
        "ünïcode",
        "x" * 10_000,
    ],
)
def test_an_unknown_function_is_404_41(guance: Guance, func_id: str) -> None:
    answer = guance.post({"funcId": func_id, "funcBody": {}})
    content = guance.content(answer)
    assert b'"error":404.41,' in answer.body
    assert (content["reason"], content["message"]) == ("EClientNotFound", "No such Func")
    assert content["detail"] == {"funcId": func_id}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"timeout": 1}, "Found unexpected field `timeout`"),
        ({"options": {"timeout": 1}}, "Found unexpected field `timeout`"),
        ({"kwargs": [1]}, 'Field `kwargs` value `[1]` is not valid. (type = "json")'),
        (
            {"options": {"returnType": "x"}},
            'Field `returnType` value `"x"` is not valid. (in = ["ALL","raw","repr","jsonDumps"])',
        ),
        ({"options": {"apiTimeout": 60}}, "Field `apiTimeout` value `60` is not valid. (maxValue = 30)"),
        ({"options": {"unfold": "true"}}, 'Field `unfold` value `"true"` is not valid. (type = "boolean")'),
    ],
)
def test_a_bad_body_is_400_43_with_the_field_named(guance: Guance, body: object, message: str) -> None:
    answer = guance.post({"funcId": "tests__ends.echo", "funcBody": body})
    content = guance.content(answer)
    assert b'"error":400.43,' in answer.body
    assert (content["reason"], content["message"]) == ("EClientBadRequest", "Invalid request body")
    assert content["detail"] == {"message": message}


# the gateway refuses


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"x"',
        b"{}",
        b'{"funcId": null}',
        b'{"funcId": ""}',
        b'{"funcId": 1}',
        b'{"funcId": "tests__ends.echo", "funcBody": {"kwargs": {"x": NaN}}}',
        b'{"funcId": "tests__ends.echo", "funcBody": {"kwargs": {"x": "\xff"}}}',
        b'{"funcId": "tests__ends.echo", "funcBody": {"kwargs": ' + b'{"x":' * 10_000 + b"1" + b"}" * 10_002,
    ],
)
def test_a_body_that_cannot_be_read_is_http_400(guance: Guance, body: bytes) -> None:
    assert gateway_error(guance.post(body), 400, "ft.InvalidParameter")


@pytest.mark.parametrize("body", [b"not gzip", gzip.compress(b"{}")[:-4], gzip.compress(b"{}") + b"more"])
def test_broken_gzip_is_http_400(guance: Guance, body: bytes) -> None:
    gateway_error(guance.post(body, headers={"Content-Encoding": "gzip"}), 400, "ft.InvalidParameter")


def test_an_unknown_encoding_is_http_415(guance: Guance) -> None:
    gateway_error(guance.post(b"{}", headers={"Content-Encoding": "br"}), 415, "ft.InvalidParameter")


def test_a_body_that_unpacks_to_too_much_is_http_413(guance: Guance) -> None:
    bomb = gzip.compress(b" " * ((64 << 20) + 1), compresslevel=1)
    gateway_error(guance.post(bomb, headers={"Content-Encoding": "gzip"}), 413, "ft.InvalidParameter")


@pytest.mark.parametrize("key", ["", "wrong", "x" * 5000])
def test_a_bad_key_is_http_403(guance: Guance, key: str) -> None:
    message = gateway_error(
        guance.post({"funcId": "tests__ends.echo"}, key=key, headers={"X-Trace-Id": "t"}), 403, "ft.InvalidAPIKey"
    )
    assert message == "Invalid API Key"


def test_a_missing_key_is_http_403(polycall: Server) -> None:
    answer = polycall.http("POST", PATH, body=b"{}")
    assert gateway_error(answer, 403, "ft.InvalidAPIKey") == "Invalid API Key"


def test_the_key_may_not_come_in_another_header(polycall: Server) -> None:
    answer = polycall.http("POST", PATH, body=b"{}", headers={"Authorization": f"Bearer {polycall.key}"})
    gateway_error(answer, 403, "ft.InvalidAPIKey")


def test_a_key_that_may_not_run_is_http_403(guance: Guance, polycall: Server) -> None:
    key = polycall.new_key(scopes=[tenancy_service_pb2.ApiKey.SCOPE_READ])
    message = gateway_error(guance.post({"funcId": "tests__ends.echo"}, key=key), 403, "ft.InvalidAPIKey")
    assert "scope `run`" in message


def test_another_workspaces_functions_are_unknown(guance: Guance, polycall: Server) -> None:
    key = polycall.new_key(project="guance-other")
    content = guance.execute("tests__ends.echo", {}, key=key)
    assert content["error"] == 404.41


def test_an_unknown_path_and_a_wrong_method_are_the_gateways_errors(guance: Guance, polycall: Server) -> None:
    gateway_error(guance.post({}, path="/api/v1/outer_function/nothing"), 404, "ft.NotFound")
    answer = polycall.http("GET", PATH, headers={"DF-API-KEY": guance.key})
    gateway_error(answer, 405, "ft.NotFound")


def test_a_query_changes_nothing(guance: Guance) -> None:
    answer = guance.post({"funcId": "tests__ends.echo"}, path=f"{PATH}?funcId=x&body=y")
    assert guance.content(answer)["data"] == {"result": {}}


def test_what_a_script_prints_is_in_the_log_and_not_in_the_answer(guance: Guance) -> None:
    answer = guance.post({"funcId": "tests__ends.fail", "funcBody": {"kwargs": {"how": "raise"}}})
    assert b"about to" not in answer.body
    assert json.loads(answer.body)["content"]["detail"]["einfoTEXT"] == "ZeroDivisionError: division by zero"
