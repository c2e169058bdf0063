"""What must hold for unmodified clients, item by item: the vendor's trace with requests, and its curl."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.contracts.guance.studio import Studio

SCRIPT = """
import time

VALUES = {"zero": 0, "false": False, "empty": "", "none": None, "whole": 30.0, "big": 2**70, "list": [], "dict": {}}


@DFF.API("Test")
def test(workspace_token=None, workspace_uuid=None, your_name="OpenAPI User"):
    if isinstance(your_name, dict):
        DFF.CACHE.set("name", your_name)
    return f"Hello, {your_name}"


@DFF.API("Give")
def give(what):
    return VALUES[what]


@DFF.API("Fail")
def fail():
    return 1 / 0


@DFF.API("Sleep")
def sleep():
    time.sleep(60)
"""


class Client:
    """A client as the contract's trace shows it: plain JSON, no retries, ten seconds."""

    def __init__(self, base: str, key: str) -> None:
        self.base = base
        self.session = requests.Session()
        self.session.headers["DF-API-KEY"] = key

    def send(self, func_id: str, **func_body: Any) -> requests.Response:
        """Send a call."""
        body = {"funcId": func_id, "funcBody": func_body}
        return self.session.post(f"{self.base}/api/v1/outer_function/execute", json=body, timeout=10)

    def call(self, func_id: str, **kwargs: Any) -> Any:
        """Call, and raise what the vendor's client raises."""
        answer = self.send(func_id, kwargs=kwargs)
        answer.raise_for_status()
        content = answer.json()["content"]
        if content["error"] > 200:
            raise RuntimeError(content["error"], content["message"], content["detail"])
        return content["data"]["result"]


@pytest.fixture(scope="module")
def client(studio: Studio) -> Iterator[Client]:
    """The client of a project with the script above."""
    studio.script_set("guance")
    studio.published("guance__openapi", SCRIPT)
    made = Client(f"http://127.0.0.1:{studio.server.rest_port}", studio.key)
    with made.session:
        yield made


def test_the_trace_of_the_vendors_client(client: Client) -> None:
    assert client.call("guance__openapi.test", your_name="Tom") == "Hello, Tom"
    workspace = client.session.get(f"{client.base}/api/v1/workspace/get", timeout=10).json()["content"]
    assert set(workspace) == {"uuid", "token", "language"}
    with pytest.raises(RuntimeError) as raised:
        client.call("guance__openapi.fail")
    assert raised.value.args[:2] == (599.3, "Calling Function failed")
    assert raised.value.args[2]["einfoTEXT"] == "ZeroDivisionError: division by zero"


