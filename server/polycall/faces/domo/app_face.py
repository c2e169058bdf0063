"""The Domo face as apps in a browser call it: flat inputs, bare results, and the operator's aliases."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from polycall.domain import Principal, Reason
from polycall.engine.limits import MIB
from polycall.errors import Code, NotFound, PolycallError
from polycall.faces.aside import aside
from polycall.faces.domo.callers import Callers
from polycall.faces.domo.errors import CONTENT_TYPE, failed, unanswered
from polycall.faces.domo.face import shown
from polycall.faces.domo.kept import FACE
from polycall.faces.domo.operator import Alias, DomoSettings
from polycall.faces.domo.package_face import PackageReader
from polycall.faces.domo.record import ended
from polycall.faces.domo.request import Ask, read_flat
from polycall.faces.domo.runs import Runs
from polycall.faces.reply import Handler, Inbound, Reply
from polycall.faces.wire import dump

__all__ = ["DomoAppFace"]


class DomoAppFace:
    """Domo's app routes. Functions that fail are HTTP 400 where no record is answered that could say so."""

    name = FACE
    body_limit = 64 * MIB

    def __init__(self, callers: Callers, runs: Runs, reader: PackageReader, settings: DomoSettings) -> None:
        self._callers = callers
        self._runs = runs
        self._settings = settings
        self.handlers: Mapping[str, Handler] = {
            "RunAlias": self.run_alias,
            "RunAliasComplex": self.run_alias_complex,
            "RunAppFunction": self.run_function,
            "ListAppPackages": self._read(reader.list_packages),
            "GetAppPackage": self._read(reader.get_package),
            "ListAppVersions": self._read(reader.list_versions),
            "GetAppVersion": self._read(reader.get_version),
        }

    def failure(self, error: PolycallError, inbound: Inbound) -> Reply:
        """Word an error the vendor's way."""
        return failed(error)

    async def run_alias(self, inbound: Inbound) -> Reply:
        """POST packages/{alias}: answer what the function returned, and nothing else."""
        return await self._by_alias(inbound, lambda execution_id, result: result)

    async def run_alias_complex(self, inbound: Inbound) -> Reply:
        """POST packages/{alias}/complex: answer the execution's id, too."""
        return await self._by_alias(
            inbound, lambda execution_id, result: dump({"executionId": execution_id, "result": msgspec.Raw(result)})
        )

    async def run_function(self, inbound: Inbound) -> Reply:
        """POST packages/{id}/versions/{version}/function/{name}: answer the record."""
        who = await self._callers.app(inbound)
        asked = (inbound.variable(name) for name in ("package_id", "version", "function_name"))
        target = await self._runs.target(who, *asked)
        return await shown(*await self._runs.run(who, target, read_flat, inbound))

    async def _by_alias(self, inbound: Inbound, answer: Callable[[str, bytes], bytes]) -> Reply:
        who = await self._callers.app(inbound)
        name = inbound.variable("alias")
        alias = self._settings.of(who.project_id).aliases.get(name)
        if alias is None:
            message = f"There is no alias {name}; the operator maps aliases to functions."
            raise NotFound(Reason.FUNCTION_NOT_FOUND, "polycall.v1.Function", name, message)
        target = await self._runs.target(who, alias.package_id, alias.version, alias.function_name)
        execution, kept = await self._runs.run(who, target, lambda body: _renamed(read_flat(body), alias), inbound)
        size = len(execution.result or b"")
        end = await aside(size, ended, execution, kept)
        if end.status != "SUCCESS":
            return unanswered(end.status, end.messages)
        body = await aside(size, answer, str(execution.id), end.result)
        return Reply(body=body, content_type=CONTENT_TYPE, code=Code.OK)

    def _read(self, show: Callable[[Principal, Inbound], Any]) -> Handler:
        async def handle(inbound: Inbound) -> Reply:
            reply: Reply = await show(await self._callers.app(inbound), inbound)
            return reply

        return handle


def _renamed(ask: Ask, alias: Alias) -> Ask:
    return Ask({alias.real_name(name): value for name, value in ask.inputs.items()}, ask.get_logs)
