"""The Domo face: authenticate, find the released function, bind its inputs, run, show the record."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

import msgspec

from polycall.domain import (
    Convention,
    Execution,
    Function,
    LimitOverrides,
    Principal,
    Reason,
    Scope,
    Version,
    VersionState,
)
from polycall.engine.engine import Engine
from polycall.engine.keys import reading, require
from polycall.engine.limits import MIB
from polycall.engine.requests import FunctionRun, RunOptions
from polycall.errors import NotFound, PolycallError
from polycall.faces.adapter import bearer
from polycall.faces.aside import aside
from polycall.faces.domo.errors import CONTENT_TYPE, failed
from polycall.faces.domo.record import Kept, render
from polycall.faces.domo.request import Ask, bind, read_ask
from polycall.faces.reply import Handler, Inbound, Reply

__all__ = ["DomoFace"]


_FACE = "domo"
_BODY_LIMIT = 64 * MIB
# The vendor: 5 minutes, 1 GB. Logs travel inside the record, which has to stay a JSON document one can handle.
_LIMITS = LimitOverrides(timeout_ms=5 * 60_000, memory_bytes=1024 * MIB, stdout_bytes=1 * MIB, stderr_bytes=1 * MIB)
_TOKEN_HEADERS = ("x-domo-developer-token", "x-domo-authentication")


class DomoFace:
    """Domo's Code Engine over the engine."""

    name = _FACE
    body_limit = _BODY_LIMIT

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.handlers: Mapping[str, Handler] = {"RunFunction": self.run_function, "GetExecution": self.get_execution}

    def failure(self, error: PolycallError, inbound: Inbound) -> Reply:
        """Word an error the vendor's way."""
        return failed(error)

    async def run_function(self, inbound: Inbound) -> Reply:
        """Run a function of a released version. What is checked first is what the vendor's contract says."""
        who = await self._caller(inbound)
        version = await self._released(who, inbound.variable("package_id"), inbound.variable("version"))
        function = _callable(version, inbound.variable("function_name"))
        body = await inbound.read()
        ask, convention, arguments = await aside(len(body), _read, body, function)
        run = FunctionRun(
            package_id=version.package_id,
            version_id=version.id,
            function=function.name,
            convention=convention,
            input=arguments,
            limits=self._engine.limits.where_unset(version.limits, _LIMITS),
            fresh=True,
        )
        kept = Kept(get_logs=ask.get_logs, started_by=who.user_id, output=function.output)
        options = RunOptions(face=_FACE, face_data=msgspec.json.encode(kept), expires_at=inbound.expires_at)
        return await _shown(await self._engine.run(who, run, options), kept)

    async def get_execution(self, inbound: Inbound) -> Reply:
        """Show an execution, under its own package only."""
        who = await self._caller(inbound)
        package_id, text = inbound.variable("package_id"), inbound.variable("execution_id")
        await self._check_package(who, package_id)
        require(who, Scope.RUN)
        try:
            execution = await self._engine.get(reading(who), uuid.UUID(text))
        except (ValueError, NotFound):
            raise _no_execution(package_id, text) from None
        if execution.package_id != package_id or execution.face != _FACE or execution.face_data is None:
            raise _no_execution(package_id, text)
        return await _shown(execution, msgspec.json.decode(execution.face_data, type=Kept))

    async def _caller(self, inbound: Inbound) -> Principal:
        tokens = (inbound.headers.get(name, "").strip() for name in _TOKEN_HEADERS)
        return await self._engine.keys.authenticate(next(filter(None, tokens), None) or bearer(inbound.headers))

    async def _check_package(self, who: Principal, package_id: str) -> None:
        try:
            await self._engine.registry.version(who.project_id, package_id)
        except NotFound as error:
            if error.reason is not Reason.VERSION_NOT_FOUND:
                raise _no_package(package_id) from None

    async def _released(self, who: Principal, package_id: str, version_id: str) -> Version:
        version: Version | None = None
        try:
            version = await self._engine.registry.version(who.project_id, package_id, version_id)
        except NotFound as error:
            if error.reason is not Reason.VERSION_NOT_FOUND:
                raise _no_package(package_id) from None
        require(who, Scope.RUN)
        if version is None or version.id != version_id:  # "-", the newest to others, is no version here
            message = f"Package {package_id} has no version {version_id}."
            raise NotFound(Reason.VERSION_NOT_FOUND, "polycall.v1.Version", version_id, message)
        if version.state is not VersionState.RELEASED:
            why = f" It cannot be: {version.error}" if version.error else " Release it first."
            message = f"Version {version_id} of package {package_id} is not released.{why}"
            raise NotFound(Reason.VERSION_NOT_FOUND, "polycall.v1.Version", version_id, message)
        return version


def _callable(version: Version, name: str) -> Function:
    public = {f.name: f for f in version.functions if not f.private and not f.name.startswith("_")}
    if name not in public:
        message = (
            f"Version {version.id} of package {version.package_id} has no function {name}; "
            f"callable functions: {', '.join(public) or 'none'}."
        )
        raise NotFound(Reason.FUNCTION_NOT_FOUND, "polycall.v1.Function", name, message)
    return public[name]


def _no_package(package_id: str) -> NotFound:
    message = f"Package {package_id} does not exist."
    return NotFound(Reason.PACKAGE_NOT_FOUND, "polycall.v1.Package", package_id, message)


def _no_execution(package_id: str, execution_id: str) -> NotFound:
    message = f"Package {package_id} has no execution {execution_id}."
    return NotFound(Reason.EXECUTION_NOT_FOUND, "polycall.v1.Execution", execution_id, message)


def _read(body: bytes, function: Function) -> tuple[Ask, Convention, bytes]:
    ask = read_ask(body)
    return ask, *bind(function, ask.inputs)


async def _shown(execution: Execution, kept: Kept) -> Reply:
    size = len(execution.result or b"") + len(execution.stdout) + len(execution.stderr)
    return Reply(body=await aside(size, render, execution, kept), content_type=CONTENT_TYPE)
