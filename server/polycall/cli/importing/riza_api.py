"""Riza's API: tools, runtimes with their revisions, the names of secrets (contract, section 3)."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import msgspec

from polycall.cli.failures import Failure
from polycall.cli.importing.export import Export, parsed
from polycall.cli.importing.web import Web

__all__ = ["fetch"]

_PAGE = 100  # the most that the contract gives
_MOST_PAGES = 10_000


class _Identified(msgspec.Struct):
    id: str


def fetch(web: Web, export: Export) -> None:
    """Keep what an account has. Raises Failure."""
    for name in ("tools", "secrets", "runtimes"):
        items = list(_listed(web, name))
        export.write_list(f"{name}.json", name, items)
        if name == "runtimes":
            export.write_list("revisions.json", "revisions", _revisions(web, items))


def _listed(web: Web, name: str) -> Iterator[msgspec.Raw]:
    after = ""
    seen: set[str] = set()
    for _ in range(_MOST_PAGES):
        params = {"limit": _PAGE} | ({"starting_after": after} if after else {})
        page = _items(web.get(f"/v1/{name}", params), name)
        for item in page:
            after = parsed(item, _Identified, f"/v1/{name}").id
            if after in seen:
                raise Failure(f"/v1/{name} gives {after!r} twice: its pages never end.")
            seen.add(after)
            yield item
        if not page:  # as the vendor's SDK does: only an empty page is the last
            return
    raise Failure(f"/v1/{name} has more than {_MOST_PAGES} pages.")


def _revisions(web: Web, runtimes: list[msgspec.Raw]) -> Iterator[msgspec.Raw]:
    for runtime in runtimes:
        identifier = parsed(runtime, _Identified, "/v1/runtimes").id
        yield from _items(web.get(f"/v1/runtimes/{quote(identifier, safe='')}/revisions"), "revisions")


def _items(answer: bytes, name: str) -> list[msgspec.Raw]:
    found = parsed(answer, dict[str, msgspec.Raw], f"/v1/{name}")
    items: list[msgspec.Raw] = parsed(found.get(name, msgspec.Raw(b"null")), list[msgspec.Raw], f"/v1/{name}")
    return items
