"""The SDK's view of a function as a tool, the order of the checks, and the way out (contract, sections 7 and 9)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contracts.xpander.driver import FUNCTIONS, GREETER, TOOLS, Xpander, refused
from tests.harness import Server

COUNTING = "def xpander_run_action(n: int = 0):\n    raise ValueError('ran')\n"


@pytest.fixture(scope="module")
def failing(xpander: Xpander) -> str:
    """The id of a function that fails whenever it runs."""
    return str(xpander.create(COUNTING)["id"])


def _ways(function_id: str) -> tuple[str, ...]:
    return (
        f"{FUNCTIONS}/{function_id}/execute",
        f"{TOOLS}_{function_id}",
        f"/agents/any agent/operations/xpander-custom-functions_{function_id}".replace(" ", "%20"),
    )


def test_a_tool_has_four_members_and_no_more(xpander: Xpander) -> None:
    item = xpander.create("def xpander_run_action():\n    return 1\n")
    answer = xpander.ask("GET", f"{TOOLS}_{item['id']}")
    assert list(answer.json()) == ["id", "name", "description", "parameters"]
    assert answer.json() == {
        "id": f"xpander-custom-functions_{item['id']}",
        "name": "made",
        "description": "",
        "parameters": {"type": "object", "properties": {}, "required": []},
    }


@pytest.mark.parametrize("tool_id", ["other_{}", "{}", "xpander-custom-functions_{}_x", "xpander-custom-functions_"])
def test_a_tool_of_another_connector_is_not_found(xpander: Xpander, failing: str, tool_id: str) -> None:
    for method, path in (("GET", "/tools/"), ("POST", "/tools/"), ("POST", "/agents/a/operations/")):
        answer = xpander.ask(method, path + tool_id.format(failing), b"{}" if method == "POST" else None)
        assert (answer.status, refused(answer)) == (404, "Custom function not found")


def test_every_way_answers_alike(xpander: Xpander) -> None:
    function_id = xpander.create(GREETER)["id"]
    for path in _ways(function_id):
        answers = [xpander.ask("POST", path, body) for body in ({"city": "SF"}, b"", b"[1]", b'{"city":5}')]
        assert [answer.status for answer in answers] == [200, 422, 422, 422], path
        assert answers[0].body == b'"Hello, SF"'
        assert [refused(answer)[0]["type"] for answer in answers[1:]] == ["missing", "dict_type", "string_type"]


def test_a_preflight_check_asks_and_runs_nothing(xpander: Xpander, failing: str) -> None:
    asking = {"x-api-key": xpander.key, "x-preflight-check": "true"}
    for path in _ways(failing)[1:]:
        for body in (None, {"body_params": {"n": 1}}):
            assert xpander.ask("POST", path, body, asking).body == b"{}"
        answer = xpander.ask("POST", path, {}, {**asking, "x-preflight-check": "false"})
        assert (answer.status, refused(answer)) == (400, "ValueError: ran")
        assert xpander.ask("POST", path, None, {"x-preflight-check": "true"}).status == 401
    assert xpander.ask("POST", f"{TOOLS}_unknown", None, asking).status == 404


def test_checks_come_in_the_contracts_order(xpander: Xpander, failing: str) -> None:
    broken = xpander.create("def xpander_run_action(n: int\n")["id"]
    for unknown, not_ready, ready in zip(_ways("unknown"), _ways(broken), _ways(failing), strict=True):
        asked: list[tuple[str, Any, dict[str, str] | None]] = [
            (unknown, b"[", {}),
            (unknown, b"[", {"x-api-key": "wrong"}),
            (unknown, b"[", None),
            (not_ready, b"[", None),
            (ready, b"[", None),
            (ready, b'[{"n":"x"}]', None),
            (ready, b'{"n":"x"}', None),
            (ready, b'{"n":1}', None),
        ]
        answers = [xpander.ask("POST", path, body, headers) for path, body, headers in asked]
        assert [answer.status for answer in answers] == [401, 403, 404, 409, 422, 422, 422, 400]
        kinds = [refused(answer)[0]["type"] for answer in answers[4:7]]
        assert kinds == ["json_invalid", "dict_type", "int_type"]


def test_methods_that_a_route_has_not_are_405_and_named(xpander: Xpander, failing: str) -> None:
    for path, methods in (
        (FUNCTIONS, {"GET", "POST"}),
        (f"{FUNCTIONS}/{failing}", {"GET", "PATCH", "DELETE"}),
        (f"{TOOLS}_{failing}", {"GET", "POST"}),
        (f"/agents/a/operations/xpander-custom-functions_{failing}", {"POST"}),
        ("/health", {"GET"}),
    ):
        answer = xpander.ask("PUT", path)
        assert (answer.status, refused(answer)) == (405, "Method Not Allowed")
        assert set(answer.headers["allow"].split(", ")) == methods
    for path in ("/tools", "/agents/a/operations", "/agents", "/health/more", f"{FUNCTIONS}/{failing}/run"):
        answer = xpander.ask("GET", path)
        assert (answer.status, refused(answer)) == (404, "Not Found")


def test_health_is_ok_without_a_key(xpander: Xpander) -> None:
    assert xpander.ask("GET", "/health", None, {}).body == b'"ok"'


REACHES = """
import urllib.request

def xpander_run_action(url: str):
    try:
        return urllib.request.urlopen(url, timeout=20).status
    except OSError as error:
        return str(error)
"""


def test_functions_find_requests_and_reach_no_internal_address(xpander: Xpander) -> None:
    with_requests = "import requests\ndef xpander_run_action():\n    return requests.__name__\n"
    assert xpander.call(xpander.create(with_requests)["id"]) == "requests"
    reaches = xpander.create(REACHES)["id"]
    answers = [
        xpander.call(reaches, {"url": f"http://{host}/"}) for host in ("localhost", "127.0.0.1", "169.254.169.254")
    ]
    assert answers[0] == "HTTP Error 403: the address of localhost is not allowed: it is not public"
    assert answers[1] == "HTTP Error 403: 127.0.0.1 is not among the hosts that this run may reach"
    assert answers[2].endswith("169.254.169.254 is not among the hosts that this run may reach")
    # natively too: the way out is the version's
    updated = xpander.patch(reaches, source_code=REACHES + "\n", limits={"memory": 200})
    xpander.analysed(updated["id"])
    assert xpander.call(reaches, {"url": "http://localhost/"}) == answers[0]


def test_an_operator_closes_the_internet_bounds_limits_and_the_rate(little: Server) -> None:
    mine = Xpander(little, little.key)
    reaches = mine.create(REACHES)
    closed = "HTTP Error 403: example.com is named by no rule, and the operator lets `*` reach nothing"
    assert mine.call(reaches["id"], {"url": "http://example.com/"}) == closed
    limits = {"max_run_time": 21, "memory": 201}
    answer = mine.ask("POST", FUNCTIONS, {"name": "n", "source_code": GREETER, "limits": limits})
    assert [(each["loc"][-1], each["ctx"]) for each in refused(answer)] == [
        ("max_run_time", {"le": 20}),
        ("memory", {"le": 200}),
    ]
    assert answer.headers["x-ratelimit-limit"] == "2000"  # twice the rate in a burst
    assert 0 < int(answer.headers["x-ratelimit-remaining"]) <= 2000
    assert answer.headers["x-ratelimit-reset"] in ("0", "1")
