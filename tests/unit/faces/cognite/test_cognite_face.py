from __future__ import annotations

import hashlib

import pytest

from polycall.domain import Convention, ExecutionState, LimitOverrides, Package, VersionState
from polycall.engine.limits import MIB
from polycall.errors import (
    Code,
    DeadlineExceeded,
    Internal,
    PayloadTooLarge,
    PolycallError,
    QueueFull,
    Unavailable,
)
from polycall.faces.cognite.failures import failed
from polycall.faces.cognite.v1 import cognite_pb2
from polycall.faces.wire import UnsupportedEncoding
from tests.unit.faces.cognite.fakes import NOW, World, version


def _package(package_id: str, project: str = "default", **labels: str) -> Package:
    return Package(project_id=project, id=package_id, created_at=NOW, updated_at=NOW, labels=labels)


@pytest.fixture
def world() -> World:
    return World(
        packages=[_package("1", external_id="one"), _package("2"), _package("5", "other", external_id="five")],
        versions=[version("1"), version("2")],
    )


def test_the_face_has_a_handler_for_every_rpc(world: World) -> None:
    service = cognite_pb2.DESCRIPTOR.services_by_name["CogniteService"]
    assert {method.name for method in service.methods} == set(world.face.handlers)


# who


@pytest.mark.parametrize("key", [None, "wrong"])
async def test_without_a_good_token_a_caller_is_unauthorized(world: World, key: str | None) -> None:
    answer = await world.ask("GetFunction", function_id="1", key=key)
    assert answer.reply.body == b'{"error":{"code":401,"message":"Unauthorized"}}'
    assert (answer.status, answer.reply.code) == (401, Code.UNAUTHENTICATED)


@pytest.mark.parametrize("project", ["other", "nope", ""])
async def test_a_token_opens_its_own_project_only(world: World, project: str) -> None:
    answer = await world.ask("GetFunction", function_id="1", project=project)
    assert answer.status == 403
    assert answer.error == {"code": 403, "message": "The token has no access to this project."}


async def test_a_token_that_may_not_run_gets_neither_session_nor_call(world: World) -> None:
    nonce = await world.nonce()
    session = await world.ask("CreateSessions", {"items": [{"tokenExchange": True}]}, key="reader")
    call = await world.ask("CallFunction", {"nonce": nonce}, function_id="1", key="reader")
    unknown = await world.ask("CallFunction", {"nonce": nonce}, function_id="9", key="reader")
    assert (session.status, call.status, unknown.status) == (403, 403, 403)
    assert (await world.ask("CallFunction", {"nonce": nonce}, function_id="1")).status == 201


async def test_a_token_that_may_not_read_sees_nothing(world: World) -> None:
    assert (await world.ask("GetFunction", key="runner", function_id="1")).status == 403
    for method in ("GetCall", "GetCallResponse", "GetCallLogs"):
        assert (await world.ask(method, key="runner", function_id="1", call_id="1")).status == 403


# sessions


@pytest.mark.parametrize(
    ("item", "shown"),
    [
        ({"tokenExchange": True}, {"type": "TOKEN_EXCHANGE"}),
        ({"oneshotTokenExchange": True}, {"type": "ONESHOT_TOKEN_EXCHANGE"}),
        ({"clientId": "me", "clientSecret": "hush"}, {"type": "CLIENT_CREDENTIALS", "clientId": "me"}),
    ],
)
async def test_a_session_is_created_ready_with_a_nonce(
    world: World, item: dict[str, object], shown: dict[str, str]
) -> None:
    answer = await world.ask("CreateSessions", {"items": [item]})
    [created] = answer.json["items"]
    nonce = created.pop("nonce")
    assert answer.status == 200
    assert created == {"id": 1, "status": "READY"} | shown
    assert len(nonce) == 43


async def test_of_a_nonce_only_the_hash_is_kept(world: World) -> None:
    nonce = await world.nonce()
    [(project, digest)] = world.sessions.hashes
    assert (project, digest) == ("default", hashlib.sha256(nonce.encode()).digest())
    assert nonce not in repr(world.sessions)


