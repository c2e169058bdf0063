"""The contract's closing checklist (section 11), item by item, as the bytes on the wire have it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.contracts.xpander.driver import FUNCTIONS, TOOLS, Xpander, refused

SOURCE = '''
import time

def xpander_run_action(what: str, max_items: int = 100):
    """Do what is asked."""
    if what == "fail":
        raise ValueError("bad city")
    if what == "sleep":
        time.sleep(30)
    return {"none": None, "int": 42, "text": "Hello", "list": [1, 2], "count": {"count": 2},
            "items": max_items}[what]
'''


@pytest.fixture(scope="module")
def function(xpander: Xpander) -> Any:
    return xpander.create(SOURCE, limits={"max_run_time": 1})


def test_item_1_bare_json_both_ways_always_labelled_so(xpander: Xpander, function: Any) -> None:
    path = f"{FUNCTIONS}/{function['id']}/execute"
    told = [xpander.ask("POST", path, {"what": what}) for what in ("none", "int", "text", "list", "count")]
    assert [answer.body for answer in told] == [b"null", b"42", b'"Hello"', b"[1, 2]", b'{"count": 2}']
    assert {answer.headers["content-type"] for answer in told} == {"application/json"}


def test_item_2_ids_are_uuids_and_tools_have_four_keys(xpander: Xpander, function: Any) -> None:
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", function["id"])
    tool = xpander.ask("GET", f"{TOOLS}_{function['id']}").json()
    assert set(tool) == {"id", "name", "description", "parameters"}


def test_item_3_every_status_of_the_table(xpander: Xpander, function: Any) -> None:
    one = f"{FUNCTIONS}/{function['id']}"
    broken = xpander.ask("POST", FUNCTIONS, {"name": "n", "source_code": "def f(:"})
    xpander.analysed(broken.json()["id"])
    other = f"{FUNCTIONS}/{broken.json()['id']}"
    answers = [
        xpander.ask("POST", f"{one}/execute", {}, {}),
        xpander.ask("POST", f"{one}/execute", {}, {"x-api-key": "bad"}),
        xpander.ask("POST", f"{FUNCTIONS}/unknown/execute", {}),
        xpander.ask("POST", f"{other}/execute", {}),
        xpander.ask("POST", f"{one}/execute", {}),
        xpander.ask("POST", f"{one}/execute", {"what": "fail"}),
        xpander.ask("POST", f"{one}/execute", {"what": "sleep"}),
        broken,
        xpander.ask("PATCH", other, {"name": "m"}),
        xpander.ask("DELETE", other),
    ]
    assert [answer.status for answer in answers] == [401, 403, 404, 409, 422, 400, 504, 201, 200, 202]
    assert [refused(answer) for answer in answers[:4] + answers[5:7]] == [
        "Not authenticated",
        "Invalid API key",
        "Custom function not found",
        "Custom function is not ready (status: error)",
        "ValueError: bad city",
        "Execution timed out after 1 seconds",
    ]


def test_item_4_places_mix_names_and_numbers(xpander: Xpander) -> None:
    source = "from typing import List\ndef xpander_run_action(rows: List[List[int]]):\n    return rows\n"
    answer = xpander.send(xpander.create(source)["id"], b'{"rows": [[1], [2, "x"]]}')
    (problem,) = refused(answer)
    assert (problem["loc"], problem["msg"], problem["type"]) == (
        *(["body", "rows", 1, 1], "Input should be a valid integer", "int_type"),
    )


def test_item_5_the_list_hides_sources_and_pages_by_numbers(xpander: Xpander, function: Any) -> None:
    page = xpander.ask("GET", f"{FUNCTIONS}?per_page=50").json()
    assert {item["source_code"] for item in page.pop("items")} == {None}
    assert set(page) == {"total", "page", "per_page", "total_pages"}
    assert {type(number) for number in page.values()} == {int}


def test_item_6_integers_stay_integers(xpander: Xpander, function: Any) -> None:
    assert xpander.send(function["id"], b'{"what": "items"}').body == b"100"
    assert xpander.send(function["id"], b'{"what": "items", "max_items": 7.0}').body == b"7"
    assert xpander.send(function["id"], b'{"what": "items", "max_items": 9007199254740993}').body == b"9007199254740993"


def test_item_7_no_body_is_no_parameters(xpander: Xpander) -> None:
    function_id = xpander.create("def xpander_run_action(n: int = 5):\n    return n\n")["id"]
    assert [xpander.send(function_id, body).body for body in (None, b"", b"{}")] == [b"5"] * 3


def test_item_8_unknown_members_are_ignored(xpander: Xpander, function: Any) -> None:
    assert xpander.call(function["id"], {"what": "int", "unknown": {"a": [1]}}) == 42
    answer = xpander.ask("PATCH", f"{FUNCTIONS}/{function['id']}?unknown=1", {"unknown": 1, "status": "draft"})
    assert (answer.status, answer.json()["status"]) == (200, "ready")
