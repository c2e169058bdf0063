"""The values of literals, as JSON holds them."""

from __future__ import annotations

import ast
import json
import math
from typing import Any

__all__ = ["UNKNOWN", "json_literal", "plain", "text_of"]

UNKNOWN = object()


def json_literal(node: ast.expr | None) -> Any:
    """Return the value of a literal that JSON can hold; UNKNOWN for anything else."""
    try:
        value = ast.literal_eval(node) if node is not None else UNKNOWN
        return UNKNOWN if value is UNKNOWN else plain(value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return UNKNOWN


def plain(value: Any) -> Any:
    """Return the value as JSON would hold it. Raises ValueError if JSON cannot."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, str):
        value.encode()  # a lone surrogate is no text: UnicodeEncodeError is a ValueError
        return value
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, dict) and all(isinstance(name, str) for name in value):
        return {plain(name): plain(item) for name, item in value.items()}
    raise ValueError("not JSON")


def text_of(value: Any) -> str:
    """Return JSON text; "" for an integer of more digits than Python writes."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except ValueError:
        return ""
