"""The body of an execute request: a JSON object of parameters, their values untouched; errors as FastAPI words them."""

from __future__ import annotations

import json
import re
from typing import NoReturn

import msgspec

from polycall.faces.wire import Malformed, decode
from polycall.faces.xpander.problems import Problem, Problems, Unprocessable

__all__ = ["not_json", "read_members"]

# Python's own parser finds the words for an error; it builds objects on the way, so not for any size.
_MOST_EXPLAINED_BYTES = 1 << 20
_POSITION = re.compile(r" \(byte (\d+)\)$")


def read_members(body: bytes) -> dict[str, msgspec.Raw]:
    """Split the body into its members, in the order sent; no body is no member. Raises Unprocessable."""
    if not body:
        return {}
    try:
        return decode(body, dict[str, msgspec.Raw])
    except Malformed:
        _refuse(body)


def not_json(position: int, why: str) -> Unprocessable:
    """Return the error of a body that is not JSON; ``position`` in characters."""
    problem = Problem("json_invalid", ("body", position), "JSON decode error", msgspec.Raw(b"{}"), {"error": why})
    return Unprocessable([problem])


def _refuse(body: bytes) -> NoReturn:
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise not_json(len(body[: error.start].decode()), str(error)) from None
    try:
        decode(body, msgspec.Raw)
    except Malformed as error:
        raise _explained(text, error.message) from None
    problems = Problems()
    problems.add("dict_type", ("body",), "Input should be a valid dictionary", body.strip())
    raise Unprocessable(problems.found)


def _explained(text: str, message: str) -> Unprocessable:
    if len(text) <= _MOST_EXPLAINED_BYTES:
        try:
            json.loads(text)
        except json.JSONDecodeError as error:
            return not_json(error.pos, error.msg)
        except (ValueError, RecursionError):
            pass
    # what Python takes for JSON and is none (NaN, half a surrogate pair), or is nested too deeply
    found = _POSITION.search(message)
    position = len(text.encode()[: int(found[1])].decode(errors="ignore")) if found else 0
    return not_json(position, _POSITION.sub("", message))
