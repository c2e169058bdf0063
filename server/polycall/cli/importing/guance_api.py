"""DataFlux Func, the engine behind Guance's gateway: script sets and scripts (contract, section 9)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import msgspec

from polycall.cli.importing.export import Export, parsed
from polycall.cli.importing.web import Missing, Web

__all__ = ["fetch", "sign_in"]


class _SignedIn(msgspec.Struct, rename="camel"):
    x_auth_token: str


class _Script(msgspec.Struct):
    id: str


class _Function(msgspec.Struct, rename="camel"):
    script_id: str


_FUNCTIONS = "/api/v1/funcs/do/list"


def sign_in(web: Web, username: str, password: str) -> None:
    """Sign in, for all that is asked afterwards. Raises Failure."""
    path = "/api/v1/auth/do/sign-in"
    signed: _SignedIn = _data(web.post(path, {"signIn": {"username": username, "password": password}}), _SignedIn, path)
    web.authorize({"x-dff-auth-token": signed.x_auth_token})


def fetch(web: Web, export: Export) -> None:
    """Keep script sets, scripts with their code, and what is published of them. Raises Failure."""
    path = "/api/v1/script-sets/do/list"
    export.write_list("script_sets.json", "scriptSets", _data(web.get(path), list[msgspec.Raw], path))
    functions = _data(web.get(_FUNCTIONS), list[msgspec.Raw], _FUNCTIONS)
    export.write_list("funcs.json", "funcs", functions)
    export.write_list("scripts.json", "scripts", _scripts(web, functions))


def _scripts(web: Web, functions: list[msgspec.Raw]) -> Iterator[msgspec.Raw]:
    for script_id in _script_ids(web, functions):
        path = f"/api/v1/scripts/{quote(script_id, safe='')}/do/get"
        yield _data(web.get(path), msgspec.Raw, path)


def _script_ids(web: Web, functions: list[msgspec.Raw]) -> list[str]:
    path = "/api/v1/scripts/do/list"
    try:
        return [script.id for script in _data(web.get(path), list[_Script], path)]
    except Missing:  # not in every installation; functions name the scripts that have some
        return sorted({parsed(function, _Function, _FUNCTIONS).script_id for function in functions})


def _data(answer: bytes, kind: Any, path: str) -> Any:
    """Return the ``data`` of an envelope. Raises Failure."""
    envelope = parsed(answer, dict[str, msgspec.Raw], path)
    return parsed(envelope.get("data", msgspec.Raw(b"null")), kind, path)
