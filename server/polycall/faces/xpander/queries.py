"""The query of the list: page numbers, as FastAPI reads and refuses them."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

from polycall.faces.wire import dump
from polycall.faces.xpander.problems import Problems, Unprocessable
from polycall.quick import dataclass

__all__ = ["PageQuery", "read_page"]

_DEFAULT_PER_PAGE, _MOST_PER_PAGE = 20, 50  # contract, section 4
_MOST_FIELDS = 100  # of a query; a client sends two
_WHOLE = re.compile(r"[+-]?[0-9]{1,1000}", re.ASCII)


@dataclass(frozen=True, slots=True)
class PageQuery:
    """Which page, from 1, of how many items."""

    page: int = 1
    per_page: int = _DEFAULT_PER_PAGE

    @property
    def offset(self) -> int:
        """How many items come before it."""
        return (self.page - 1) * self.per_page


def read_page(query: str) -> PageQuery:
    """Read ``page`` and ``per_page``; unknown parameters are ignored, of repeated ones the last counts.

    Raises Unprocessable.
    """
    try:
        given = dict(parse_qsl(query, keep_blank_values=True, max_num_fields=_MOST_FIELDS))
    except ValueError:
        given = {}
    problems = Problems()
    page = _number(given, "page", 1, None, problems)
    per_page = _number(given, "per_page", _DEFAULT_PER_PAGE, _MOST_PER_PAGE, problems)
    if problems.found:
        raise Unprocessable(problems.found)
    return PageQuery(page, per_page)


def _number(given: dict[str, str], name: str, default: int, most: int | None, problems: Problems) -> int:
    text = given.get(name)
    if text is None:
        return default
    loc, shown = ("query", name), dump(text)
    if not _WHOLE.fullmatch(text.strip()):
        words = "Input should be a valid integer, unable to parse string as an integer"
        problems.add("int_parsing", loc, words, shown)
        return default
    number = int(text)
    if number < 1:
        problems.add("greater_than_equal", loc, "Input should be greater than or equal to 1", shown, {"ge": 1})
    elif most is not None and number > most:
        words = f"Input should be less than or equal to {most}"
        problems.add("less_than_equal", loc, words, shown, {"le": most})
    return number
