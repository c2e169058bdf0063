"""What a Domo caller is told when something is wrong, and that the server does not mind."""

from __future__ import annotations

import gzip
from typing import Any

import pytest

from polycall.v1 import tenancy_service_pb2
from tests.contracts.domo.driver import PACKAGE, VERSION, Domo
from tests.harness import Server


@pytest.fixture(autouse=True)
def server_is_healthy(domo: Domo) -> Any:
    """After every test the next call is served as ever."""
    yield
    assert domo.run("add", a=1, b=2)["result"] == 3


# the function returned something else


@pytest.mark.parametrize(
    ("function", "what", "information"),
    [
        ("give", "text", ["three", "number", "text", False, False, False, ["Expected number but got text"]]),
        ("give", "decimal", [3.5, "number", "decimal", False, False, False, ["Expected number but got decimal"]]),
        ("give", "boolean", [True, "number", "boolean", False, False, False, ["Expected number but got boolean"]]),
        ("give", "list", [[1], "number", "number", False, True, False, ["Expected number but got list of number"]]),
        ("give", "empty", [[], "number", "", False, True, False, ["Expected number but got list of any"]]),
        ("numbers", "number", [3, "number", "number", True, False, False, ["Expected list of number but got number"]]),
        ("nullable", "text", ["three", "number", "text", False, False, True, ["Expected number but got text"]]),
        ("thing", "text", ["three", "object", "text", False, False, False, ["Expected object but got text"]]),
    ],
)
def test_a_result_of_another_type_tells_expected_and_actual_type(
    domo: Domo, function: str, what: str, information: list[object]
) -> None:
    record = domo.run(function, what=what)
    assert (record["status"], record["result"]) == ("RESULT_TYPE_FAILURE", None)
    assert list(record["errorInformation"].values()) == information
    assert domo.get(record["executionId"]).json() == record


@pytest.mark.parametrize(
    ("function", "what", "result"),
    [
        ("give", "number", b"3"),
        ("give", "float", b"3"),
        ("untyped", "float", b"3.0"),
        ("untyped", "none", b"null"),
        ("nullable", "none", b"null"),
        ("numbers", "list", b"[1]"),
        ("thing", "object", b'{"id": "x"}'),
    ],
)
def test_a_result_of_the_declared_type_is_a_success(domo: Domo, function: str, what: str, result: bytes) -> None:
    answer = domo.post(function, {"inputVariables": {"what": what}})
    assert domo.record(answer)["status"] == "SUCCESS"
    assert b'"result":' + result + b',"stdout":' in answer.body


@pytest.mark.parametrize("function", ["give", "numbers", "thing"])
def test_nothing_returned_where_an_output_is_declared(domo: Domo, function: str) -> None:
    record = domo.run(function, what="none")
    assert (record["status"], record["result"]) == ("OUTPUT_UNDEFINED", None)
    assert len(record["errorInformation"]["errorMessages"]) == 1


@pytest.mark.parametrize("function", ["give", "untyped"])
@pytest.mark.parametrize("what", ["set", "nan", "cycle", "surrogate"])
def test_what_json_cannot_hold_is_of_the_wrong_type(domo: Domo, function: str, what: str) -> None:
    record = domo.run(function, what=what)
    assert (record["status"], record["result"]) == ("RESULT_TYPE_FAILURE", None)
    (message,) = record["errorInformation"]["errorMessages"]
    assert "returned value cannot be held by JSON" in message


# the function failed


@pytest.mark.parametrize(
    ("function", "inputs", "message"),
    [
        ("fail", {"how": "raise"}, "ValueError: bad"),
        ("fail", {"how": "exit"}, "Function exited with code 3"),
        ("fail", {"how": "crash"}, "Function was killed by signal 11 (SIGSEGV)"),
        ("fail", {"how": "memory"}, "Function ran out of memory"),
        ("missing", {}, "NameError: missing is not defined"),
    ],
)
def test_a_function_that_ends_badly_is_http_200(
    domo: Domo, function: str, inputs: dict[str, Any], message: str
) -> None:
    record = domo.run(function, **inputs)
    assert (record["status"], record["result"]) == ("FAILED", None)
    assert list(record["errorInformation"].values()) == [None, "number", "", False, False, False, [message]]
    assert domo.get(record["executionId"]).json() == record


def test_the_traceback_ends_the_error_log(domo: Domo) -> None:
    record = domo.run("fail", how="raise", get_logs=True)
    assert record["stdout"]["log"] == ["about to raise"]
    assert record["stderr"]["log"][0] == "Traceback (most recent call last):"
    assert record["stderr"]["log"][-1] == "ValueError: bad"


