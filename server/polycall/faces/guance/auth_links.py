"""Auth links: functions that can be called without a key, with arguments that are fixed or left to the caller.

The id of a link is what lets in: 24 random characters behind the name of its project.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
import string
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec

from polycall.domain import ExecutionState, FaceObject, Principal, Scope
from polycall.engine.engine import Engine
from polycall.engine.keys import require
from polycall.engine.requests import RunOptions
from polycall.errors import InvalidArgument, NotFound, PolycallError, Unauthenticated
from polycall.faces.guance.catalog import query_of
from polycall.faces.guance.envelope import Dump, Exchange
from polycall.faces.guance.errors import Failure, Refused, bare_failure_of, failed, failure_of, no_such, unreadable
from polycall.faces.guance.request import Options, read_options
from polycall.faces.guance.results import form_of
from polycall.faces.guance.runs import FACE, FuncRuns
from polycall.faces.reply import Inbound, Reply
from polycall.faces.times import iso_millis
from polycall.faces.wire import dump as dumped
from polycall.faces.wire import raw_members
from polycall.ids import now_ms

__all__ = ["AuthLink", "AuthLinks"]

_KIND = "auth-link"
_BY_CALLER = ("INPUT_BY_CALLER", "FROM_PARAMETER")  # as the value of an argument that the caller gives
_ALPHABET, _RANDOM_CHARS = string.ascii_letters + string.digits, 24
_PAGE = 200
_BODY_BYTES = 1 << 20  # anybody may call
_LINK_BYTES = 64 << 10  # of all that is kept of a link: a list has them all
_TYPES = {
    "json": "application/json",
    "html": "text/html; charset=utf-8",
    "txt": "text/plain; charset=utf-8",
    "text": "text/plain; charset=utf-8",
    "csv": "text/csv; charset=utf-8",
    "xml": "application/xml",
}
_MIME = re.compile(r"[a-z0-9.+-]{1,60}/[a-z0-9.+-]{1,60}(; ?charset=[A-Za-z0-9-]{1,20})?")
_HEADER = re.compile(r"(?:location|cache-control|etag|last-modified|content-language|retry-after|x-[a-z0-9-]{1,60})")
_RESERVED = ("x-http-status", "x-polycall", "x-envoy", "x-request-id")
_MOST_HEADERS, _LONGEST_HEADER = 20, 2048
_WITHOUT_BODY = (204, 205, 304)


class AuthLink(msgspec.Struct, kw_only=True, omit_defaults=True, rename="camel"):
    """What is kept of a link."""

    func_id: str
    kwargs: msgspec.Raw = msgspec.Raw(b"{}")
    tags: list[str] | None = None
    expires_at: int | None = None
    is_disabled: bool = False
    note: str | None = None
    created_by: str = ""  # the key that it ends with; "": made by an earlier release, which did not say


class AuthLinks:
    """Auth links of all projects."""

    def __init__(self, engine: Engine, runs: FuncRuns) -> None:
        self._engine = engine
        self._runs = runs

    # for who has a key

    async def add(self, who: Principal, new: AuthLink) -> str:
        """Add a link to a function that is there; return its id. Raises Refused."""
        _require_both(who)
        await self._check(who, new)
        project = base64.urlsafe_b64encode(who.project_id.encode()).decode().rstrip("=")
        link_id = f"auln-{project}-{''.join(secrets.choice(_ALPHABET) for _ in range(_RANDOM_CHARS))}"
        await self._engine.objects.create(who.project_id, FACE, _KIND, link_id, _kept(_of(who, new)))
        return link_id

    async def modify(self, who: Principal, link_id: str, changes: Mapping[str, Any]) -> None:
        """Change what is named; from now on the link is of the key that changed it. Raises Refused."""
        _require_both(who)
        found, link = await self._get(who.project_id, link_id)
        link = _of(who, msgspec.structs.replace(link, **changes))
        await self._check(who, link)
        if await self._engine.objects.put(replace(found, data=_kept(link))) is None:
            raise Refused(Failure("EBizRequestConflict.authLinkAlreadyChanged", 409.25, "Auth link already changed"))

    async def delete(self, who: Principal, link_id: str) -> None:
        """Delete a link. Raises Refused."""
        require(who, Scope.DEPLOY)
        await self._get(who.project_id, link_id)
        await self._engine.objects.delete(who.project_id, FACE, _KIND, link_id)

    async def list(
        self, who: Principal, ids: frozenset[str], func_ids: frozenset[str]
    ) -> Sequence[Mapping[str, object]]:
        """Return links, newest first."""
        found: list[Mapping[str, object]] = []
        token = ""
        while True:
            page = await self._engine.objects.list(who.project_id, FACE, _KIND, _PAGE, token)
            for each in page.items:
                link = msgspec.json.decode(each.data, type=AuthLink)
                if (not ids or each.id in ids) and (not func_ids or link.func_id in func_ids):
                    found.append(_shown(each, link))
            token = page.next_token
            if not token:
                return found

    # for who has a link

    async def call(self, inbound: Inbound) -> Reply:
        """Run a link's function with a body of ``kwargs`` and ``options``."""
        exchange = Exchange(inbound)
        body = (await inbound.read(_BODY_BYTES)).strip()
        return await self._answered(inbound, exchange, body or None, "POST")

    async def open(self, inbound: Inbound) -> Reply:
        """Run a link's function with ``kwargs`` and ``options`` of the query, each JSON."""
        exchange = Exchange(inbound)
        query = query_of(inbound.query)
        members = {name: msgspec.Raw(query[name].encode()) for name in ("kwargs", "options") if query.get(name)}
        body = dumped(members) if members else None
        return await self._answered(inbound, exchange, body, "GET")

    async def _answered(self, inbound: Inbound, exchange: Exchange, body: bytes | None, method: str) -> Reply:
        link_id = inbound.variable("auth_link_id")
        shown = Dump(f"/api/v1/al/{link_id}", body, method)
        try:
            if body is not None:
                raw_members(body)  # before it is repeated to anybody
            project_id, link = await self._open_link(link_id)
            options = _fixed(link, read_options(body, datetime.fromtimestamp(exchange.at / 1000, UTC)))
            run, seconds = await self._runs.prepare(project_id, link.func_id, options, files=True)
            who = Principal(project_id=project_id, key_id=link.created_by, scopes=frozenset({Scope.RUN}))
            kept = RunOptions(face=FACE, alias=exchange.task_id, expires_at=exchange.expires_at(seconds))
            execution = await self._engine.run(who, run, kept)
        except PolycallError as error:
            if isinstance(error, InvalidArgument) and not isinstance(error, Refused):
                shown = replace(shown, body=None)
            failure = failure_of(error, "", exchange.task_id) or bare_failure_of(error)
            return exchange.bare_failure(failure, shown)
        if execution.state is not ExecutionState.COMPLETED or execution.result is None:
            return exchange.bare_failure(failed(execution, "", exchange.task_id), shown)
        try:
            return _leaving(exchange, execution.result, options)
        except (Refused, msgspec.DecodeError, binascii.Error, ValueError):
            return exchange.bare_failure(unreadable(), shown)

    async def _open_link(self, link_id: str) -> tuple[str, AuthLink]:
        """Return a link that can be called, and its project. Raises Refused."""
        parts = link_id.split("-", 1)[-1].rpartition("-")
        try:
            project_id = base64.urlsafe_b64decode(parts[0] + "=" * (-len(parts[0]) % 4)).decode()
        except (binascii.Error, ValueError):
            raise no_such("Auth Link", id=link_id) from None
        _, link = await self._get(project_id, link_id)
        if link.is_disabled:
            raise Refused(Failure("EBizCondition.AuthLinkDisabled", 403.21, "Auth Link is disabled"))
        if link.expires_at is not None and link.expires_at <= now_ms():
            raise _expired()
        if link.created_by:
            try:
                maker = await self._engine.keys.of_id(project_id, link.created_by)
            except Unauthenticated:
                raise _expired() from None
            if Scope.RUN not in maker.scopes:  # it is of an earlier release, which asked for less
                raise _expired()
        return project_id, link

    async def _get(self, project_id: str, link_id: str) -> tuple[FaceObject, AuthLink]:
        try:
            found = await self._engine.objects.get(project_id, FACE, _KIND, link_id)
        except (NotFound, InvalidArgument):
            raise no_such("Auth Link", id=link_id) from None
        return found, msgspec.json.decode(found.data, type=AuthLink)

    async def _check(self, who: Principal, link: AuthLink) -> None:
        try:
            await self._runs.prepare(who.project_id, link.func_id, Options())
        except NotFound:
            raise no_such("Func", funcId=link.func_id) from None


