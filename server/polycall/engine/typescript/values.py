"""The values of literals, as JSON holds them."""

from __future__ import annotations

import json
import re
from typing import Any

from tree_sitter import Node

from polycall.engine.typescript.scripts import text_of_node

__all__ = ["UNKNOWN", "literal", "parsed", "typed", "unquoted"]

UNKNOWN: Any = object()


def literal(node: Node | None) -> Any:
    """Return the JSON value of a literal expression; UNKNOWN for anything else."""
    if node is None:
        return UNKNOWN
    kind, text = node.type, text_of_node(node)
    if kind in ("as_expression", "satisfies_expression", "parenthesized_expression"):
        return literal(node.named_child(0))
    if kind in ("true", "false", "null"):
        return {"true": True, "false": False, "null": None}[kind]
    if kind == "string":
        return _text(text)
    if kind == "template_string":
        return UNKNOWN if any(c.type == "template_substitution" for c in node.named_children) else _text(text)
    if kind == "number":
        return _number(text)
    if kind == "unary_expression" and text[:1] in "+-":
        value = literal(node.child_by_field_name("argument"))
        return UNKNOWN if type(value) not in (int, float) else -value if text[0] == "-" else value
    if kind == "array":
        values = [literal(each) for each in node.named_children if each.type != "comment"]
        return UNKNOWN if UNKNOWN in values else values
    if kind == "object":
        found = {}
        for each in node.named_children:
            key, value = each.child_by_field_name("key"), literal(each.child_by_field_name("value"))
            if each.type == "comment":
                continue
            if each.type != "pair" or key is None or key.type == "computed_property_name" or value is UNKNOWN:
                return UNKNOWN
            found[unquoted(text_of_node(key))] = value
        return found
    return UNKNOWN


def typed(value: Any) -> dict[str, Any]:
    """Return the schema of what TypeScript takes a literal for that has no type written; ``{}``: anything."""
    if isinstance(value, bool):
        return {"type": "boolean"}
    if isinstance(value, int | float):
        return {"type": "number"}
    return {"type": "string"} if isinstance(value, str) else {}


def unquoted(text: str) -> str:
    """Return the name that a property's name is, without its quotes."""
    if text[:1] in ("'", '"'):
        value = _text(text)
        return value if isinstance(value, str) else text
    return text


def _text(text: str) -> Any:
    """Return the value of a string; UNKNOWN if it has escapes that JSON has not."""
    inner = text[1:-1]
    if "\\" not in inner:
        return inner
    try:
        return json.loads(
            '"' + inner.replace("\\'", "'").replace("\\`", "`").replace('"', '\\"').replace('\\\\"', '\\"') + '"'
        )
    except ValueError:
        return UNKNOWN


def _number(text: str) -> Any:
    try:
        value = (
            int(text.replace("_", ""), 0)
            if re.fullmatch(r"[\d_]+|0[xob][\da-fA-F_]+", text)
            else float(text.replace("_", ""))
        )
    except ValueError:
        return UNKNOWN  # 1n
    return value if value == value and abs(value) != float("inf") else UNKNOWN


def parsed(text: str) -> Any:
    """Return the value of JSON text, or of a text in single quotes; UNKNOWN for anything else."""
    if len(text) > 1 and text[0] == text[-1] == "'":
        return text[1:-1]
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return UNKNOWN
