"""Query strings of lists: ``limit``, ``cursor`` and what filters them."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl

from polycall.errors import InvalidArgument
from polycall.faces.wire import Malformed
from polycall.quick import dataclass

__all__ = ["DEFAULT_LIMIT", "MOST", "Window", "read_flag", "read_query", "read_window"]

DEFAULT_LIMIT = 100
MOST = 10_000  # what the SDK asks for when it wants all
_MOST_PARAMETERS = 50


@dataclass(frozen=True, slots=True)
class Window:
    """Which page of a list is wanted."""

    limit: int = DEFAULT_LIMIT
    cursor: str = ""


def read_query(query: str) -> Mapping[str, str]:
    """Return the parameters of a query string; of several of one name the last. Raises Malformed."""
    try:
        return dict(parse_qsl(query, keep_blank_values=True, max_num_fields=_MOST_PARAMETERS, errors="strict"))
    except (ValueError, UnicodeError):
        raise InvalidArgument.of("", "the query cannot be read") from None


def read_window(query: Mapping[str, str]) -> Window:
    """Read ``limit`` and ``cursor``. Raises Malformed."""
    text = query.get("limit", "") or str(DEFAULT_LIMIT)
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(MOST)) and 1 <= int(text) <= MOST):
        raise Malformed.of("limit", f"must be an integer from 1 to {MOST}")
    return Window(int(text), query.get("cursor", ""))


def read_flag(query: Mapping[str, str], name: str) -> bool:
    """Read ``true`` or ``false``, in any case: what languages print for it. False without one. Raises Malformed."""
    text = query.get(name, "false").lower()
    if text not in ("true", "false"):
        raise Malformed.of(name, "must be true or false")
    return text == "true"
