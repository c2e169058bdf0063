"""Pages of lists, which go on from the id of the last item that was seen: newest first, and never in a circle.

An id stands for a place among the others, whether it is still there or not: it was minted at a time, and says which.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias
from urllib.parse import parse_qsl

from polycall.errors import InvalidArgument, NotFound
from polycall.ids import from_ulid, to_ulid
from polycall.quick import dataclass

__all__ = ["PAGE_BYTES", "PageAsk", "Place", "place_of", "read_page", "read_query"]

_MOST = 100  # contract, section 4: the default, too
_MOST_PARAMETERS = 100
# Items with code or output are large: a page ends where it has so many bytes. The next one begins there.
PAGE_BYTES = 16 << 20

# The bits of an id below its milliseconds.
_BELOW_MS = 80

# When something was made, ms, and its id.
Place: TypeAlias = tuple[int, str]


@dataclass(frozen=True, slots=True)
class PageAsk:
    """How many items at most, and after which id; None: from the newest on."""

    limit: int
    after: str | None

    @property
    def nowhere(self) -> bool:
        """Whether nothing can come after this id: the store has none like it."""
        return self.after is not None and "\0" in self.after


def read_query(query: str) -> Mapping[str, str]:
    """Return the parameters of a query; of a repeated one the last. Raises InvalidArgument."""
    try:
        return dict(parse_qsl(query, keep_blank_values=True, max_num_fields=_MOST_PARAMETERS, errors="strict"))
    except ValueError:  # UnicodeDecodeError is one
        raise InvalidArgument.of("", "the query cannot be read") from None


def read_page(query: Mapping[str, str]) -> PageAsk:
    """Read ``limit`` and ``starting_after``. Raises InvalidArgument."""
    text = query.get("limit", "") or "0"
    # no more digits than any number needs: Python takes its time for thousands
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise InvalidArgument.of("limit", f"must be 1 to {_MOST}, or 0 for {_MOST}")
    return PageAsk(min(int(text) or _MOST, _MOST), query.get("starting_after") or None)


async def place_of(after: str, find: Callable[[str], Awaitable[int]]) -> Place | None:
    """Return where an id is in a list; None if it cannot be placed.

    ``find`` returns when the thing with this id was made, and raises NotFound if it is not there (any more).
    """
    try:
        return await find(after), after
    except NotFound:
        return _minted(after)


def _minted(text: str) -> Place | None:
    """Return the place of an id by what it says itself; None if it is not one of ours."""
    found = from_ulid(text)
    if found is not None:
        return found.int >> _BELOW_MS, to_ulid(found)
    try:
        found = uuid.UUID(text)  # what the native contract gives out
    except ValueError:
        return None
    return found.int >> _BELOW_MS, str(found)