def test_the_curl_of_the_original_document(client: Client, studio: Studio) -> None:
    data = """{
  "funcId": "guance__openapi.test",
  "funcBody": {
    "kwargs": {
      "workspace_token": {},
        "workspace_uuid": {},
        "your_name": {
          "default": "OpenAPI User"
        }
    }
  }
}"""
    headers = ["-H", "Content-Type: application/json", "-H", f"DF-API-KEY: {studio.key}"]
    url = f"{client.base}/api/v1/outer_function/execute"
    curl = ["curl", "-sS", url, *headers, "--data-raw", data, "--compressed"]
    envelope = json.loads(subprocess.run(curl, capture_output=True, check=True, timeout=30).stdout)
    assert (envelope["code"], envelope["success"], envelope["errorCode"], envelope["message"]) == (200, True, "", "")
    content = envelope["content"]
    assert content["detail"]["einfoTEXT"] == (
        "redis.exceptions.DataError: Invalid input of type: 'dict'. Convert to a bytes, string, int or float first."
    )
    assert re.fullmatch(r"task-[0-9A-Za-z]{12}", content["detail"]["id"])
    assert (content["error"], content["message"], content["ok"]) == (599.3, "Calling Function failed", False)
    assert content["reason"] == "EFuncFailed"
    assert content["reqDump"] == {
        "bodyDump": json.dumps(json.loads(data)["funcBody"], indent=2),
        "method": "POST",
        "url": "/api/v1/func/guance__openapi.test",
    }
    for name in ("reqTime", "respTime"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", content[name])
    assert content["traceId"] == envelope["traceId"]
    assert re.fullmatch(r"TRACE-[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}", envelope["traceId"])


@pytest.mark.parametrize(
    ("func_id", "body"),
    [
        ("guance__openapi.fail", {}),
        ("guance__openapi.nothing", {}),
        ("guance__openapi.test", {"options": {"returnType": "x"}}),
    ],
)
def test_item_1_what_fails_inside_is_http_200(client: Client, func_id: str, body: Any) -> None:
    answer = client.send(func_id, **body)
    envelope = answer.json()
    assert (answer.status_code, envelope["code"], envelope["success"]) == (200, 200, True)
    content = envelope["content"]
    assert content["ok"] is False
    assert type(content["error"]) is float
    assert content["error"] > 200
    assert isinstance(content["detail"], dict)


@pytest.mark.parametrize(
    ("what", "result"), [("zero", 0), ("false", False), ("empty", ""), ("none", None), ("list", [])]
)
def test_item_2_a_success_has_its_result_whatever_it_is(client: Client, what: str, result: object) -> None:
    content = client.send("guance__openapi.give", kwargs={"what": what}).json()["content"]
    assert (content["error"], content["data"]) == (200, {"result": result})
    assert type(content["data"]["result"]) is type(result)


def test_item_3_numbers_print_exactly_and_trace_ids_are_texts(client: Client) -> None:
    for func_id, body, number in (
        ("guance__openapi.fail", {}, '"error":599.3,'),
        ("guance__openapi.nothing", {}, '"error":404.41,'),
        ("guance__openapi.test", {"timeout": 1}, '"error":400.43,'),
    ):
        answer = client.send(func_id, **body)
        assert number in answer.text
        envelope = answer.json()
        assert (type(envelope["code"]), type(envelope["content"]["reqCost"])) == (int, int)
        assert isinstance(envelope["traceId"], str)
        assert envelope["traceId"] == envelope["content"]["traceId"]
    answer = client.session.get(f"{client.base}/api/v1/workspace/get", headers={"X-Trace-Id": "mine"}, timeout=10)
    assert answer.json()["traceId"] == "mine"


def test_item_4_what_is_empty_is_not_dropped(client: Client) -> None:
    good, bad = client.send("guance__openapi.test"), client.send("guance__openapi.fail")
    for answer in (good, bad):
        assert '"errorCode":"","message":"","success":true' in answer.text
    assert '"message":"","ok":true' in good.text
    assert '"ok":false' in bad.text


def test_item_5_the_four_return_types(client: Client) -> None:
    for what, raw, shown, dumps in (("whole", "30", "30.0", "30.0"), ("big", str(2**70), str(2**70), str(2**70))):
        texts = {}
        for form in ("raw", "repr", "jsonDumps", "ALL"):
            options = {"returnType": form}
            texts[form] = client.send("guance__openapi.give", kwargs={"what": what}, options=options).text
        assert f'"data":{{"result":{raw}}}' in texts["raw"]
        assert f'"data":{{"result":"{shown}"}}' in texts["repr"]
        assert f'"data":{{"result":"{dumps}"}}' in texts["jsonDumps"]
        assert (
            f'"data":{{"result":{{"raw":{raw},"repr":"{shown}","jsonDumps":"{dumps}","_responseControl":'
            in texts["ALL"]
        )


def test_item_6_unknown_options_and_functions_are_named(client: Client) -> None:
    content = client.send("guance__openapi.test", options={"timeout": 1}).json()["content"]
    assert (content["error"], content["detail"]) == (400.43, {"message": "Found unexpected field `timeout`"})
    content = client.send("guance__openapi.nothing").json()["content"]
    assert (content["error"], content["detail"]) == (404.41, {"funcId": "guance__openapi.nothing"})


def test_item_7_a_bad_key_is_http_403(client: Client) -> None:
    url = f"{client.base}/api/v1/outer_function/execute"
    answer = requests.post(url, json={"funcId": "guance__openapi.test"}, headers={"DF-API-KEY": "wrong"}, timeout=10)
    expected = {"code": 403, "content": {}, "errorCode": "ft.InvalidAPIKey", "message": "Invalid API Key"}
    envelope = answer.json()
    assert envelope.pop("traceId").startswith("TRACE-")
    assert (answer.status_code, envelope) == (403, expected | {"success": False})


def test_item_8_an_answer_comes_before_a_client_gives_up(client: Client) -> None:
    content = client.send("guance__openapi.sleep").json()["content"]  # or its ten seconds are over
    assert (content["error"], content["reason"]) == (599.31, "EFuncTimeout")
