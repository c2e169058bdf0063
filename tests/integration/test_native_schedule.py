"""ScheduleService of a running server: what it keeps, what it fires, what it refuses."""

from __future__ import annotations

import json
import time
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf import duration_pb2, field_mask_pb2, timestamp_pb2

from polycall.errors import Code
from polycall.v1 import execution_pb2, execution_service_pb2, schedule_pb2, schedule_service_pb2, tenancy_service_pb2
from tests.harness import Server, until
from tests.integration.native import refusal
from tests.ticks import make_due

pb = schedule_service_pb2
Schedule = schedule_pb2.Schedule
SOURCE = "def echo(x=None):\n    print('ticked')\n    return x\ndef fail():\n    raise ValueError('no')\n"
ECHO = "packages/scheduled/functions/echo"
NOT_SOON = "0 0 1 1 *"


@pytest.fixture(scope="module")
def server(polycall: Server) -> Server:
    polycall.deploy("scheduled", {"main.py": SOURCE}, version="1", release=True)
    return polycall


def create(server: Server, schedule_id: str = "", *, key: str | None = None, **fields: Any) -> Schedule:
    wanted = Schedule(**({"function": ECHO, "cron": NOT_SOON} | fields))
    request = pb.CreateScheduleRequest(schedule_id=schedule_id, schedule=wanted)
    made: Schedule = server.schedules.CreateSchedule(request, metadata=metadata(server, key))
    return made


def metadata(server: Server, key: str | None = None) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {key or server.key}")]


def get(server: Server, name: str) -> Schedule:
    found: Schedule = server.schedules.GetSchedule(pb.GetScheduleRequest(name=name), metadata=server.metadata)
    return found


def runs(server: Server, name: str, **fields: Any) -> list[execution_pb2.Execution]:
    request = execution_service_pb2.ListExecutionsRequest(schedule=name, **fields)
    return list(server.executions.ListExecutions(request, metadata=server.metadata).executions)


def ms(moment: timestamp_pb2.Timestamp) -> int:
    return moment.ToMilliseconds()


def test_a_schedule_comes_back_as_it_was_made(server: Server) -> None:
    made = create(
        server,
        "whole",
        cron="30 4 * * MON",
        timezone="Europe/Oslo",
        input_json='{"x": 9007199254740993}',
        limits=execution_pb2.Limits(timeout=duration_pb2.Duration(seconds=3), memory_mib=64),
        max_attempts=2,
        deadline=duration_pb2.Duration(seconds=90),
        overlap=Schedule.OVERLAP_REPLACE,
        missed_ticks=Schedule.MISSED_TICKS_RUN_LAST,
        display_name="Weekly",
        description="Looks back",
        next_runs=[timestamp_pb2.Timestamp(seconds=1)],  # what only the server says is ignored
        run_count=7,
    )
    assert made == get(server, "schedules/whole")
    assert (made.name, made.function, made.cron, made.timezone) == (
        "schedules/whole",
        ECHO,
        "30 4 * * MON",
        "Europe/Oslo",
    )
    assert (made.input_json, made.when, made.run_count) == ('{"x": 9007199254740993}', "At 04:30 on Monday", 0)
    assert (made.limits.timeout.seconds, made.limits.memory_mib, made.deadline.seconds) == (3, 64, 90)
    assert (made.overlap, made.missed_ticks) == (Schedule.OVERLAP_REPLACE, Schedule.MISSED_TICKS_RUN_LAST)
    assert len(made.next_runs) == 5
    assert all(tick.ToDatetime(UTC).weekday() == 0 for tick in made.next_runs)
    request = pb.ListSchedulesRequest(parent="packages/scheduled/functions/echo")
    (listed,) = [
        one
        for one in server.schedules.ListSchedules(request, metadata=server.metadata).schedules
        if one.name == made.name
    ]
    assert (listed.input_json, list(listed.next_runs)) == ("", [made.next_runs[0]])


def test_defaults_are_those_of_the_contract(server: Server) -> None:
    made = create(server)
    uuid.UUID(made.name.removeprefix("schedules/"))
    assert (made.timezone, made.input_json, made.overlap, made.missed_ticks) == (
        "UTC",
        "null",
        Schedule.OVERLAP_ALLOW,
        Schedule.MISSED_TICKS_SKIP,
    )
    assert not made.HasField("deadline")
    assert (made.max_attempts, made.paused) == (0, False)


