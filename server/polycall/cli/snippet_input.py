"""An input that a function takes, made of its schema: values that people would type, as far as a schema tells."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polycall.v1.package_pb2 import DeclaredType, Function, Parameter

__all__ = ["example_of"]

_DEEPEST = 8  # schemas within schemas; what lies deeper is left out, or null
_MOST_ITEMS = 20  # of a list that has to have many
_LONGEST_TEXT = 1000
_TEXTS = {
    "date-time": "2026-01-01T12:00:00Z",
    "date": "2026-01-01",
    "time": "12:00:00",
    "duration": "PT1H",
    "uuid": "8c1d2f60-3b5e-4a7c-9d10-6e2f4b8a7c31",
    "email": "ada@example.com",
    "uri": "https://example.com/",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "path": "/tmp/example",  # noqa: S108
    "decimal": "1.50",
}
# Of a manifest's types (Domo's words); a text will do for the others.
_DECLARED: Mapping[str, Any] = {
    "number": 1,
    "decimal": 1.5,
    "boolean": True,
    "date": "2026-01-01",
    "datetime": "2026-01-01T12:00:00Z",
    "time": "12:00:00",
    "duration": "PT1H",
    "": "example",
}


def example_of(function: Function) -> Any:
    """Return an input as JSON holds it: what has to be there, and what may be with its default."""
    try:
        if function.parameters:
            return _declared_members(function.parameters)
        schema = json.loads(function.input_schema_json or "{}")
        return _Examples(schema.get("$defs", {})).of(schema, 0) if schema else {}
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
        return {}  # whoever declared it was free to write what is no schema


def _declared_members(parameters: Iterable[Parameter]) -> dict[str, Any]:
    return {
        each.name: json.loads(each.default_json) if each.HasField("default_json") else _declared(each.declared_type)
        for each in parameters
    }


def _declared(kind: DeclaredType) -> Any:
    one: Any = _declared_members(kind.children) if kind.children else _DECLARED.get(kind.type, "example")
    if kind.type in ("object", "dictionary") and not kind.children:
        one = {"key": "example"}
    return [one] if kind.is_list else one


class _Examples:
    def __init__(self, definitions: Mapping[str, Any]) -> None:
        self._definitions = definitions

    def of(self, schema: Any, depth: int) -> Any:
        """Return a value that fits a schema, as far as is known."""
        if not isinstance(schema, dict) or depth > _DEEPEST:
            return "example" if schema is True else None
        if isinstance(name := schema.get("$ref"), str):
            return self.of(self._definitions.get(name.rpartition("/")[2], True), depth + 1)
        for given in ("examples", "enum"):
            if isinstance(values := schema.get(given), list) and values:
                return values[0]
        if "const" in schema:
            return schema["const"]
        if schema.get("default") is not None:  # None is what Python's authors write for any type
            return schema["default"]
        for several in ("anyOf", "oneOf", "allOf"):
            if isinstance(options := schema.get(several), list) and options:
                real = [each for each in options if not (isinstance(each, dict) and each.get("type") == "null")]
                return self.of((real or options)[0], depth + 1)
        return self._of_type(schema, depth)

    def _of_type(self, schema: Mapping[str, Any], depth: int) -> Any:
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = next((each for each in kind if each != "null"), "null")
        if kind == "object" or "properties" in schema:
            return self._object(schema, depth)
        if kind == "array":
            return self._array(schema, depth)
        if kind == "string":
            return _text(schema)
        if kind in ("integer", "number"):
            return _number(schema, whole=kind == "integer")
        return {"boolean": True, "null": None}.get(str(kind), "example")

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties, required = schema.get("properties", {}), schema.get("required", [])
        if not properties and isinstance(values := schema.get("additionalProperties"), dict):
            return {"key": self.of(values, depth + 1)}
        return {
            name: self.of(kind, depth + 1)
            for name, kind in properties.items()
            if name in required or (isinstance(kind, dict) and kind.get("default") is not None)
        }

    def _array(self, schema: Mapping[str, Any], depth: int) -> list[Any]:
        if isinstance(first := schema.get("prefixItems"), list):
            return [self.of(each, depth + 1) for each in first[: schema.get("maxItems", len(first))]]
        if "items" not in schema or depth >= _DEEPEST:
            return []
        one = self.of(schema["items"], depth + 1)
        count = min(max(1, schema.get("minItems", 1)), _MOST_ITEMS)
        nothing_known = one is None or one == {}
        return [] if nothing_known and "minItems" not in schema else [one] * min(count, schema.get("maxItems", count))


def _text(schema: Mapping[str, Any]) -> str:
    text = _TEXTS.get(str(schema.get("format")), "example")
    least: int = min(schema.get("minLength", 0), _LONGEST_TEXT)
    most: int = schema.get("maxLength", _LONGEST_TEXT)
    text *= max(1, -(-least // len(text)))
    return text[: max(least, most)]


def _number(schema: Mapping[str, Any], *, whole: bool) -> Any:
    step = schema.get("multipleOf") or 1
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    value = 1 if whole or low is not None or high is not None else 1.5
    if low is not None and value <= low:
        value = low if "minimum" in schema else low + step
    if high is not None and value >= high:
        value = high if "maximum" in schema else high - step
    if "multipleOf" in schema:
        value = -(-value // step) * step
    return int(value) if whole else value
