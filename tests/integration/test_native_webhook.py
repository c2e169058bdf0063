"""Completion URLs of a running server: who is told what, who is not, and what becomes of it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import duration_pb2, json_format

from polycall.errors import Code
from polycall.v1 import (
    execution_pb2,
    execution_service_pb2,
    schedule_pb2,
    schedule_service_pb2,
    tenancy_service_pb2,
    webhook_pb2,
)
from polycall.v1 import webhook_service_pb2 as pb
from tests.harness import Server, free_port, running_server, until
from tests.integration.native import bad_fields, refusal
from tests.receiver import Got, Receiver, receiver
from tests.ticks import make_due

STATES = webhook_pb2.Delivery
SOURCE = """
import time
def give(x=None): return x
def fail(): raise ValueError("a message that may quote what is secret")
def nap(): time.sleep(60)
def much(n): return "x" * n
"""
SCOPES = tenancy_service_pb2.ApiKey
EVERYTHING = [SCOPES.SCOPE_RUN, SCOPES.SCOPE_READ, SCOPES.SCOPE_DEPLOY]
GIVE = "packages/told/functions/give"


@pytest.fixture(scope="module")
def hooks() -> Iterator[Receiver]:
    with receiver() as receiving:
        yield receiving


@pytest.fixture(scope="module")
def away() -> int:
    """The port of a receiver that is not there yet."""
    return free_port()


@pytest.fixture(scope="module")
def listed() -> int:
    """The port of a program that takes notifications."""
    return free_port()


@pytest.fixture(scope="module")
def server(hooks: Receiver, away: int, listed: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("webhooks"), **settings(hooks.port, away, listed)) as server:
        server.deploy("told", {"main.py": SOURCE}, version="1", release=True)
        rotate(server)
        yield server


def settings(*ports: int) -> dict[str, str]:
    here = ",".join(f"127.0.0.1:{port}" for port in ports)
    return {
        "POLYCALL_GATEWAY": "false",
        "POLYCALL_WEBHOOK_HOSTS": f"{here},*.hooks.example,127.0.0.2,localhost:{ports[0]},tenant=tenant.example",
        "POLYCALL_WEBHOOK_NETWORKS": "127.0.0.1/32",
        "POLYCALL_WEBHOOK_HTTP": "true",
        "POLYCALL_WEBHOOK_ATTEMPTS": "3",
        "POLYCALL_WEBHOOK_BACKOFF_S": "0.1",
    }


def rotate(server: Server, key: str | None = None, **fields: Any) -> str:
    answer = server.webhooks.RotateSigningSecret(pb.RotateSigningSecretRequest(**fields), metadata=as_(server, key))
    return str(answer.secret)


def as_(server: Server, key: str | None) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {key or server.key}")]


def call(server: Server, url: str, function: str = GIVE, key: str | None = None, **fields: Any) -> str:
    request = execution_service_pb2.CallRequest(function=function, completion_url=url, **fields)
    return str(server.executions.Call(request, metadata=as_(server, key)).name)


def delivery(server: Server, execution: str) -> webhook_pb2.Delivery:
    request = pb.GetDeliveryRequest(name=execution.replace("executions/", "deliveries/"))
    found: webhook_pb2.Delivery = server.webhooks.GetDelivery(request, metadata=server.metadata)
    return found


def settled(server: Server, execution: str, state: Any = STATES.STATE_DELIVERED) -> webhook_pb2.Delivery:
    def reached() -> webhook_pb2.Delivery | None:
        found = made(server, execution)
        return found if found is not None and found.state == state else None

    found: webhook_pb2.Delivery = until(reached, seconds=30, what=f"the delivery of {execution}")
    return found


def made(server: Server, execution: str) -> webhook_pb2.Delivery | None:
    """Return a delivery; None until its execution has ended."""
    request = pb.ListDeliveriesRequest(page_size=1000)
    found = server.webhooks.ListDeliveries(request, metadata=server.metadata).deliveries
    return next((one for one in found if one.execution == execution), None)


def signed_with(got: Got, secret: str) -> bool:
    """Tell whether a message was signed with a secret, as the specification has it and without our code."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    text = f"{got.headers['webhook-id']}.{got.headers['webhook-timestamp']}.".encode() + got.body
    signature = base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()
    return f"v1,{signature}" in got.headers["webhook-signature"].split(" ")