def test_a_tick_makes_an_execution_that_says_so(server: Server) -> None:
    made = create(server, "ticks", input_json='{"x": [1.0]}')
    tick = make_due(server, "ticks")
    (run,) = until(lambda: runs(server, made.name), what="the execution")
    assert (run.kind, run.schedule, ms(run.scheduled_time)) == (run.KIND_SCHEDULE, made.name, tick)
    request = execution_service_pb2.WaitExecutionRequest(name=run.name)
    ended = server.executions.WaitExecution(request, metadata=server.metadata)
    assert (ended.output_json, ended.stdout, ended.max_attempts) == ("[1.0]", "ticked\n", 3)
    assert (ended.schedule, ms(ended.scheduled_time)) == (made.name, tick)
    found = get(server, made.name)
    assert (ms(found.last_run_time), found.run_count, found.skipped_count) == (tick, 1, 0)
    assert ms(found.next_runs[0]) > tick
    assert runs(server, made.name, states=[execution_pb2.Execution.STATE_FAILED]) == []
    assert runs(server, "schedules/another") == []


def test_a_schedule_that_really_comes_due_is_fired(server: Server) -> None:
    # the one test that waits for the clock: a minute at most
    made = create(server, "minutely", cron="* * * * *")
    until(lambda: time.time() > ms(made.next_runs[0]) / 1000, seconds=90, what="its minute")
    (run,) = until(lambda: runs(server, made.name), seconds=150, what="the execution")
    assert run.scheduled_time in made.next_runs  # the first, unless the machine stood still for half a minute
    assert run.scheduled_time.ToDatetime().second == 0
    assert ms(run.create_time) >= ms(run.scheduled_time)
    server.schedules.DeleteSchedule(pb.DeleteScheduleRequest(name=made.name), metadata=server.metadata)


def test_a_tick_that_cannot_run_is_counted_and_says_why(server: Server) -> None:
    server.deploy("breaks", {"main.py": SOURCE})
    made = create(server, "breaks", function="packages/breaks/functions/echo")
    server.deploy("breaks", {"main.py": "def other(): ..."}, release=True)
    tick = make_due(server, "breaks")
    found = until(lambda: _skipped(server, made.name), what="the skipped tick")
    assert (ms(found.last_skipped_time), found.skipped_count, found.run_count) == (tick, 1, 0)
    assert found.last_skip_reason.startswith("packages/breaks/versions/2/functions/echo does not exist")


def _skipped(server: Server, name: str) -> Schedule | None:
    found = get(server, name)
    return found if found.skipped_count else None


def test_a_schedule_is_changed_by_what_the_mask_names(server: Server) -> None:
    made = create(server, "changes", input_json="1", description="kept", max_attempts=2)

    def update(*paths: str, **fields: Any) -> Schedule:
        request = pb.UpdateScheduleRequest(
            schedule=Schedule(name=made.name, **fields), update_mask=field_mask_pb2.FieldMask(paths=paths)
        )
        changed: Schedule = server.schedules.UpdateSchedule(request, metadata=server.metadata)
        return changed

    changed = update("cron", "input_json", cron="0 5 * * *", input_json="2", description="not named")
    assert (changed.cron, changed.input_json, changed.description) == ("0 5 * * *", "2", "kept")
    assert changed.next_runs[0] != made.next_runs[0]
    assert changed.update_time != made.update_time
    changed = update(description="set", timezone="Asia/Tokyo")  # no mask: what is set
    assert (changed.description, changed.timezone, changed.input_json, changed.max_attempts) == (
        "set",
        "Asia/Tokyo",
        "2",
        2,
    )
    changed = update("max_attempts", "description")
    assert (changed.max_attempts, changed.description, changed.cron) == (0, "", "0 5 * * *")
    changed = update("*", function="packages/scheduled/versions/1/functions/fail", cron=NOT_SOON)
    assert (changed.function, changed.input_json, changed.timezone) == (
        "packages/scheduled/versions/1/functions/fail",
        "null",
        "UTC",
    )
    wrong = refusal(lambda: update("next_runs", cron="x"))
    assert wrong.code is Code.INVALID_ARGUMENT
    assert wrong.details["BadRequest"].field_violations[0].field == "update_mask.paths[0]"
    wrong = refusal(lambda: update("cron", "overlap", cron="x", overlap=99))
    assert wrong.code is Code.INVALID_ARGUMENT


def test_checking_only_changes_nothing(server: Server) -> None:
    checked = server.schedules.CreateSchedule(
        pb.CreateScheduleRequest(
            schedule_id="only", schedule=Schedule(function=ECHO, cron=NOT_SOON), validate_only=True
        ),
        metadata=server.metadata,
    )
    assert (checked.name, len(checked.next_runs)) == ("", 5)
    assert refusal(lambda: get(server, "schedules/only")).reason == "SCHEDULE_NOT_FOUND"
    made = create(server, "kept")
    request = pb.UpdateScheduleRequest(schedule=Schedule(name=made.name, cron="0 5 * * *"), validate_only=True)
    assert server.schedules.UpdateSchedule(request, metadata=server.metadata).cron == "0 5 * * *"
    assert get(server, made.name) == made


