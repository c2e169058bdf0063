from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import Any

import pytest

from polycall.domain import LimitOverrides, Package, VersionState
from polycall.engine.limits import MIB
from polycall.faces.cognite.functiondata import FunctionData
from polycall.faces.cognite.functions import Deployed, FunctionBody, handle_of, status_of
from polycall.faces.wire import dump
from tests.unit.faces.cognite.fakes import NOW, function, version

_PACKAGE = Package(project_id="default", id="1", created_at=NOW, updated_at=NOW)
_RUNTIME = f"py{sys.version_info.major}{sys.version_info.minor}"
_RUNTIME_VERSION = "Python " + ".".join(map(str, sys.version_info[:3]))


def _shown(deployed: Deployed, last_called: int | None = None) -> Any:
    return json.loads(dump(FunctionBody.of(deployed, last_called)))


def test_a_function_shows_what_it_always_has() -> None:
    assert _shown(Deployed(_PACKAGE, version())) == {
        "id": 1,
        "createdTime": NOW,
        "status": "Ready",
        "name": "1",
        "fileId": 0,
        "functionPath": "handler.py",
        "cpu": 1.0,
        "memory": 1.5,
        "runtime": _RUNTIME,
        "runtimeVersion": _RUNTIME_VERSION,
    }


def test_a_function_shows_what_it_was_given() -> None:
    package = Package(
        project_id="default",
        id="42",
        created_at=NOW,
        updated_at=NOW,
        display_name="adder",
        description="Adds.",
        labels={"external_id": "add", "team": "a"},
    )
    given = version(
        "42",
        functions=(function(entrypoint="my_functions.handler:handle"),),
        env={"A": "b"},
        limits=LimitOverrides(memory_bytes=512 * MIB),
        state=VersionState.RELEASED,
    )
    assert _shown(Deployed(package, given), last_called=NOW + 1) == {
        "id": 42,
        "createdTime": NOW,
        "status": "Ready",
        "name": "adder",
        "fileId": 0,
        "functionPath": "my_functions/handler.py",
        "cpu": 1.0,
        "memory": 0.5,
        "runtime": _RUNTIME,
        "runtimeVersion": _RUNTIME_VERSION,
        "externalId": "add",
        "description": "Adds.",
        "envVars": {"A": "b"},
        "lastCalled": NOW + 1,
    }


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (VersionState.DRAFT, "Queued"),
        (VersionState.ANALYSING, "Deploying"),
        (VersionState.READY, "Ready"),
        (VersionState.RELEASED, "Ready"),
        (VersionState.ERROR, "Failed"),
    ],
)
def test_each_state_has_its_word(state: VersionState, status: str) -> None:
    assert status_of(version(state=state)) == status


def test_a_package_without_a_version_is_queued() -> None:
    shown = _shown(Deployed(_PACKAGE, None))
    assert (shown["status"], shown["functionPath"], "error" in shown) == ("Queued", "handler.py", False)


def test_a_failed_function_says_why() -> None:
    why = "x" * 3000 + "handler.py:1: invalid syntax"
    shown = _shown(Deployed(_PACKAGE, version(state=VersionState.ERROR, error=why, functions=())))
    assert shown["status"] == "Failed"
    assert shown["error"] == {"message": why, "trace": why[-2000:]}


def test_a_version_without_a_handle_has_failed() -> None:
    shown = _shown(Deployed(_PACKAGE, version(functions=(function("a"), function("b")))))
    assert shown["status"] == "Failed"
    assert "`handle`" in shown["error"]["message"]


def test_the_handle_is_the_one_of_that_name_or_the_only_public_one() -> None:
    def chosen(*functions: Any) -> str | None:
        found = handle_of(version(functions=functions))
        return found.name if found else None

    assert chosen(function("a"), function("handle")) == "handle"
    assert chosen(function("a")) == "a"
    assert chosen(function("a"), function("b", private=True)) == "a"
    assert chosen(function("a"), function("b")) is None
    assert chosen(function("handle", private=True)) is None
    assert chosen() is None


@pytest.mark.parametrize(
    ("package_id", "face", "data"),
    [
        ("1", None, b'{"file_id":7,"function_path":"handler.py"}'),
        ("1", "cognite", None),
        ("1", "cognite", b'{"file_id":"seven"}'),
        ("one", "cognite", b'{"file_id":7,"function_path":"handler.py"}'),
    ],
)
def test_what_came_in_by_another_door_is_no_function_of_this_face(
    package_id: str, face: str | None, data: bytes | None
) -> None:
    assert FunctionData.of(replace(_PACKAGE, id=package_id, face=face, face_data=data)) is None
