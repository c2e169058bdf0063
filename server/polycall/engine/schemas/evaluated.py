"""What of a value its schema has spoken of: all else is what ``unevaluated…`` is about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from polycall.engine.schemas.reading import Json
from polycall.engine.schemas.values import compiled

__all__ = ["Checking", "evaluated"]

Part = str | int  # the name of a member, the index of an item


class Checking(Protocol):
    """A check that is under way."""

    def fits(self, schema: Json, value: Json) -> bool:
        """Return whether a value fits a schema. Raises Unusable."""

    def resolve(self, reference: str) -> Json:
        """Return what a reference leads to. Raises Unusable."""

    def spend(self, steps: int) -> None:
        """Look at so much. Raises Unusable."""


def evaluated(check: Checking, schema: Json, value: Json) -> set[Part]:
    """Return the parts of an object or array that a schema, which it fits, has a schema for. Raises Unusable."""
    check.spend(1 + len(value))
    if isinstance(schema, bool):
        return set()
    parts = set(_members(schema, value) if isinstance(value, dict) else _items(check, schema, value))
    for inner in _in_place(check, schema, value):
        parts |= evaluated(check, inner, value)
    return parts


def _members(schema: Mapping[str, Json], value: dict[str, Json]) -> Iterator[Part]:
    if "additionalProperties" in schema or "unevaluatedProperties" in schema:
        yield from value
        return
    yield from (name for name in value if name in schema.get("properties", ()))
    for text in schema.get("patternProperties", ()):
        yield from filter(compiled(text).search, value)


def _items(check: Checking, schema: Mapping[str, Json], value: list[Json]) -> Iterator[Part]:
    items = schema.get("items")
    rest = "unevaluatedItems" in schema or (
        "additionalItems" in schema if isinstance(items, list) else "items" in schema
    )
    first = items if isinstance(items, list) else schema.get("prefixItems", ())
    yield from range(len(value) if rest else min(len(first), len(value)))
    if "contains" in schema:
        yield from (index for index, each in enumerate(value) if check.fits(schema["contains"], each))


def _in_place(check: Checking, schema: Mapping[str, Json], value: Json) -> Iterator[Json]:
    """Yield the schemas within a schema that are about the same value, and that it fits."""
    if "$ref" in schema:
        yield check.resolve(schema["$ref"])
    yield from schema.get("allOf", ())
    for word in ("anyOf", "oneOf"):
        yield from (each for each in schema.get(word, ()) if check.fits(each, value))
    if "if" in schema:
        fits = check.fits(schema["if"], value)
        if fits:
            yield schema["if"]
        yield schema.get("then" if fits else "else", True)
    for word in ("dependentSchemas", "dependencies"):
        for name, inner in schema.get(word, {}).items():
            if name in value and not isinstance(inner, list):
                yield inner
