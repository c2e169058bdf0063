"""The face over an engine that says what it is told to say."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from polycall.domain import (
    EgressPolicy,
    EgressRule,
    Execution,
    ExecutionError,
    ExecutionKind,
    ExecutionState,
    Principal,
    Reason,
    Scope,
    Usage,
)
from polycall.engine.engine import Engine
from polycall.engine.keys import require
from polycall.engine.limits import DEFAULTS, MAXIMUMS, LimitPolicy
from polycall.engine.requests import AdHocRun, RunOptions
from polycall.errors import DeadlineExceeded, NotFound, PolycallError, Unauthenticated
from polycall.faces.reply import Face, Inbound, Reply
from polycall.faces.riza.faces import riza_faces
from polycall.faces.riza.records import Record, Records
from polycall.faces.riza.v1 import riza_pb2
from polycall.sealing import Sealer

ID = uuid.UUID("01930000-0000-7000-8000-000000000001")
BODY = b'{"language":"python","code":"def execute(input): return input","limits":{"execution_timeout":2}}'
SEALER = Sealer([bytes(range(32))])
DONE = Execution(
    id=ID,
    project_id="default",
    kind=ExecutionKind.SYNC,
    state=ExecutionState.COMPLETED,
    queued_at=0,
    started_at=0,
    ended_at=1,
    result=b"1",
    exit_code=0,
    limits=DEFAULTS,
)


@dataclass
class FakeEngine:
    runner: None = None
    limits: LimitPolicy = field(default_factory=LimitPolicy)
    scopes: frozenset[Scope] = frozenset({Scope.RUN})
    raises: PolycallError | None = None
    stored: Execution | None = None
    runs: list[tuple[AdHocRun, RunOptions]] = field(default_factory=list)

    @property
    def runtimes(self) -> FakeEngine:
        return self

    async def find_revision(self, who: Principal, revision_id: str) -> Any:
        raise NotFound(Reason.RUNTIME_NOT_FOUND, "polycall.v1.RuntimeRevision", f"revisions/{revision_id}")

    @property
    def keys(self) -> FakeEngine:
        return self

    async def authenticate(self, token: str | None) -> Principal:
        if token != "a key with spaces":
            raise Unauthenticated("no")
        return Principal(project_id="default", key_id="k", scopes=self.scopes)

    async def execute(self, who: Principal, run: AdHocRun, options: RunOptions) -> Execution:
        self.runs.append((run, options))
        if self.raises:
            raise self.raises
        return DONE

    @property
    def executions(self) -> FakeEngine:
        return self

    async def get(self, who: Principal, execution_id: uuid.UUID) -> Execution:
        require(who, Scope.READ)
        assert self.stored is not None
        assert execution_id == self.stored.id
        return self.stored


def _faces(engine: FakeEngine) -> dict[str, Face]:
    return {service.name: face for service, face in riza_faces(cast("Engine", engine), SEALER)}


async def _ask(engine: FakeEngine, body: bytes = BODY, key: str = "Bearer a key with spaces", **more: Any) -> Reply:
    face = _faces(engine)["RizaService"]
    inbound = Inbound(
        method="ExecuteFunction",
        message=riza_pb2.ExecuteFunctionRequest(),
        body=body,
        headers={"authorization": key},
        **more,
    )
    try:
        return await face.handlers["ExecuteFunction"](inbound)
    except PolycallError as error:
        return face.failure(error, inbound)


def test_every_service_has_a_handler_for_every_rpc() -> None:
    for service, face in riza_faces(cast("Engine", FakeEngine()), SEALER):
        assert {method.name for method in service.methods} == set(face.handlers)


async def test_a_run_is_asked_for_with_its_record_and_a_bound_for_the_whole_answer() -> None:
    engine = FakeEngine()
    before = time.monotonic()
    reply = await _ask(engine)
    after = time.monotonic()
    assert (reply.status, json.loads(reply.body)["output"]) == (200, 1)
    ((run, options),) = engine.runs
    assert run.limits.timeout_ms == 2000
    assert options.face == "riza"
    kept = replace(DONE, face_data=options.face_data, sealed=options.sealed)
    record = Records(SEALER).read(kept)
    assert record is not None
    assert json.loads(record.request)["code"] == run.code
    assert run.code.encode() not in (options.face_data or b"")
    # of another project, or with another key: nothing
    assert Records(SEALER).read(replace(kept, project_id="other")) is None
    assert Records(Sealer([bytes(32)])).read(kept) is None
    assert options.expires_at is not None
    assert before + 3 <= options.expires_at <= after + 3


async def test_the_callers_own_deadline_counts_if_it_is_earlier() -> None:
    engine = FakeEngine()
    await _ask(engine, expires_at=1.0)
    assert engine.runs[0][1].expires_at == 1.0


@pytest.mark.parametrize(
    "key", ["", "Bearer", "Bearer ", "Bearer wrong", "Basic a key with spaces", "a key with spaces"]
)
async def test_the_key_comes_before_the_body(key: str) -> None:
    reply = await _ask(FakeEngine(), body=b"{", key=key)
    assert (reply.status, reply.body) == (401, b'{"code":16,"message":"unauthenticated"}')


async def test_permission_comes_before_the_body() -> None:
    reply = await _ask(FakeEngine(scopes=frozenset({Scope.READ})), body=b"{")
    assert (reply.status, json.loads(reply.body)["code"]) == (403, 7)


async def test_an_unknown_runtime_revision_is_not_found() -> None:
    engine = FakeEngine()
    reply = await _ask(engine, body=BODY[:-1] + b',"runtime_revision_id":"01JRT"}')
    assert (reply.status, json.loads(reply.body)) == (
        404,
        {
            "code": 5,
            "message": "runtime_revision_id: there is no revision '01JRT'; leave it out for the default runtime.",
        },
    )
    assert engine.runs == []


async def test_hosts_are_the_engines_to_allow() -> None:
    engine = FakeEngine()
    await _ask(engine, body=BODY[:-1] + b',"http":{"allow":[{"host":"example.com"}]}}')
    assert [run.egress for run, _ in engine.runs] == [EgressPolicy(rules=(EgressRule(host="example.com"),))]


async def test_a_limit_cannot_be_higher_than_the_engines() -> None:
    engine = FakeEngine(limits=LimitPolicy(maximums=replace(MAXIMUMS, timeout_ms=60_000)))
    reply = await _ask(engine, body=b'{"language":"python","code":"c","limits":{"execution_timeout":61}}')
    assert json.loads(reply.body) == {
        "code": 3,
        "message": "limits.execution_timeout: must be 1 to 60 seconds, or 0 for 30",
    }


async def test_a_run_that_lost_its_time_in_the_queue_timed_out() -> None:
    late = Execution(
        id=ID,
        project_id="default",
        kind=ExecutionKind.SYNC,
        state=ExecutionState.TIMEOUT,
        queued_at=0,
        error=ExecutionError(reason=Reason.EXECUTION_TIMEOUT, message="late"),
        stdout=b"so far",
        usage=Usage(queue_us=1_500_000, run_us=1_480_000),
        limits=DEFAULTS,
    )
    error = DeadlineExceeded("late", metadata={"phase": "run", "execution": f"executions/{ID}"})
    reply = await _ask(FakeEngine(raises=error, stored=late))
    shown = json.loads(reply.body)
    assert (reply.status, shown["output_status"], shown["execution"]["exit_code"]) == (200, "error", 124)
    assert shown["execution"]["stdout"] == "so far"


async def test_a_run_that_never_got_a_slot_may_be_repeated() -> None:
    reply = await _ask(FakeEngine(raises=DeadlineExceeded("late", metadata={"phase": "queue"})))
    assert (reply.status, list(reply.headers)) == (429, [("retry-after", "1")])


@pytest.mark.parametrize(
    ("kept", "record"),
    [
        (None, None),
        # of earlier releases
        (b'{"type":"script","request":{"code":"c"}}', Record("script", b'{"code":"c"}')),
        (b'{"type":"function","omitted":"The request was larger than 256 KiB."}', None),
        (b"nonsense", None),
    ],
)
def test_what_was_kept_otherwise_is_read_or_left_out(kept: bytes | None, record: Record | None) -> None:
    assert Records(SEALER).read(replace(DONE, face_data=kept)) == record


def test_a_request_whose_key_is_gone_is_left_out() -> None:
    assert Records(SEALER).read(replace(DONE, face_data=b'{"type":"function"}', sealed="2.nobody.AAAA.AAAA")) is None