def test_a_request_id_makes_one_schedule_and_one_run(server: Server) -> None:
    token = str(uuid.uuid4())
    request = pb.CreateScheduleRequest(schedule=Schedule(function=ECHO, cron=NOT_SOON), request_id=token)
    first, again = (server.schedules.CreateSchedule(request, metadata=server.metadata) for _ in range(2))
    assert first == again
    run = pb.RunScheduleRequest(name=first.name, request_id=str(uuid.uuid4()))
    one, two = (server.schedules.RunSchedule(run, metadata=server.metadata) for _ in range(2))
    assert one.name == two.name
    assert (one.schedule, one.HasField("scheduled_time"), one.kind) == (first.name, False, one.KIND_CALL)


def test_a_schedule_is_paused_and_resumed_by_rest(server: Server) -> None:
    def rest(method: str, path: str, body: object = None) -> tuple[int, Any]:
        answer = server.http(
            method,
            f"/polycall/v1/{path}",
            body=None if body is None else json.dumps(body).encode(),
            headers={"authorization": f"Bearer {server.key}", "content-type": "application/json"},
        )
        return answer.status, answer.json()

    status, made = rest("POST", "schedules", {"scheduleId": "rest", "schedule": {"function": ECHO, "cron": NOT_SOON}})
    assert (status, made["name"], made["when"]) == (200, "schedules/rest", "At 00:00 on January 1")
    assert datetime.fromisoformat(made["nextRuns"][0]).month == 1
    assert rest("POST", "schedules/rest:pause", {})[1]["paused"] is True
    assert "nextRuns" not in rest("GET", "schedules/rest")[1]
    assert (
        "paused" not in rest("POST", "schedules/rest:resume", {})[1] or not rest("GET", "schedules/rest")[1]["paused"]
    )
    status, changed = rest("PATCH", "schedules/rest?updateMask=description", {"description": "by REST"})
    assert (status, changed["description"]) == (200, "by REST")
    status, run = rest("POST", "schedules/rest:run", {})
    assert (status, run["schedule"]) == (200, "schedules/rest")
    assert "schedules/rest" in [one["name"] for one in rest("GET", "schedules?pageSize=1000")[1]["schedules"]]
    assert rest("GET", "executions?schedule=schedules/rest")[1]["executions"][0]["name"] == run["name"]
    assert rest("DELETE", "schedules/rest") == (200, {})
    status, error = rest("GET", "schedules/rest")
    assert (status, error["details"][0]["reason"]) == (404, "SCHEDULE_NOT_FOUND")


def test_lists_are_in_pages(server: Server) -> None:
    names = [create(server, f"page-{number}", function="packages/scheduled/functions/fail").name for number in range(3)]
    seen: list[str] = []
    request = pb.ListSchedulesRequest(page_size=2, parent="packages/scheduled/functions/fail")
    for _ in range(5):
        page = server.schedules.ListSchedules(request, metadata=server.metadata)
        seen += [one.name for one in page.schedules if one.name.startswith("schedules/page-")]
        request.page_token = page.next_page_token
        if not page.next_page_token:
            break
    assert seen == names[::-1]
    bad = pb.ListSchedulesRequest(page_token="bogus")
    assert refusal(lambda: server.schedules.ListSchedules(bad, metadata=server.metadata)).code is Code.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"cron": ""}, "schedule.cron"),
        ({"cron": "* * * * * *"}, "schedule.cron"),
        ({"cron": "0 0 30 2 *"}, "schedule.cron"),
        ({"timezone": "Mars/Olympus"}, "schedule.timezone"),
        ({"function": ""}, "schedule.function"),
        ({"function": "packages/scheduled"}, "schedule.function"),
        ({"input_json": "{"}, "schedule.input_json"),
        ({"max_attempts": 11}, "schedule.max_attempts"),
        ({"max_attempts": -1}, "schedule.max_attempts"),
        ({"deadline": duration_pb2.Duration(nanos=1)}, "schedule.deadline"),
        ({"deadline": duration_pb2.Duration(seconds=32 * 86_400)}, "schedule.deadline"),
        ({"overlap": 9}, "schedule.overlap"),
        ({"missed_ticks": 9}, "schedule.missed_ticks"),
        ({"limits": execution_pb2.Limits(memory_mib=1)}, "schedule.limits.memory_mib"),
    ],
)
def test_a_wrong_field_is_named(server: Server, fields: dict[str, Any], where: str) -> None:
    wrong = refusal(lambda: create(server, **fields))
    assert wrong.code is Code.INVALID_ARGUMENT
    assert [violation.field for violation in wrong.details["BadRequest"].field_violations] == [where]


