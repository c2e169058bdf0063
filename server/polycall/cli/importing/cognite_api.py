"""Cognite's API, as far as functions need it: the functions, their zip files, their schedules."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import msgspec

from polycall.cli.exits import Exit
from polycall.cli.failures import Failure
from polycall.cli.importing.export import Export, parsed
from polycall.cli.importing.web import Web

__all__ = ["MOST_ZIP_BYTES", "fetch", "token"]

MOST_ZIP_BYTES = 100 << 20  # contract, section 7.8
_MOST = 10_000  # of one list; the contract's own limits are 100 functions and 1000 schedules


class _Items(msgspec.Struct):
    items: list[msgspec.Raw]


class _Function(msgspec.Struct, rename="camel"):
    file_id: int


class _Identified(msgspec.Struct):
    id: int


class _Link(msgspec.Struct, rename="camel"):
    download_url: str


class _Links(msgspec.Struct):
    items: list[_Link]


class _Token(msgspec.Struct):
    access_token: str


def token(web: Web, url: str, client_id: str, client_secret: str, scope: str) -> str:
    """Return an access token for client credentials. Raises Failure."""
    form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": client_secret}
    answer: _Token = parsed(
        web.post_form(url, form | ({"scope": scope} if scope else {})), _Token, "the token's answer"
    )
    return answer.access_token


def fetch(web: Web, export: Export, project: str) -> None:
    """Keep the functions of a project, their zip files, and their schedules with inputs. Raises Failure."""
    root = f"/api/v1/projects/{quote(project, safe='')}"
    functions = _listed(web, f"{root}/functions/list")
    export.write_list("functions.json", "items", functions)
    files = {parsed(function, _Function, f"{root}/functions/list").file_id for function in functions}
    for file_id in sorted(file_id for file_id in files if file_id > 0):
        _file(web, export, root, file_id)
    schedules = _listed(web, f"{root}/functions/schedules/list")
    export.write_list("schedules.json", "items", schedules)
    export.write_list("input_data.json", "items", _inputs(web, f"{root}/functions/schedules", schedules))


def _listed(web: Web, path: str) -> list[msgspec.Raw]:
    items: list[msgspec.Raw] = parsed(web.post(path, {"filter": {}, "limit": _MOST}), _Items, path).items
    if len(items) >= _MOST:
        raise Failure(f"{path} gives {len(items)}, and there may be more: too many.", Exit.LIMIT)
    return items


def _file(web: Web, export: Export, root: str, file_id: int) -> None:
    """Keep a zip file. One that is gone there is left out: the function says so when the export is read."""
    path = f"{root}/files/downloadlink"
    try:
        links: _Links = parsed(web.post(path, {"items": [{"id": file_id}]}), _Links, path)
        for link in links.items[:1]:
            export.write(f"files/{file_id}.zip", web.download(link.download_url, MOST_ZIP_BYTES))
    except Failure as failure:
        if failure.code is not Exit.USAGE:
            raise


def _inputs(web: Web, path: str, schedules: list[msgspec.Raw]) -> Iterator[msgspec.Raw]:
    for schedule in schedules:
        yield msgspec.Raw(web.get(f"{path}/{parsed(schedule, _Identified, path).id}/input_data"))
