"""Lists of a function's calls: what they hold, in which order, page by page."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contracts.cognite.driver import ECHO, Cognite, newcomer
from tests.harness import Server, until

_SOURCE = """
import time

def handle(data):
    if data.get("fail"):
        raise ValueError("asked to")
    time.sleep(data.get("s", 0))
"""


@pytest.fixture(scope="module")
def caller(polycall: Server) -> Cognite:
    return newcomer(polycall, "lists")


@pytest.fixture(scope="module")
def calls(caller: Cognite) -> list[dict[str, Any]]:
    """Six calls of one function in the order in which they were made; the second and the fifth have failed."""
    function = caller.deploy(_SOURCE)
    caller.run(caller.deploy(ECHO))  # somebody else's
    made = [caller.run(function, b'{"fail":true}' if number in (1, 4) else b"{}") for number in range(6)]
    assert [call["status"] for call in made].count("Failed") == 2
    return made


def _ids(answer: Any) -> list[int]:
    return [item["id"] for item in answer["items"]]


def _filtered(caller: Cognite, calls: list[dict[str, Any]], **wanted: Any) -> list[int]:
    path = f"functions/{calls[0]['functionId']}/calls/list"
    answer = caller.post(path, {"filter": wanted, "limit": 1000, "cursor": None})
    assert answer.status == 200, answer.body
    assert list(answer.json()) == ["items"]
    return _ids(answer.json())


def test_calls_ascend_by_their_start(caller: Cognite, calls: list[dict[str, Any]]) -> None:
    path = f"functions/{calls[0]['functionId']}/calls"
    assert caller.get(path).json() == {"items": calls}
    assert caller.post(f"{path}/list", {}).json() == {"items": calls}
    assert caller.post(f"{path}/list", b"").json() == {"items": calls}


def test_pages_hold_everything_once_while_calls_are_made(caller: Cognite) -> None:
    function = caller.deploy(ECHO)
    made = [caller.run(function)["id"] for _ in range(5)]
    path = f"functions/{function}/calls"
    for by_post in (True, False):
        found: list[int] = []
        cursor = None
        for _ in range(20):
            if by_post:
                page = caller.post(f"{path}/list", {"limit": 2, "cursor": cursor}).json()
            else:
                page = caller.get(f"{path}?limit=2" + (f"&cursor={cursor}" if cursor else "")).json()
            found += _ids(page)
            if len(found) == 2:
                made.append(caller.run(function)["id"])
            cursor = page.get("nextCursor")
            if cursor is None:
                break
        assert found == made


def test_calls_are_filtered_by_status(caller: Cognite, calls: list[dict[str, Any]]) -> None:
    failed = [calls[1]["id"], calls[4]["id"]]
    assert _filtered(caller, calls, status="Failed") == failed
    assert _filtered(caller, calls, status="Completed") == [c["id"] for c in calls if c["id"] not in failed]
    assert _filtered(caller, calls, status="Running") == _filtered(caller, calls, status="Timeout") == []
    path = f"functions/{calls[0]['functionId']}/calls"
    assert _ids(caller.get(f"{path}?status=Failed").json()) == failed


def test_a_call_that_runs_is_listed_as_running(caller: Cognite) -> None:
    call = caller.call(caller.deploy(_SOURCE), b'{"s":2}')
    path = f"functions/{call['functionId']}/calls/list"
    assert caller.post(path, {"filter": {"status": "Running"}}).json() == {"items": [call]}
    until(lambda: caller.post(path, {"filter": {"status": "Running"}}).json() == {"items": []}, what="its end")


def test_ranges_of_times_include_both_ends(caller: Cognite, calls: list[dict[str, Any]]) -> None:
    for field in ("startTime", "endTime"):
        times = [call[field] for call in calls]
        low, high = times[1], times[3]
        inside = [call["id"] for call in calls if low <= call[field] <= high]
        assert _filtered(caller, calls, **{field: {"min": low, "max": high}}) == inside
        assert _filtered(caller, calls, **{field: {"min": low}}) == [c["id"] for c in calls if c[field] >= low]
        assert _filtered(caller, calls, **{field: {"max": high}}) == [c["id"] for c in calls if c[field] <= high]
        assert _filtered(caller, calls, **{field: {"min": high + 60_000}}) == []
    both = {"startTime": {"min": calls[1]["startTime"]}, "status": "Failed", "endTime": {"max": calls[2]["endTime"]}}
    assert _filtered(caller, calls, **both) == [calls[1]["id"]]


def test_calls_of_a_schedule_that_made_none_are_none(caller: Cognite, calls: list[dict[str, Any]]) -> None:
    assert _filtered(caller, calls, scheduleId=7) == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 10_001}, "limit"),
        ({"limit": "2"}, "limit"),
        ({"filter": {"status": "Done"}}, "filter.status"),
        ({"filter": {"status": 1}}, "filter.status"),
        ({"filter": {"scheduleId": "x"}}, "filter.scheduleId"),
        ({"filter": {"startTime": {"min": -1}}}, "filter.startTime.min"),
        ({"filter": {"endTime": [1, 2]}}, "filter.endTime"),
        ({"cursor": "made-up"}, "cursor"),
    ],
)
def test_a_bad_filter_is_refused(
    caller: Cognite, calls: list[dict[str, Any]], body: dict[str, object], field: str
) -> None:
    answer = caller.post(f"functions/{calls[0]['functionId']}/calls/list", body)
    assert (answer.status, answer.json()["error"]["code"]) == (400, 400)
    assert answer.json()["error"]["message"].startswith(f"{field}: ")


def test_a_cursor_is_good_for_its_own_function_project_and_filter(caller: Cognite, cognite: Cognite) -> None:
    function, foreign = caller.deploy(ECHO), cognite.deploy(ECHO)
    for each, number in ((caller, function), (cognite, foreign)):
        for _ in range(2):
            each.run(number)
    theirs = cognite.get(f"functions/{foreign}/calls?limit=1").json()["nextCursor"]
    mine = caller.get(f"functions/{function}/calls?limit=1").json()["nextCursor"]
    message = "cursor: is not a cursor of this list with this filter"
    for ask in ({"cursor": theirs}, {"cursor": mine, "filter": {"status": "Failed"}}):
        answer = caller.post(f"functions/{function}/calls/list", ask)
        assert (answer.status, answer.json()["error"]["message"]) == (400, message)


def test_calls_of_an_unknown_function_are_not_listed(caller: Cognite) -> None:
    for answer in (caller.get("functions/999999/calls"), caller.post("functions/999999/calls/list", {})):
        assert (answer.status, answer.json()["error"]["missing"]) == (400, [{"id": 999999}])