def test_the_end_is_told_to_who_was_named(server: Server, hooks: Receiver) -> None:
    secret = rotate(server, overlap=duration_pb2.Duration(seconds=0))
    name = call(server, hooks.url("/done?token=t"), input_json='{"x": 9007199254740993}')
    done = settled(server, name)
    (got,) = hooks.at("/done?token=t")
    assert signed_with(got, secret)
    assert len(got.headers["webhook-signature"].split(" ")) == 1
    assert got.headers["webhook-id"] == done.message_id == f"msg_{uuid.UUID(name.rpartition('/')[2]).hex}"
    assert abs(int(got.headers["webhook-timestamp"]) - time.time()) < 60
    assert got.headers["content-type"] == "application/json"
    assert got.headers["host"] == f"127.0.0.1:{hooks.port}"
    body = json.loads(got.body)
    assert body.keys() == {"type", "timestamp", "data"}
    assert body["type"] == "execution.completed"
    # what is told is an execution as GetExecution has it
    told = json_format.ParseDict(body["data"], execution_pb2.Execution())
    request = execution_service_pb2.GetExecutionRequest(name=name)
    whole = server.executions.GetExecution(request, metadata=server.metadata)
    assert told.output_json == "9007199254740993"
    assert body["timestamp"] == body["data"]["endTime"]
    for field, value in told.ListFields():
        assert getattr(whole, field.name) == value, field.name
    assert whole.completion_url == hooks.url("/done?token=t")
    assert (done.attempts, done.http_status, done.error) == (1, 204, "")
    assert done.HasField("end_time")
    assert not done.HasField("next_attempt_time")


def test_every_end_is_told(server: Server, hooks: Receiver) -> None:
    soon = duration_pb2.Duration(nanos=200_000_000)
    failed = call(server, hooks.url("/ends"), "packages/told/functions/fail")
    late = call(server, hooks.url("/ends"), "packages/told/functions/nap", limits=execution_pb2.Limits(timeout=soon))
    large = call(server, hooks.url("/ends"), "packages/told/functions/much", input_json='{"n": 20000}')
    cancelled = call(server, hooks.url("/ends"), "packages/told/functions/nap")
    server.executions.CancelExecution(
        execution_service_pb2.CancelExecutionRequest(name=cancelled), metadata=server.metadata
    )
    for name in (failed, late, large, cancelled):
        settled(server, name)
    bodies = {body["data"]["name"]: body for body in (json.loads(got.body) for got in hooks.at("/ends"))}
    assert bodies[failed]["type"] == "execution.failed"
    assert bodies[failed]["data"]["state"] == "STATE_FAILED"
    assert bodies[failed]["data"]["error"] == {"reason": "ERROR_REASON_USER_EXCEPTION", "type": "ValueError"}
    assert bodies[late]["type"] == "execution.timeout"
    assert bodies[cancelled]["type"] == "execution.cancelled"
    assert bodies[large]["type"] == "execution.completed"
    assert bodies[large]["outputOmitted"] is True
    assert "outputJson" not in bodies[large]["data"]


def test_a_tick_is_told_and_its_schedule_can_be_told_otherwise(server: Server, hooks: Receiver) -> None:
    wanted = schedule_pb2.Schedule(function=GIVE, cron="0 0 1 1 *", completion_url=hooks.url("/tick"))
    request = schedule_service_pb2.CreateScheduleRequest(schedule_id="told", schedule=wanted)
    made = server.schedules.CreateSchedule(request, metadata=server.metadata)
    assert made.completion_url == hooks.url("/tick")
    make_due(server, "told")
    until(lambda: hooks.at("/tick"), what="the tick")
    told = json.loads(hooks.at("/tick")[0].body)["data"]
    assert (told["kind"], told["schedule"]) == ("KIND_SCHEDULE", "schedules/told")
    change = schedule_service_pb2.UpdateScheduleRequest(
        schedule=schedule_pb2.Schedule(name="schedules/told", completion_url="https://elsewhere.example/")
    )
    refused = refusal(lambda: server.schedules.UpdateSchedule(change, metadata=server.metadata))
    assert "not among the hosts" in bad_fields(refused)["schedule.completion_url"]
    change.schedule.completion_url = ""
    change.update_mask.paths.append("completion_url")
    assert server.schedules.UpdateSchedule(change, metadata=server.metadata).completion_url == ""


