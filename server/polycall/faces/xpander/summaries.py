"""One sentence that says how a custom function is called, made of what its analysis found."""

from __future__ import annotations

from typing import Any

import msgspec

from polycall.domain import Function

__all__ = ["technical_description"]

_MOST_PARAMETERS = 20  # that a sentence can bear
_MOST_TYPES = 5


def technical_description(function: Function) -> str:
    """Return such as ``Calls f with city (string, required); returns string.``"""
    schema = _decoded(function.input_schema)
    properties: dict[str, Any] = schema.get("properties", {})
    required = schema.get("required", [])
    parts = [
        f"{name} ({_words(kind)}, {'required' if name in required else 'optional'})"
        for name, kind in list(properties.items())[:_MOST_PARAMETERS]
    ]
    if len(properties) > _MOST_PARAMETERS:
        parts.append(f"{len(properties) - _MOST_PARAMETERS} more")
    if function.accepts_any:
        parts.append("any others")
    taken = f"with {', '.join(parts)}" if parts else "without parameters"
    return f"Calls {function.name} {taken}; returns {_words(_decoded(function.output_schema))}."


def _decoded(text: bytes | None) -> dict[str, Any]:
    return msgspec.json.decode(text, type=dict[str, Any]) if text else {}


def _words(schema: Any) -> str:
    if not isinstance(schema, dict):
        return "any"
    if isinstance(name := schema.get("$ref"), str):
        return name.rpartition("/")[2]
    if isinstance(options := schema.get("anyOf"), list):
        return " or ".join(_words(option) for option in options[:_MOST_TYPES])
    if isinstance(values := schema.get("enum"), list):
        return " or ".join(str(value) for value in values[:_MOST_TYPES])
    return str(schema.get("type", "any"))