def _require_both(who: Principal) -> None:
    # a link runs code for whoever knows it: who may not run makes none
    require(who, Scope.DEPLOY)
    require(who, Scope.RUN)


def _of(who: Principal, link: AuthLink) -> AuthLink:
    return msgspec.structs.replace(link, created_by=who.key_id)


def _expired() -> Refused:
    return Refused(Failure("EBizCondition.AuthLinkExpired", 403.21, "Auth Link is expired"))


def _kept(link: AuthLink) -> bytes:
    """Return what is kept of a link. Raises Refused for too much."""
    data = msgspec.json.encode(link)
    if len(data) > _LINK_BYTES:
        raise Refused.bad_body(f"an auth link has at most {_LINK_BYTES} bytes, with its arguments")
    return data


def _fixed(link: AuthLink, options: Options) -> Options:
    """Return what the caller asks for with the link's arguments. Raises Refused for one that is not the caller's."""
    if options.is_async:
        raise Refused.bad_body('Field `execMode` value `"async"` is not valid. (auth links answer at once)')
    of_link = raw_members(link.kwargs)
    given = raw_members(options.kwargs)
    theirs = {name for name, value in of_link.items() if bytes(value)[1:-1].decode() in _BY_CALLER}
    for name in given:
        if name not in theirs:
            raise Refused.bad_body(f"Found unexpected field `{name[:100]}`")
    fixed = {name: value for name, value in of_link.items() if name not in theirs}
    return replace(options, kwargs=dumped({**fixed, **given}), save_result=False)