def test_a_result_that_is_too_large_is_a_failure(domo: Domo) -> None:
    record = domo.run("untyped", what="big")
    assert record["status"] == "FAILED"
    assert "larger than 6144 KiB" in record["errorInformation"]["errorMessages"][0]


def test_a_slow_function_is_stopped(domo: Domo) -> None:
    record = domo.run("fail", how="sleep", version="1.1.0")
    assert record["status"] == "FAILED"
    assert record["errorInformation"]["errorMessages"] == ["Function timed out after 0.5 seconds"]


def test_a_flood_of_output_is_cut_and_says_so(domo: Domo) -> None:
    record = domo.run("flood", get_logs=True)
    assert (record["status"], record["result"]) == ("SUCCESS", 1)
    assert record["stdout"]["log"][-1] == "[the output was cut at its limit]"
    assert 1_000_000 < sum(map(len, record["stdout"]["log"])) < 1_100_000


def test_code_that_does_not_load_is_a_failure(domo: Domo) -> None:
    record = domo.record(domo.post("f", package="unloadable", version="1"))
    assert record["status"] == "FAILED"
    assert record["errorInformation"]["errorMessages"] == ["ModuleNotFoundError: No module named 'no_such_module'"]


# the request is refused


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"inputVariables":{"a":"x","b":2}}', "inputVariables.a: expected number but got text"),
        (b'{"inputVariables":{"a":1}}', "inputVariables.b: expected number but it is missing"),
        (b'{"inputVariables":{"a":1,"b":null}}', "inputVariables.b: expected number but got null"),
        (b'{"inputVariables":[]}', "inputVariables: expected object but got list of any"),
        (b'{"settings":{"getLogs":1}}', "settings.getLogs: expected boolean but got number"),
        (b'{"inputVariables":{"a":"\xff","b":2}}', "the body is not valid UTF-8"),
        (b'{"inputVariables":' + b'{"a":' * 20_000 + b"1" + b"}" * 20_001, "the body is nested too deeply"),
    ],
)
def test_bad_input_is_400(domo: Domo, body: bytes, message: str) -> None:
    assert domo.refusal(domo.post("add", body), 400, "Bad Request") == message


@pytest.mark.parametrize("body", [b"{", b"[]", b"null", b'{"inputVariables":{"a":NaN,"b":1}}', b'{"a":1,}', b"a=1"])
def test_a_body_that_is_no_json_object_is_400(domo: Domo, body: bytes) -> None:
    assert domo.refusal(domo.post("add", body), 400, "Bad Request")


@pytest.mark.parametrize("body", [b"not gzip", gzip.compress(b"{}")[:-4], gzip.compress(b"{}") + b"more"])
def test_broken_gzip_is_400(domo: Domo, body: bytes) -> None:
    domo.refusal(domo.post("add", body, headers={"Content-Encoding": "gzip"}), 400, "Bad Request")


def test_an_unknown_encoding_is_415(domo: Domo) -> None:
    domo.refusal(domo.post("add", b"{}", headers={"Content-Encoding": "br"}), 415, "Unsupported Media Type")


def test_a_body_that_unpacks_to_too_much_is_413(domo: Domo) -> None:
    bomb = gzip.compress(b" " * ((64 << 20) + 1), compresslevel=1)
    domo.refusal(domo.post("add", bomb, headers={"Content-Encoding": "gzip"}), 413, "Payload Too Large")


def test_without_a_token_the_header_is_named(domo: Domo, polycall: Server) -> None:
    path = f"/api/codeengine/v2/packages/{PACKAGE}/versions/{VERSION}/functions/add"
    message = domo.refusal(polycall.http("POST", path, body=b"{}"), 401, "Unauthorized")
    assert message == "No token came with the request; send X-DOMO-Developer-Token."


@pytest.mark.parametrize("token", ["wrong", "x" * 5000])
def test_an_unknown_token_is_401(domo: Domo, token: str) -> None:
    domo.refusal(domo.post("add", headers={"X-DOMO-Developer-Token": token}), 401, "Unauthorized")
    domo.refusal(domo.get("none", key=token), 401, "Unauthorized")


