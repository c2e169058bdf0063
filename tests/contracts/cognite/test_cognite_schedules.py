"""Schedules of functions: made, listed, looked up, deleted, and run at their ticks."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from cognite.client import ClientConfig, CogniteClient, global_config
from cognite.client.credentials import Token
from cognite.client.data_classes import ClientCredentials
from cognite.client.data_classes.functions import FunctionSchedule, FunctionScheduleWrite
from cognite.client.exceptions import CogniteAPIError, CogniteNotFoundError
from grpc import RpcError

from polycall.v1 import package_service_pb2, schedule_pb2, schedule_service_pb2, tenancy_service_pb2
from tests.contracts.clients import python_client
from tests.contracts.cognite.driver import ECHO, Cognite, newcomer, zipped
from tests.harness import Server, until
from tests.ticks import make_due

TELLS = "def handle(data, function_call_info):\n    print('ticked')\n    return [data, function_call_info]\n"
NOT_SOON = "0 0 1 1 *"


@pytest.fixture(scope="module")
def caller(polycall: Server) -> Cognite:
    """A caller of a project of its own, with a function that tells what it was told."""
    mine = newcomer(polycall, "schedules")
    mine.echo = mine.deploy(TELLS)
    return mine


@pytest.fixture(scope="module")
def client(polycall: Server, caller: Cognite) -> CogniteClient:
    global_config.disable_pypi_version_check = True  # it would ask the network for news of itself
    config = ClientConfig(
        base_url=polycall.rest, project=caller.project, client_name="contract", credentials=Token(caller.key)
    )
    return CogniteClient(config)


def wanted(caller: Cognite, **changes: Any) -> dict[str, Any]:
    """Return what is sent for a schedule; a change to None leaves a member out."""
    item = {"name": "s", "functionId": caller.echo, "cronExpression": NOT_SOON, "nonce": caller.nonce()} | changes
    return {"items": [{name: value for name, value in item.items() if value is not None}]}


def made(caller: Cognite, **changes: Any) -> dict[str, Any]:
    answer = caller.post("functions/schedules", wanted(caller, **changes))
    assert answer.status == 201, answer.body
    [item] = answer.json()["items"]
    return dict(item)


def refused(answer: Any) -> tuple[int, str]:
    error = answer.json()["error"]
    assert error["code"] == answer.status
    return answer.status, error["message"]


def sessions(caller: Cognite, session_id: int) -> dict[str, Any]:
    [session] = caller.post("sessions/byids", {"items": [{"id": session_id}]}).json()["items"]
    return dict(session)


def calls_of(caller: Cognite, schedule_id: int) -> list[dict[str, Any]]:
    path = f"functions/{caller.echo}/calls/list"
    return list(caller.post(path, {"filter": {"scheduleId": schedule_id}, "limit": 10}).json()["items"])


def ticked(caller: Cognite, schedule_id: int, count: int = 1) -> dict[str, Any]:
    """Return the last call of a schedule once so many have ended."""

    def ended() -> list[dict[str, Any]]:
        calls = calls_of(caller, schedule_id)
        return calls if [call["status"] != "Running" for call in calls] == [True] * count else []

    return dict(until(ended, seconds=60, what="the calls of a schedule")[-1])


def skipped(caller: Cognite, schedule_id: int) -> Any:
    """Return a schedule, as it is natively, once it has skipped a tick."""
    request = schedule_service_pb2.GetScheduleRequest(name=f"schedules/{schedule_id}")
    found = caller.server.schedules.GetSchedule(request, metadata=[("authorization", f"Bearer {caller.key}")])
    return found if found.skipped_count else None


# the SDK


def test_the_sdk_makes_finds_and_deletes_schedules(client: CogniteClient, caller: Cognite) -> None:
    schedule = client.functions.schedules.create(
        name="Every five", cron_expression="*/5 * * * *", function_id=caller.echo, data={"n": 1.0}, description="Often"
    )
    assert isinstance(schedule, FunctionSchedule)
    assert (schedule.name, schedule.cron_expression, schedule.when) == ("Every five", "*/5 * * * *", "Every 5 minutes")
    assert (schedule.function_id, schedule.function_external_id, schedule.description) == (caller.echo, None, "Often")
    session: Any = sessions(caller, schedule.session_id)
    assert (session["type"], session["status"]) == ("TOKEN_EXCHANGE", "ACTIVE")
    found = client.functions.schedules.retrieve(id=schedule.id)
    assert found is not None
    assert found.dump() == schedule.dump()
    assert client.functions.schedules.get_input_data(id=schedule.id) == {"n": 1.0}
    assert schedule.id in [each.id for each in client.functions.schedules.list(limit=None)]
    client.functions.schedules.delete(id=schedule.id)
    assert client.functions.schedules.retrieve(id=schedule.id) is None
    assert sessions(caller, schedule.session_id)["status"] == "EXPIRED"


def test_the_sdk_makes_schedules_in_all_its_ways(client: CogniteClient, caller: Cognite) -> None:
    session = client.iam.sessions.create(session_type="ONESHOT_TOKEN_EXCHANGE")
    by_nonce = client.functions.schedules.create(
        FunctionScheduleWrite(name="n", cron_expression=NOT_SOON, function_id=caller.echo, nonce=session.nonce)
    )
    assert by_nonce.session_id == session.id
    credentials = ClientCredentials("any label", caller.key)
    as_client = client.functions.schedules.create(
        name="c", cron_expression=NOT_SOON, function_id=caller.echo, client_credentials=credentials
    )
    assert sessions(caller, as_client.session_id)["type"] == "CLIENT_CREDENTIALS"
    assert as_client.get_input_data() is None
    for schedule in (by_nonce, as_client):
        client.functions.schedules.delete(id=schedule.id)


def test_the_sdk_filters_schedules(client: CogniteClient, caller: Cognite) -> None:
    other = caller.deploy(ECHO)
    ours = [made(caller, name=name, functionId=other)["id"] for name in ("a", "b")]
    alone = made(caller, name="alone", functionId=other, cronExpression="5 4 * * *")
    listed = client.functions.schedules.list
    assert [each.id for each in listed(function_id=other)] == [alone["id"], *reversed(ours)]
    assert [each.id for each in listed(function_id=other, limit=1)] == [alone["id"]]
    assert [each.id for each in listed(name="alone")] == [alone["id"]]
    assert [each.id for each in listed(function_id=other, cron_expression="5 4 * * *")] == [alone["id"]]
    since = {"min": alone["createdTime"], "max": alone["createdTime"]}
    assert alone["id"] in [each.id for each in listed(created_time=since)]
    assert list(listed(function_external_id="nobody")) == []
    function = client.functions.retrieve(id=other)
    assert function is not None
    assert len(function.list_schedules()) == 3


def test_the_sdk_is_told_what_is_not_there(client: CogniteClient, caller: Cognite) -> None:
    with pytest.raises(CogniteNotFoundError) as missing:
        client.functions.schedules.retrieve(id=[111_111, 222_222])
    assert missing.value.not_found == [{"id": 111_111}, {"id": 222_222}]
    assert list(client.functions.schedules.retrieve(id=[111_111], ignore_unknown_ids=True)) == []
    with pytest.raises(CogniteAPIError) as failed:
        client.functions.schedules.delete(id=111_111)
    assert failed.value.code == 400
    with pytest.raises(CogniteAPIError) as failed:
        client.functions.schedules.create(name="x", cron_expression="61 * * * *", function_id=caller.echo)
    assert (failed.value.code, failed.value.message) == (
        400,
        "cronExpression: has a minute that cannot be understood, or never comes",
    )


def test_the_sdk_sees_the_calls_that_a_schedule_made(client: CogniteClient, caller: Cognite) -> None:
    schedule = client.functions.schedules.create(
        name="fires", cron_expression=NOT_SOON, function_id=caller.echo, data={"n": 2**53 + 1}
    )
    by_hand = client.functions.call(id=caller.echo, data={})
    tick = make_due(caller.server, str(schedule.id), project=caller.project)
    ticked(caller, schedule.id)
    [call] = client.functions.calls.list(function_id=caller.echo, schedule_id=schedule.id)
    assert (call.status, call.schedule_id, call.scheduled_time) == ("Completed", schedule.id, tick)
    assert call.start_time >= tick
    response: object = call.get_response()
    assert response == [
        {"n": 2**53 + 1},
        {
            "function_id": str(caller.echo),
            "call_id": str(call.id),
            "schedule_id": str(schedule.id),
            "scheduled_time": str(tick),
        },
    ]
    assert call.get_logs().to_text() == "ticked"
    again: Any = client.functions.calls.retrieve(call_id=call.id, function_id=caller.echo)
    assert again.dump() == call.dump()
    assert (by_hand.schedule_id, by_hand.scheduled_time) == (None, None)
    assert by_hand.id in [each.id for each in client.functions.calls.list(function_id=caller.echo, limit=None)]
    client.functions.schedules.delete(id=schedule.id)
    assert [each.id for each in client.functions.calls.list(function_id=caller.echo, schedule_id=schedule.id)] == [
        call.id
    ]


def test_the_sdk_schedules_a_function_that_it_has_just_made(
    client: CogniteClient, caller: Cognite, tmp_path: Path
) -> None:
    (tmp_path / "handler.py").write_text("def handle(data, function_call_info):\n    return data['n'] + 1\n")
    function: Any = client.functions.create(name="fresh", folder=str(tmp_path), external_id="fresh")
    schedule = client.functions.schedules.create(
        name="of fresh", cron_expression=NOT_SOON, function_id=function.id, data={"n": 41}
    )
    assert schedule.function_external_id == "fresh"
    listed = client.functions.schedules.list(function_external_id="fresh")
    assert [each.id for each in listed] == [schedule.id]
    until(lambda: function.update() or function.status == "Ready", seconds=60, what="the function")
    make_due(caller.server, str(schedule.id), project=caller.project)
    mine = Cognite(caller.server, caller.key, caller.project)
    mine.echo = function.id
    assert mine.result(ticked(mine, schedule.id)) == 42
    client.functions.delete(id=function.id)
    assert client.functions.schedules.retrieve(id=schedule.id) is None


SEVEN = """
import sys, warnings
warnings.simplefilter("ignore")
from cognite.client import CogniteClient, ClientConfig, global_config
from cognite.client.credentials import Token
global_config.disable_pypi_version_check = True
base, project, key, function = sys.argv[1:]
client = CogniteClient(ClientConfig(base_url=base, project=project, client_name="seven", credentials=Token(key)))
schedules = client.functions.schedules
made = schedules.create(name="seven", cron_expression="7 7 7 7 *", function_id=int(function), data={"a": [1]})
assert (made.when, made.name, made.function_id) == ("At 07:07 on July 7", "seven", int(function)), made
assert schedules.retrieve(id=made.id).dump() == made.dump()
assert [each.id for each in schedules.list(function_id=int(function), name="seven")] == [made.id]
assert [each.id for each in schedules.list(cron_expression="7 7 7 7 *", limit=None)] == [made.id]
assert schedules.get_input_data(id=made.id) == {"a": [1]}
assert list(client.functions.calls.list(function_id=int(function), schedule_id=made.id)) == []
schedules.delete(id=made.id)
assert schedules.retrieve(id=made.id) is None
print("done", repr(made)[:1])
"""


def test_the_sdk_of_the_major_version_before_works_as_well(caller: Cognite) -> None:
    python = python_client("cognite-sdk==7.94.2")
    function = caller.deploy(ECHO)
    arguments = [caller.server.rest, caller.project, caller.key, str(function)]
    done = subprocess.run([python, "-c", SEVEN, *arguments], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("done")


# the wire


def test_a_schedule_is_shown_as_the_contract_has_it(caller: Cognite) -> None:
    item = made(caller, name="Nightly", cronExpression="30 4 * * MON", description="D")
    assert item == {
        "id": item["id"],
        "name": "Nightly",
        "createdTime": item["createdTime"],
        "cronExpression": "30 4 * * MON",
        "when": "At 04:30 on Monday",
        "sessionId": item["sessionId"],
        "functionId": caller.echo,
        "description": "D",
    }
    assert {type(item[name]) for name in ("id", "createdTime", "sessionId", "functionId")} == {int}
    assert caller.get(f"functions/schedules/{item['id']}").json() == item
    assert caller.post("functions/schedules/byids", zipped({"items": [{"id": item["id"]}]}), headers=GZIP).json() == {
        "items": [item]
    }
    assert item in caller.get("functions/schedules?limit=1000").json()["items"]
    assert "description" not in made(caller)


GZIP = {"content-encoding": "gzip"}


def test_input_data_comes_back_byte_for_byte_and_is_left_out_if_there_is_none(caller: Cognite) -> None:
    body = b'{"items":[{"name":"s","functionId":%d,"cronExpression":"%s","nonce":"%s","data":{"x":1.0, "a":1e2}}]}' % (
        caller.echo,
        NOT_SOON.encode(),
        caller.nonce().encode(),
    )
    item = caller.post("functions/schedules", body).json()["items"][0]
    answer = caller.get(f"functions/schedules/{item['id']}/input_data")
    assert answer.body == b'{"id":%d,"data":{"x":1.0, "a":1e2}}' % item["id"]
    bare = made(caller)
    assert caller.get(f"functions/schedules/{bare['id']}/input_data").json() == {"id": bare["id"]}
    empty = made(caller, data={})
    assert caller.get(f"functions/schedules/{empty['id']}/input_data").json() == {"id": empty["id"], "data": {}}


@pytest.mark.parametrize("spelling", ["functionId", "FunctionId"])
def test_a_filter_is_spelled_either_way(caller: Cognite, spelling: str) -> None:
    function = caller.deploy(ECHO)
    item = made(caller, functionId=function)
    answer = caller.post("functions/schedules/list", {"filter": {spelling: function}, "limit": 10})
    assert answer.json() == {"items": [item]}
    both = {"filter": {"functionExternalId": "nobody", "FunctionExternalId": None}}
    assert caller.post("functions/schedules/list", both).json() == {"items": []}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": None}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x" * 141}, "name"),
        ({"nonce": None}, "nonce"),
        ({"nonce": 7}, "nonce"),
        ({"cronExpression": None}, "cronExpression"),
        ({"cronExpression": "* * * *"}, "cronExpression: must have five fields"),
        ({"cronExpression": "0 0 * * * *"}, "cronExpression: must have five fields"),
        ({"cronExpression": "0 0 31 2 *"}, "cronExpression: has a day-of-month"),
        ({"cronExpression": "0" * 1020 + " * * * *"}, "cronExpression: must have at most 1024 characters"),
        ({"description": "x" * 501}, "description"),
        ({"data": [1]}, "data: must be an object"),
        ({"data": "x"}, "data: must be an object"),
        ({"functionId": 0}, "functionId"),
        ({"functionId": "1"}, "functionId"),
        ({"functionId": None}, "must have exactly one of functionId and functionExternalId"),
        ({"functionExternalId": "both"}, "must have exactly one of functionId and functionExternalId"),
    ],
)
def test_what_is_wrong_is_said_and_costs_no_nonce(caller: Cognite, changes: dict[str, Any], message: str) -> None:
    body = wanted(caller, **changes)
    status, told = refused(caller.post("functions/schedules", body))
    assert status == 400
    assert message in told
    if "nonce" not in changes:
        [item] = wanted(caller)["items"]
        assert (
            caller.post("functions/schedules", {"items": [item | {"nonce": body["items"][0]["nonce"]}]}).status == 201
        )


@pytest.mark.parametrize("items", [None, [], "two"])
def test_one_schedule_is_made_at_a_time(caller: Cognite, items: Any) -> None:
    two = [*wanted(caller)["items"], *wanted(caller)["items"]]
    body = {} if items is None else {"items": two if items == "two" else items}
    status, message = refused(caller.post("functions/schedules", body))
    assert status == 400
    assert "items" in message


def test_a_nonce_makes_one_schedule(caller: Cognite) -> None:
    body = wanted(caller)
    assert caller.post("functions/schedules", body).status == 201
    assert refused(caller.post("functions/schedules", body)) == (400, "Failed to bind nonce with session")
    body = wanted(caller, nonce="never given")
    assert refused(caller.post("functions/schedules", body)) == (400, "Failed to bind nonce with session")


def test_what_is_not_there_is_missing(caller: Cognite, polycall: Server) -> None:
    stranger = newcomer(polycall, "schedules-elsewhere")
    theirs = made(caller)["id"]
    for who, schedule_id in ((caller, 999_999), (stranger, theirs)):
        for path in (f"functions/schedules/{schedule_id}", f"functions/schedules/{schedule_id}/input_data"):
            answer = who.get(path)
            assert refused(answer) == (400, f"Schedule ids not found: (id: {schedule_id})")
            assert answer.json()["error"]["missing"] == [{"id": schedule_id}]
        for path in ("functions/schedules/byids", "functions/schedules/delete"):
            answer = who.post(path, {"items": [{"id": schedule_id}]})
            assert answer.status == 400
            assert answer.json()["error"]["missing"] == [{"id": schedule_id}]
    assert stranger.get("functions/schedules").json() == {"items": []}
    answer = caller.post("functions/schedules", wanted(caller, functionId=999_999))
    assert answer.json()["error"]["missing"] == [{"id": 999_999}]
    answer = caller.post("functions/schedules", wanted(caller, functionId=None, functionExternalId="nope"))
    assert answer.json()["error"]["missing"] == [{"external_id": "nope", "externalId": "nope"}]


def test_nothing_is_deleted_if_one_is_missing(caller: Cognite) -> None:
    kept = made(caller)["id"]
    answer = caller.post("functions/schedules/delete", {"items": [{"id": kept}, {"id": 999_999}]})
    assert answer.json()["error"]["missing"] == [{"id": 999_999}]
    assert caller.get(f"functions/schedules/{kept}").status == 200
    assert caller.post("functions/schedules/delete", {"items": [{"id": kept}]}).body == b"{}"


@pytest.mark.parametrize("path", ["abc", "0", "1.5", "9007199254740992", "-1"])
def test_an_id_of_a_path_is_an_integer(caller: Cognite, path: str) -> None:
    assert caller.get(f"functions/schedules/{path}").status == 400


@pytest.mark.parametrize("word", ["list", "byids", "delete"])
def test_words_of_the_contract_are_no_ids(caller: Cognite, word: str) -> None:
    assert caller.get(f"functions/schedules/{word}").status in (404, 405)


def test_schedules_is_no_function(caller: Cognite) -> None:
    assert caller.get("functions/schedules").json().keys() == {"items"}
    assert caller.post("functions/schedules/call", {"nonce": "x"}).status == 405


@pytest.mark.parametrize("scopes", [["RUN", "READ"], ["DEPLOY", "READ"]])
def test_who_makes_schedules_may_deploy_and_run(polycall: Server, caller: Cognite, scopes: list[str]) -> None:
    kinds = tenancy_service_pb2.ApiKey
    key = polycall.new_key(project=caller.project, scopes=[getattr(kinds, f"SCOPE_{scope}") for scope in scopes])
    assert caller.post("functions/schedules", wanted(caller), key=key).status == 403
    assert caller.get("functions/schedules", key=key).status == 200


def test_a_token_opens_no_other_project(caller: Cognite, polycall: Server) -> None:
    path = f"/api/v1/projects/{caller.project}/functions/schedules"
    assert caller.get(path, key=polycall.key).status == 403
    assert caller.get(path, key="no key").status == 401


# ticks


def test_a_schedule_of_a_function_that_failed_is_refused(caller: Cognite) -> None:
    broken = caller.deploy("def handle(:\n")
    status, message = refused(caller.post("functions/schedules", wanted(caller, functionId=broken)))
    assert (status, message) == (400, f"Function {broken} is not ready (status: Failed)")


def test_ticks_before_a_function_is_ready_are_skipped(caller: Cognite, polycall: Server) -> None:
    metadata = [("authorization", f"Bearer {caller.key}")]
    polycall.packages.CreatePackage(package_service_pb2.CreatePackageRequest(package_id="77777"), metadata=metadata)
    mine = Cognite(polycall, caller.key, caller.project)
    mine.echo = 77777
    item = made(mine)
    make_due(polycall, str(item["id"]), project=caller.project)
    found = until(lambda: skipped(caller, item["id"]), what="the skipped tick")
    assert found.last_skip_reason == "Function 77777 is not ready (status: Queued)"
    mine.deploy(ECHO, function_id=77777)
    make_due(polycall, str(item["id"]), project=caller.project)
    assert ticked(mine, item["id"])["status"] == "Completed"


def test_a_revoked_session_stops_its_schedule(caller: Cognite, polycall: Server) -> None:
    item = made(caller, data={"a": 1})
    caller.post("sessions/revoke", {"items": [{"id": item["sessionId"]}]})
    make_due(polycall, str(item["id"]), project=caller.project)
    found = until(lambda: skipped(caller, item["id"]), what="the skipped tick")
    assert (found.run_count, found.face) == (0, "cognite")
    assert "was revoked" in found.last_skip_reason
    assert calls_of(caller, item["id"]) == []


def test_each_tick_keeps_the_session_alive(caller: Cognite, polycall: Server) -> None:
    item = made(caller)
    before = sessions(caller, item["sessionId"])["expirationTime"]
    assert before > item["createdTime"] + 3_600_000
    make_due(polycall, str(item["id"]), project=caller.project)
    ticked(caller, item["id"])
    assert sessions(caller, item["sessionId"])["status"] == "ACTIVE"


def test_a_failing_tick_is_a_failed_call_and_the_next_one_runs(caller: Cognite, polycall: Server) -> None:
    function = caller.deploy("def handle(data):\n    raise KeyError(data['k'])\n")
    mine = Cognite(polycall, caller.key, caller.project)
    mine.echo = function
    item = made(mine, data={"k": "v"})
    for count in (1, 2):
        make_due(polycall, str(item["id"]), project=caller.project, ago_ms=10 * count)
        call = ticked(mine, item["id"], count)
        assert (call["status"], call["error"]["message"]) == ("Failed", "'v'")


def test_a_function_has_a_hundred_schedules_at_most(caller: Cognite) -> None:
    function = caller.deploy(ECHO)
    for _ in range(100):
        made(caller, functionId=function)
    status, message = refused(caller.post("functions/schedules", wanted(caller, functionId=function)))
    assert (status, message) == (400, "This function has 100 schedules, as many as it may have. Delete some.")


# natively


def test_a_schedule_of_this_contract_is_seen_paused_and_run_natively(caller: Cognite, polycall: Server) -> None:
    item = made(caller, name="Both", data={"a": 1})
    name, metadata = f"schedules/{item['id']}", [("authorization", f"Bearer {caller.key}")]
    pb, stub = schedule_service_pb2, polycall.schedules
    found = stub.GetSchedule(pb.GetScheduleRequest(name=name), metadata=metadata)
    assert (found.face, found.display_name, found.input_json, found.timezone) == ("cognite", "Both", '{"a": 1}', "UTC")
    change = pb.UpdateScheduleRequest(schedule=schedule_pb2.Schedule(name=name, function="packages/7/functions/f"))
    with pytest.raises(RpcError, match="made through the contract cognite"):
        stub.UpdateSchedule(change, metadata=metadata)
    wrong: list[dict[str, Any]] = [{"timezone": "Europe/Oslo"}, {"input_json": "[1]"}, {"display_name": "x" * 141}]
    for field in wrong:
        change = pb.UpdateScheduleRequest(schedule=schedule_pb2.Schedule(name=name, **field))
        with pytest.raises(RpcError, match=next(iter(field))):
            stub.UpdateSchedule(change, metadata=metadata)
    change = pb.UpdateScheduleRequest(schedule=schedule_pb2.Schedule(name=name, cron="*/2 * * * *"))
    assert stub.UpdateSchedule(change, metadata=metadata).when == "Every 2 minutes"
    assert stub.PauseSchedule(pb.PauseScheduleRequest(name=name), metadata=metadata).paused
    stub.RunSchedule(pb.RunScheduleRequest(name=name), metadata=metadata)
    call = ticked(caller, item["id"])
    assert (call["status"], call["scheduleId"], "scheduledTime" in call) == ("Completed", item["id"], False)
    assert caller.get(f"functions/schedules/{item['id']}").json() == item | {
        "cronExpression": "*/2 * * * *",
        "when": "Every 2 minutes",
    }


def natively(caller: Cognite, schedule_id: str, **fields: Any) -> schedule_pb2.Schedule:
    plain = {"function": f"packages/{caller.echo}/functions/handle", "cron": NOT_SOON}
    request = schedule_service_pb2.CreateScheduleRequest(
        schedule_id=schedule_id, schedule=schedule_pb2.Schedule(**(plain | fields))
    )
    metadata = [("authorization", f"Bearer {caller.key}")]
    answer: schedule_pb2.Schedule = caller.server.schedules.CreateSchedule(request, metadata=metadata)
    return answer


def test_a_schedule_that_was_made_natively_is_none_of_this_contract(caller: Cognite) -> None:
    natively(caller, "123456")
    assert caller.get("functions/schedules/123456").status == 400
    listed = caller.get("functions/schedules?limit=1000").json()["items"]
    assert 123456 not in [item["id"] for item in listed]


def test_a_schedule_is_made_natively_for_this_contract(caller: Cognite, polycall: Server) -> None:
    natively(caller, "654321", face="cognite", display_name="Imported", input_json=' {"a": 1} ')
    item = caller.get("functions/schedules/654321").json()
    assert (item["name"], item["when"], item["functionId"]) == ("Imported", "At 00:00 on January 1", caller.echo)
    assert sessions(caller, item["sessionId"])["status"] == "ACTIVE"
    assert caller.get("functions/schedules/654321/input_data").json() == {"id": 654321, "data": {"a": 1}}
    make_due(polycall, "654321", project=caller.project)
    assert ticked(caller, 654321)["status"] == "Completed"
    bare = natively(caller, "", face="cognite", display_name="b").name.removeprefix("schedules/")
    assert caller.get(f"functions/schedules/{bare}/input_data").json() == {"id": int(bare)}


@pytest.mark.parametrize(
    ("schedule_id", "fields", "where"),
    [
        ("abc", {}, "schedule_id"),
        ("", {"timezone": "Europe/Oslo"}, "schedule.timezone"),
        ("", {"input_json": "[1]"}, "schedule.input_json"),
        ("", {"display_name": ""}, "schedule.display_name"),
        ("", {"face": "riza"}, "schedule.face"),
    ],
)
def test_what_this_contract_could_not_show_is_not_made(
    caller: Cognite, schedule_id: str, fields: dict[str, Any], where: str
) -> None:
    with pytest.raises(RpcError, match=where):
        natively(caller, schedule_id, **({"face": "cognite", "display_name": "n"} | fields))
