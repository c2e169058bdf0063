"""DataFlux Func's routes by which code gets in: sign-in, script sets, scripts."""

from __future__ import annotations

from collections.abc import Mapping

from polycall.domain import Principal, Scope
from polycall.engine.engine import Engine
from polycall.engine.keys import reading, require
from polycall.errors import Unauthenticated
from polycall.faces.guance.bare import BareFace, answering, read_data
from polycall.faces.guance.catalog import func_items, query_of
from polycall.faces.guance.drafts import Drafts
from polycall.faces.guance.envelope import Exchange
from polycall.faces.guance.errors import Failure, Refused
from polycall.faces.guance.fields import flag, required_text, text
from polycall.faces.guance.func_routes import filter_of
from polycall.faces.guance.publishing import Publishing
from polycall.faces.guance.request import read_members
from polycall.faces.guance.script_sets import ScriptSet, ScriptSets
from polycall.faces.guance.v1 import guance_scripts_pb2
from polycall.faces.reply import Inbound

__all__ = ["ScriptRoutes"]

_SERVICE = guance_scripts_pb2.DESCRIPTOR.services_by_name["GuanceScriptService"]
_TOKEN_S = 86_400.0 * 7
_SIGN_IN_BYTES = 64 << 10  # unpacked, from anybody
_LONGEST_CODE = 4 << 20  # characters; how much may be published is said when it is kept
_SET_FIELDS = ("title", "description", "requirements")
_LONG = ("requirements", "codeDraft")
_SCRIPT_FIELDS = ("title", "description", "codeDraft")


