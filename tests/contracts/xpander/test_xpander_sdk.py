"""The vendor's SDK, unmodified, on the three ways to a function, from nothing to deleted (contract, 10 and 11)."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.contracts.clients import python_client
from tests.harness import Server

SDK = ("xpander-sdk==2.0.537", "agno==2.5.14")  # it imports agno, which it declares as an extra
CLIENT = Path(__file__).with_name("sdk_client.py")
RUN_S = 120.0
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
ITEM = [
    *("id", "name", "description", "technical_description", "status", "limits", "input_schema", "source_code"),
    *("analysis_error_details", "organization_id", "created_at"),
]
SCHEMA = {
    "type": "object",
    "properties": {"text": {"type": "string"}, "max_items": {"type": "integer", "default": 100}},
    "required": ["text"],
}


@pytest.fixture(scope="module")
def seen(polycall: Server) -> Any:
    """What the SDK saw in a project of its own."""
    scopes = ["SCOPE_RUN", "SCOPE_READ", "SCOPE_DEPLOY"]
    key = polycall.new_key(project="xpander-sdk", scopes=scopes)  # type: ignore[arg-type]
    command = [str(python_client(*SDK)), str(CLIENT), polycall.rest, key]
    done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_S, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_a_function_is_created_analysed_and_ready(seen: Any) -> None:
    created, ready = seen["created"], seen["ready"]
    assert list(created) == list(ready) == ITEM
    assert (created["status"], created["input_schema"], created["technical_description"]) == ("analysing", None, None)
    assert ready == created | {
        "status": "ready",
        "input_schema": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "times": {"type": "integer", "default": 1}},
            "required": ["city"],
            "additionalProperties": True,
        },
        "technical_description": "Calls xpander_run_action with city (string, required), times (integer, optional), "
        "any others; returns any.",
    }
    assert (created["name"], created["description"]) == ("Cities", "Repeats.")
    assert (created["limits"], created["organization_id"]) == ({"max_run_time": 5}, "xpander-sdk")


def test_ids_are_uuids_without_underscores(seen: Any) -> None:
    assert UUID.fullmatch(seen["created"]["id"])


def test_the_list_hides_sources_and_has_five_paging_fields(seen: Any) -> None:
    listed = seen["listed"]
    (item,) = listed.pop("items")
    assert item == seen["ready"] | {"source_code": None}
    assert listed == {"total": 1, "page": 1, "per_page": 50, "total_pages": 1}


def test_the_first_way_gets_the_value_itself(seen: Any) -> None:
    assert seen["first way"] == [["SF", "SF", "a", "b"]]


def test_the_second_and_the_third_way_get_it_as_the_result_of_a_tool(seen: Any) -> None:
    alone, operation, *tool = seen["first tool"]
    assert alone == operation == [True, False, 200, ["SF"]]
    tool_id = f"xpander-custom-functions_{seen['created']['id']}"
    assert tool == [tool_id, "Cities", "Repeats.", seen["ready"]["input_schema"]]


def test_what_is_wrong_comes_as_a_list_with_places_of_names_and_numbers(seen: Any) -> None:
    status, body = seen["problems"]
    assert status == 422
    assert [(each["type"], each["loc"], each["msg"]) for each in body["detail"]] == [
        ("missing", ["body", "city"], "Field required"),
        ("int_type", ["body", "times"], "Input should be a valid integer"),
    ]


def test_no_payload_is_no_parameters(seen: Any) -> None:
    status, body = seen["no body"]
    assert (status, body["detail"][0]["loc"], body["detail"][0]["input"]) == (422, ["body", "city"], {})


def test_an_update_is_analysed_and_then_called(seen: Any) -> None:
    assert (seen["patched"]["status"], seen["patched"]["name"]) == ("analysing", "Counts")
    assert seen["again"] == [
        {"count": 2, "max_items": 100, "kind": "int"},
        [400, {"detail": "ValueError: bad text"}],
    ]
    alone, operation, *tool = seen["second tool"]
    assert alone == operation == [True, False, 200, {"count": 2, "max_items": 3, "kind": "int"}]
    assert tool[1:] == ["Counts", "Repeats.", SCHEMA]


def test_a_tool_that_fails_is_an_error_with_status_and_text(seen: Any) -> None:
    alone, operation, *_ = seen["failing tool"]
    assert alone == operation == [False, True, 400, '{"detail":"ValueError: bad text"}']


def test_a_preflight_check_runs_nothing(seen: Any) -> None:
    assert seen["preflight"] == {}


def test_what_is_deleted_is_gone_on_every_way(seen: Any) -> None:
    assert seen["deleted"] == ""
    assert seen["gone"] == [404, {"detail": "Custom function not found"}]
    assert "404 Not Found" in seen["gone tool"]


def test_scalars_and_null_come_back_bare(seen: Any) -> None:
    assert seen["scalars"] == [None, 42, 1.5, "é", True, [], {}]


def test_a_function_that_is_too_slow_is_stopped_at_its_limit(seen: Any) -> None:
    assert seen["slow"] == [504, {"detail": "Execution timed out after 1 seconds"}]


def test_a_function_that_did_not_pass_its_analysis_is_409(seen: Any) -> None:
    assert seen["broken"] == [409, {"detail": "Custom function is not ready (status: error)"}]
    assert "409 Conflict" in seen["broken tool"]


def test_a_wrong_key_is_403_and_health_takes_none(seen: Any) -> None:
    assert (seen["wrong key"], seen["health"]) == (403, "ok")
