"""An engine in memory, with just what the face asks of it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from polycall.domain import (
    Convention,
    Execution,
    ExecutionError,
    ExecutionKind,
    ExecutionState,
    Function,
    Language,
    Principal,
    Reason,
    Scope,
    Version,
    VersionState,
)
from polycall.engine.engine import Engine
from polycall.engine.limits import LimitPolicy
from polycall.engine.requests import FunctionRun, RunOptions
from polycall.errors import NotFound, PolycallError, Unauthenticated
from polycall.faces.guance.face import GuanceFace
from polycall.faces.guance.runs import FuncRuns
from polycall.faces.guance.v1 import guance_pb2
from polycall.faces.reply import Inbound, Reply
from polycall.sandbox.job import Bundle

__all__ = ["NOW", "SCRIPT", "World", "execution", "version"]

NOW = 1_662_609_264_529  # 2022-09-08T03:54:24.529Z
SCRIPT = b"@DFF.API('Test', timeout=20, api_timeout=15)\ndef test(**kwargs):\n    return kwargs\n"


def version(**changes: Any) -> Version:
    given: dict[str, Any] = {
        "project_id": "default",
        "package_id": "guance__openapi",
        "id": "3",
        "state": VersionState.READY,
        "language": Language.PYTHON,
        "created_at": NOW - 1000,
        "bundle": "00",
        "functions": (Function(name="test", entrypoint="main:test", convention=Convention.KEYWORDS),),
    }
    return Version(**given | changes)


def execution(state: ExecutionState, error: ExecutionError | None = None, **changes: Any) -> Execution:
    given: dict[str, Any] = {"id": uuid.uuid4(), "project_id": "default", "kind": ExecutionKind.SYNC, "queued_at": NOW}
    return Execution(state=state, error=error, **given | changes)


@dataclass
class FakeKeys:
    async def authenticate(self, token: str | None) -> Principal:
        scopes = {"key": {Scope.RUN}, "reader": {Scope.READ}}.get(token or "")
        if scopes is None:
            raise Unauthenticated("This API key is not valid.")
        return Principal(project_id="default", key_id="k", scopes=frozenset(scopes))


@dataclass
class FakeRegistry:
    known: Version
    source: bytes = SCRIPT
    bundles: int = 0

    async def resolve(
        self, project_id: str, package_id: str, version_id: str | None, function: str
    ) -> tuple[Version, Function]:
        for candidate in self.known.functions:
            if (self.known.package_id, candidate.name) == (package_id, function):
                return self.known, candidate
        raise NotFound(Reason.FUNCTION_NOT_FOUND, "polycall.v1.Function", function)

    async def bundle(self, version: Version) -> Bundle:
        self.bundles += 1
        return Bundle(digest=version.bundle, files={"main.py": self.source})


@dataclass
class FakeEngine:
    registry: FakeRegistry
    outcome: Execution | PolycallError
    keys: FakeKeys = field(default_factory=FakeKeys)
    limits: LimitPolicy = field(default_factory=LimitPolicy)
    verb: str = ""
    asked: FunctionRun | None = None
    options: RunOptions | None = None

    async def run(self, who: Principal, run: FunctionRun, options: RunOptions) -> Execution:
        return self._take("run", run, options)

    async def call(self, who: Principal, run: FunctionRun, options: RunOptions) -> Execution:
        return self._take("call", run, options)

    def _take(self, verb: str, run: FunctionRun, options: RunOptions) -> Execution:
        self.verb, self.asked, self.options = verb, run, options
        if isinstance(self.outcome, PolycallError):
            raise self.outcome
        return self.outcome


class World:
    """The face with an engine around it; every run ends as ``outcome``. Keys are `key` and `reader` (may not run)."""

    def __init__(
        self, outcome: Execution | PolycallError | bytes = b"null", *, of: Version | None = None, auth_status: int = 403
    ) -> None:
        if isinstance(outcome, bytes):
            outcome = execution(ExecutionState.COMPLETED, result=outcome)
        self.engine = FakeEngine(FakeRegistry(of or version()), outcome)
        engine = cast("Engine", self.engine)
        self.face = GuanceFace(engine, FuncRuns(engine), auth_status=auth_status)

    async def post(
        self, body: object, *, key: str | None = "key", headers: Mapping[str, str] | None = None, at: int = NOW
    ) -> Reply:
        """Send a request as the adapter does."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {**({} if key is None else {"df-api-key": key}), **(headers or {})}
        message = guance_pb2.ExecuteOuterFunctionRequest()
        inbound = Inbound(method="ExecuteOuterFunction", message=message, body=data, headers=sent, received_at=at)
        try:
            return await self.face.handlers["ExecuteOuterFunction"](inbound)
        except PolycallError as error:
            return self.face.failure(error, inbound)

    async def execute(self, body: object = None, **options: Any) -> Any:
        """Run the known function and return ``content``; ``body`` is ``funcBody``."""
        reply = await self.post({"funcId": "guance__openapi.test", "funcBody": body}, **options)
        assert reply.status == 200, reply.body
        answer = json.loads(reply.body)
        assert (answer["code"], answer["success"], answer["errorCode"], answer["message"]) == (200, True, "", "")
        return answer["content"]