def test_a_key_that_may_not_run_is_403_once_the_package_is_known(domo: Domo, polycall: Server) -> None:
    caller = Domo(polycall, polycall.new_key(scopes=[tenancy_service_pb2.ApiKey.SCOPE_READ]))
    assert "scope `run`" in domo.refusal(caller.post("add"), 403, "Forbidden")
    domo.refusal(caller.post("nothing"), 403, "Forbidden")
    domo.refusal(caller.post("add", package="nothing"), 404, "Not Found")
    domo.refusal(caller.get("nothing"), 403, "Forbidden")


def test_a_key_that_may_run_may_read_what_became_of_it(domo: Domo, polycall: Server) -> None:
    caller = Domo(polycall, polycall.new_key(scopes=[tenancy_service_pb2.ApiKey.SCOPE_RUN]))
    answered = caller.post("add", {"inputVariables": {"a": 1, "b": 2}})
    assert caller.get(caller.record(answered)["executionId"]).body == answered.body


def test_another_instances_packages_and_executions_are_unknown(domo: Domo, polycall: Server) -> None:
    execution_id = domo.run("add", a=1, b=2)["executionId"]
    caller = Domo(polycall, polycall.new_key(project="domo-other"))
    assert domo.refusal(caller.post("add"), 404, "Not Found") == f"Package {PACKAGE} does not exist."
    domo.refusal(caller.get(execution_id), 404, "Not Found")


def test_an_execution_is_visible_under_its_own_package_only(domo: Domo) -> None:
    execution_id = domo.run("add", a=1, b=2)["executionId"]
    message = domo.refusal(domo.get(execution_id, package="unloadable"), 404, "Not Found")
    assert message == f"Package unloadable has no execution {execution_id}."
    domo.refusal(domo.get("6d1f0a52-0000-4000-8000-000000000000"), 404, "Not Found")
    domo.refusal(domo.get("nothing"), 404, "Not Found")
    domo.refusal(domo.get(execution_id, package="nothing"), 404, "Not Found")


CALLABLE = (
    "getExecutionDetails, add, later, echo, anything, two, kinds, give, untyped, numbers, nullable, thing, fail, "
    "flood, missing, remember"
)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ({"package": "nothing"}, "Package nothing does not exist."),
        ({"package": "a%2Fb"}, "Package a/b does not exist."),
        ({"version": "9.9"}, f"Package {PACKAGE} has no version 9.9."),
        ({"version": "-"}, f"Package {PACKAGE} has no version -."),
        ({"version": "2.0.0"}, f"Version 2.0.0 of package {PACKAGE} is not released. Release it first."),
        (
            {"function": "nothing"},
            f"Version 1.0.1 of package {PACKAGE} has no function nothing; callable functions: {CALLABLE}.",
        ),
        (
            {"function": "secret"},
            f"Version 1.0.1 of package {PACKAGE} has no function secret; callable functions: {CALLABLE}.",
        ),
        (
            {"function": "_hidden"},
            f"Version 1.0.1 of package {PACKAGE} has no function _hidden; callable functions: {CALLABLE}.",
        ),
    ],
)
def test_what_is_missing_is_named(domo: Domo, path: dict[str, Any], message: str) -> None:
    asked: dict[str, Any] = {"function": "add", "body": b"not JSON", **path}
    assert domo.refusal(domo.post(**asked), 404, "Not Found") == message


def test_however_many_functions_there_are_the_answer_arrives(domo: Domo, polycall: Server) -> None:
    names = [f"{'f' * 100}_{number}" for number in range(900)]
    polycall.deploy("wide", {"main.py": "".join(f"def {name}(): pass\n" for name in names)}, version="1", release=True)
    message = domo.refusal(domo.post("nothing", package="wide", version="1"), 404, "Not Found")
    assert message.endswith(f"callable functions: {', '.join(names)}.")


def test_a_version_that_does_not_compile_is_404_and_says_why(domo: Domo) -> None:
    message = domo.refusal(domo.post("f", version="2.0.1"), 404, "Not Found")
    assert message.startswith(
        f"Version 2.0.1 of package {PACKAGE} is not released. It cannot be: main.py:1: SyntaxError"
    )


def test_an_unknown_path_and_a_wrong_method_are_the_vendors_errors(domo: Domo, polycall: Server) -> None:
    headers = {"X-DOMO-Developer-Token": domo.key}
    answer = polycall.http("POST", "/api/codeengine/v2/nothing", body=b"{}", headers=headers)
    domo.refusal(answer, 404, "Not Found")
    path = f"/api/codeengine/v2/packages/{PACKAGE}/versions/{VERSION}/functions/add"
    domo.refusal(polycall.http("GET", path, headers=headers), 405, "Method Not Allowed")
