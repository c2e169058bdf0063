"""The vendor's own SDK in both of its versions, with both ways to log in: from nothing to a function, and back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from tests.contracts.clients import python_client
from tests.contracts.cognite.driver import newcomer
from tests.harness import Server

_SCRIPT = Path(__file__).with_name("journey.py")
_WAY_S = 180.0


@lru_cache
def _interpreter(version: str) -> str:
    return sys.executable if version == "8.22.0" else str(python_client(f"cognite-sdk=={version}"))


@pytest.mark.parametrize("kind", ["token", "credentials"])
@pytest.mark.parametrize("version", ["8.22.0", "7.94.2"])
def test_a_user_of_the_sdk_goes_from_nothing_to_a_function_and_back(polycall: Server, version: str, kind: str) -> None:
    seen = _seen(polycall, version, kind)
    # one journey, looked at from all sides: it is what takes long
    _a_function_goes_from_a_folder_to_ready(seen)
    _it_is_called_and_answers_and_logs(seen)
    _a_function_may_be_a_handle_and_end_in_any_way(seen)
    _a_nonce_binds_once(seen)
    _lists_hold_what_was_made(seen)
    _sessions_act_for_who_logged_in(seen)
    _a_schedule_is_made_with_a_session_of_its_own(seen)
    _what_is_unknown_or_taken_is_said_as_the_sdk_expects(seen)
    _deletion_takes_functions_and_their_schedules(seen)


def _seen(polycall: Server, version: str, kind: str) -> dict[str, Any]:
    """Send somebody on the way and return what they saw; the version and how they logged in are in it."""
    caller = newcomer(polycall, "journey")
    # the library that version 7 logs in with refuses plain HTTP, even to this machine, without this
    environment = os.environ | {"OAUTHLIB_INSECURE_TRANSPORT": "1"}
    done = subprocess.run(
        [_interpreter(version), str(_SCRIPT), polycall.rest, caller.project, caller.key, kind],
        capture_output=True,
        text=True,
        timeout=_WAY_S,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return {"asked": version, "kind": kind, **json.loads(done.stdout.splitlines()[-1])}


def _a_function_goes_from_a_folder_to_ready(seen: dict[str, Any]) -> None:
    assert seen["version"] == seen["asked"]
    marker = f"{seen['kind']}-{seen['version']}"
    made = seen["made"]
    assert {name: made[name] for name in ("status", "name", "externalId", "secrets", "metadata", "functionPath")} == {
        "status": "Queued",
        "name": "a/b",
        "externalId": f"folder-{marker}",
        "secrets": {"pw": "***"},
        "metadata": {"team": marker},
        "functionPath": "greeter/handler.py",
    }
    assert {type(made[name]) for name in ("id", "fileId", "createdTime")} == {int}
    assert seen["ready"] == made | {"status": "Ready"}
    assert '"pw": "***"' in seen["printed"]


def _it_is_called_and_answers_and_logs(seen: dict[str, Any]) -> None:
    call = seen["call"]
    assert call["status"] == "Completed"
    assert {type(call[name]) for name in ("id", "functionId", "startTime", "endTime")} == {int}
    assert "error" not in call
    assert "scheduleId" not in call
    info = ["call_id", "function_id"]
    assert seen["response"] == {"greeting": "Hello, Ada", "n": 4, "pw": "hush", "info": info}
    assert type(seen["response"]["n"]) is int
    assert seen["logs"] == ["called"]
    assert call["startTime"] <= seen["log_times"][0] <= call["endTime"]


def _a_function_may_be_a_handle_and_end_in_any_way(seen: dict[str, Any]) -> None:
    assert seen["handle"] == ["Ready", 1]
    status, error, response, last = seen["failing"]
    assert (status, error["message"], response, last) == ("Failed", "asked to", None, "ValueError: asked to")
    assert error["trace"].endswith("ValueError: asked to\n")
    reason = "Object of type set is not JSON serializable"
    assert seen["odd"] == ["Failed", f"Function return value is not JSON serializable: {reason}"]
    assert seen["slow"] == ["Running", None, None]
    assert seen["slow_ended"] == ["Completed", 1]


def _a_nonce_binds_once(seen: dict[str, Any]) -> None:
    assert seen["nonce"] == ["Completed", 400, "Failed to bind nonce with session"]


def _lists_hold_what_was_made(seen: dict[str, Any]) -> None:
    assert seen["listed"] == [True]
    assert seen["by_prefix"] == 1
    assert seen["calls"] == ["Completed", "Failed", "Failed", "Completed", "Completed"]
    assert seen["failed_calls"] == 1
    assert seen["call_again"] is True
    assert (seen["limits"]["timeoutMinutes"], seen["limits"]["responseSizeMb"]) == (10, 1)
    assert seen["status"] == ["activated", "activated"]


def _sessions_act_for_who_logged_in(seen: dict[str, Any]) -> None:
    exchanged = ["TOKEN_EXCHANGE", "ACTIVE", None]
    with_credentials = ["CLIENT_CREDENTIALS", "ACTIVE", "app"]
    assert seen["sessions"] == [exchanged if seen["kind"] == "token" else with_credentials] * 3
    assert seen["revoked"] == "REVOKED"
    assert seen["credentials"] == ["CLIENT_CREDENTIALS", "READY", "app"]
    assert seen["token"] == ["journey"]


def _a_schedule_is_made_with_a_session_of_its_own(seen: dict[str, Any]) -> None:
    assert seen["schedule"] == ["Every minute", "int", {"a": 1}]


def _what_is_unknown_or_taken_is_said_as_the_sdk_expects(seen: dict[str, Any]) -> None:
    kind = "CogniteDuplicatedError" if seen["version"].startswith("8") else "CogniteAPIError"
    external_id = f"folder-{seen['kind']}-{seen['version']}"
    assert seen["duplicated"] == [kind, 409, [{"externalId": external_id}], True]
    assert seen["not_found"] == [{"id": 999_999}, {"external_id": "nope", "externalId": "nope"}]
    assert seen["unknown"] == [None, None]


def _deletion_takes_functions_and_their_schedules(seen: dict[str, Any]) -> None:
    assert seen["deleted"] == [None, None, None]
