"""Opens an act for every call, and sees to it that the audit log has what came of it before the answer leaves."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import aclosing
from functools import cache
from urllib.parse import unquote

import grpc
import grpc.aio
from google.api import annotations_pb2
from google.protobuf import descriptor_pool
from google.protobuf.message import Message

from polycall.acts import Act, acting, fingerprint
from polycall.engine.audit import AuditLog
from polycall.errors import Code, PolycallError, code_of
from polycall.interceptors.actions import ACTIONS, Action
from polycall.interceptors.rpc import Rpc, Stream, Unary
from polycall.status import status_of

__all__ = ["Auditing"]

_FACE = re.compile(r"/polycall\.faces\.([a-z]+)\.v1\.")
_VARIABLE = re.compile(r"\{([a-z][a-z0-9_.]*)(?:=[^{}]+)?\}")
_CREDENTIALS = frozenset({"auth_link_id"})  # who knows it may use it
_NAMES = ("name", "parent", "project")  # what a native request calls what it is about
_FROM = ("x-envoy-external-address", "x-forwarded-for")
_LONGEST_PART = 1000  # characters of a path's part, which may have megabytes; the whole is cut at fewer
_NOTHING = Action("")
# What a method that changes nothing is refused for and that somebody may want to know: who is not let in.
_TOLD = frozenset({Code.UNAUTHENTICATED, Code.PERMISSION_DENIED})


class Auditing:
    """Lies around authentication. ``behind``: callers come through our gateway, which says where they are."""

    def __init__(self, log: AuditLog, *, behind: bool) -> None:
        self._log = log
        self._behind = behind

    def unary(self, inner: Unary) -> Unary:
        """Call; keep what was done, or refused."""

        async def audited(request: Message, rpc: Rpc) -> Message:
            if rpc.method not in ACTIONS:  # nothing that it does is kept, and most calls are of this kind
                try:
                    return await inner(request, rpc)
                except asyncio.CancelledError:
                    raise
                except Exception as error:
                    if (code := code_of(error)) in _TOLD:
                        self._ended(self._act(request, rpc), request, code)
                    raise
            act = self._act(request, rpc)
            with acting(act):
                try:
                    _admit(act)
                    answer = await inner(request, rpc)
                    if act.action and not act.noted and not getattr(request, "validate_only", False):
                        await self._log.record(act)
                except asyncio.CancelledError:
                    raise  # what was begun may go on, and is part of it
                except Exception as error:
                    self._ended(act, request, code_of(error))
                    raise
            act.closed = True
            return answer

        return audited

    def stream(self, inner: Stream) -> Stream:
        """Stream. A face answers once, and what it did is kept before that; ours, before the first of many answers."""

        async def audited(request: Message, rpc: Rpc) -> AsyncIterator[Message]:
            act = self._act(request, rpc)
            with acting(act):
                try:
                    _admit(act)
                    async with aclosing(inner(request, rpc)) as answers:  # type: ignore[type-var]
                        if act.action and act.face:
                            for answer in await self._kept(act, answers, rpc):
                                yield answer
                        else:
                            async for answer in answers:
                                if act.action and not act.noted:  # its caller is known by now
                                    await self._log.record(act)
                                yield answer
                            if act.action and not act.noted:
                                await self._log.record(act)
                except (asyncio.CancelledError, GeneratorExit):
                    raise
                except Exception as error:
                    self._ended(act, request, code_of(error))
                    raise
                self._ended(act, request, _code(rpc))

        return audited

    async def _kept(self, act: Act, answers: AsyncIterator[Message], rpc: Rpc) -> list[Message]:
        held = [answer async for answer in answers]
        if _code(rpc) is Code.OK and not act.noted:
            try:
                await self._log.record(act)
            except PolycallError as error:  # without its event a change is not answered for
                await rpc.fail(status_of(error))
        return held

    def _act(self, request: Message, rpc: Rpc) -> Act:
        action = ACTIONS.get(rpc.method, _NOTHING)
        face = _FACE.match(rpc.method)
        act = Act(
            action.name,
            many=action.many,
            face="" if face is None else face[1],
            method=rpc.method,
            resource=_resource(rpc.method, request) if action.name else "",
            client=self._client(rpc),
            request_id=rpc.request_id,
            admit=self._log.allowance.take,
        )
        act.who = rpc.known
        return act

    def _ended(self, act: Act, request: Message, code: Code) -> None:
        act.closed = True
        if code is Code.OK or not (act.action or code in _TOLD):
            return
        if not act.action:
            act.resource = _resource(act.method, request)
        self._log.refused(act, code)

    def _client(self, rpc: Rpc) -> str:
        if not self._behind:
            _, _, address = unquote(rpc.context.peer() or "").partition(":")
            return address.rpartition(":")[0].strip("[]")
        said = {name: str(value) for name, value in rpc.context.invocation_metadata() or () if name in _FROM}
        # The gateway lets no such header in. Of those in the other, the last is whom it spoke with itself; what stands
        # before that, anybody may have written.
        return said.get(_FROM[0]) or said.get(_FROM[1], "").rpartition(",")[2].strip()


def _admit(act: Act) -> None:
    """Have an act refused whose caller the head of the call has told; of all others ``acts.by`` asks, once it knows."""
    if act.who is not None:
        act.admit(act)


def _code(rpc: Rpc) -> Code:
    status = rpc.context.code()  # a face sets it beside its body
    return Code(status.value[0]) if isinstance(status, grpc.StatusCode) else Code(status or 0)


def _said(request: Message, variable: str) -> str:
    value = str(getattr(request, variable, ""))
    return fingerprint(value) if variable in _CREDENTIALS else value[:_LONGEST_PART]


@cache
def _template(method: str) -> str:
    """Return the path of a face's method; "" for a native one, whose requests say names."""
    if not _FACE.match(method):
        return ""
    try:
        found = descriptor_pool.Default().FindMethodByName(method.strip("/").replace("/", "."))
    except KeyError:  # no contract of ours
        return ""
    rule = found.GetOptions().Extensions[annotations_pb2.http]
    verb = rule.WhichOneof("pattern")
    return str(getattr(rule, verb)) if verb else ""


def _resource(method: str, request: Message) -> str:
    """Return what a request is about, as it says itself: a name, or the path of a contract."""
    template = _template(method)
    if template:
        path = _VARIABLE.sub(lambda match: _said(request, match[1]), template)
        return path.strip("/")
    if not isinstance(request, Message):  # what came was none
        return ""
    for field in request.DESCRIPTOR.fields:
        if field.name in _NAMES and field.message_type is None:
            return str(getattr(request, field.name))
    for field in request.DESCRIPTOR.fields:
        inner = field.message_type
        if inner is not None and not field.is_repeated and "name" in inner.fields_by_name:
            return str(getattr(getattr(request, field.name), "name"))  # noqa: B009  no field of ours is known here
    return ""
