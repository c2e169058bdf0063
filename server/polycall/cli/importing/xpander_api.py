"""xpander.ai's API: custom functions with their sources (contract, section 3)."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import msgspec

from polycall.cli.failures import Failure
from polycall.cli.importing.export import Export, parsed
from polycall.cli.importing.web import Web

__all__ = ["fetch"]

_FUNCTIONS = "/v1/custom_functions"
_PAGE = 50  # the most that the contract gives
_MOST_PAGES = 10_000


class _Page(msgspec.Struct):
    items: list[msgspec.Raw]
    total_pages: int


class _Identified(msgspec.Struct):
    id: str


def fetch(web: Web, export: Export) -> None:
    """Keep the functions of an organization, with their sources. Raises Failure."""
    export.write_list("custom_functions.json", "items", _functions(web))


def _functions(web: Web) -> Iterator[msgspec.Raw]:
    seen: set[str] = set()
    for number in range(1, _MOST_PAGES + 1):
        page: _Page = parsed(web.get(_FUNCTIONS, {"page": number, "per_page": _PAGE}), _Page, _FUNCTIONS)
        for item in page.items:
            identifier = parsed(item, _Identified, _FUNCTIONS).id
            if identifier not in seen:  # one may move to the next page while pages are read
                seen.add(identifier)
                yield msgspec.Raw(web.get(f"{_FUNCTIONS}/{quote(identifier, safe='')}"))  # lists hold no sources
        if number >= page.total_pages or not page.items:
            return
    raise Failure(f"{_FUNCTIONS} has more than {_MOST_PAGES} pages.")
