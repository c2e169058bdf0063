"""JSON Schemas in a few words: ``integer | null``, ``Order[]``, ``"a" | "b"``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polycall.v1.package_pb2 import Function

__all__ = ["signature", "type_of"]

_DEEPEST = 4  # types within types; a line has no room for more
_MOST_LITERALS = 5


def signature(function: Function) -> str:
    """Return a function's input in one line, what may be left out in brackets: ``a: integer, [b: integer]``."""
    if function.parameters:
        return ", ".join(
            p.name + (f": {p.declared_type.type}" if p.declared_type.type else "") for p in function.parameters
        )
    schema = _parsed(function.input_schema_json)
    properties, required = schema.get("properties"), schema.get("required", [])
    if not isinstance(properties, dict):
        return _words(schema, 0)
    parts = []
    for name, kind in properties.items():
        words = _words(kind, 0)
        text = f"{name}: {words}" if words else name
        parts.append(text if isinstance(required, list) and name in required else f"[{text}]")
    return ", ".join(parts)


def type_of(text: str) -> str:
    """Return a schema in words; "" for any value, and for what is no schema."""
    return _words(_parsed(text), 0)


def _parsed(text: str) -> dict[str, Any]:
    try:
        schema = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return schema if isinstance(schema, dict) else {}


def _words(schema: Any, depth: int) -> str:
    if not isinstance(schema, dict) or depth > _DEEPEST:
        return ""
    if isinstance(name := schema.get("$ref"), str):
        return name.rpartition("/")[2]
    if isinstance(values := schema.get("enum"), list):
        shown = [json.dumps(value, ensure_ascii=False) for value in values[:_MOST_LITERALS]]
        return " | ".join(shown + ["…"] * (len(values) > _MOST_LITERALS))
    if isinstance(options := schema.get("anyOf"), list):
        return " | ".join(_words(option, depth + 1) or "any" for option in options)
    kind = schema.get("type")
    if kind == "array":
        inner = _words(schema.get("items"), depth + 1)
        return f"({inner})[]" if " " in inner else f"{inner}[]" if inner else "array"
    return str(schema.get("format") or kind) if isinstance(kind, str) else ""
