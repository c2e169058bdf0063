"""The bodies of create and update, checked as execute's are: every problem at once, in the vendor's words."""

from __future__ import annotations

import keyword
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec

from polycall.domain import LimitOverrides, Limits
from polycall.engine.limits import MIB
from polycall.faces.wire import dump
from polycall.faces.xpander.bodies import read_members
from polycall.faces.xpander.checks import Checker
from polycall.faces.xpander.items import ENTRY
from polycall.faces.xpander.problems import Location, Problems, Unprocessable
from polycall.faces.xpander.schema import Schema, read_schema

__all__ = ["Change", "Requests"]

_LONGEST_TEXT = 4096  # characters of a name or a description, as packages have them
_LONGEST_SOURCE = 1 * MIB  # bytes; contract, section 4
_LONGEST_FUNCTION = 128  # characters, as functions have them
_SHORTEST_S, _LONGEST_S = 1, 1200  # contract, section 7


class _Limits(msgspec.Struct):
    max_run_time: int | None = None
    timeout: int | None = None
    memory: int | None = None


class Change(msgspec.Struct):
    """What is to be of a function; None leaves it as it is, or as it is by default."""

    name: str | None = None
    source_code: str | None = None
    function_name: str | None = None
    description: str | None = None
    limits: _Limits | None = None

    @property
    def texts(self) -> dict[str, str]:
        """What of a package changes."""
        given = {"display_name": self.name, "description": self.description}
        return {name: text for name, text in given.items() if text is not None}

    def limited(self, before: LimitOverrides) -> LimitOverrides:
        """Return limits with those that are asked for; a member that is not keeps what it was."""
        asked = self.limits or _Limits()
        seconds = asked.max_run_time if asked.max_run_time is not None else asked.timeout
        changes: dict[str, Any] = {}
        if seconds is not None:
            changes["timeout_ms"] = seconds * 1000
        if asked.memory is not None:
            changes["memory_bytes"] = asked.memory * MIB
        return replace(before, **changes)


class Requests:
    """Reads the bodies; what may be asked for at most is the operator's affair too."""

    def __init__(self, minimums: Limits, maximums: Limits) -> None:
        seconds = {"minimum": _SHORTEST_S, "maximum": min(_LONGEST_S, maximums.timeout_ms // 1000)}
        memory = {"minimum": minimums.memory_bytes // MIB, "maximum": maximums.memory_bytes // MIB}
        limits: dict[str, dict[str, int]] = {"max_run_time": seconds, "timeout": seconds, "memory": memory}
        bounded = {name: _or_null({"type": "integer", **bounds}) for name, bounds in limits.items()}
        text: dict[str, Any] = {"type": "string", "maxLength": _LONGEST_TEXT}
        members: dict[str, dict[str, Any]] = {
            "name": text,
            "source_code": {"type": "string"},
            "function_name": _or_null({"type": "string"}),
            "description": _or_null(text),
            "limits": _or_null({"type": "object", "properties": bounded}),
        }
        self._create = _schema(members, ["name", "source_code"])
        self._update = _schema({name: _or_null(kind) for name, kind in members.items()}, [])

    def create(self, body: bytes) -> Change:
        """Read the body of create. Raises Unprocessable."""
        change = _read(self._create, body)
        return msgspec.structs.replace(change, function_name=change.function_name or ENTRY)

    def update(self, body: bytes) -> Change:
        """Read the body of update; null is as good as absent. Raises Unprocessable."""
        return _read(self._update, body)


def _or_null(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


def _schema(members: Mapping[str, Any], required: list[str]) -> Schema:
    return read_schema(dump({"type": "object", "properties": members, "required": required}))


def _read(schema: Schema, body: bytes) -> Change:
    problems = Problems()
    if not body.strip():
        problems.add("missing", ("body",), "Field required", b"null")
        raise Unprocessable(problems.found)
    members = read_members(body)
    known = {name: value for name, value in members.items() if name in schema.properties}
    checked = Checker(schema, body.strip()).members(known, problems)
    if problems.found:
        raise Unprocessable(problems.found)
    change = msgspec.json.decode(dump(checked), type=Change)
    for name in ("name", "description", "function_name", "source_code"):
        if (text := getattr(change, name)) is not None:
            _check_text(name, text, problems)
    if problems.found:
        raise Unprocessable(problems.found)
    return change


def _check_text(name: str, text: str, problems: Problems) -> None:
    loc: Location = ("body", name)
    if name == "source_code":
        if len(text.encode()) > _LONGEST_SOURCE:
            words = f"String should have at most {_LONGEST_SOURCE} bytes in UTF-8"
            problems.add("string_too_long", loc, words, dump(text), {"max_length": _LONGEST_SOURCE})
    elif name == "function_name":
        if not text.isidentifier() or keyword.iskeyword(text) or text.startswith("_") or len(text) > _LONGEST_FUNCTION:
            words = f"the name of a Python function, at most {_LONGEST_FUNCTION} characters, not beginning with `_`"
            problems.add("value_error", loc, f"Value error, should be {words}", dump(text))
    elif "\0" in text:
        problems.add("value_error", loc, "Value error, should have no NUL characters", dump(text))