def test_a_receiver_that_was_away_is_told_when_it_is_back(server: Server, away: int) -> None:
    name = call(server, f"http://127.0.0.1:{away}/back")
    failed = until(lambda: _attempted(server, name), what="the first attempt")
    assert failed.error == f"127.0.0.1:{away} cannot be reached: connection refused"
    with receiver(away) as back:
        until(lambda: delivery(server, name).state != STATES.STATE_PENDING, what="the end")
        if delivery(server, name).state == STATES.STATE_DEAD:  # it was away for all three of them
            again(server, name)
        settled(server, name)
        assert [got.id for got in back.got] == [delivery(server, name).message_id]


def _attempted(server: Server, name: str) -> webhook_pb2.Delivery | None:
    found = made(server, name)
    return found if found is not None and found.error else None


def again(server: Server, name: str) -> webhook_pb2.Delivery:
    request = pb.RedeliverWebhookRequest(name=name.replace("executions/", "deliveries/"))
    found: webhook_pb2.Delivery = server.webhooks.RedeliverWebhook(request, metadata=server.metadata)
    return found


def test_the_receiver_of_the_page_takes_what_is_signed_and_nothing_else(server: Server, listed: int) -> None:
    page = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text()
    (program,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    secret = rotate(server, overlap=duration_pb2.Duration(seconds=0))
    running = subprocess.Popen(
        [sys.executable, "-c", program, str(listed)],
        env={"WEBHOOK_SECRET": secret},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert running.stdout is not None
    try:
        name = call(server, f"http://127.0.0.1:{listed}/done", input_json='{"x": [1]}')

        def told() -> bool:
            found = made(server, name)
            if found is not None and found.state == STATES.STATE_DEAD:  # the program begins later than all attempts
                again(server, name)
            return found is not None and found.state == STATES.STATE_DELIVERED

        until(told, seconds=60, what="the delivery")
        assert running.stdout.readline() == f"{name} STATE_COMPLETED [1]\n"
        again(server, name)  # it is known by its id
        settled(server, name)
        for headers in (
            {"webhook-id": "msg_1", "webhook-timestamp": str(int(time.time())), "webhook-signature": "v1,forged"},
            {"webhook-id": "msg_1", "webhook-timestamp": "1"},
            {},
        ):
            sent = urllib.request.Request(f"http://127.0.0.1:{listed}/done", b"{}", headers)
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(sent, timeout=20)
            assert refused.value.code == 400
            refused.value.close()
    finally:
        running.kill()
        rest, _ = running.communicate()
    assert rest == ""


def test_what_is_given_up_is_seen_and_can_be_sent_again(server: Server, hooks: Receiver) -> None:
    hooks.replies["/dead"] = [(500, {}), (302, {"location": hooks.url("/moved")}), (500, {})]
    name = call(server, hooks.url("/dead"))
    dead = settled(server, name, STATES.STATE_DEAD)
    assert (dead.attempts, dead.http_status, dead.error) == (3, 500, "The receiver answered 500.")
    assert hooks.at("/moved") == []
    listed = server.webhooks.ListDeliveries(
        pb.ListDeliveriesRequest(state=STATES.STATE_DEAD), metadata=server.metadata
    ).deliveries
    assert dead in listed
    state = server.webhooks.GetWebhookState(pb.GetWebhookStateRequest(), metadata=server.metadata)
    assert state.dead_count == len(listed)
    sent = again(server, name)
    assert (sent.state, sent.attempts) == (STATES.STATE_PENDING, 0)
    done = settled(server, name)
    assert (done.attempts, done.http_status, done.error) == (1, 204, "")
    got = hooks.at("/dead")
    assert len(got) == 4
    assert len({one.id for one in got}) == 1  # what receivers tell repetitions by
    assert len({one.body for one in got}) == 1


def test_answers_say_how_to_go_on(server: Server, hooks: Receiver) -> None:
    hooks.replies["/gone"] = [(410, {})]
    hooks.replies["/later"] = [(503, {"retry-after": "3600"})]
    hooks.replies["/never"] = [(429, {"retry-after": "9999999"})]
    hooks.replies["/moved-away"] = [(307, {"location": hooks.url("/moved")})]
    gone, later, never, moved = (call(server, hooks.url(path)) for path in ("/gone", "/later", "/never", "/moved-away"))
    stopped = settled(server, gone, STATES.STATE_DEAD)
    assert (stopped.attempts, stopped.http_status) == (1, 410)
    for name, status, wait_s in ((later, 503, 3600), (never, 429, 86_400)):
        waits = until(partial(_attempted, server, name), what="the attempt")
        assert (waits.state, waits.http_status) == (STATES.STATE_PENDING, status)
        asked = waits.next_attempt_time.ToMilliseconds() - waits.last_attempt_time.ToMilliseconds()
        assert wait_s * 1000 <= asked < wait_s * 1000 + 60_000
    settled(server, moved)  # at the second attempt, at the same place
    assert hooks.at("/moved") == []
    assert len(hooks.at("/moved-away")) == 2


def test_a_slow_receiver_delays_nobody_else(server: Server, hooks: Receiver) -> None:
    free = threading.Event()

    def hang() -> tuple[int, dict[str, str]]:
        free.wait(30)
        return 204, {}

    hooks.replies["/hang"] = [hang] * 20
    slow = [call(server, hooks.url("/hang")) for _ in range(6)]
    try:
        until(lambda: len(hooks.at("/hang")) == 4, what="as many as may be sent at once")
        # a lane is of a project and a host: another project's are sent meanwhile
        key = server.new_key(project="quick", scopes=EVERYTHING)
        server.deploy("told", {"main.py": SOURCE}, version="1", release=True, key=key)
        rotate(server, key)
        call(server, hooks.url("/quick"), key=key)
        until(lambda: hooks.at("/quick"), what="the other project's")
        # and so are this project's to another host
        call(server, f"http://localhost:{hooks.port}/other")
        until(lambda: hooks.at("/other"), what="what goes to another host")
        assert len(hooks.at("/hang")) == 4
    finally:
        free.set()
    for name in slow:
        settled(server, name)


def test_while_a_secret_takes_over_both_sign(server: Server, hooks: Receiver) -> None:
    old = rotate(server, overlap=duration_pb2.Duration(seconds=0))
    new = rotate(server)
    settled(server, call(server, hooks.url("/both")))
    (got,) = hooks.at("/both")
    assert signed_with(got, old)
    assert signed_with(got, new)
    state = server.webhooks.GetWebhookState(pb.GetWebhookStateRequest(), metadata=server.metadata)
    assert [secret.HasField("expire_time") for secret in state.signing_secrets] == [False, True]
    newest = rotate(server, overlap=duration_pb2.Duration(seconds=0))
    settled(server, call(server, hooks.url("/newest")))
    (got,) = hooks.at("/newest")
    assert [signed_with(got, secret) for secret in (old, new, newest)] == [False, False, True]
    too_long = pb.RotateSigningSecretRequest(overlap=duration_pb2.Duration(seconds=32 * 86_400))
    refused = refusal(lambda: server.webhooks.RotateSigningSecret(too_long, metadata=server.metadata))
    assert bad_fields(refused) == {"overlap": "must be 0 to 2678400 s, got 2.7648e+06"}


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://127.0.0.1/", "must be an absolute https URL"),
        ("//127.0.0.1/", "must be an absolute https URL"),
        ("https://user:password@a.hooks.example/", "must be an absolute https URL"),
        ("https://a.hooks.example/#part", "must be an absolute https URL"),
        ("https://a.hooks.example\\@127.0.0.1/", "must be an absolute https URL"),
        ("https://a.hooks.example/a b", "must be an absolute https URL"),
        ("https://a.hooks.example/\r\nx: y", "must be an absolute https URL"),
        ("https://", "must be an absolute https URL"),
        ("https://hooks.example/", "not among the hosts"),
        ("https://elsewhere.example/", "not among the hosts"),
        ("https://tenant.example/", "not among the hosts"),
        ("https://a.hooks.example:8443/", "not among the hosts"),
        ("https://a.hooks.example:99999/", "must have a port from 1 to 65535"),
        ("https://2130706433/", "must be a host name"),
        ("https://0x7f.1/", "must be a host name"),
        ("https://b\u00fccher.hooks.example/", "must be ASCII"),
        ("https://a.hooks.example/" + "x" * 2048, "has 2072 characters; at most 2048"),
    ],
)
def test_what_may_not_be_told_is_refused(server: Server, url: str, why: str) -> None:
    assert why in bad_fields(refusal(lambda: call(server, url)))["completion_url"]


