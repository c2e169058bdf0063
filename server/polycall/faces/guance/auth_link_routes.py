"""DataFlux Func's routes of auth links, for who has a key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from polycall.domain import Scope
from polycall.engine.engine import Engine
from polycall.faces.guance.auth_links import AuthLink, AuthLinks
from polycall.faces.guance.bare import BareFace, answering, read_data
from polycall.faces.guance.catalog import query_of
from polycall.faces.guance.errors import Failure, Refused
from polycall.faces.guance.fields import flag, invalid, required_text, text, time_ms, words
from polycall.faces.guance.v1 import guance_auth_links_pb2
from polycall.faces.reply import Inbound

__all__ = ["AuthLinkRoutes"]

_SERVICE = guance_auth_links_pb2.DESCRIPTOR.services_by_name["GuanceAuthLinkService"]
_FIELDS = ("funcId", "funcCallKwargsJSON", "tagsJSON", "expireTime", "isDisabled", "note")
_NOT_HERE = ("id", "apiAuthId", "throttlingJSON", "taskRecordLimit", "showInDoc")


class AuthLinkRoutes(BareFace):
    """Makes, changes, lists and deletes auth links."""

    def __init__(self, engine: Engine, links: AuthLinks) -> None:
        super().__init__(engine, _SERVICE)
        self._links = links
        self.handlers = {
            "AddAuthLink": answering(self.add),
            "ModifyAuthLink": answering(self.modify),
            "DeleteAuthLink": answering(self.delete),
            "ListAuthLinks": answering(self.list_links),
        }

    async def add(self, inbound: Inbound) -> object:
        """Add a link."""
        who = await self.who(inbound, Scope.DEPLOY, Scope.RUN)
        data = await read_data(inbound, (), (*_FIELDS, *_NOT_HERE))
        required_text(data, "funcId")
        return {"id": await self._links.add(who, AuthLink(**_changes(data)))}

    async def modify(self, inbound: Inbound) -> object:
        """Change a link."""
        who = await self.who(inbound, Scope.DEPLOY, Scope.RUN)
        link_id = inbound.variable("auth_link_id")
        await self._links.modify(who, link_id, _changes(await read_data(inbound, (), (*_FIELDS, *_NOT_HERE))))
        return {"id": link_id}

    async def delete(self, inbound: Inbound) -> object:
        """Delete a link."""
        who = await self.who(inbound, Scope.DEPLOY)
        link_id = inbound.variable("auth_link_id")
        await self._links.delete(who, link_id)
        return {"id": link_id}

    async def list_links(self, inbound: Inbound) -> object:
        """List links."""
        who = await self.who(inbound, Scope.READ)
        query = query_of(inbound.query)
        ids, func_ids = (frozenset(filter(None, query.get(name, "").split(","))) for name in ("id", "funcId"))
        return await self._links.list(who, ids, func_ids)


def _changes(data: Mapping[str, bytes]) -> Mapping[str, Any]:
    for name in _NOT_HERE:
        if data.get(name, b"false") != b"false":
            raise Refused(Failure("EClientUnsupported", 400.44, f"Field `{name}` is not supported by this server"))
    read: dict[str, Any] = {}
    if "funcId" in data:
        read["func_id"] = required_text(data, "funcId")
    if "funcCallKwargsJSON" in data:
        raw = data["funcCallKwargsJSON"]
        if not raw.startswith(b"{"):
            raise invalid("funcCallKwargsJSON", raw, 'type = "json"')
        read["kwargs"] = msgspec.Raw(raw)
    if "tagsJSON" in data:
        read["tags"] = words(data, "tagsJSON")
    if "expireTime" in data:
        read["expires_at"] = time_ms(data, "expireTime")
    if "isDisabled" in data:
        read["is_disabled"] = flag(data, "isDisabled")
    if "note" in data:
        read["note"] = text(data, "note")
    return read