async def test_a_client_secret_is_not_kept(world: World) -> None:
    await world.ask("CreateSessions", {"items": [{"clientId": "me", "clientSecret": "hush"}]})
    assert "hush" not in repr(world.sessions)


# nonces


async def test_a_nonce_makes_one_call(world: World) -> None:
    body = {"nonce": await world.nonce()}
    first = await world.ask("CallFunction", body, function_id="1")
    second = await world.ask("CallFunction", body, function_id="1")
    assert (first.status, second.status) == (201, 400)
    assert second.reply.body == b'{"error":{"code":400,"message":"Failed to bind nonce with session"}}'
    assert len(world.engine.runs) == 1


async def test_a_nonce_lives_a_minute(world: World) -> None:
    in_time = await world.ask("CallFunction", {"nonce": await world.nonce()}, function_id="1", at=NOW + 59_999)
    late = await world.ask("CallFunction", {"nonce": await world.nonce()}, function_id="1", at=NOW + 60_000)
    assert (in_time.status, late.status) == (201, 400)


async def test_a_nonce_is_good_in_its_own_project_only(world: World) -> None:
    nonce = await world.nonce(key="other", project="other")
    assert (await world.ask("CallFunction", {"nonce": nonce}, function_id="1")).status == 400


@pytest.mark.parametrize("nonce", ["", "made up", "x" * 10_000])
async def test_a_nonce_nobody_was_given_is_refused(world: World, nonce: str) -> None:
    answer = await world.ask("CallFunction", {"nonce": nonce}, function_id="1")
    assert answer.error == {"code": 400, "message": "Failed to bind nonce with session"}


async def test_an_operator_may_do_without_sessions() -> None:
    world = World(packages=[_package("1")], versions=[version("1")], lenient=True)
    for nonce, status in (("anything", 201), ("anything", 201), ("", 400), (None, 400), (1, 400)):
        assert (await world.ask("CallFunction", {"nonce": nonce}, function_id="1")).status == status
    assert (await world.ask("CallFunction", {}, function_id="1")).status == 400


async def test_a_refused_call_leaves_its_nonce(world: World) -> None:
    nonce = await world.nonce()
    world.engine.registry.versions["default", "2"] = version("2", state=VersionState.ANALYSING)
    assert (await world.ask("CallFunction", {"nonce": nonce}, function_id="9")).status == 400
    assert (await world.ask("CallFunction", {"nonce": nonce}, function_id="2")).status == 400
    assert (await world.ask("CallFunction", {"nonce": nonce, "data": []}, function_id="1")).status == 400
    assert (await world.ask("CallFunction", {"nonce": nonce}, function_id="1", key=None)).status == 401
    world.engine.refusal = Unavailable("This server is shutting down.")
    assert (await world.ask("CallFunction", {"nonce": nonce}, function_id="1")).status == 503
    world.engine.refusal = None
    assert (await world.ask("CallFunction", {"nonce": nonce}, function_id="1")).status == 201


# calling


async def test_a_call_is_answered_201_and_runs(world: World) -> None:
    answer = await world.call({"a": 1})
    assert answer.status == 201
    assert answer.reply.body == b'{"id":1,"status":"Running","startTime":1730204346000,"functionId":1}'
    [run], [execution] = world.engine.runs, world.engine.made
    assert (run.package_id, run.version_id, run.function, run.convention) == ("1", "7", "handle", Convention.HANDLE)
    assert (run.input, run.fresh) == (b'{"a": 1}', True)
    assert run.limits == LimitOverrides(
        timeout_ms=600_000, memory_bytes=1536 * MIB, result_bytes=MIB, stdout_bytes=4 * MIB, stderr_bytes=4 * MIB
    )
    assert (execution.face, execution.alias, execution.max_attempts) == ("cognite", "1", 1)


async def test_call_ids_count_up(world: World) -> None:
    assert [(await world.call()).json["id"] for _ in range(3)] == [1, 2, 3]


