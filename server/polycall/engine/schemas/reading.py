"""JSON as it is checked here."""

from __future__ import annotations

import json
from decimal import Decimal, DecimalException
from typing import Any, TypeAlias
from urllib.parse import unquote

__all__ = ["Json", "Unusable", "printable", "read", "target"]

# None, bool, Decimal, str, list or dict.
Json: TypeAlias = Any


_LONGEST_TEXT = 1000  # of what is said of a schema or a value


class Unusable(ValueError):
    """Raised for what cannot be checked, or checked with; the text says why."""


def read(text: bytes | str) -> Json:
    """Return a JSON value. Raises Unusable."""
    try:
        return json.loads(text, parse_int=Decimal, parse_float=Decimal)
    except RecursionError:
        raise Unusable("is nested too deeply") from None
    except (ValueError, DecimalException):  # DecimalException: an exponent that nothing holds
        raise Unusable("is not JSON") from None


def printable(text: str) -> str:
    """Return what is said of a value so that it can be sent: short, and Unicode. Names of its members are in it."""
    text = text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}..."
    return text.encode(errors="backslashreplace").decode()


def target(whole: Json, reference: str) -> Json:
    """Return what a reference such as ``#/$defs/name`` leads to (RFC 6901). Raises Unusable."""
    found = whole
    for part in reference.removeprefix("#").split("/")[1:]:
        name = unquote(part).replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict) and name in found:
            found = found[name]
        elif (
            isinstance(found, list) and name.isascii() and name.isdigit() and len(name) < 10 and int(name) < len(found)
        ):
            found = found[int(name)]
        else:
            raise Unusable(f"leads nowhere: {reference[:100]!r}")
    return found