def test_an_address_that_may_not_be_reached_is_not(server: Server) -> None:
    # the host is listed, and the range of its address is not
    name = call(server, "http://127.0.0.2/")
    failed = until(lambda: _attempted(server, name), what="the attempt")
    assert failed.error == "the address of 127.0.0.2 is not allowed: it is not public"
    assert not failed.HasField("http_status")


def test_without_a_secret_nothing_is_accepted(server: Server, hooks: Receiver) -> None:
    key = server.new_key(project="unsigned", scopes=EVERYTHING)
    server.deploy("told", {"main.py": SOURCE}, version="1", release=True, key=key)
    refused = refusal(lambda: call(server, hooks.url("/unsigned"), key=key))
    assert (refused.code, refused.reason) == (Code.FAILED_PRECONDITION, "SIGNING_SECRET_MISSING")
    assert "rotate-secret" in refused.message


def test_of_another_project_nothing_is_known(server: Server, hooks: Receiver) -> None:
    name = call(server, hooks.url("/own"))
    settled(server, name)
    theirs = as_(server, server.new_key(project="stranger", scopes=EVERYTHING))
    for method, request in (
        (server.webhooks.GetDelivery, pb.GetDeliveryRequest),
        (server.webhooks.RedeliverWebhook, pb.RedeliverWebhookRequest),
    ):
        asked = request(name=name.replace("executions/", "deliveries/"))
        refused = refusal(partial(method, asked, metadata=theirs))
        assert (refused.code, refused.reason) == (Code.NOT_FOUND, "DELIVERY_NOT_FOUND")
    assert list(server.webhooks.ListDeliveries(pb.ListDeliveriesRequest(), metadata=theirs).deliveries) == []
    state = server.webhooks.GetWebhookState(pb.GetWebhookStateRequest(), metadata=theirs)
    assert state == pb.WebhookState()
    assert len(hooks.at("/own")) == 1


