"""The vendor's document and contract against a running server: requests, results, both envelopes."""

from __future__ import annotations

import gzip
import json
import re
from datetime import datetime

import pytest

from polycall.v1 import execution_pb2, execution_service_pb2
from tests.contracts.guance.driver import Guance
from tests.harness import Server, until

# as it stands in the document: --data-raw $'…' with its line ends and its spaces
DOCUMENTED = (
    b'{\n  "funcId": "guance__openapi.test",\n  "funcBody": {\n    "kwargs": {\n      "workspace_token": {},\n'
    b'        "workspace_uuid": {},\n        "your_name": {\n          "default": "OpenAPI User"\n'
    b"        }\n    }\n  }\n}"
)
DUMP = (
    '{\n  "kwargs": {\n    "workspace_token": {},\n    "workspace_uuid": {},\n    "your_name": {\n'
    '      "default": "OpenAPI User"\n    }\n  }\n}'
)
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def test_the_documents_request_gives_the_documents_response(guance: Guance) -> None:
    trace = "TRACE-16435F71-4C2E-4026-A5D8-0B6B9ADD23AE"
    headers = {"X-Trace-Id": trace, "Accept-Encoding": "deflate, gzip, br"}  # curl --compressed
    answer = guance.post(DOCUMENTED, headers=headers)
    body = gzip.decompress(answer.body) if answer.headers.get("content-encoding") == "gzip" else answer.body
    envelope = json.loads(body)
    content = envelope["content"]
    expected = {
        "code": 200,
        "content": {
            "detail": {
                "einfoTEXT": "redis.exceptions.DataError: Invalid input of type: 'dict'. "
                "Convert to a bytes, string, int or float first.",
                "id": content["detail"]["id"],
            },
            "error": 599.3,
            "message": "Calling Function failed",
            "ok": False,
            "reason": "EFuncFailed",
            "reqCost": content["reqCost"],
            "reqDump": {"bodyDump": DUMP, "method": "POST", "url": "/api/v1/func/guance__openapi.test"},
            "reqTime": content["reqTime"],
            "respTime": content["respTime"],
            "traceId": trace,
        },
        "errorCode": "",
        "message": "",
        "success": True,
        "traceId": trace,
    }
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert json.dumps(envelope) == json.dumps(expected)  # the order of the keys, too
    assert b'"error":599.3,' in body
    assert re.fullmatch(r"task-[0-9A-Za-z]{12}", content["detail"]["id"])
    asked, answered = (datetime.fromisoformat(content[name]) for name in ("reqTime", "respTime"))
    assert TIME.fullmatch(content["reqTime"])
    assert TIME.fullmatch(content["respTime"])
    assert content["reqCost"] == round((answered - asked).total_seconds() * 1000)


def test_a_successful_call_has_the_contracts_envelopes(guance: Guance) -> None:
    content = guance.execute("guance__openapi.hello_world", {"kwargs": {"name": "Tom"}})
    assert (content["data"], content["error"], content["message"]) == ({"result": "Hello, Tom"}, 200, "")
    assert TIME.fullmatch(content["reqTime"])
    assert re.fullmatch(
        r"TRACE-[0-9A-F]{8}-[0-9A-F]{4}-4[0-9A-F]{3}-[89AB][0-9A-F]{3}-[0-9A-F]{12}", content["traceId"]
    )


def test_values_come_back_exactly(guance: Guance) -> None:
    body = (
        b'{"funcId":"tests__ends.echo","funcBody":{"kwargs":{"n": 9007199254740993, "x": 1.0, "y": 1, '
        b'"z": {"b": 1, "a": 2}},"options":{"returnType":"%s"}}}'
    )
    raw = guance.post(body % b"raw").body
    assert b'{"data":{"result":{"n":9007199254740993,"x":1,"y":1,"z":{"b":1,"a":2}}},"error":200,' in raw
    dumps = guance.post(body % b"jsonDumps").json()["content"]["data"]["result"]
    assert dumps == '{"n":9007199254740993,"x":1.0,"y":1,"z":{"b":1,"a":2}}'
    shown = guance.post(body % b"repr").json()["content"]["data"]["result"]
    assert shown == "{'n': 9007199254740993, 'x': 1.0, 'y': 1, 'z': {'a': 2, 'b': 1}}"


