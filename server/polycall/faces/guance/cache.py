"""What ``DFF.CACHE`` does to a value, in the manner of Redis: from what is kept and arguments to both and an answer.

Kept is a JSON object, ``{"kind": value}``: a string is text, a hash an object, a list an array, a set an array too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from polycall.domain import Entry
from polycall.engine.entries import matching
from polycall.quick import dataclass
from polycall.sandbox.job import AskRefused

__all__ = ["OPERATIONS", "READ_ONLY", "Kept", "Operation", "move"]

_MOST_MS = 1 << 53  # of a time
_LONGEST_FIELD = 512  # characters, as keys have them: a pattern takes time by the product of its length and theirs


@dataclass(frozen=True, slots=True)
class Kept:
    """A value of one kind; ``kind`` "none" is none."""

    kind: str = "none"
    value: Any = None
    expires_at: int | None = None

    @classmethod
    def of(cls, entry: Entry | None) -> Kept:
        """Read what is kept."""
        if entry is None:
            return cls()
        ((kind, value),) = msgspec.json.decode(entry.value, type=dict[str, Any]).items()
        return cls(kind, value, entry.expires_at)

    def entry(self) -> Entry | None:
        """Return what to keep; an empty hash, list or set is nothing."""
        if self.kind == "none" or (self.kind != "string" and not self.value):
            return None
        return Entry(msgspec.json.encode({self.kind: self.value}), self.expires_at)

    def as_(self, kind: str, empty: Any) -> Any:
        """Return the value of that kind, ``empty`` if there is none. Raises AskRefused for another kind."""
        if self.kind == "none":
            return empty
        if self.kind != kind:
            raise AskRefused("ResponseError: WRONGTYPE Operation against a key holding the wrong kind of value")
        return self.value

    def with_(self, kind: str, value: Any) -> Kept:
        """Return it with another value; when it expires stays."""
        return Kept(kind, value, self.expires_at)


Operation = Callable[..., tuple[Kept, Any]]


def _now() -> int:
    return int(time.time() * 1000)


def _until(seconds: Any) -> int | None:
    if seconds is None:
        return None
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not 0 < seconds < _MOST_MS / 1000:
        raise AskRefused("ResponseError: invalid expire time")
    return _now() + int(seconds * 1000)


def _type(kept: Kept) -> tuple[Kept, Any]:
    return kept, kept.kind


def _expire(kept: Kept, seconds: Any) -> tuple[Kept, Any]:
    if kept.kind == "none":
        return kept, False
    if isinstance(seconds, int | float) and not isinstance(seconds, bool) and seconds <= 0:
        return Kept(), True
    return Kept(kept.kind, kept.value, _until(seconds if seconds is not None else "")), True


def _expireat(kept: Kept, timestamp: Any) -> tuple[Kept, Any]:
    if not isinstance(timestamp, int | float) or isinstance(timestamp, bool):
        raise AskRefused("ResponseError: value is not an integer or out of range")
    return _expire(kept, timestamp - time.time())


def _pttl(kept: Kept) -> tuple[Kept, Any]:
    if kept.kind == "none":
        return kept, -2
    return kept, -1 if kept.expires_at is None else max(0, kept.expires_at - _now())


def _set(kept: Kept, text: Any, expires: Any, not_exists: Any, exists: Any) -> tuple[Kept, Any]:
    if (not_exists and kept.kind != "none") or (exists and kept.kind == "none"):
        return kept, None
    return Kept("string", _text(text), _until(expires)), True


def _get(kept: Kept) -> tuple[Kept, Any]:
    return kept, kept.as_("string", None)


def _getset(kept: Kept, text: Any) -> tuple[Kept, Any]:
    return Kept("string", _text(text)), kept.as_("string", None)


def _incrby(kept: Kept, step: Any) -> tuple[Kept, Any]:
    number = _sum(kept.as_("string", "0"), step, "value is not an integer or out of range")
    return kept.with_("string", str(number)), number


def _hkeys(kept: Kept, pattern: Any, with_values: Any) -> tuple[Kept, Any]:
    fields = kept.as_("hash", {})
    found = {name: fields[name] for name in matching(list(fields), _field(pattern))}
    return kept, found if with_values else list(found)


def _hset(kept: Kept, pairs: Any, not_exists: Any) -> tuple[Kept, Any]:
    if not isinstance(pairs, dict):
        raise _odd()
    fields = kept.as_("hash", {})
    new = {_field(k): _text(v) for k, v in pairs.items() if not (not_exists and k in fields)}
    return kept.with_("hash", {**fields, **new}), len(new.keys() - fields.keys())


def _hmget(kept: Kept, names: Any) -> tuple[Kept, Any]:
    fields = kept.as_("hash", {})
    return kept, {name: fields.get(name) for name in _texts(names)}


def _hincrby(kept: Kept, name: Any, step: Any) -> tuple[Kept, Any]:
    fields = kept.as_("hash", {})
    number = _sum(fields.get(_text(name), "0"), step, "hash value is not an integer")
    return kept.with_("hash", {**fields, _field(name): str(number)}), number


def _hdel(kept: Kept, names: Any) -> tuple[Kept, Any]:
    fields, gone = kept.as_("hash", {}), set(_texts(names))
    left = {k: v for k, v in fields.items() if k not in gone}
    return kept.with_("hash", left), len(fields) - len(left)


def _push(kept: Kept, values: Any, left: Any) -> tuple[Kept, Any]:
    items, new = kept.as_("list", []), _texts(values)
    items = [*reversed(new), *items] if left else [*items, *new]
    return kept.with_("list", items), len(items)


def _pop(kept: Kept, left: Any) -> tuple[Kept, Any]:
    items = kept.as_("list", [])
    if not items:
        return kept, None
    rest, taken = (items[1:], items[0]) if left else (items[:-1], items[-1])
    return kept.with_("list", rest), taken


def _lrange(kept: Kept, start: Any, stop: Any) -> tuple[Kept, Any]:
    return kept, _slice(kept.as_("list", []), start, stop)


def _ltrim(kept: Kept, start: Any, stop: Any) -> tuple[Kept, Any]:
    return kept.with_("list", _slice(kept.as_("list", []), start, stop)), True


def _sadd(kept: Kept, members: Any) -> tuple[Kept, Any]:
    items = kept.as_("set", [])
    known = set(items)
    new = [member for member in dict.fromkeys(_texts(members)) if member not in known]
    return kept.with_("set", [*items, *new]), len(new)


def _srem(kept: Kept, members: Any) -> tuple[Kept, Any]:
    items, gone = kept.as_("set", []), set(_texts(members))
    left = [member for member in items if member not in gone]
    return kept.with_("set", left), len(items) - len(left)


def _smembers(kept: Kept) -> tuple[Kept, Any]:
    return kept, kept.as_("set", [])


def move(source: Kept, target: Kept | None) -> tuple[Kept, Kept | None, Any]:
    """Take the last of one list and put it first on another, None: on the same. Returns both and what was moved."""
    rest, taken = _pop(source, False)
    if taken is None:
        return source, target, None
    if target is None:
        return _push(rest, [taken], True)[0], None, taken
    return rest, _push(target, [taken], True)[0], taken


OPERATIONS: Mapping[str, Operation] = {
    "type": _type,
    "expire": _expire,
    "expireat": _expireat,
    "pttl": _pttl,
    "set": _set,
    "get": _get,
    "getset": _getset,
    "incrby": _incrby,
    "hkeys": _hkeys,
    "hset": _hset,
    "hmget": _hmget,
    "hincrby": _hincrby,
    "hdel": _hdel,
    "push": _push,
    "pop": _pop,
    "lrange": _lrange,
    "ltrim": _ltrim,
    "sadd": _sadd,
    "srem": _srem,
    "smembers": _smembers,
}
READ_ONLY = frozenset({"type", "pttl", "get", "hkeys", "hmget", "lrange", "smembers"})


def _odd() -> AskRefused:
    return AskRefused("ResponseError: wrong number or kind of arguments")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _odd()
    return value


def _field(value: Any) -> str:
    if len(_text(value)) > _LONGEST_FIELD:
        raise AskRefused(f"ResponseError: a field, and a pattern of fields, has at most {_LONGEST_FIELD} characters")
    return str(value)


def _texts(values: Any) -> list[str]:
    if not isinstance(values, list):
        raise _odd()
    return [_text(value) for value in values]


def _sum(text: Any, step: Any, wrong: str) -> int:
    # 64 bits, as Redis has them: "-9223372036854775808" is the longest
    try:
        number = int(text) if len(text) <= 20 and text.strip() == text else None
    except ValueError:
        number = None
    if number is None or not isinstance(step, int) or isinstance(step, bool):
        raise AskRefused(f"ResponseError: {wrong}")
    if not -(1 << 63) <= number + step < 1 << 63:
        raise AskRefused("ResponseError: increment or decrement would overflow")
    return number + step


def _slice(items: list[str], start: Any, stop: Any) -> list[str]:
    if not isinstance(start, int) or not isinstance(stop, int):
        raise AskRefused("ResponseError: value is not an integer or out of range")
    first = max(0, start + len(items)) if start < 0 else start
    last = stop + len(items) if stop < 0 else stop
    return items[first : last + 1] if last >= 0 else []