def test_scopes_are_asked_for(server: Server) -> None:
    runs = as_(server, server.new_key(scopes=[SCOPES.SCOPE_RUN]))
    reads = as_(server, server.new_key(scopes=[SCOPES.SCOPE_READ]))
    nothing = "deliveries/01a21994-debd-76da-9d68-4044ec11dace"
    for method, request, metadata in (
        (server.webhooks.ListDeliveries, pb.ListDeliveriesRequest(), runs),
        (server.webhooks.GetDelivery, pb.GetDeliveryRequest(name=nothing), runs),
        (server.webhooks.GetWebhookState, pb.GetWebhookStateRequest(), runs),
        (server.webhooks.RedeliverWebhook, pb.RedeliverWebhookRequest(name=nothing), reads),
        (server.webhooks.RotateSigningSecret, pb.RotateSigningSecretRequest(), runs),
    ):
        refused = refusal(partial(method, request, metadata=metadata))
        assert (refused.code, refused.reason) == (Code.PERMISSION_DENIED, "SCOPE_MISSING")


def test_a_key_that_may_not_read_sends_again_and_is_not_told_where(server: Server, hooks: Receiver) -> None:
    name = call(server, hooks.url("/lent"), input_json="{}")
    settled(server, name)
    request = pb.RedeliverWebhookRequest(name=name.replace("executions/", "deliveries/"))
    lent = as_(server, server.new_key(scopes=[SCOPES.SCOPE_RUN]))
    seen = server.webhooks.RedeliverWebhook(request, metadata=lent)
    assert (seen.execution, seen.state, seen.url, seen.error) == (name, STATES.STATE_PENDING, "", "")
    until(lambda: len(hooks.at("/lent")) == 2, what="the second notification")


def test_a_server_that_is_killed_before_it_has_told_tells_when_it_is_back(server: Server, hooks: Receiver) -> None:
    stuck = threading.Event()

    def hang() -> tuple[int, dict[str, str]]:
        stuck.wait(60)
        return 500, {}

    hooks.replies["/killed"] = [hang]
    secret = rotate(server)
    name = call(server, hooks.url("/killed"), input_json='{"x": 7}')
    try:
        until(lambda: hooks.at("/killed"), what="the first attempt")
        server.kill()
    finally:
        stuck.set()
    server.start()
    done = settled(server, name)
    first, second = hooks.at("/killed")
    assert (first.id, first.body) == (second.id, second.body)
    assert signed_with(second, secret)
    assert done.attempts == 2