def test_what_is_not_there_is_not_found(server: Server) -> None:
    stranger = server.new_key(
        project="schedule-strangers",
        scopes=[getattr(tenancy_service_pb2.ApiKey, f"SCOPE_{scope}") for scope in ("RUN", "READ", "DEPLOY")],
    )
    mine = create(server, "mine").name
    stub, theirs = server.schedules, metadata(server, stranger)
    change = pb.UpdateScheduleRequest(schedule=Schedule(name=mine, cron="* * * * *"))
    for act in (
        lambda: stub.GetSchedule(pb.GetScheduleRequest(name=mine), metadata=theirs),
        lambda: stub.UpdateSchedule(change, metadata=theirs),
        lambda: stub.PauseSchedule(pb.PauseScheduleRequest(name=mine), metadata=theirs),
        lambda: stub.ResumeSchedule(pb.ResumeScheduleRequest(name=mine), metadata=theirs),
        lambda: stub.RunSchedule(pb.RunScheduleRequest(name=mine), metadata=theirs),
        lambda: stub.DeleteSchedule(pb.DeleteScheduleRequest(name=mine), metadata=theirs),
    ):
        told = refusal(act)
        assert (told.code, told.reason, told.details["ResourceInfo"].resource_name) == (
            Code.NOT_FOUND,
            "SCHEDULE_NOT_FOUND",
            mine,
        )
    assert list(stub.ListSchedules(pb.ListSchedulesRequest(), metadata=theirs).schedules) == []
    told = refusal(lambda: create(server, key=stranger))
    assert (told.code, told.reason) == (Code.NOT_FOUND, "PACKAGE_NOT_FOUND")
    assert refusal(lambda: create(server, "mine")).reason == "ALREADY_EXISTS"


@pytest.mark.parametrize(("scopes", "missing"), [(["RUN", "READ"], "deploy"), (["DEPLOY", "READ"], "run")])
def test_who_makes_a_schedule_may_deploy_and_run(server: Server, scopes: list[str], missing: str) -> None:
    key = server.new_key(scopes=[getattr(tenancy_service_pb2.ApiKey, f"SCOPE_{scope}") for scope in scopes])
    told = refusal(lambda: create(server, key=key))
    assert (told.code, told.reason, told.metadata) == (Code.PERMISSION_DENIED, "SCOPE_MISSING", {"scope": missing})


def test_a_schedule_goes_with_its_package(server: Server) -> None:
    from polycall.v1 import package_service_pb2

    server.deploy("goes", {"main.py": SOURCE})
    name = create(server, "goes", function="packages/goes/functions/echo").name
    request = package_service_pb2.DeletePackageRequest(name="packages/goes")
    server.packages.DeletePackage(request, metadata=server.metadata)
    assert refusal(lambda: get(server, name)).reason == "SCHEDULE_NOT_FOUND"


def test_a_key_that_may_not_read_learns_nothing_by_running_a_schedule_and_cancelling(
    server: Server,
) -> None:
    lent = metadata(server, server.new_key(scopes=[tenancy_service_pb2.ApiKey.SCOPE_RUN]))
    for function, state in ((ECHO, "STATE_COMPLETED"), ("packages/scheduled/functions/fail", "STATE_FAILED")):
        made = create(server, function=function, input_json='{"x": "whole"}' if function == ECHO else "{}")
        started = server.schedules.RunSchedule(pb.RunScheduleRequest(name=made.name), metadata=lent)
        assert (started.state, started.input_json) == (execution_pb2.Execution.STATE_QUEUED, "")
        wait = execution_service_pb2.WaitExecutionRequest(name=started.name)
        ended = server.executions.WaitExecution(wait, metadata=server.metadata)
        cancel = execution_service_pb2.CancelExecutionRequest(name=started.name)
        seen = server.executions.CancelExecution(cancel, metadata=lent)
        assert execution_pb2.Execution.State.Name(seen.state) == state
        assert (seen.input_json, seen.output_json, seen.stdout, seen.stderr) == ("", "", "", "")
        assert seen.error == execution_pb2.ExecutionError(reason=ended.error.reason)
        assert server.executions.CancelExecution(cancel, metadata=server.metadata) == ended