def _leaving(exchange: Exchange, result: bytes, options: Options) -> Reply:
    """Return a result as it leaves: in the envelope, or as ``DFF.RESP`` says."""
    control: dict[str, Any] = msgspec.json.decode(form_of(result, "_responseControl"), type=dict[str, Any])
    if not _is_set(control):
        value = form_of(result, options.return_type)
        return Reply(body=bytes(value)) if options.unfold else exchange.bare_success({"result": value})
    kind = str(control.get("contentType") or "")
    raw = bytes(form_of(result, "raw"))
    if isinstance(control.get("fileBase64"), str):
        body = base64.b64decode(control["fileBase64"], validate=True)
        content_type = "application/octet-stream"
    elif raw.startswith(b'"') and kind != "json":
        body, content_type = msgspec.json.decode(raw, type=str).encode(), _TYPES["txt"]
    else:
        body, content_type = raw, _TYPES["json"]
    content_type = _TYPES.get(kind, kind if _MIME.fullmatch(kind) else content_type)
    headers = list(_headers(control.get("headers")))
    if control.get("downloadFile"):
        headers.append(("content-disposition", "attachment"))
    status = control.get("statusCode")
    status = status if isinstance(status, int) and 200 <= status <= 599 else 200
    return Reply(
        body=b"" if status in _WITHOUT_BODY else body,
        status=status,
        content_type=content_type,
        headers=headers,
    )


def _is_set(control: Mapping[str, Any]) -> bool:
    return any(control.get(name) for name in ("statusCode", "contentType", "headers", "downloadFile", "fileBase64"))


def _headers(given: Any) -> Sequence[tuple[str, str]]:
    """Return the headers that code may set: some names, one line each."""
    if not isinstance(given, dict):
        return ()
    return [
        (name.lower(), value)
        for name, value in list(given.items())[:_MOST_HEADERS]
        if _HEADER.fullmatch(name.lower())
        and not name.lower().startswith(_RESERVED)
        and isinstance(value, str)
        and len(value) <= _LONGEST_HEADER
        and value.isascii()
        and value.isprintable()
    ]


def _shown(found: FaceObject, link: AuthLink) -> Mapping[str, object]:
    return {
        "createTime": iso_millis(found.created_at),
        "expireTime": None if link.expires_at is None else iso_millis(link.expires_at),
        "funcCallKwargsJSON": link.kwargs,
        "funcId": link.func_id,
        "id": found.id,
        "isDisabled": link.is_disabled,
        "note": link.note,
        "tagsJSON": link.tags,
        "updateTime": iso_millis(found.updated_at),
    }