async def test_an_unknown_function_is_missing(world: World) -> None:
    for function_id in ("9", "5"):  # 5 is another project's
        answer = await world.call(function_id=function_id)
        assert answer.error == {
            "code": 400,
            "message": f"Function ids not found: (id: {function_id})",
            "missing": [{"id": int(function_id)}],
        }
        assert answer.reply.code is Code.NOT_FOUND


@pytest.mark.parametrize(
    ("state", "status"),
    [(VersionState.DRAFT, "Queued"), (VersionState.ANALYSING, "Deploying"), (VersionState.ERROR, "Failed")],
)
async def test_a_function_that_is_not_ready_is_not_called(world: World, state: VersionState, status: str) -> None:
    world.engine.registry.versions["default", "1"] = version("1", state=state)
    answer = await world.call()
    assert answer.error == {"code": 400, "message": f"Function 1 is not ready (status: {status})"}
    assert answer.reply.code is Code.FAILED_PRECONDITION


async def test_a_function_without_code_is_queued(world: World) -> None:
    del world.engine.registry.versions["default", "1"]
    assert (await world.call()).error["message"] == "Function 1 is not ready (status: Queued)"
    assert (await world.ask("GetFunction", function_id="1")).json["status"] == "Queued"


@pytest.mark.parametrize("function_id", ["0", "-1", "x", "1.0", "01", "9007199254740992"])
async def test_a_path_id_is_a_number(world: World, function_id: str) -> None:
    assert (await world.call(function_id=function_id)).status == 400
    assert (await world.ask("GetFunction", function_id=function_id)).status == 400
    assert (await world.ask("GetCall", function_id="1", call_id=function_id)).status == 400


@pytest.mark.parametrize("word", ["list", "byids", "delete", "limits", "status", "schedules"])
async def test_a_word_of_the_contract_is_not_taken_for_an_id(world: World, word: str) -> None:
    answer = await world.ask("GetFunction", function_id=word)
    assert (answer.status, answer.reply.code) == (404, Code.UNIMPLEMENTED)
    assert answer.error["code"] == 404


# functions


async def test_functions_are_read_by_id_and_by_external_id(world: World) -> None:
    answer = await world.ask("RetrieveFunctions", {"items": [{"id": 2}, {"externalId": "one"}]})
    assert answer.status == 200
    assert [item["id"] for item in answer.json["items"]] == [2, 1]
    assert answer.json["items"][1]["externalId"] == "one"
    assert (await world.ask("GetFunction", function_id="1")).json == answer.json["items"][1]


async def test_an_external_id_is_found_on_any_page(world: World) -> None:
    world.engine.registry.page_size = 1
    answer = await world.ask("RetrieveFunctions", {"items": [{"externalId": "one"}]})
    assert [item["id"] for item in answer.json["items"]] == [1]


async def test_packages_that_are_no_functions_have_no_external_id(world: World) -> None:
    world.engine.registry.packages.append(_package("set__script", external_id="mine"))
    answer = await world.ask("RetrieveFunctions", {"items": [{"externalId": "mine"}]})
    assert answer.error["missing"] == [{"external_id": "mine", "externalId": "mine"}]


async def test_what_is_missing_is_named_in_both_spellings(world: World) -> None:
    body = {"items": [{"externalId": "nope"}, {"id": 1}, {"id": 9}, {"externalId": "five"}]}
    answer = await world.ask("RetrieveFunctions", body)
    assert answer.error == {
        "code": 400,
        "message": "Function ids not found: (externalId: nope | id: 9 | externalId: five)",
        "missing": [
            {"external_id": "nope", "externalId": "nope"},
            {"id": 9},
            {"external_id": "five", "externalId": "five"},
        ],
    }
    ignored = await world.ask("RetrieveFunctions", body | {"ignoreUnknownIds": True})
    assert [item["id"] for item in ignored.json["items"]] == [1]


async def test_a_function_tells_when_it_was_last_called(world: World) -> None:
    assert "lastCalled" not in (await world.ask("GetFunction", function_id="1")).json
    await world.call()
    assert (await world.ask("GetFunction", function_id="1")).json["lastCalled"] == NOW
    assert "lastCalled" not in (await world.ask("GetFunction", function_id="2")).json


