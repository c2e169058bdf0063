"""Checks parameters against a schema, on their JSON text: nothing is rebuilt that fits.

Strict: JSON types, no coercion. The one exception is the contract's: an integral float is an integer, and is passed on
as one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from math import isfinite
from typing import Any

import msgspec

from polycall.faces.wire import dump
from polycall.faces.xpander.problems import Location, Problems
from polycall.faces.xpander.schema import Schema

__all__ = ["check_members"]

_Members = Mapping[str, msgspec.Raw]

_MOST_NAME_CHARS = 256  # of a member that no schema names, in `loc`
_DIGITS = b"-0123456789"
_FLOAT_SIGNS = (b".", b"e", b"E")
# Lists that the decoder can check at once, some 50 times as fast: what it takes fits as it is.
_PLAIN_LISTS = {"string": list[str], "integer": list[int], "number": list[float], "boolean": list[bool]}


def check_members(schema: Schema, members: _Members, whole: bytes, loc: Location, problems: Problems) -> _Members:
    """Return the members of an object as they are passed on; what is wrong goes into ``problems``.

    ``whole`` is the text of the object. Members that the schema does not name are passed on as they are.
    """
    checked = dict(members)
    for name in dict.fromkeys((*schema.properties, *schema.required)):
        if name in members:
            checked[name] = _member(schema.properties.get(name, True), members[name], (*loc, name), problems)
        elif name in schema.required:
            problems.add("missing", (*loc, name), "Field required", whole)
    if isinstance(schema.additional_properties, Schema):
        for name in members.keys() - schema.properties.keys():
            where = (*loc, name[:_MOST_NAME_CHARS])
            checked[name] = _member(schema.additional_properties, members[name], where, problems)
    return checked


def _member(schema: Schema | bool, value: msgspec.Raw, loc: Location, problems: Problems) -> msgspec.Raw:
    before = bytes(value)
    after = _check(schema, before, loc, problems)
    return value if after is before else msgspec.Raw(after)


def _check(schema: Schema | bool, raw: bytes, loc: Location, problems: Problems) -> bytes:
    """Return a value as it is passed on: the same object unless it had to be rewritten."""
    if isinstance(schema, bool) or problems.full:
        return raw
    literals = schema.literals
    if literals is not None:
        return _literal(literals, raw, loc, problems)
    if branches := schema.branches:
        return _union(branches, raw, loc, problems)
    check = _BY_TYPE.get(str(schema.type))
    return raw if check is None else check(schema, raw, loc, problems)


def _union(branches: Sequence[Schema | bool], raw: bytes, loc: Location, problems: Problems) -> bytes:
    """Take the branch that a value fits as it is, else the first that it fits.

    Else list what all have against it; not being null is worth a word only if nothing else would do.
    """
    rewritten: bytes | None = None
    refused, not_null = Problems(), Problems()
    for branch in branches:
        against = Problems()
        after = _check(branch, raw, loc, against)
        if not against.found:
            if after is raw:
                return raw
            rewritten = rewritten or after
        else:
            optional = isinstance(branch, Schema) and branch.type == "null"
            (not_null if optional else refused).extend(against)
    if rewritten is not None:
        return rewritten
    problems.extend(refused if refused.found else not_null)
    return raw


def _literal(allowed: Sequence[Any], raw: bytes, loc: Location, problems: Problems) -> bytes:
    if raw[:1] not in (b"{", b"["):
        value = _scalar(raw)
        for literal in allowed:
            text = dump(literal)
            if text == raw:
                return raw
            if _scalar(text) == value:
                return text
    names = [repr(literal) for literal in allowed]
    expected = " or ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)
    problems.add("literal_error", loc, f"Input should be {expected}", raw, {"expected": expected})
    return raw


def _scalar(raw: bytes) -> tuple[str, object]:
    """Return a value such that 1 equals 1.0 and differs from true."""
    if _is_number(raw):
        return "number", _exact(raw) or raw
    return "other", msgspec.json.decode(raw)


def _string(_: Schema, raw: bytes, loc: Location, problems: Problems) -> bytes:
    if not raw.startswith(b'"'):
        problems.add("string_type", loc, "Input should be a valid string", raw)
    return raw


def _boolean(_: Schema, raw: bytes, loc: Location, problems: Problems) -> bytes:
    if raw not in (b"true", b"false"):
        problems.add("bool_type", loc, "Input should be a valid boolean", raw)
    return raw


def _null(_: Schema, raw: bytes, loc: Location, problems: Problems) -> bytes:
    if raw != b"null":
        problems.add("none_required", loc, "Input should be None", raw)
    return raw


def _number(_: Schema, raw: bytes, loc: Location, problems: Problems) -> bytes:
    if not _is_number(raw):
        problems.add("float_type", loc, "Input should be a valid number", raw)
    return raw


def _integer(_: Schema, raw: bytes, loc: Location, problems: Problems) -> bytes:
    if _is_number(raw):
        if not any(sign in raw for sign in _FLOAT_SIGNS):
            return raw
        number = _exact(raw)
        if number is not None and number == int(number):
            return str(int(number)).encode()
    problems.add("int_type", loc, "Input should be a valid integer", raw)
    return raw


def _array(schema: Schema, raw: bytes, loc: Location, problems: Problems) -> bytes:
    if not raw.startswith(b"["):
        problems.add("list_type", loc, "Input should be a valid list", raw)
        return raw
    if isinstance(schema.items, bool) or _is_plain(schema.items, raw):
        return raw
    items = msgspec.json.decode(raw, type=list[msgspec.Raw])
    checked = []
    for index, item in enumerate(items):
        if problems.full:
            return raw
        checked.append(_member(schema.items, item, (*loc, index), problems))
    return raw if all(map(_same, checked, items)) else dump(checked)


def _is_plain(items: Schema, raw: bytes) -> bool:
    """Return whether this is a list of scalars of one type that needs no closer look."""
    if items.literals is not None or items.branches or items.type not in _PLAIN_LISTS:
        return False
    try:
        msgspec.json.decode(raw, type=_PLAIN_LISTS[items.type])
    except msgspec.DecodeError:
        return False
    return True


def _object(schema: Schema, raw: bytes, loc: Location, problems: Problems) -> bytes:
    if not raw.startswith(b"{"):
        problems.add("dict_type", loc, "Input should be a valid dictionary", raw)
        return raw
    members = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    checked = check_members(schema, members, raw, loc, problems)
    return raw if all(map(_same, checked.values(), members.values())) else dump(checked)


_BY_TYPE: Mapping[str, Callable[[Schema, bytes, Location, Problems], bytes]] = {
    "string": _string,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "null": _null,
    "array": _array,
    "object": _object,
}


def _same(one: msgspec.Raw, other: msgspec.Raw) -> bool:
    return one is other


def _is_number(raw: bytes) -> bool:
    return raw[0] in _DIGITS


def _exact(raw: bytes) -> Decimal | None:
    """Return a number exactly; None if no float holds it: 1e999999999 is an integer that nobody wants to write out."""
    return Decimal(raw.decode()) if isfinite(float(raw)) else None
