"""Domo's product API: all packages with all of their versions (contract, section 3)."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import msgspec

from polycall.cli.failures import Failure
from polycall.cli.importing.export import Export, parsed
from polycall.cli.importing.web import Web

__all__ = ["fetch"]

_PACKAGES = "/api/codeengine/v2/packages"
_PAGE = 100
_MOST_PAGES = 10_000
_PARTS = "functions,code,privateFunctions,name"


class _Identified(msgspec.Struct):
    id: str


def fetch(web: Web, export: Export) -> None:
    """Keep the packages of an instance, each with all of its versions. Raises Failure."""
    export.write_list("packages.json", "packages", _packages(web))


def _packages(web: Web) -> Iterator[msgspec.Raw]:
    for package in _pages(web, _PACKAGES, "name"):
        members = parsed(package, dict[str, msgspec.Raw], _PACKAGES)
        identifier = parsed(package, _Identified, _PACKAGES).id
        versions = list(_pages(web, f"{_PACKAGES}/{quote(identifier, safe='')}/versions", _PARTS))
        yield msgspec.Raw(msgspec.json.encode({**members, "versions": versions}))


def _pages(web: Web, path: str, parts: str) -> Iterator[msgspec.Raw]:
    seen: set[bytes] = set()
    for page in range(_MOST_PAGES):
        params: dict[str, str | int] = {"skip": page * _PAGE, "limit": _PAGE, "parts": parts}
        items = parsed(web.get(path, params), list[msgspec.Raw], path)
        fresh = [item for item in items if bytes(item) not in seen]
        seen.update(bytes(item) for item in fresh)
        yield from fresh
        if len(items) < _PAGE or not fresh:  # what ignores `skip` gives everything at once
            return
    raise Failure(f"{path} has more than {_MOST_PAGES} pages.")
