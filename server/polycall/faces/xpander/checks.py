"""Checks parameters against a schema, on their JSON text: nothing is rebuilt that fits.

Strict: JSON types, no coercion. The one exception is the contract's: an integral float is an integer, and is passed on
as one. Schema and parameters are both their authors' own: how deep and how long a check may go is bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Context, Decimal, DecimalException
from math import isfinite

import msgspec

from polycall.faces.wire import dump
from polycall.faces.xpander.problems import Location, Problems
from polycall.faces.xpander.schema import Schema

__all__ = ["Checker"]

_Members = Mapping[str, msgspec.Raw]

_MOST_NAME_CHARS = 256  # of a member that no schema names, in `loc`
_MOST_LITERALS_SHOWN = 50
_LONGEST_LITERAL = 8192  # bytes of an object or array that is compared with those of an enum
_LONGEST_MULTIPLE = 400  # digits of a number that is divided: a float has 309 at most
# Checks within checks. A level of nested JSON takes one or two; each takes three of the interpreter's 1000 frames.
_DEEPEST = 150
# How many bytes are looked at, for each byte of the parameters: a schema of n classes looks at each n times at most,
# unless its unions lead to the same place on many ways. A check of its own counts like so many bytes, a name that a
# schema looks for in an object like some.
_LOOKS, _FREE_LOOKS, _CHECK_COSTS, _NAME_COSTS = 64, 1 << 20, 16, 4
_DIGITS = b"-0123456789"
_FLOAT_SIGNS = (b".", b"e", b"E")
# Lists that the decoder can check at once, some 50 times as fast: what it takes fits as it is.
_PLAIN_LISTS = {"string": list[str], "integer": list[int], "number": list[float], "boolean": list[bool]}


class Checker:
    """Checks the parameters of one call."""

    def __init__(self, schema: Schema, whole: bytes) -> None:
        """``whole`` is the JSON text of all parameters."""
        self._schema = schema
        self._whole = whole
        self._depth = 0
        self._left = _FREE_LOOKS + _LOOKS * len(whole)
        self._allowed: dict[int, Mapping[object, bytes]] = {}  # of the schemas with an enum, by id

    def members(self, members: _Members, problems: Problems) -> _Members:
        """Return the parameters as they are passed on; what is wrong goes into ``problems``.

        Members that the schema does not name are passed on as they are: the contract has them ignored.
        """
        schema = self._schema
        if schema.additional_properties is False:
            schema = msgspec.structs.replace(schema, additional_properties=None)
        try:
            return self._members(schema, members, self._whole, ("body",), problems)
        except RecursionError:  # of the decoder, which counts our frames with its own
            self._refuse(("body",), self._whole, problems)
            return members

    # within

    def _members(self, schema: Schema, members: _Members, whole: bytes, loc: Location, problems: Problems) -> _Members:
        checked = dict(members)
        required = frozenset(schema.required)
        self._left -= _NAME_COSTS * (len(schema.properties) + len(schema.required))
        if self._left < 0:
            self._refuse(loc, whole, problems)
            return members
        for name in dict.fromkeys((*schema.properties, *schema.required)):
            if problems.full:
                return members
            if name in members:
                checked[name] = self._member(schema.properties.get(name, True), members[name], (*loc, name), problems)
            elif name in required:
                problems.add("missing", (*loc, name), "Field required", whole)
        if schema.additional_properties not in (None, True):
            for name in [name for name in members if name not in schema.properties]:
                where = (*loc, name[:_MOST_NAME_CHARS])
                if isinstance(schema.additional_properties, Schema):
                    checked[name] = self._member(schema.additional_properties, members[name], where, problems)
                else:
                    problems.add("extra_forbidden", where, "Extra inputs are not permitted", bytes(members[name]))
        if isinstance(schema.property_names, Schema):
            for name in members:
                self._check(schema.property_names, dump(name), (*loc, name[:_MOST_NAME_CHARS], "[key]"), problems)
        return checked

    def _member(self, schema: Schema | bool, value: msgspec.Raw, loc: Location, problems: Problems) -> msgspec.Raw:
        before = bytes(value)
        after = self._check(schema, before, loc, problems)
        return value if after is before else msgspec.Raw(after)

    def _check(self, schema: Schema | bool, raw: bytes, loc: Location, problems: Problems) -> bytes:
        """Return a value as it is passed on: the same object unless it had to be rewritten."""
        if isinstance(schema, bool) or problems.full:
            return raw
        self._left -= _CHECK_COSTS + len(raw)
        if self._left < 0 or self._depth >= _DEEPEST:
            self._refuse(loc, raw, problems)
            return raw
        if not schema.composed and (scalar := _SCALARS.get(schema.type)) is not None:  # type: ignore[arg-type]
            return scalar(schema, raw, loc, problems)
        self._depth += 1
        try:
            return self._checked(schema, raw, loc, problems)
        finally:
            self._depth -= 1

    def _refuse(self, loc: Location, raw: bytes, problems: Problems) -> None:
        problems.add("too_complex", loc, "Input is nested too deeply for its schema, or fits too many of it", raw)

    def _checked(self, schema: Schema, raw: bytes, loc: Location, problems: Problems) -> bytes:
        if schema.target is not None:
            raw = self._check(self._schema.defs.get(schema.target, True), raw, loc, problems)
        for each in schema.all_of:
            raw = self._check(each, raw, loc, problems)
        if schema.literals is not None:
            return self._literal(schema, raw, loc, problems)
        if branches := schema.branches:
            return self._union(branches, raw, loc, problems)
        if schema.type == "array":
            return self._array(schema, raw, loc, problems)
        if schema.type == "object":
            return self._object(schema, raw, loc, problems)
        scalar = _SCALARS.get(schema.type)  # type: ignore[arg-type]
        return raw if scalar is None else scalar(schema, raw, loc, problems)

    def _union(self, branches: Sequence[Schema | bool], raw: bytes, loc: Location, problems: Problems) -> bytes:
        """Take the branch that a value fits as it is, else the first that it fits.

        Else list what all have against it; not being null is worth a word only if nothing else would do.
        """
        rewritten: bytes | None = None
        refused, not_null = Problems(), Problems()
        for branch in branches:
            against = Problems()
            after = self._check(branch, raw, loc, against)
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

    def _literal(self, schema: Schema, raw: bytes, loc: Location, problems: Problems) -> bytes:
        literals = schema.literals or []
        allowed = self._allowed.get(id(schema))
        if allowed is None:
            allowed = self._allowed[id(schema)] = {
                _value(text): text for text in (dump(literal) for literal in reversed(literals))
            }
        found = allowed.get(_value(raw))
        if found is not None:
            return raw if found == raw or raw[:1] in (b"{", b"[") else found
        names = [repr(literal) for literal in literals[:_MOST_LITERALS_SHOWN]]
        names += ["…"] if len(literals) > _MOST_LITERALS_SHOWN else []
        expected = " or ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)
        problems.add("literal_error", loc, f"Input should be {expected}", raw, {"expected": expected})
        return raw

    def _array(self, schema: Schema, raw: bytes, loc: Location, problems: Problems) -> bytes:
        if not raw.startswith(b"["):
            problems.add("list_type", loc, "Input should be a valid list", raw)
            return raw
        first = schema.prefix_items
        if not schema.bounded and not first and (isinstance(schema.items, bool) or _is_plain(schema.items, raw)):
            return raw
        items = msgspec.json.decode(raw, type=list[msgspec.Raw])
        if schema.bounded:
            _check_size(len(items), "List", "item", (schema.min_items, schema.max_items), raw, loc, problems)
        checked = []
        for index, item in enumerate(items):
            if problems.full:
                return raw
            inner = first[index] if index < len(first) else schema.items
            checked.append(self._member(inner, item, (*loc, index), problems))
        return raw if all(map(_same, checked, items)) else dump(checked)

    def _object(self, schema: Schema, raw: bytes, loc: Location, problems: Problems) -> bytes:
        if not raw.startswith(b"{"):
            problems.add("dict_type", loc, "Input should be a valid dictionary", raw)
            return raw
        members = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
        if schema.bounded:
            bounds = (schema.min_properties, schema.max_properties)
            _check_size(len(members), "Dictionary", "item", bounds, raw, loc, problems)
        checked = self._members(schema, members, raw, loc, problems)
        return raw if all(map(_same, checked.values(), members.values())) else dump(checked)


def _string(schema: Schema, raw: bytes, loc: Location, problems: Problems) -> bytes:
    if not raw.startswith(b'"'):
        problems.add("string_type", loc, "Input should be a valid string", raw)
    elif schema.min_length is not None or schema.max_length is not None:
        length = len(msgspec.json.decode(raw, type=str))
        if schema.min_length is not None and length < schema.min_length:
            least = _count(schema.min_length, "character")
            context = {"min_length": schema.min_length}
            problems.add("string_too_short", loc, f"String should have at least {least}", raw, context)
        if schema.max_length is not None and length > schema.max_length:
            most = _count(schema.max_length, "character")
            context = {"max_length": schema.max_length}
            problems.add("string_too_long", loc, f"String should have at most {most}", raw, context)
    return raw


def _boolean(_: Schema, raw: bytes, loc: Location, problems: Problems) -> bytes:
    if raw not in (b"true", b"false"):
        problems.add("bool_type", loc, "Input should be a valid boolean", raw)
    return raw


def _null(_: Schema, raw: bytes, loc: Location, problems: Problems) -> bytes:
    if raw != b"null":
        problems.add("none_required", loc, "Input should be None", raw)
    return raw


def _number(schema: Schema, raw: bytes, loc: Location, problems: Problems) -> bytes:
    if not _is_number(raw):
        problems.add("float_type", loc, "Input should be a valid number", raw)
    elif schema.bounded:
        _check_bounds(schema, raw, loc, problems)
    return raw


def _integer(schema: Schema, raw: bytes, loc: Location, problems: Problems) -> bytes:
    if _is_number(raw):
        if not any(sign in raw for sign in _FLOAT_SIGNS):
            _check_bounds(schema, raw, loc, problems)
            return raw
        number = _exact(raw)
        if number is not None and number == int(number):
            raw = str(int(number)).encode()
            _check_bounds(schema, raw, loc, problems)
            return raw
    problems.add("int_type", loc, "Input should be a valid integer", raw)
    return raw


_SCALARS: Mapping[str, Callable[[Schema, bytes, Location, Problems], bytes]] = {
    "string": _string,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "null": _null,
}


def _check_bounds(schema: Schema, raw: bytes, loc: Location, problems: Problems) -> None:
    bounds = (
        (schema.exclusive_minimum, "greater_than", "greater than", "gt", lambda n, b: n > b),
        (schema.minimum, "greater_than_equal", "greater than or equal to", "ge", lambda n, b: n >= b),
        (schema.exclusive_maximum, "less_than", "less than", "lt", lambda n, b: n < b),
        (schema.maximum, "less_than_equal", "less than or equal to", "le", lambda n, b: n <= b),
        (schema.multiple_of, "multiple_of", "a multiple of", "multiple_of", _is_multiple),
    )
    for bound, kind, words, key, holds in bounds:
        if bound is not None and not _holds(holds, raw, bound):
            problems.add(kind, loc, f"Input should be {words} {bound}", raw, {key: bound})


def _holds(holds: Callable[[Decimal, Decimal], bool], raw: bytes, bound: float) -> bool:
    try:
        return holds(Decimal(raw.decode()), Decimal(repr(bound)))
    except DecimalException:  # an exponent beyond all bounds
        return False


def _is_multiple(number: Decimal, step: Decimal) -> bool:
    digits = max(number.adjusted(), 0) + max(-step.adjusted(), 0) + len(number.as_tuple().digits)
    if step <= 0 or digits > _LONGEST_MULTIPLE:
        return step <= 0
    return Context(prec=2 * _LONGEST_MULTIPLE).remainder(number, step) == 0


def _check_size(
    size: int,
    what: str,
    part: str,
    bounds: tuple[int | None, int | None],
    raw: bytes,
    loc: Location,
    problems: Problems,
) -> None:
    least, most = bounds
    if least is not None and size < least:
        message = f"{what} should have at least {_count(least, part)} after validation, not {size}"
        problems.add("too_short", loc, message, raw, {"field_type": what, "min_length": least, "actual_length": size})
    if most is not None and size > most:
        message = f"{what} should have at most {_count(most, part)} after validation, not {size}"
        problems.add("too_long", loc, message, raw, {"field_type": what, "max_length": most, "actual_length": size})


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _value(raw: bytes) -> object:
    """Return what equals for equal JSON values: 1 equals 1.0 and differs from true."""
    if _is_number(raw):
        return "number", _exact(raw) or raw
    if raw[:1] in (b"{", b"["):
        if len(raw) > _LONGEST_LITERAL:
            return "long", raw
        return "other", msgspec.json.encode(msgspec.json.decode(raw), order="deterministic")
    return "other", msgspec.json.decode(raw)


def _is_plain(items: Schema, raw: bytes) -> bool:
    """Return whether this is a list of scalars of one type that needs no closer look."""
    if items.composed or items.bounded or items.type not in _PLAIN_LISTS:
        return False
    try:
        msgspec.json.decode(raw, type=_PLAIN_LISTS[str(items.type)])
    except msgspec.DecodeError:
        return False
    return True


def _same(one: msgspec.Raw, other: msgspec.Raw) -> bool:
    return one is other


def _is_number(raw: bytes) -> bool:
    return raw[0] in _DIGITS


def _exact(raw: bytes) -> Decimal | None:
    """Return a number exactly; None if no float holds it: 1e999999999 is an integer that nobody wants to write out."""
    return Decimal(raw.decode()) if isfinite(float(raw)) else None
