"""Sessions after their creation: listed, looked up, revoked."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contracts.cognite.driver import ECHO, Cognite, newcomer
from tests.harness import Server


@pytest.fixture(scope="module")
def caller(polycall: Server) -> Cognite:
    """A caller of a project whose sessions are all of this module's making."""
    mine = newcomer(polycall, "sessions")
    mine.echo = mine.deploy(ECHO)
    return mine


def _open(caller: Cognite, **item: Any) -> dict[str, Any]:
    return dict(caller.post("sessions", {"items": [item or {"tokenExchange": True}]}).json()["items"][0])


def _listed(caller: Cognite, query: str) -> list[int]:
    return [each["id"] for each in caller.get(f"sessions?{query}").json()["items"]]


def test_a_session_is_ready_then_active_then_revoked(caller: Cognite) -> None:
    opened = _open(caller)
    [ready] = caller.post("sessions/byids", {"items": [{"id": opened["id"]}]}).json()["items"]
    assert ready == {
        "id": opened["id"],
        "type": "TOKEN_EXCHANGE",
        "status": "READY",
        "creationTime": ready["creationTime"],
        "expirationTime": ready["creationTime"] + 60_000,
    }
    call = caller.post(f"functions/{caller.echo}/call", {"nonce": opened["nonce"]})
    assert call.status == 201
    [active] = caller.post("sessions/byids", {"items": [{"id": opened["id"]}]}).json()["items"]
    assert active["status"] == "ACTIVE"
    assert active["expirationTime"] >= ready["creationTime"] + 3_600_000
    [revoked] = caller.post("sessions/revoke", {"items": [{"id": opened["id"]}]}).json()["items"]
    assert revoked == active | {"status": "REVOKED"}
    caller.ended(call.json())


def test_a_session_that_was_revoked_cannot_be_bound(caller: Cognite) -> None:
    opened = _open(caller)
    assert caller.post("sessions/revoke", {"items": [{"id": opened["id"]}]}).status == 200
    answer = caller.post(f"functions/{caller.echo}/call", {"nonce": opened["nonce"]})
    assert answer.json()["error"] == {"code": 400, "message": "Failed to bind nonce with session"}


def test_sessions_are_listed_by_status_newest_first_page_by_page(caller: Cognite) -> None:
    made = [_open(caller, tokenExchange=True)["id"] for _ in range(5)]
    caller.post("sessions/revoke", {"items": [{"id": made[1]}, {"id": made[3]}]})
    for status in ("revoked", "REVOKED"):
        assert _listed(caller, f"status={status}&limit=2") == [made[3], made[1]]
    found, cursor = [], ""
    while True:
        page = caller.get(f"sessions?limit=2&status=READY{cursor}").json()
        found += [each["id"] for each in page["items"]]
        if "nextCursor" not in page:
            break
        cursor = f"&cursor={page['nextCursor']}"
    assert found[:3] == [made[4], made[2], made[0]]
    assert len(found) == len(set(found))
    with_all = caller.get("sessions").json()
    assert "nextCursor" not in with_all
    assert {"REVOKED", "READY"} <= {each["status"] for each in with_all["items"]}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=-1", "limit"),
        ("limit=10001", "limit"),
        ("limit=ten", "limit"),
        ("status=DONE", "status"),
        ("cursor=made-up", "cursor"),
    ],
)
def test_a_bad_query_of_a_list_is_refused(caller: Cognite, query: str, field: str) -> None:
    answer = caller.get(f"sessions?{query}")
    assert answer.status == 400
    assert answer.json()["error"]["message"].startswith(f"{field}: ")


def test_a_cursor_of_another_project_is_refused(caller: Cognite, cognite: Cognite) -> None:
    for _ in range(2):
        cognite.nonce()
    cursor = cognite.get("sessions?limit=1").json()["nextCursor"]
    answer = caller.get(f"sessions?limit=1&cursor={cursor}")
    assert (answer.status, answer.json()["error"]["message"]) == (
        400,
        "cursor: is not a cursor of this list with this filter",
    )


def test_unknown_sessions_are_missing_and_nothing_is_revoked(caller: Cognite, cognite: Cognite) -> None:
    mine = _open(caller)["id"]
    cognite.nonce()
    foreign = max(each["id"] for each in cognite.get("sessions").json()["items"])
    for path in ("sessions/byids", "sessions/revoke"):
        answer = caller.post(path, {"items": [{"id": mine}, {"id": foreign}, {"id": 2**53 - 1}]})
        assert (answer.status, answer.json()["error"]["missing"]) == (400, [{"id": foreign}, {"id": 2**53 - 1}])
    [still] = caller.post("sessions/byids", {"items": [{"id": mine}]}).json()["items"]
    assert still["status"] == "READY"


def test_wrong_client_credentials_make_no_session(caller: Cognite, cognite: Cognite) -> None:
    for secret in ("wrong", cognite.key):  # nobody's, and another project's
        answer = caller.post("sessions", {"items": [{"clientId": "me", "clientSecret": secret}]})
        assert answer.status == 400
        assert answer.json()["error"]["message"] == "items[0].clientSecret: is not an API key of this project"
