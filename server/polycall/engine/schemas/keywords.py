"""What stands in a schema, and whether it may: looked at when a schema comes, so that a check can rely on it.

The drafts from 4 to 2020-12, but for what says nothing of values (``format`` among it, as those say by themselves) and
references that lead out of the schema or elsewhere each time: those are refused, for passing over them would let
everything pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from decimal import Decimal
from typing import Final

from polycall.engine.schemas.reading import Json, Unusable, target

__all__ = ["MANY", "NAMED", "ONE", "TYPES", "expressions_of", "problems_of", "schemas_of"]

# Schemas within schemas; each takes some of the interpreter's thousand frames.
_DEEPEST: Final = 64

TYPES: Final = ("null", "boolean", "object", "array", "number", "string", "integer")
# Keywords whose value is a schema, a list of schemas, schemas by names.
ONE: Final = (
    *("additionalProperties", "additionalItems", "propertyNames", "contains", "not", "if", "then", "else", "items"),
    *("unevaluatedProperties", "unevaluatedItems"),
)
MANY: Final = ("allOf", "anyOf", "oneOf", "prefixItems", "items")
NAMED: Final = ("properties", "patternProperties", "dependentSchemas", "dependencies", "$defs", "definitions")
_COUNTS = (
    *("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"),
    *("minContains", "maxContains"),
)
_REFUSED = ("$dynamicRef", "$recursiveRef")


def problems_of(schema: Json) -> Iterator[str]:
    """Yield what is wrong with a schema, as ``/where: what``. Raises Unusable for one that is nested too deeply."""
    for place, each in schemas_of(schema):
        if isinstance(each, dict):
            for word, value in each.items():
                why = _problem(word, value, schema)
                if why is not None:
                    yield f"{place}/{word}: {why}"
        elif not isinstance(each, bool):
            yield f"{place or '/'}: must be an object, true or false"


def expressions_of(schema: Json) -> Iterator[str]:
    """Yield the regular expressions of a schema without problems."""
    for _, each in schemas_of(schema):
        if isinstance(each, dict):
            if "pattern" in each:
                yield each["pattern"]
            yield from each.get("patternProperties", ())


def schemas_of(schema: Json) -> Iterator[tuple[str, Json]]:
    """Yield a schema and all that are within it, or that it refers to, each with its place. Raises Unusable."""
    seen: set[int] = set()
    waiting: list[tuple[str, Json, int]] = [("", schema, 0)]
    while waiting:
        place, each, depth = waiting.pop()
        if depth > _DEEPEST:
            raise Unusable(f"{place[:100]}: is nested too deeply; at most {_DEEPEST} schemas within each other")
        if isinstance(each, dict):
            if id(each) in seen:
                continue
            seen.add(id(each))
            waiting += [(f"{place}/{at}", inner, depth + 1) for at, inner in _within(each)]
            reference = each.get("$ref")
            if isinstance(reference, str) and reference.startswith("#/"):
                with suppress(Unusable):  # a problem of its own
                    waiting.append((reference[1:], target(schema, reference), depth + 1))
        yield place, each


def _within(schema: dict[str, Json]) -> Iterator[tuple[str, Json]]:
    for word, value in schema.items():
        if word in MANY and isinstance(value, list):
            yield from ((f"{word}/{index}", each) for index, each in enumerate(value))
        elif word in NAMED and isinstance(value, dict):
            for name, each in value.items():
                if word != "dependencies" or not isinstance(each, list):  # a dependency may also be a list of names
                    yield f"{word}/{name}", each
        elif word in ONE:
            yield word, value


def _problem(word: str, value: Json, whole: Json) -> str | None:
    if word in _REFUSED:
        return "is not supported; say it with $ref"
    if word == "$ref":
        return _reference_problem(value, whole)
    fits, must = _RULES.get(word, (None, ""))
    return f"must be {must}" if fits is not None and not fits(value) else None


def _reference_problem(value: Json, whole: Json) -> str | None:
    if not isinstance(value, str) or not (value == "#" or value.startswith("#/")):
        return "must lead to a place in this schema, such as #/$defs/name"
    try:
        target(whole, value)
    except Unusable as error:
        return str(error)
    return None


def _is_type(value: Json) -> bool:
    types = value if isinstance(value, list) else [value]
    return bool(types) and all(isinstance(each, str) and each in TYPES for each in types)


def _is_names(value: Json) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _is_count(value: Json) -> bool:
    return isinstance(value, Decimal) and value >= 0 and value == value.to_integral_value()


_A_NUMBER = (lambda value: isinstance(value, Decimal), "a number")
_A_BOUND = (lambda value: isinstance(value, (Decimal, bool)), "a number")  # draft 4 has booleans
_A_COUNT = (_is_count, "a whole number, 0 or more")
_SCHEMAS = (lambda value: isinstance(value, list), "a list of schemas")
_BY_NAMES = (lambda value: isinstance(value, dict), "an object")
_RULES: Mapping[str, tuple[Callable[[Json], bool], str]] = {
    "type": (_is_type, f"one or some of {', '.join(TYPES)}"),
    "enum": (lambda value: isinstance(value, list), "a list"),
    "required": (lambda value: isinstance(value, bool) or _is_names(value), "a list of names"),  # draft 3: a boolean
    "pattern": (lambda value: isinstance(value, str), "a text"),
    "uniqueItems": (lambda value: isinstance(value, bool), "true or false"),
    "multipleOf": (lambda value: isinstance(value, Decimal) and value > 0, "a number above 0"),
    "dependentRequired": (
        lambda value: isinstance(value, dict) and all(map(_is_names, value.values())),
        "an object of lists of names",
    ),
    **dict.fromkeys(("minimum", "maximum"), _A_NUMBER),
    **dict.fromkeys(("exclusiveMinimum", "exclusiveMaximum"), _A_BOUND),
    **dict.fromkeys(_COUNTS, _A_COUNT),
    **dict.fromkeys(("allOf", "anyOf", "oneOf", "prefixItems"), _SCHEMAS),
    **dict.fromkeys(NAMED, _BY_NAMES),
    "dependencies": (
        lambda value: (
            isinstance(value, dict) and all(_is_names(each) for each in value.values() if isinstance(each, list))
        ),
        "an object of schemas, or of lists of names",
    ),
}