# reading calls


async def test_a_call_is_read_by_id(world: World) -> None:
    created = (await world.call()).json
    listed = await world.ask("RetrieveCalls", {"items": [{"id": 1}]}, function_id="1")
    assert listed.json == {"items": [created]}
    assert (await world.ask("GetCall", function_id="1", call_id="1")).json == created


async def test_a_call_belongs_to_its_function(world: World) -> None:
    await world.call(function_id="1")
    for method in ("GetCall", "GetCallResponse", "GetCallLogs"):
        answer = await world.ask(method, function_id="2", call_id="1")
        assert answer.error == {
            "code": 400,
            "message": "Function call ids not found: (id: 1)",
            "missing": [{"id": 1}],
        }
    answer = await world.ask("RetrieveCalls", {"items": [{"id": 1}]}, function_id="2")
    assert answer.error["missing"] == [{"id": 1}]


async def test_a_call_of_another_project_is_unknown(world: World) -> None:
    await world.call()
    answer = await world.ask("GetCall", function_id="1", call_id="1", key="other", project="other")
    assert answer.error["message"] == "Function ids not found: (id: 1)"


async def test_unknown_calls_are_missing_unless_they_are_ignored(world: World) -> None:
    await world.call()
    body = {"items": [{"id": 7}, {"id": 1}, {"id": 8}]}
    answer = await world.ask("RetrieveCalls", body, function_id="1")
    assert answer.error == {
        "code": 400,
        "message": "Function call ids not found: (id: 7 | id: 8)",
        "missing": [{"id": 7}, {"id": 8}],
    }
    ignored = await world.ask("RetrieveCalls", body | {"ignoreUnknownIds": True}, function_id="1")
    assert [item["id"] for item in ignored.json["items"]] == [1]
    unknown = await world.ask("RetrieveCalls", body | {"ignoreUnknownIds": True}, function_id="9")
    assert unknown.error["missing"] == [{"id": 9}]


async def test_calls_outlive_their_function(world: World) -> None:
    await world.call()
    world.engine.registry.packages.clear()
    assert (await world.ask("GetCall", function_id="1", call_id="1")).status == 200
    assert (await world.ask("RetrieveCalls", {"items": [{"id": 1}]}, function_id="1")).status == 200


async def test_a_response_is_there_once_the_call_completed(world: World) -> None:
    await world.call()
    running = await world.ask("GetCallResponse", function_id="1", call_id="1")
    assert running.reply.body == b'{"callId":1,"functionId":1}'
    world.engine.end(state=ExecutionState.COMPLETED, ended_at=NOW + 1, result=b'{"n": 1.0}')
    completed = await world.ask("GetCallResponse", function_id="1", call_id="1")
    assert completed.reply.body == b'{"callId":1,"functionId":1,"response":{"n": 1.0}}'


# errors


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (PayloadTooLarge("big"), 413, Code.RESOURCE_EXHAUSTED),
        (QueueFull("full", retry_after_s=0.4), 429, Code.RESOURCE_EXHAUSTED),
        (Unavailable("draining"), 503, Code.UNAVAILABLE),
        (DeadlineExceeded("late"), 504, Code.DEADLINE_EXCEEDED),
        (UnsupportedEncoding.of("", "br"), 415, Code.INVALID_ARGUMENT),
        (Internal("Internal error."), 500, Code.INTERNAL),
        (PolycallError("x"), 500, Code.INTERNAL),
    ],
)
def test_every_error_has_its_status_and_the_vendors_body(error: PolycallError, status: int, code: Code) -> None:
    reply = failed(error)
    assert (reply.status, reply.code) == (status, code)
    assert reply.body == b'{"error":{"code":%d,"message":"%s"}}' % (status, error.message.encode())


def test_overload_says_when_to_come_back() -> None:
    assert failed(QueueFull("full", retry_after_s=0.4)).headers == (("retry-after", "1"),)
    assert failed(PayloadTooLarge("big")).headers == ()
