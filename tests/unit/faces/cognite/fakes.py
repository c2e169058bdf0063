"""An engine and a store in memory, with just what the face asks of them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from google.protobuf.message import Message

from polycall.domain import (
    Convention,
    Execution,
    ExecutionFilter,
    ExecutionKind,
    ExecutionState,
    Function,
    Language,
    OutputChunk,
    Package,
    Principal,
    Reason,
    Scope,
    Session,
    Version,
    VersionState,
)
from polycall.engine.engine import Engine
from polycall.engine.keys import KeyRing, require
from polycall.engine.limits import LimitPolicy
from polycall.engine.requests import FunctionRun, RunOptions
from polycall.errors import NotFound, PolycallError, Unauthenticated
from polycall.faces.cognite.catalogue import Catalogue
from polycall.faces.cognite.face import CogniteFace
from polycall.faces.cognite.sessions import Sessions, SessionsStore
from polycall.faces.cognite.v1 import cognite_pb2
from polycall.faces.reply import Inbound, Reply
from polycall.store.protocol import Page

__all__ = ["NOW", "Answer", "World", "function", "version"]

NOW = 1_730_204_346_000
_BODIES = {
    method.name: getattr(cognite_pb2, method.input_type.name)
    for method in cognite_pb2.DESCRIPTOR.services_by_name["CogniteService"].methods
}


def function(name: str = "handle", entrypoint: str = "handler:handle", *, private: bool = False) -> Function:
    return Function(name=name, entrypoint=entrypoint, convention=Convention.HANDLE, private=private)


def version(package_id: str = "1", **changes: Any) -> Version:
    given: dict[str, Any] = {
        "project_id": "default",
        "package_id": package_id,
        "id": "7",
        "state": VersionState.READY,
        "language": Language.PYTHON,
        "created_at": NOW - 1000,
        "bundle": "00",
        "functions": (function(),),
    }
    return Version(**given | changes)


@dataclass
class FakeKeys:
    principals: dict[str, Principal]

    async def authenticate(self, token: str | None) -> Principal:
        if token not in self.principals:
            raise Unauthenticated("This API key is not valid.")
        return self.principals[token]

    async def of_key(self, token: str | None) -> Principal:
        return await self.authenticate(token)


@dataclass
class FakeRegistry:
    packages: list[Package]
    versions: dict[tuple[str, str], Version]
    page_size: int = 1000

    async def get_package(self, who: Principal, package_id: str) -> Package:
        require(who, Scope.READ)
        for package in self.packages:
            if (package.project_id, package.id) == (who.project_id, package_id):
                return package
        raise NotFound(Reason.PACKAGE_NOT_FOUND, "polycall.v1.Package", f"packages/{package_id}")

    async def version(self, project_id: str, package_id: str) -> Version:
        found = self.versions.get((project_id, package_id))
        if found is not None:
            return found
        known = any((p.project_id, p.id) == (project_id, package_id) for p in self.packages)
        reason = Reason.VERSION_NOT_FOUND if known else Reason.PACKAGE_NOT_FOUND
        raise NotFound(reason, "polycall.v1.Version", f"packages/{package_id}")

    async def find_package(self, who: Principal, face: str, alias: str) -> Package:
        require(who, Scope.READ)
        for package in self.packages:
            if (package.project_id, package.face, package.alias) == (who.project_id, face, alias):
                return package
        raise NotFound(Reason.PACKAGE_NOT_FOUND, "polycall.v1.Package", alias)

    async def list_packages(self, who: Principal, page_size: int, page_token: str = "") -> Page[Package]:
        require(who, Scope.READ)
        mine = [package for package in reversed(self.packages) if package.project_id == who.project_id]
        start = int(page_token or 0)
        end = start + min(page_size, self.page_size)
        return Page(tuple(mine[start:end]), str(end) if end < len(mine) else "")


@dataclass
class FakeEngine:
    keys: FakeKeys
    registry: FakeRegistry
    limits: LimitPolicy = field(default_factory=LimitPolicy)
    made: list[Execution] = field(default_factory=list)
    runs: list[FunctionRun] = field(default_factory=list)
    chunks: tuple[OutputChunk, ...] = ()
    refusal: PolycallError | None = None

    async def call(self, who: Principal, run: FunctionRun, options: RunOptions) -> Execution:
        require(who, Scope.RUN)
        if self.refusal is not None:
            raise self.refusal
        execution = Execution(
            id=uuid.uuid4(),
            project_id=who.project_id,
            kind=ExecutionKind.CALL,
            state=ExecutionState.QUEUED,
            queued_at=NOW,
            package_id=run.package_id,
            version_id=run.version_id,
            function=run.function,
            face=options.face,
            alias=options.alias,
            max_attempts=options.max_attempts or 3,
            input=run.input,
        )
        if not options.validate_only:
            self.runs.append(run)
            self.made.append(execution)
        return execution

    @property
    def executions(self) -> FakeEngine:
        return self

    async def find(self, who: Principal, face: str, alias: str) -> Execution:
        require(who, Scope.READ)
        for execution in self.made:
            if (execution.project_id, execution.face, execution.alias) == (who.project_id, face, alias):
                return execution
        raise NotFound(Reason.EXECUTION_NOT_FOUND, "polycall.v1.Execution", alias)

    async def list(self, who: Principal, where: ExecutionFilter, page_size: int) -> Page[Execution]:
        require(who, Scope.READ)
        mine = [e for e in reversed(self.made) if (e.face, e.package_id) == (where.face, where.package_id)]
        return Page(tuple(mine[:page_size]))

    async def output(self, who: Principal, execution_id: uuid.UUID) -> tuple[OutputChunk, ...]:
        require(who, Scope.READ)
        return self.chunks

    def end(self, **changes: Any) -> None:
        """End the newest execution."""
        self.made[-1] = replace(self.made[-1], **changes)


@dataclass
class FakeSessions:
    hashes: dict[tuple[str, bytes], Session] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)

    async def create_session(self, session: Session, nonce_hash: bytes) -> None:
        self.hashes[session.project_id, nonce_hash] = session

    async def bind_session(self, project_id: str, nonce_hash: bytes, now_ms: int, expires_at: int) -> Session | None:
        session = self.hashes.get((project_id, nonce_hash))
        if session is None or session.status != "READY" or session.nonce_expires_at <= now_ms:
            return None
        bound = self.hashes[project_id, nonce_hash] = replace(session, status="ACTIVE", expires_at=expires_at)
        return bound

    async def next_number(self, name: str) -> int:
        self.numbers[name] = self.numbers.get(name, 0) + 1
        return self.numbers[name]


@dataclass(frozen=True)
class Answer:
    """A reply, with its body read."""

    reply: Reply

    @property
    def status(self) -> int:
        return self.reply.status

    @property
    def json(self) -> Any:
        return json.loads(self.reply.body)

    @property
    def error(self) -> Any:
        assert set(self.json) == {"error"}
        assert self.json["error"]["code"] == self.status
        return self.json["error"]


class World:
    """The face with everything around it. Keys are `key` (project default), `other` (project other), `reader`."""

    def __init__(self, *, packages: Sequence[Package] = (), versions: Sequence[Version] = (), lenient: bool = False):
        scopes = frozenset({Scope.RUN, Scope.READ})
        self.engine = FakeEngine(
            FakeKeys(
                {
                    "key": Principal(project_id="default", key_id="k", scopes=scopes),
                    "other": Principal(project_id="other", key_id="o", scopes=scopes),
                    "hush": Principal(project_id="default", key_id="h", scopes=frozenset(Scope)),
                    "reader": Principal(project_id="default", key_id="r", scopes=frozenset({Scope.READ})),
                    "runner": Principal(project_id="default", key_id="n", scopes=frozenset({Scope.RUN})),
                }
            ),
            FakeRegistry(list(packages), {(v.project_id, v.package_id): v for v in versions}),
        )
        self.sessions = FakeSessions()
        store = cast("SessionsStore", self.sessions)
        sessions = Sessions(store, cast("KeyRing", self.engine.keys), lenient=lenient)
        self.face = CogniteFace(cast("Engine", self.engine), store, sessions, Catalogue(cast("Engine", self.engine)))

    async def ask(
        self,
        method: str,
        body: object = b"",
        *,
        key: str | None = "key",
        project: str = "default",
        at: int = NOW,
        **variables: str,
    ) -> Answer:
        """Send a request as the adapter does."""
        message: Message = _BODIES[method](project=project, **variables)
        headers: Mapping[str, str] = {} if key is None else {"authorization": f"Bearer {key}"}
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        inbound = Inbound(method=method, message=message, body=data, headers=headers, received_at=at)
        try:
            return Answer(await self.face.handlers[method](inbound))
        except PolycallError as error:
            return Answer(self.face.failure(error, inbound))

    async def nonce(self, *, at: int = NOW, key: str = "key", project: str = "default") -> str:
        """Open a session and return its nonce."""
        body = {"items": [{"tokenExchange": True}]}
        answer = await self.ask("CreateSessions", body, at=at, key=key, project=project)
        return str(answer.json["items"][0]["nonce"])

    async def call(self, data: object = None, *, function_id: str = "1") -> Answer:
        """Call a function with a fresh nonce."""
        body = {"data": data or {}, "nonce": await self.nonce()}
        return await self.ask("CallFunction", body, function_id=function_id)
