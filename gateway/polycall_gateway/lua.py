"""The Lua filter of the REST listeners: `face.lua` behind its generated tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from polycall_gateway.descriptors import NATIVE
from polycall_gateway.replies import body_text
from polycall_gateway.situations import LOST, UNKNOWN, Situation
from polycall_gateway.vendors import TRACE, VENDORS

__all__ = ["HIDDEN", "face_lua"]

_SOURCE = Path(__file__).parent / "face.lua"

# What gRPC says to its own, in answers to those who do not speak it.
HIDDEN = (
    "grpc-status",
    "grpc-message",
    "grpc-status-details-bin",
    "grpc-encoding",
    "grpc-accept-encoding",
    "accept-encoding",
)
# Means nothing in a Lua pattern.
_TRACE = "@trace@"


def face_lua(territory: Iterable[tuple[str, str]], faces: Iterable[str]) -> str:
    """Return the filter's source.

    ``territory``: pairs of path prefix and face, the longest prefix first. ``faces``: those that are served.
    """
    places = [_table({"prefix": _text(prefix), "face": _text(face)}) for prefix, face in territory]
    tables = {
        "TERRITORY": _lines(places),
        "SLASHED": _table({face: "true" for face in VENDORS if VENDORS[face].slashed}),
        "HIDDEN": _lines(map(_text, HIDDEN)),
        "TRACE": _text(_TRACE),
        "WORDS": _lines(f"{face} = {_words(face)}" for face in faces if face != NATIVE),
    }
    return "\n".join((*(f"local {name} = {table}" for name, table in tables.items()), _SOURCE.read_text("utf-8")))


def _words(face: str) -> str:
    content_type = _text(VENDORS[face].content_type)
    return _table({"content_type": content_type, "unknown": _situation(face, UNKNOWN), "lost": _situation(face, LOST)})


def _situation(face: str, situation: Situation) -> str:
    headers = _table({name: _text(value) for name, value in situation.headers})
    body = body_text(VENDORS[face], situation).replace(TRACE, _TRACE)
    return _table({"status": _text(str(situation.answer)), "headers": headers, "body": _text(body)})


def _table(members: Mapping[str, str]) -> str:
    keys = {key: key if key.isidentifier() else f"[{_text(key)}]" for key in members}
    return "{" + ", ".join(f"{keys[key]} = {value}" for key, value in members.items()) + "}"


def _lines(values: Iterable[str]) -> str:
    return "\n".join(("{", *(f"  {value}," for value in values), "}"))


def _text(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
