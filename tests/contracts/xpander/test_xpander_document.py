"""The vendor's document, and the ways its SDK's HTTP client reaches a function."""

from __future__ import annotations

import gzip

import httpx
import pytest
import requests

from tests.contracts.xpander.driver import Xpander, refused

_ECHO = "def xpander_run_action(**parameters):\n    return parameters\n"


@pytest.fixture(scope="module")
def echo(xpander: Xpander) -> str:
    return xpander.deploy(_ECHO)


def test_the_documented_request_has_the_bare_result_as_its_answer(xpander: Xpander, greeter: str) -> None:
    answer = xpander.send(greeter, b'{"city": "San Francisco"}')
    assert (answer.status, answer.body) == (200, b'"Hello, San Francisco"')


def test_the_documented_error_is_a_list_of_problems(xpander: Xpander, greeter: str) -> None:
    answer = xpander.send(greeter, b'{"town":"SF"}')
    assert answer.status == 422
    assert answer.body == (
        b'{"detail":[{"type":"missing","loc":["body","city"],"msg":"Field required","input":{"town":"SF"}}]}'
    )


def test_a_payload_comes_back_byte_for_byte(xpander: Xpander, echo: str) -> None:
    payload = b'{"n": 9007199254740993, "x": 1.0, "y": 1, "z": {"b": 1, "a": 2}}'
    assert xpander.send(echo, payload).body == payload


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("None", b"null"),
        ("True", b"true"),
        ("42", b"42"),
        ("1.0", b"1.0"),
        ("2 ** 70", b"1180591620717411303424"),
        ("'é'", '"é"'.encode()),
        ("(1, [2])", b"[1, [2]]"),
        ("{'count': 2}", b'{"count": 2}'),
    ],
)
def test_any_json_value_is_an_answer(xpander: Xpander, value: str, text: bytes) -> None:
    function = xpander.deploy(f"def xpander_run_action():\n    return {value}\n")
    answer = xpander.send(function, b"{}")
    assert (answer.status, answer.body) == (200, text)


def test_without_a_body_there_are_no_parameters(xpander: Xpander) -> None:
    function = xpander.deploy("def xpander_run_action(max_items: int = 100):\n    return max_items\n")
    for body in (None, b"", b"{}"):
        assert xpander.send(function, body).body == b"100"
    assert xpander.send(function, None, {"x-api-key": xpander.key}).body == b"100"


def test_the_vendors_http_client_sends_a_body_or_none(xpander: Xpander, greeter: str, echo: str) -> None:
    # what APIClient.make_request does: httpx, the key in x-api-key, a JSON body only if there is a payload
    with httpx.Client(base_url=xpander.server.rest, headers={"x-api-key": xpander.key}, timeout=1500) as client:
        answer = client.request("POST", f"/v1/custom_functions/{greeter}/execute", json={"city": "SF"})
        assert (answer.status_code, answer.json()) == (200, "Hello, SF")
        answer = client.request("POST", f"/v1/custom_functions/{echo}/execute")
        assert (answer.status_code, answer.json()) == (200, {})
        answer = client.request("POST", f"/v1/custom_functions/{greeter}/execute", json={})
        with pytest.raises(httpx.HTTPStatusError):
            answer.raise_for_status()
        assert refused_types(answer.json()) == ["missing"]


def refused_types(body: dict[str, list[dict[str, str]]]) -> list[str]:
    return [problem["type"] for problem in body["detail"]]


def test_other_clients_reach_it_as_well(xpander: Xpander, greeter: str) -> None:
    url = f"{xpander.server.rest}/v1/custom_functions/{greeter}/execute"
    bearer = {"authorization": f"Bearer {xpander.key}"}
    assert requests.post(url, json={"city": "SF"}, headers=bearer, timeout=60).json() == "Hello, SF"
    form = {"x-api-key": xpander.key, "content-type": "application/x-www-form-urlencoded"}
    assert requests.post(url, data=b'{"city": "SF"}', headers=form, timeout=60).json() == "Hello, SF"
    packed = {"x-api-key": xpander.key, "content-encoding": "gzip"}
    data = gzip.compress(b'{"city": "SF"}')
    assert requests.post(f"{url}?city=x&function_id=y", data=data, headers=packed, timeout=60).json() == "Hello, SF"


@pytest.mark.parametrize(
    ("headers", "status", "detail"),
    [
        ({}, 401, "Not authenticated"),
        ({"x-api-key": ""}, 401, "Not authenticated"),
        ({"authorization": "Bearer "}, 401, "Not authenticated"),
        ({"authorization": "Basic dXNlcg=="}, 401, "Not authenticated"),
        ({"x-api-key": "wrong"}, 403, "Invalid API key"),
        ({"authorization": "Bearer wrong"}, 403, "Invalid API key"),
    ],
)
def test_no_key_and_a_bad_key_are_told_apart(
    xpander: Xpander, greeter: str, headers: dict[str, str], status: int, detail: str
) -> None:
    answer = xpander.send(greeter, b'{"city": "SF"}', headers)
    assert (answer.status, refused(answer)) == (status, detail)
    # before anything else is looked at
    answer = xpander.send("unknown", b"{", headers)
    assert (answer.status, refused(answer)) == (status, detail)
