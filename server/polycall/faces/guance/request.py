"""What a caller may send: ``{funcId, funcBody: {kwargs, options}}``, checked by the vendor's rules.

Two levels, as in the vendor's answer: the gateway knows ``funcId``, the function level everything in ``funcBody``. No
value is coerced; ``null`` is absent, but for ``funcId``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec

from polycall.faces.guance.errors import Refused
from polycall.faces.wire import Malformed, decode, present, raw_members
from polycall.quick import dataclass

__all__ = ["RETURN_TYPES", "Ask", "Options", "read_ask", "read_choice", "read_members", "read_options", "shown"]

RETURN_TYPES = ("ALL", "raw", "repr", "jsonDumps")
_EXEC_MODES = ("sync", "async")
_BODY_FIELDS = ("kwargs", "options")
_OPTION_FIELDS = ("returnType", "apiTimeout", "execMode", "unfold", "saveResult", "eta")
_API_TIMEOUT_S = (1, 30)
_LONGEST_DELAY_S = 30 * 86_400  # of what waits to be run
_SHOWN_CHARS = 200  # of a value that is not valid


@dataclass(frozen=True, slots=True)
class Ask:
    """The gateway's part. ``func_body`` is as it was sent; None if it is absent, null or ``{}``."""

    func_id: str
    func_body: bytes | None

    @property
    def size(self) -> int:
        """Bytes of ``func_body``."""
        return len(self.func_body or b"")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The function level's part. ``kwargs`` is the JSON text of an object; ``api_timeout_s`` None means the default."""

    kwargs: bytes = b"{}"
    return_type: str = "raw"
    api_timeout_s: int | None = None
    is_async: bool = False
    unfold: bool = False
    save_result: bool = False
    delay_s: float = 0.0  # asynchronous: until it is due


def read_ask(body: bytes) -> Ask:
    """Read the whole body. Raises Malformed."""
    if not body.strip():
        raise Malformed.of("funcId", "is required")
    members = raw_members(body)
    raw_id = present(members.get("funcId"))
    if raw_id is None:
        raise Malformed.of("funcId", "is required")
    func_id = decode(raw_id, str) if raw_id.startswith(b'"') else ""
    if not func_id:
        raise Malformed.of("funcId", "must be a string that is not empty")
    func_body = present(members.get("funcBody"))
    if func_body is not None and func_body.startswith(b"{") and not raw_members(func_body):
        func_body = None
    return Ask(func_id, func_body)


def read_options(func_body: bytes | None, now: datetime) -> Options:
    """Read ``funcBody``. Raises Refused (400.43)."""
    if func_body is None:
        return Options()
    body = _object(func_body, "funcBody", _BODY_FIELDS)
    options = _object(present(body.get("options")) or b"{}", "options", _OPTION_FIELDS)
    kwargs = present(body.get("kwargs")) or b"{}"
    if not kwargs.startswith(b"{"):
        raise _invalid("kwargs", kwargs, 'type = "json"')
    values = {name: raw for name in _OPTION_FIELDS if (raw := present(options.get(name))) is not None}
    is_async = _choice(values, "execMode", _EXEC_MODES) == "async"
    read = Options(
        kwargs=kwargs,
        return_type=_choice(values, "returnType", RETURN_TYPES) or "raw",
        api_timeout_s=_seconds(values, "apiTimeout", *_API_TIMEOUT_S),
        is_async=is_async,
        unfold=_boolean(values, "unfold"),
        save_result=_boolean(values, "saveResult"),
    )
    eta = _time(values, "eta")
    if not is_async or eta is None or eta <= now:
        return read
    delay_s = (eta - now).total_seconds()
    if delay_s > _LONGEST_DELAY_S:
        raise Refused.bad_body(f"Field `eta` is later than {_LONGEST_DELAY_S // 86_400} days from now.")
    return replace(read, delay_s=delay_s)


def read_members(raw: bytes, name: str, known: tuple[str, ...]) -> Mapping[str, bytes]:
    """Return the members of an object that are not null, as they were sent. Raises Refused for an unknown one."""
    members = _object(raw, name, known)
    return {field: value for field, member in members.items() if (value := present(member)) is not None}


def read_choice(value: str, name: str, known: tuple[str, ...]) -> str:
    """Return a word of the query that is one of some. Raises Refused."""
    if value not in known:
        raise _invalid(name, json.dumps(value).encode(), f"in = {json.dumps(known, separators=(',', ':'))}")
    return value


def shown(text: str) -> str:
    """Return a text that is not valid, as far as an error shows it."""
    return _cut(text)


def _object(raw: bytes, name: str, known: tuple[str, ...]) -> Mapping[str, msgspec.Raw]:
    if not raw.startswith(b"{"):
        raise _invalid(name, raw, 'type = "json"')
    members = raw_members(raw)
    for field in members:
        if field not in known:
            raise Refused.bad_body(f"Found unexpected field `{_cut(field)}`")
    return members


def _choice(values: Mapping[str, bytes], name: str, known: tuple[str, ...]) -> str | None:
    raw = values.get(name)
    if raw is None:
        return None
    chosen = _value(raw)
    if not isinstance(chosen, str) or chosen not in known:
        raise _invalid(name, raw, f"in = {json.dumps(known, separators=(',', ':'))}")
    return chosen


def _boolean(values: Mapping[str, bytes], name: str) -> bool:
    raw = values.get(name, b"false")
    if raw not in (b"true", b"false"):
        raise _invalid(name, raw, 'type = "boolean"')
    return raw == b"true"


def _seconds(values: Mapping[str, bytes], name: str, low: int, high: int) -> int | None:
    raw = values.get(name)
    if raw is None:
        return None
    number = _value(raw)
    if isinstance(number, float) and number.is_integer():
        number = int(number)  # 5.0 is the same JSON number as 5
    if not isinstance(number, int) or isinstance(number, bool):
        raise _invalid(name, raw, 'type = "integer"')
    if number > high:
        raise _invalid(name, raw, f"maxValue = {high}")
    if number < low:
        raise _invalid(name, raw, f"minValue = {low}")
    return number


def _time(values: Mapping[str, bytes], name: str) -> datetime | None:
    raw = values.get(name)
    if raw is None:
        return None
    text = _value(raw)
    try:
        time = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        time = None
    if time is None:
        raise _invalid(name, raw, 'type = "ISO8601"')
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _value(raw: bytes) -> Any:
    """Return a scalar's value; a container or a number out of range is just not what was asked for."""
    if raw[:1] in b"{[":
        return None
    try:
        return msgspec.json.decode(raw)
    except msgspec.DecodeError:
        return None


def _invalid(name: str, raw: bytes, rule: str) -> Refused:
    return Refused.bad_body(f"Field `{name}` value `{_cut(raw.decode(errors='replace'))}` is not valid. ({rule})")


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}..."
