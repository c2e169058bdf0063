"""``$defs``: schemas that are named. Those that are used once stand where they are used; the others are referred to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["reference", "with_definitions"]

Schema = dict[str, Any]

_PREFIX = "#/$defs/"
_INLINE_DEPTH = 8  # classes within classes; deeper ones are referred to, which keeps the text flat
# the keywords that hold schemas, of those that are written here
_ONE = ("items", "additionalProperties", "propertyNames")
_LISTS = ("anyOf", "allOf", "prefixItems")
_MAPS = ("properties",)


def reference(name: str) -> Schema:
    """Return the schema that refers to a definition."""
    return {"$ref": _PREFIX + name}


def with_definitions(root: Schema, definitions: Mapping[str, Schema]) -> Schema:
    """Return a schema that stands on its own: with the definitions that it refers to, and no others."""
    used = _uses(root, definitions)
    kept: dict[str, Schema] = {}
    waiting: list[str] = []

    def expand(schema: Schema, depth: int) -> Schema:
        name = _target(schema)
        if name is None:
            return _map(schema, lambda inner: expand(inner, depth))
        if used[name] == 1 and depth < _INLINE_DEPTH:
            return {**expand(definitions[name], depth + 1), **{k: v for k, v in schema.items() if k != "$ref"}}
        if name not in kept:
            kept[name] = {}
            waiting.append(name)
        return schema

    expanded = expand(root, 0)
    if (name := _target(expanded)) is not None:
        # whoever reads the schema of a whole input looks for its members at once
        expanded = {**expand(definitions[name], 0), **{k: v for k, v in expanded.items() if k != "$ref"}}
    while waiting:
        name = waiting.pop(0)
        kept[name] = expand(definitions[name], 0)
    return {**expanded, "$defs": kept} if kept else expanded


def _uses(root: Schema, definitions: Mapping[str, Schema]) -> Counter[str]:
    """Count the references to each definition, from what can be reached."""
    counts: Counter[str] = Counter()
    waiting = [root]

    def count(schema: Schema) -> Schema:
        name = _target(schema)
        if name is not None:
            counts[name] += 1
            if counts[name] == 1:
                waiting.append(definitions[name])
        return _map(schema, count)

    while waiting:
        count(waiting.pop())
    return counts


def _map(schema: Schema, change: Callable[[Schema], Schema]) -> Schema:
    """Return a schema whose inner schemas are changed."""
    changed = dict(schema)
    for key in _ONE:
        if isinstance(schema.get(key), dict):
            changed[key] = change(schema[key])
    for key in _LISTS:
        if key in schema:
            changed[key] = [change(inner) for inner in schema[key]]
    for key in _MAPS:
        if key in schema:
            changed[key] = {name: change(inner) for name, inner in schema[key].items()}
    return changed


def _target(schema: Schema) -> str | None:
    target = schema.get("$ref")
    return target.removeprefix(_PREFIX) if isinstance(target, str) else None