class ScriptRoutes(BareFace):
    """How code gets in."""

    def __init__(self, engine: Engine, sets: ScriptSets, drafts: Drafts, publishing: Publishing) -> None:
        super().__init__(engine, _SERVICE)
        self._sets = sets
        self._drafts = drafts
        self._publishing = publishing
        self.handlers = {
            "SignIn": answering(self.sign_in),
            "AddScriptSet": answering(self.add_set),
            "ModifyScriptSet": answering(self.modify_set),
            "DeleteScriptSet": answering(self.delete_set),
            "ListScriptSets": answering(self.list_sets),
            "AddScript": answering(self.add_script),
            "GetScript": answering(self.get_script),
            "ListScripts": answering(self.list_scripts),
            "ModifyScript": answering(self.modify_script),
            "DeleteScript": answering(self.delete_script),
            "PublishScript": answering(self.publish),
            "ListScriptFuncs": answering(self.list_funcs),
        }

    async def sign_in(self, inbound: Inbound) -> object:
        """Exchange a key, given as the password, for a token."""
        body = await inbound.read(_SIGN_IN_BYTES)
        outer = read_members(body or b"{}", "body", ("signIn",))
        given = read_members(outer.get("signIn", b"{}"), "signIn", ("username", "password", "captcha", "captchaToken"))
        required_text(given, "username")
        try:
            who = await self.engine.keys.of_key(required_text(given, "password"))
        except Unauthenticated:
            raise Refused(Failure("EUserPassword", 400.12, "Invalid username or password")) from None
        if Scope.DEPLOY not in who.scopes:
            raise Refused(Failure("EUserPrivilege", 401.15, "This API key lacks the scope `deploy`"))
        return {"userId": who.key_id, "xAuthToken": self.engine.keys.token(who, _TOKEN_S)}

    # script sets

    async def add_set(self, inbound: Inbound) -> object:
        """Add a script set."""
        who = await self.who(inbound, Scope.DEPLOY)
        data = await read_data(inbound, (), ("id", *_SET_FIELDS))
        set_id = required_text(data, "id")
        new = ScriptSet(
            title=text(data, "title"),
            description=text(data, "description"),
            requirements=text(data, "requirements", _LONGEST_CODE),
        )
        await self._sets.add(who, set_id, new)
        return {"id": set_id}

    async def modify_set(self, inbound: Inbound) -> object:
        """Change a script set."""
        who = await self.who(inbound, Scope.DEPLOY)
        set_id = inbound.variable("script_set_id")
        changes = _changes(await read_data(inbound, (), _SET_FIELDS), _SET_FIELDS)
        await self._sets.modify(who, set_id, changes)
        return {"id": set_id}

    async def delete_set(self, inbound: Inbound) -> object:
        """Delete a script set and its scripts."""
        who = await self.who(inbound, Scope.DEPLOY)
        set_id = inbound.variable("script_set_id")
        for script in await self._drafts.list(who, frozenset(), frozenset({set_id})):
            await self._drafts.delete(who, str(script["id"]))
        await self._sets.delete(who, set_id)
        return {"id": set_id}

    async def list_sets(self, inbound: Inbound) -> object:
        """List script sets."""
        who = await self._manager(inbound)
        return await self._sets.list(who, _words(query_of(inbound.query).get("id")))

    # scripts

    async def add_script(self, inbound: Inbound) -> object:
        """Add a script."""
        who = await self.who(inbound, Scope.DEPLOY)
        data = await read_data(inbound, (), ("id", *_SCRIPT_FIELDS))
        script_id = required_text(data, "id")
        code = text(data, "codeDraft", _LONGEST_CODE) or ""
        await self._drafts.add(who, script_id, text(data, "title"), text(data, "description"), code)
        return {"id": script_id}

    async def get_script(self, inbound: Inbound) -> object:
        """Return a script with its code."""
        who = await self.who(inbound, Scope.READ)
        script = await self._drafts.get(who, inbound.variable("script_id"))
        code = await self._drafts.source(who, script)
        return {"code": code, "codeDraft": script.code_draft, **self._drafts.shown(script)}

    async def list_scripts(self, inbound: Inbound) -> object:
        """List scripts."""
        who = await self._manager(inbound)
        query = query_of(inbound.query)
        return await self._drafts.list(who, _words(query.get("id")), _words(query.get("scriptSetId")))

    async def modify_script(self, inbound: Inbound) -> object:
        """Change a script's title, description or draft."""
        who = await self.who(inbound, Scope.DEPLOY)
        script_id = inbound.variable("script_id")
        data = await read_data(inbound, ("prevCodeDraftMD5",), _SCRIPT_FIELDS)
        previous = text(data, "prevCodeDraftMD5")
        md5 = await self._drafts.modify(who, script_id, previous, _changes(data, _SCRIPT_FIELDS))
        return {"codeDraftMD5": md5, "id": script_id}

    async def delete_script(self, inbound: Inbound) -> object:
        """Delete a script."""
        who = await self.who(inbound, Scope.DEPLOY)
        script_id = inbound.variable("script_id")
        await self._drafts.delete(who, script_id)
        return {"id": script_id}

    async def publish(self, inbound: Inbound) -> object:
        """Publish a script's draft."""
        who = await self.who(inbound, Scope.DEPLOY)
        data = await read_data(inbound, ("force", "wait"), ("note",))
        flag(data, "wait")  # it is waited for in any case
        return await self._publishing.publish(
            who,
            Exchange(inbound),
            inbound.variable("script_id"),
            force=flag(data, "force"),
            note=text(data, "note"),
        )

    async def list_funcs(self, inbound: Inbound) -> object:
        """List the functions of published scripts."""
        who = reading(await self.who(inbound))
        return await func_items(self.engine, who, filter_of(inbound.query))

    async def _manager(self, inbound: Inbound) -> Principal:
        """Return who may see what can be managed: whoever deploys, and whoever reads. Raises PermissionDenied."""
        who = await self.who(inbound)
        if Scope.DEPLOY not in who.scopes:
            require(who, Scope.READ)
        return reading(who)


def _changes(data: Mapping[str, bytes], known: tuple[str, ...]) -> Mapping[str, str | None]:
    return {
        name: text(data, name, _LONGEST_CODE) if name in _LONG else text(data, name) for name in known if name in data
    }


def _words(given: str | None) -> frozenset[str]:
    return frozenset(word for word in (given or "").split(",") if word)
