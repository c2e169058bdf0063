"""The face over an engine that says what it is told to say."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from polycall.domain import (
    Convention,
    Execution,
    ExecutionError,
    ExecutionKind,
    ExecutionState,
    Function,
    Language,
    LimitOverrides,
    Principal,
    Reason,
    Scope,
    Version,
    VersionState,
)
from polycall.engine.engine import Engine
from polycall.engine.limits import DEFAULTS, MAXIMUMS, MIB, LimitPolicy
from polycall.engine.requests import FunctionRun, RunOptions
from polycall.errors import NotFound, PolycallError, Unauthenticated
from polycall.faces.reply import Inbound, Reply
from polycall.faces.xpander.face import XpanderFace
from polycall.faces.xpander.v1 import xpander_pb2

FUNCTION_ID = "8c1d0000-0000-4000-8000-000000000000"
WITH_KEY, WRONG_KEY = {"x-api-key": "k"}, {"x-api-key": "wrong"}
DONE = Execution(
    id=uuid.UUID(int=1),
    project_id="default",
    kind=ExecutionKind.SYNC,
    state=ExecutionState.COMPLETED,
    queued_at=0,
    result=b'"Hello, San Francisco"',
    exit_code=0,
    limits=replace(DEFAULTS, timeout_ms=15_000, memory_bytes=256 * MIB),
)


def _function(name: str = "xpander_run_action", **changes: Any) -> Function:
    given: dict[str, Any] = {
        "name": name,
        "entrypoint": f"main:{name}",
        "convention": Convention.KEYWORDS,
        "input_schema": b'{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}',
    }
    return Function(**given | changes)


def _version(*functions: Function, **changes: Any) -> Version:
    given: dict[str, Any] = {
        "project_id": "default",
        "package_id": FUNCTION_ID,
        "id": "3",
        "state": VersionState.READY,
        "language": Language.PYTHON,
        "created_at": 0,
        "bundle": "00",
        "functions": functions or (_function(),),
    }
    return Version(**given | changes)


@dataclass
class FakeEngine:
    deployed: Version = field(default_factory=_version)
    limits: LimitPolicy = field(default_factory=LimitPolicy)
    scopes: frozenset[Scope] = frozenset({Scope.RUN})
    ends: Execution = DONE
    runs: list[tuple[FunctionRun, RunOptions]] = field(default_factory=list)
    tokens: list[str | None] = field(default_factory=list)

    @property
    def keys(self) -> FakeEngine:
        return self

    @property
    def registry(self) -> FakeEngine:
        return self

    async def authenticate(self, token: str | None) -> Principal:
        self.tokens.append(token)
        if token != "k":
            reason = Reason.API_KEY_INVALID if token else Reason.API_KEY_MISSING
            raise Unauthenticated("no", reason=reason)
        return Principal(project_id="default", key_id="k", scopes=self.scopes)

    @property
    def revisions(self) -> FakeEngine:
        return self

    async def latest(self, project_id: str, package_id: str) -> Version | None:
        return await self.version(project_id, package_id)

    async def version(self, project_id: str, package_id: str, version_id: str | None = None) -> Version:
        if (project_id, package_id) != (self.deployed.project_id, self.deployed.package_id):
            raise NotFound(Reason.PACKAGE_NOT_FOUND, "p", package_id)
        return self.deployed

    async def run(self, who: Principal, run: FunctionRun, options: RunOptions) -> Execution:
        self.runs.append((run, options))
        return self.ends


async def _ask(
    engine: FakeEngine,
    body: bytes = b'{"city":"SF"}',
    function_id: str = FUNCTION_ID,
    headers: Mapping[str, str] = WITH_KEY,
) -> Reply:
    face = XpanderFace(cast("Engine", engine))
    inbound = Inbound(
        method="ExecuteCustomFunction",
        message=xpander_pb2.ExecuteCustomFunctionRequest(function_id=function_id),
        body=body,
        headers=headers,
        expires_at=5.0,
    )
    try:
        return await face.handlers["ExecuteCustomFunction"](inbound)
    except PolycallError as error:
        return face.failure(error, inbound)


def test_the_face_has_a_handler_for_every_rpc() -> None:
    service = xpander_pb2.DESCRIPTOR.services_by_name["XpanderService"]
    assert {method.name for method in service.methods} == set(XpanderFace(cast("Engine", FakeEngine())).handlers)


async def test_a_function_is_run_by_keywords_in_a_fresh_process_with_the_contracts_limits() -> None:
    engine = FakeEngine()
    reply = await _ask(engine)
    assert (reply.status, reply.body, reply.content_type) == (200, b'"Hello, San Francisco"', "application/json")
    assert engine.runs == [
        (
            FunctionRun(
                package_id=FUNCTION_ID,
                version_id="3",
                function="xpander_run_action",
                input=b'{"city":"SF"}',
                limits=LimitOverrides(timeout_ms=15_000, memory_bytes=256 * MIB, result_bytes=16 * MIB),
                fresh=True,
            ),
            RunOptions(face="xpander", expires_at=5.0),
        )
    ]


async def test_the_functions_own_limits_stand() -> None:
    own = LimitOverrides(timeout_ms=60_000, memory_bytes=512 * MIB, result_bytes=MIB)
    engine = FakeEngine(_version(limits=own))
    await _ask(engine)
    assert engine.runs[0][0].limits == LimitOverrides()


async def test_the_contracts_limits_give_way_to_the_operators() -> None:
    most = replace(MAXIMUMS, timeout_ms=10_000, memory_bytes=64 * MIB, result_bytes=MIB)
    engine = FakeEngine(limits=LimitPolicy(maximums=most))
    await _ask(engine)
    assert engine.runs[0][0].limits == LimitOverrides(timeout_ms=10_000, memory_bytes=64 * MIB, result_bytes=MIB)


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        ({"x-api-key": "k"}, "k"),
        ({"authorization": "Bearer k"}, "k"),
        ({"x-api-key": "k", "authorization": "Bearer other"}, "k"),
        ({"x-api-key": "  ", "authorization": "Bearer k"}, "k"),
    ],
)
async def test_a_key_comes_by_either_header(headers: dict[str, str], token: str) -> None:
    engine = FakeEngine()
    assert (await _ask(engine, headers=headers)).status == 200
    assert engine.tokens == [token]


async def test_no_key_and_a_bad_key_differ() -> None:
    missing = await _ask(FakeEngine(), headers={"authorization": "Basic k"})
    assert (missing.status, json.loads(missing.body)) == (401, {"detail": "Not authenticated"})
    bad = await _ask(FakeEngine(), headers=WRONG_KEY)
    assert (bad.status, json.loads(bad.body)) == (403, {"detail": "Invalid API key"})


async def test_checks_come_in_the_contracts_order() -> None:
    broken = b"{"
    not_ready = FakeEngine(_version(state=VersionState.ANALYSING))
    assert (await _ask(not_ready, broken, "unknown", headers=WRONG_KEY)).status == 403
    assert (await _ask(FakeEngine(scopes=frozenset()), broken, "unknown")).status == 403
    assert (await _ask(not_ready, broken, "unknown")).status == 404
    reply = await _ask(not_ready, broken)
    assert json.loads(reply.body) == {"detail": "Custom function is not ready (status: analysing)"}
    assert reply.status == 409
    assert json.loads((await _ask(FakeEngine(), broken)).body)["detail"][0]["type"] == "json_invalid"
    assert json.loads((await _ask(FakeEngine(), b"[]")).body)["detail"][0]["type"] == "dict_type"
    assert json.loads((await _ask(FakeEngine(), b"{}")).body)["detail"][0]["type"] == "missing"


@pytest.mark.parametrize("function_id", ["set__script", "a_b", "a b", "", "a/b"])
async def test_an_id_that_no_client_could_split_is_not_found(function_id: str) -> None:
    engine = FakeEngine(_version(package_id=function_id))
    reply = await _ask(engine, function_id=function_id)
    assert (reply.status, json.loads(reply.body)) == (404, {"detail": "Custom function not found"})


async def test_the_entry_function_is_found_by_name_or_by_being_alone() -> None:
    helper, hidden = _function("helper"), _function("hidden", private=True)
    for functions, chosen in (
        ((helper, _function()), "xpander_run_action"),
        ((helper, hidden), "helper"),
    ):
        engine = FakeEngine(_version(*functions))
        assert (await _ask(engine)).status == 200
        assert engine.runs[0][0].function == chosen
    assert (await _ask(FakeEngine(_version(helper, _function("other"))))).status == 404
    assert (await _ask(FakeEngine(_version(hidden)))).status == 404


@pytest.mark.parametrize("convention", [each for each in Convention if each is not Convention.KEYWORDS])
async def test_a_function_that_is_called_another_way_is_not_a_custom_function(convention: Convention) -> None:
    assert (await _ask(FakeEngine(_version(_function(convention=convention))))).status == 404


async def test_a_large_body_is_checked_as_well() -> None:
    engine = FakeEngine()
    body = b'{"city": "%s", "x": 1}' % (b"y" * 100_000)
    assert (await _ask(engine, body)).status == 200
    assert engine.runs[0][0].input == b'{"city":"%s"}' % (b"y" * 100_000)
    assert (await _ask(engine, b'{"city": %s}' % (b"1" * 100_000))).status == 422


def _failed(reason: Reason, state: ExecutionState = ExecutionState.FAILED, **more: Any) -> Execution:
    error = ExecutionError(reason=reason, message=more.pop("message", ""), type=more.pop("type", ""))
    return replace(DONE, state=state, result=None, error=error, **more)


@pytest.mark.parametrize(
    ("ends", "status", "detail"),
    [
        (_failed(Reason.USER_EXCEPTION, type="ValueError", message="bad city"), 400, "ValueError: bad city"),
        (_failed(Reason.USER_EXCEPTION, type="KeyError"), 400, "KeyError"),
        (
            _failed(Reason.ENTRYPOINT_NOT_FOUND, type="NameError", message="f is not defined"),
            400,
            "NameError: f is not defined",
        ),
        (_failed(Reason.USER_EXIT, exit_code=1), 400, "SystemExit: 1"),
        (_failed(Reason.OUT_OF_MEMORY), 400, "MemoryError: memory limit of 256 MB exceeded"),
        (
            _failed(Reason.OUTPUT_NOT_SERIALIZABLE, message="Object of type set is not JSON serializable"),
            400,
            "TypeError: Object of type set is not JSON serializable",
        ),
        (_failed(Reason.RESULT_TOO_LARGE), 400, "ValueError: the returned value is larger than 6 MB"),
        (_failed(Reason.OUTPUT_TOO_LARGE), 400, "RuntimeError: too much was written to stdout and stderr"),
        (_failed(Reason.KILLED_BY_SIGNAL, signal=11), 400, "RuntimeError: killed by signal 11 (SIGSEGV)"),
        (_failed(Reason.KILLED_BY_SIGNAL, signal=40), 400, "RuntimeError: killed by signal 40 (real-time)"),
        (
            _failed(Reason.EXECUTION_CANCELLED, ExecutionState.CANCELLED),
            400,
            "RuntimeError: the execution was cancelled",
        ),
        (
            _failed(Reason.EXECUTION_TIMEOUT, ExecutionState.TIMEOUT),
            504,
            "Execution timed out after 15 seconds",
        ),
        (
            replace(_failed(Reason.CPU_TIME_EXCEEDED, ExecutionState.TIMEOUT), limits=replace(DEFAULTS, cpu_ms=2500)),
            504,
            "Execution timed out after 2.5 seconds",
        ),
        (_failed(Reason.DISK_EXCEEDED, message="Killed."), 400, "RuntimeError: Killed."),
        (_failed(Reason.WORKER_LOST, message="lost"), 500, "Internal Server Error"),
    ],
    ids=lambda value: value.error.reason.value if isinstance(value, Execution) and value.error else "",
)
async def test_how_a_run_failed_is_one_line(ends: Execution, status: int, detail: str) -> None:
    reply = await _ask(FakeEngine(ends=ends))
    assert (reply.status, json.loads(reply.body)) == (status, {"detail": detail})
    assert "bad city" not in reply.message


async def test_none_is_null() -> None:
    assert (await _ask(FakeEngine(ends=replace(DONE, result=b"null")))).body == b"null"