@pytest.mark.parametrize(
    ("what", "raw", "shown", "dumps"),
    [
        ("none", None, None, None),
        ("zero", 0, "0", "0"),
        ("false", False, "False", "false"),
        ("empty", "", "''", '""'),
        ("list", [], "[]", "[]"),
        ("dict", {}, "{}", "{}"),
        ("float", 30, "30.0", "30.0"),
        ("set", "{1}", "{1}", '"{1}"'),
        ("nan", [None, None], "[nan, inf]", "[null,null]"),
        ("text", "http://x/é", "'http://x/é'", '"http:\\/\\/x\\/\\u00e9"'),
        ("surrogate", "\ufffd", "'\\ud800'", '"\\ufffd"'),
    ],
)
def test_a_result_in_its_four_forms(guance: Guance, what: str, raw: object, shown: object, dumps: object) -> None:
    content = guance.execute("tests__ends.give", {"kwargs": {"what": what}, "options": {"returnType": "ALL"}})
    assert content["data"] == {
        "result": {
            "raw": raw,
            "repr": shown,
            "jsonDumps": dumps,
            "_responseControl": {
                "statusCode": None,
                "contentType": None,
                "headers": {},
                "allow304": False,
                "downloadFile": False,
            },
        }
    }
    for form, expected in (("raw", raw), ("repr", shown), ("jsonDumps", dumps)):
        content = guance.execute("tests__ends.give", {"kwargs": {"what": what}, "options": {"returnType": form}})
        assert content["data"]["result"] == expected
        assert type(content["data"]["result"]) is type(expected)


def test_unfold_leaves_the_bare_value(guance: Guance) -> None:
    answer = guance.post({"funcId": "tests__ends.echo", "funcBody": {"kwargs": {"a": 1}, "options": {"unfold": True}}})
    assert answer.body.startswith(
        b'{"code":200,"content":{"a":1},"errorCode":"","message":"","success":true,"traceId":'
    )


def test_unfold_leaves_failures_as_they_are(guance: Guance) -> None:
    content = guance.execute("tests__ends.fail", {"kwargs": {"how": "raise"}, "options": {"unfold": True}})
    assert content["error"] == 599.3


def test_an_absent_body_is_no_arguments(guance: Guance) -> None:
    for body in (b'{"funcId":"tests__ends.echo"}', b'{"funcId":"tests__ends.echo","funcBody":null,"other":1}'):
        assert guance.content(guance.post(body))["data"] == {"result": {}}


def test_a_compressed_request_of_any_content_type_is_read(guance: Guance) -> None:
    body = gzip.compress(b'{"funcId":"tests__ends.echo","funcBody":{"kwargs":{"a":[1]}}}')
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/x-www-form-urlencoded"}
    assert guance.content(guance.post(body, headers=headers))["data"] == {"result": {"a": [1]}}


def test_a_mismatch_of_arguments_is_a_failed_function(guance: Guance) -> None:
    content = guance.execute("guance__openapi.hello_world", {"kwargs": {"x": 1}})
    assert (content["error"], content["reason"]) == (599.3, "EFuncFailed")
    assert content["detail"]["einfoTEXT"] == "TypeError: hello_world() got an unexpected keyword argument 'x'"


def test_every_call_has_its_own_state(guance: Guance) -> None:
    assert guance.result("tests__ends.remember") == [1, False, None]
    assert guance.result("tests__ends.remember") == [1, False, None]


# asynchronous


def test_an_asynchronous_call_is_answered_at_once_and_runs_once(guance: Guance, polycall: Server) -> None:
    options = {"execMode": "async", "saveResult": True}
    content = guance.execute("tests__ends.echo", {"kwargs": {"name": "Ada"}, "options": options})
    task = content["data"]["taskId"]
    assert content["data"] == {"taskId": task, "resultURL": f"/api/v1/func-result?taskId={task}"}

    def calls() -> list[execution_pb2.Execution]:
        request = execution_service_pb2.ListExecutionsRequest(page_size=1000)
        found = polycall.executions.ListExecutions(request, metadata=polycall.metadata).executions
        mine = [
            e for e in found if e.kind == e.KIND_CALL and e.function.endswith("tests__ends/versions/1/functions/echo")
        ]
        return [e for e in mine if e.state == e.STATE_COMPLETED]

    (call,) = until(calls, what="the asynchronous call")
    request = execution_service_pb2.GetExecutionRequest(name=call.name)
    ended = polycall.executions.GetExecution(request, metadata=polycall.metadata)
    assert json.loads(ended.output_json)["raw"] == {"name": "Ada"}
    assert (ended.attempt, ended.max_attempts) == (1, 1)


def test_an_asynchronous_call_without_saved_result_promises_nothing(guance: Guance) -> None:
    options = {"execMode": "async"}
    content = guance.execute("guance__openapi.hello_world", {"kwargs": {"name": "Ada"}, "options": options})
    assert content["data"] is None
