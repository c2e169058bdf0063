"""Results as the vendor shows them: as JSON, as text of JSON, as Python prints them."""

from __future__ import annotations

import datetime
import json
import math
from typing import Any

__all__ = ["dumps_text", "exact_text", "plain_text", "plain_value", "repr_text"]

# As JavaScript prints numbers, which the vendor's gateway does: whole ones in full below this, with an exponent above.
_LONGEST_WHOLE = 1e21


def repr_text(value: object) -> str:
    """Return a value as Python prints it, keys sorted."""
    import pprint  # most results need none, and it takes half a millisecond

    return pprint.saferepr(value)


def dumps_text(value: object) -> str:
    """Return a value as JSON in ASCII, with ``/`` escaped."""
    return json.dumps(plain_value(value, whole=False), separators=(",", ":")).replace("/", "\\/")


def plain_value(value: Any, *, whole: bool, above: frozenset[int] = frozenset()) -> Any:
    """Return the value in JSON's own types; ``whole`` turns 30.0 into 30. Raises ValueError for a cycle."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return exact_text(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return int(value) if whole and value.is_integer() and abs(value) < _LONGEST_WHOLE else float(value)
    if isinstance(value, datetime.date):  # a datetime is one, too
        return value.isoformat()
    if isinstance(value, bytes | bytearray):
        return bytes(value).decode("utf-8", "replace")
    if not isinstance(value, dict | list | tuple):
        return exact_text(repr_text(value))
    if id(value) in above:
        raise ValueError("Circular reference detected")
    above |= {id(value)}
    if isinstance(value, dict):
        return {_key(key): plain_value(item, whole=whole, above=above) for key, item in value.items()}
    return [plain_value(item, whole=whole, above=above) for item in value]


def _key(key: object) -> str:
    if isinstance(key, str):
        return exact_text(key)
    plain = plain_value(key, whole=False)
    return (
        plain if isinstance(plain, str) else json.dumps(plain) if not isinstance(plain, list) else exact_text(str(key))
    )


def exact_text(value: str) -> str:
    """Return exact, plain text; half of a surrogate pair, which JSON text cannot hold, becomes U+FFFD."""
    value = str.__str__(value)
    if value.isascii():
        return value
    return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def plain_text(value: Any) -> str:
    """Return a value as JSON in its own types."""
    return json.dumps(plain_value(value, whole=False), ensure_ascii=False)
