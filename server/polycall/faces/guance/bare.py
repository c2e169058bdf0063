"""What the routes of DataFlux Func itself have in common: who asks, and answers in its own envelope alone."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import quote

from google.api import annotations_pb2
from google.protobuf.descriptor import ServiceDescriptor

from polycall.domain import Principal, Scope
from polycall.engine.engine import Engine
from polycall.engine.keys import require
from polycall.engine.limits import MIB
from polycall.errors import PolycallError
from polycall.faces.aside import aside
from polycall.faces.guance.envelope import Dump, Exchange
from polycall.faces.guance.errors import bare_failure_of
from polycall.faces.guance.request import read_members
from polycall.faces.guance.runs import FACE
from polycall.faces.reply import Handler, Inbound, Reply
from polycall.faces.wire import raw_members

__all__ = ["BareFace", "answering", "read_data"]

_VARIABLE = re.compile(r"\{(\w+)\}")
_SECRET = frozenset({"SignIn"})  # their bodies are repeated to nobody
_MOST_REPEATED = 1 * MIB  # of a body: an error is worded on the loop


class BareFace:
    """One service of these routes. ``handlers`` is set by who inherits it."""

    name = FACE
    body_limit = 64 * MIB
    handlers: Mapping[str, Handler]

    def __init__(self, engine: Engine, service: ServiceDescriptor) -> None:
        self.engine = engine
        self._rules = {method.name: method.GetOptions().Extensions[annotations_pb2.http] for method in service.methods}

    async def who(self, inbound: Inbound, *scopes: Scope) -> Principal:
        """Return who asks: by the token of a sign-in, or by a key as at the gateway. Raises Unauthenticated."""
        credential = inbound.headers.get("x-dff-auth-token") or inbound.headers.get("df-api-key")
        who = await self.engine.keys.authenticate(credential)
        for scope in scopes:
            require(who, scope)
        return who

    def failure(self, error: PolycallError, inbound: Inbound) -> Reply:
        """Word an error of any kind."""
        return Exchange(inbound).bare_failure(bare_failure_of(error), self.dump(inbound))

    def dump(self, inbound: Inbound) -> Dump:
        """Return what an error repeats of the request."""
        rule = self._rules[inbound.method]
        path = _VARIABLE.sub(lambda name: quote(str(getattr(inbound.message, name[1]))), rule.post or rule.get)
        # of a request without a key nothing else was read
        path = inbound.headers.get("x-envoy-original-path", path).partition("?")[0]
        small = len(inbound.body) <= _MOST_REPEATED and not inbound.headers.get("content-encoding")
        body = (
            inbound.body if small and inbound.body.lstrip().startswith(b"{") and inbound.method not in _SECRET else None
        )
        return Dump(path, body if body is not None and _is_json(body) else None, "POST" if rule.post else "GET")


def _is_json(body: bytes) -> bool:
    try:
        return bool(raw_members(body))  # {} is as good as none
    except PolycallError:
        return False


def answering(work: Callable[[Inbound], Awaitable[object]]) -> Handler:
    """Return the handler that answers with what ``work`` returns, in the envelope."""

    async def handle(inbound: Inbound) -> Reply:
        return Exchange(inbound).bare_success(await work(inbound))

    return handle


async def read_data(inbound: Inbound, beside: tuple[str, ...], known: tuple[str, ...]) -> Mapping[str, bytes]:
    """Return the members of ``data`` of a body, and those beside it; those that are null are absent.

    Raises Refused, Malformed.
    """
    body = await inbound.read()
    if not body.strip():
        return {}
    outer = await aside(len(body), read_members, body, "body", ("data", *beside))
    inner = await aside(len(body), read_members, outer.get("data", b"{}"), "data", known)
    return {**{name: value for name, value in outer.items() if name != "data"}, **inner}
