"""Fields of management requests, each of one kind: none is coerced."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from polycall.faces.guance.errors import Refused
from polycall.faces.guance.request import shown
from polycall.faces.wire import decode

__all__ = ["flag", "invalid", "required_text", "text", "time_ms", "words"]

_LONGEST = 4096  # characters of a title, a description, a note


def invalid(name: str, raw: bytes, rule: str) -> Refused:
    """Return what is raised for a value that breaks a rule."""
    return Refused.bad_body(f"Field `{name}` value `{shown(raw.decode(errors='replace'))}` is not valid. ({rule})")


def text(fields: Mapping[str, bytes], name: str, most: int = _LONGEST) -> str | None:
    """Return a text; None if it is absent. Raises Refused."""
    raw = fields.get(name)
    if raw is None:
        return None
    if not raw.startswith(b'"'):
        raise invalid(name, raw, 'type = "string"')
    value = decode(raw, str)
    if len(value) > most:
        raise invalid(name, raw, f"maxLength = {most}")
    return value


def required_text(fields: Mapping[str, bytes], name: str) -> str:
    """Return a text that has to be there. Raises Refused."""
    value = text(fields, name)
    if not value:
        raise Refused.bad_body(f"Field `{name}` is required.")
    return value


def flag(fields: Mapping[str, bytes], name: str) -> bool:
    """Return a boolean; False if it is absent. Raises Refused."""
    raw = fields.get(name, b"false")
    if raw not in (b"true", b"false"):
        raise invalid(name, raw, 'type = "boolean"')
    return raw == b"true"


def words(fields: Mapping[str, bytes], name: str) -> list[str] | None:
    """Return a list of texts; None if it is absent. Raises Refused."""
    raw = fields.get(name)
    if raw is None:
        return None
    try:
        found: Any = msgspec.json.decode(raw, type=list[str])
    except msgspec.DecodeError:
        raise invalid(name, raw, 'type = "array"') from None
    return list(found)


def time_ms(fields: Mapping[str, bytes], name: str) -> int | None:
    """Return a time in ms since the epoch; None if it is absent. Raises Refused."""
    value = text(fields, name)
    if value is None:
        return None
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        raise invalid(name, fields[name], 'type = "ISO8601"') from None
    return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)
