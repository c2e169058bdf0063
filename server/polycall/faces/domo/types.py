"""The declared types of a manifest, and which JSON values fit them.

Values are looked at as JSON text and stay as they are, but for an integral ``number`` such as ``3.0``, which becomes
``3``. Dates, times, durations and ids are strings; their form is not checked, as the vendor has no word for a text
that is none. A type that the vendor does not know, ``""`` among them, takes any value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, TypeAlias

import msgspec

from polycall.domain import DeclaredType
from polycall.faces.wire import Malformed, decode, dump, raw_members
from polycall.quick import dataclass

__all__ = ["Described", "Mismatch", "describe", "fit", "type_name"]

_STRINGS = ("text", "date", "datetime", "time", "duration", "person", "dataset", "group", "account")
_REFERENCES = ("file", "directory")  # a string or an object, not checked further
_LITERALS = {b'"': "text", b"t": "boolean", b"f": "boolean", b"n": "null", b"{": "object", b"[": "list"}
_FIRST_OF_LIST = re.compile(rb"\[[ \t\r\n]*(?:\]|([-0-9][-+.0-9eE]*|.))")
_ZERO_FRACTION = re.compile(rb"(?<=[0-9])\.0+(?=[,\] \t\r\n])")
_LONGEST_WHOLE_DIGITS = 308  # as many as a double can mean; 1e999999999 is not to be written out
# Long lists of these are checked in C; only where that finds a fault, items are taken one by one.
_QUICK: Mapping[str, Any] = {
    "number": list[int],
    "decimal": list[float],
    "boolean": list[bool],
    **dict.fromkeys(_STRINGS, list[str]),
}


_FREE_LOOKS, _LOOKS_A_BYTE = 100_000, 16  # as many members; a hundred thousand take some 50 ms


@dataclass(frozen=True, slots=True)
class Described:
    """What a value is, in the vendor's words: for a list, the type of its first element ("" if it is empty)."""

    type: str
    is_list: bool = False

    def __str__(self) -> str:
        return f"list of {self.type or 'any'}" if self.is_list else self.type or "any"


class Mismatch(Exception):
    """Raised for a value that does not fit, or (``value`` None) is missing; ``path`` leads to it."""

    def __init__(self, path: str, declared: DeclaredType, value: bytes | None) -> None:
        self.path = path
        self.expected = Described(declared.type, declared.is_list)
        self.actual = None if value is None else describe(value)
        super().__init__(f"expected {self.expected} but {f'got {self.actual}' if self.actual else 'it is missing'}")


def describe(value: bytes) -> Described:
    """Say what a JSON value is: text, number (an integer), decimal, boolean, object, null, or a list."""
    first = _FIRST_OF_LIST.match(value)
    if first is None:
        return Described(_kind(value))
    kind = _kind(first[1]) if first[1] else ""
    return Described("object" if kind == "list" else kind, is_list=True)


class _Effort:
    """How many members may still be looked for: a type of many, and a list of many objects, multiply."""

    def __init__(self, size: int) -> None:
        self._left = _FREE_LOOKS + _LOOKS_A_BYTE * size

    def spend(self, looks: int, path: str) -> None:
        """Raise Malformed once it was too much."""
        self._left -= looks
        if self._left < 0:
            raise Malformed.of(path, "has too many objects for the many members of its type")


_Check: TypeAlias = Callable[[bytes, DeclaredType, str, _Effort], bytes]


def fit(value: bytes, declared: DeclaredType, path: str = "") -> bytes:
    """Return the value as the code is to get it, or as it is shown.

    Raises Mismatch; Malformed if it is nested too deeply, or takes too long to look at.
    """
    return _fit(value, declared, path, _Effort(len(value)))


def _fit(value: bytes, declared: DeclaredType, path: str, effort: _Effort) -> bytes:
    any_value = _name(declared) not in _CHECKS
    if value == b"null":
        if declared.nullable or (any_value and not declared.is_list):
            return value
        raise Mismatch(path, declared, value)
    if declared.is_list:
        return _fit_list(value, declared, path, effort)
    return value if any_value else _CHECKS[_name(declared)](value, declared, path, effort)


def _fit_list(value: bytes, declared: DeclaredType, path: str, effort: _Effort) -> bytes:
    if not value.startswith(b"["):
        raise Mismatch(path, declared, value)
    for text in (value, _ZERO_FRACTION.sub(b"", value)) if _name(declared) == "number" else (value,):
        if _fits_quickly(text, declared):
            return text
    item = replace(declared, is_list=False)
    given = [bytes(raw) for raw in decode(value, list[msgspec.Raw])]
    fitted = [_fit(raw, item, f"{path}[{index}]", effort) for index, raw in enumerate(given)]
    return value if fitted == given else b"[" + b",".join(fitted) + b"]"


def _fits_quickly(value: bytes, declared: DeclaredType) -> bool:
    shape = _QUICK.get(_name(declared))
    try:
        return shape is not None and isinstance(msgspec.json.decode(value, type=shape), list)
    except msgspec.DecodeError:
        return False


def _fit_kind(*kinds: str) -> _Check:
    def check(value: bytes, declared: DeclaredType, path: str, _: _Effort) -> bytes:
        if _kind(value) not in kinds:
            raise Mismatch(path, declared, value)
        return value

    return check


def _fit_number(value: bytes, declared: DeclaredType, path: str, _: _Effort) -> bytes:
    whole = _whole(value) if _kind(value) in ("number", "decimal") else None
    if whole is None:
        raise Mismatch(path, declared, value)
    return whole


def _fit_object(value: bytes, declared: DeclaredType, path: str, effort: _Effort) -> bytes:
    if not value.startswith(b"{"):
        raise Mismatch(path, declared, value)
    if not declared.children:
        return value
    effort.spend(len(declared.children), path)
    members = raw_members(value)
    changed = False
    for child in declared.children:
        below = f"{path}.{child.name}" if path else child.name
        raw = members.get(child.name)
        if raw is None:
            if not child.declared.nullable:
                raise Mismatch(below, child.declared, None)
            continue
        fitted = _fit(bytes(raw), child.declared, below, effort)
        if fitted != bytes(raw):
            members[child.name] = msgspec.Raw(fitted)
            changed = True
    return dump(members) if changed else value


_CHECKS: Mapping[str, _Check] = {
    "number": _fit_number,
    "decimal": _fit_kind("number", "decimal"),
    "boolean": _fit_kind("boolean"),
    "object": _fit_object,
    **dict.fromkeys(_STRINGS, _fit_kind("text")),
    **dict.fromkeys(_REFERENCES, _fit_kind("text", "object")),
}


_SPELLED = {name: "dateTime" if name == "datetime" else name for name in _CHECKS}


def type_name(text: str) -> str | None:
    """Return a type as the vendor spells it, whatever its case; "" for any value; None if there is no such type."""
    return _SPELLED.get(text.lower()) if text else ""


def _name(declared: DeclaredType) -> str:
    return declared.type.lower()


def _kind(value: bytes) -> str:
    kind = _LITERALS.get(value[:1])
    if kind is not None:
        return kind
    return "decimal" if any(mark in value for mark in b".eE") else "number"


def _whole(number: bytes) -> bytes | None:
    """Return a JSON number without fraction and exponent; None if it is no integer."""
    if _kind(number) == "number":
        return number
    try:
        exact = Decimal(number.decode())
        if exact.adjusted() > _LONGEST_WHOLE_DIGITS or exact != exact.to_integral_value():
            return None
    except ArithmeticError:  # an exponent beyond all bounds
        return None
    return b"%d" % int(exact)
