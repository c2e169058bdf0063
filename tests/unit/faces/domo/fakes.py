"""An engine in memory, with just what the face asks of it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from google.protobuf.message import Message

from polycall.domain import (
    Convention,
    DeclaredType,
    Execution,
    ExecutionError,
    ExecutionKind,
    ExecutionState,
    Function,
    Language,
    Limits,
    Package,
    Parameter,
    Principal,
    Reason,
    Scope,
    Version,
    VersionState,
)
from polycall.engine.engine import Engine
from polycall.engine.keys import require
from polycall.engine.limits import DEFAULTS, LimitPolicy
from polycall.engine.requests import FunctionRun, RunOptions
from polycall.errors import NotFound, PolycallError, Unauthenticated
from polycall.faces.domo.faces import domo_faces
from polycall.faces.domo.operator import DomoSettings
from polycall.faces.domo.v1 import domo_pb2
from polycall.faces.reply import Inbound, Reply

__all__ = ["NOW", "PACKAGE", "Ended", "World", "declared", "function", "parameter", "version"]

NOW = 1_776_945_600_000  # 2026-04-23T12:00:00.000Z
PACKAGE = "756f0b19-5125-44f6-b541-058980ff6a94"


def declared(type: str, **modifiers: Any) -> DeclaredType:
    return DeclaredType(type=type, **modifiers)


def parameter(name: str, type: str = "number", *, default: bytes | None = None, **modifiers: Any) -> Parameter:
    return Parameter(name=name, declared=declared(type, **modifiers), default=default)


def function(name: str = "add", *parameters: Parameter, **changes: Any) -> Function:
    given: dict[str, Any] = {"entrypoint": f"main:{name}", "convention": Convention.KEYWORDS, "parameters": parameters}
    return Function(name=name, **given | changes)


def version(*functions: Function, **changes: Any) -> Version:
    given: dict[str, Any] = {
        "project_id": "default",
        "package_id": PACKAGE,
        "id": "1.0.1",
        "state": VersionState.RELEASED,
        "language": Language.PYTHON,
        "created_at": NOW - 1000,
        "bundle": "00",
        "functions": functions or (function("add", parameter("a"), parameter("b"), output=declared("number")),),
    }
    return Version(**given | changes)


@dataclass(frozen=True)
class Ended:
    """How a run ends."""

    state: ExecutionState = ExecutionState.COMPLETED
    result: bytes | None = None
    error: ExecutionError | None = None
    stdout: bytes = b""
    stderr: bytes = b""
    stdout_truncated: bool = False
    exit_code: int | None = None
    signal: int | None = None


@dataclass
class FakeKeys:
    async def authenticate(self, token: str | None) -> Principal:
        if not token:
            raise Unauthenticated("No API key.", reason=Reason.API_KEY_MISSING)
        scopes = {"key": {Scope.RUN, Scope.READ}, "reader": {Scope.READ}, "runner": {Scope.RUN}}.get(token)
        if scopes is None:
            raise Unauthenticated("This API key is not valid.")
        return Principal(project_id="default", key_id="k", scopes=frozenset(scopes), user_id="481303514")


@dataclass
class FakeRegistry:
    versions: tuple[Version, ...]

    async def version(self, project_id: str, package_id: str, version_id: str | None = None) -> Version:
        mine = [v for v in self.versions if v.package_id == package_id]
        if not mine and package_id != "empty":
            raise NotFound(Reason.PACKAGE_NOT_FOUND, "polycall.v1.Package", package_id)
        for candidate in mine:
            if version_id in (None, "-", candidate.id):
                return candidate
        raise NotFound(Reason.VERSION_NOT_FOUND, "polycall.v1.Version", str(version_id))

    async def get_package(self, who: Principal, package_id: str) -> Package:
        if package_id not in ("empty", *(v.package_id for v in self.versions)):
            raise NotFound(Reason.PACKAGE_NOT_FOUND, "polycall.v1.Package", package_id)
        return Package(project_id="default", id=package_id, created_at=NOW, updated_at=NOW)

    async def find_package(self, who: Principal, face: str, alias: str) -> Package:
        raise NotFound(Reason.PACKAGE_NOT_FOUND, "polycall.v1.Package", alias)


@dataclass
class FakeEngine:
    registry: FakeRegistry
    outcome: Ended | PolycallError
    keys: FakeKeys = field(default_factory=FakeKeys)
    objects: None = None  # what was deployed natively has none
    secrets: None = None
    limits: LimitPolicy = field(default_factory=LimitPolicy)
    asked: FunctionRun | None = None
    made: dict[uuid.UUID, Execution] = field(default_factory=dict)

    async def run(self, who: Principal, run: FunctionRun, options: RunOptions) -> Execution:
        self.asked = run
        if isinstance(self.outcome, PolycallError):
            raise self.outcome
        execution = Execution(
            id=options.execution_id or uuid.uuid4(),
            project_id=who.project_id,
            kind=ExecutionKind.SYNC,
            queued_at=NOW - 5,
            started_at=NOW,
            ended_at=NOW + 41,
            package_id=run.package_id,
            version_id=run.version_id,
            function=run.function,
            face=options.face,
            face_data=options.face_data,
            limits=replace(DEFAULTS, timeout_ms=run.limits.timeout_ms or 0),
            **{name: getattr(self.outcome, name) for name in Ended.__dataclass_fields__},
        )
        self.made[execution.id] = execution
        return execution

    @property
    def executions(self) -> FakeEngine:
        return self

    async def get(self, who: Principal, execution_id: uuid.UUID) -> Execution:
        require(who, Scope.READ)
        if execution_id not in self.made:
            raise NotFound(Reason.EXECUTION_NOT_FOUND, "polycall.v1.Execution", str(execution_id))
        return self.made[execution_id]


class World:
    """The face with an engine around it; every run ends as ``outcome``. Keys: `key`, `reader` (no run), `runner`."""

    def __init__(self, outcome: Ended | PolycallError | bytes = b"3", *versions: Version) -> None:
        ended = Ended(result=outcome) if isinstance(outcome, bytes) else outcome
        self.engine = FakeEngine(FakeRegistry(versions or (version(),)), ended)
        ((_, self.face), _, _) = domo_faces(cast("Engine", self.engine), DomoSettings())

    def allow(self, limits: Limits) -> None:
        """Set what the operator allows at most."""
        self.engine.limits = LimitPolicy(maximums=limits)

    async def _ask(self, method: str, message: Message, body: bytes, headers: Mapping[str, str]) -> Reply:
        inbound = Inbound(method=method, message=message, body=body, headers=headers, received_at=NOW)
        try:
            return await self.face.handlers[method](inbound)
        except PolycallError as error:
            return self.face.failure(error, inbound)

    async def post(
        self,
        body: object = b"",
        *,
        package: str = PACKAGE,
        version: str = "1.0.1",
        function: str = "add",
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send a request to run a function, as the adapter does."""
        message = domo_pb2.RunFunctionRequest(package_id=package, version=version, function_name=function)
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self._ask("RunFunction", message, data, {"x-domo-developer-token": "key"} | dict(headers or {}))

    async def get(self, execution_id: str, *, package: str = PACKAGE, key: str = "key") -> Reply:
        """Ask for an execution."""
        message = domo_pb2.GetExecutionRequest(package_id=package, execution_id=execution_id)
        return await self._ask("GetExecution", message, b"", {"x-domo-developer-token": key})

    async def run(self, *, get_logs: bool = False, **inputs: object) -> Any:
        """Run the function and return its record."""
        reply = await self.post({"inputVariables": inputs, "settings": {"getLogs": get_logs}})
        assert reply.status == 200, reply.body
        return json.loads(reply.body)
