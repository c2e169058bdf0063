"""A call from the request of the vendor's document to its end, through the gateway."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest

from polycall.ids import now_ms
from polycall.v1 import execution_pb2, execution_service_pb2
from tests.contracts.cognite.driver import ECHO, Cognite, newcomer, zipped
from tests.harness import Server, running_server, until

_SLOW = "import time\ntime.sleep(1)\ndef handle(secrets):\n    return secrets['s']\n"
_EXACT = b'{"n": 9007199254740993, "x": 1.0, "y": 1, "z": {"b": 1, "a": 2}}'


def test_a_call_is_answered_201_with_a_running_call(cognite: Cognite) -> None:
    before = now_ms()
    answer = cognite.post(f"functions/{cognite.echo}/call", {"data": {}, "nonce": cognite.nonce()})
    assert (answer.status, answer.reason) == (201, "Created")
    assert answer.headers["content-type"] == "application/json"
    assert "cdf-is-auto-retryable" not in answer.headers
    shape = rb'\{"id":[1-9]\d*,"status":"Running","startTime":(\d{13}),"functionId":%d\}' % cognite.echo
    match = re.fullmatch(shape, answer.body)
    assert match, answer.body
    assert before <= int(match[1]) <= now_ms()
    cognite.ended(answer.json())


def test_a_call_completes_and_its_response_is_read_apart(cognite: Cognite) -> None:
    call = cognite.call(cognite.echo, b'{"a":[1]}')
    ended = cognite.ended(call)
    assert list(ended) == ["id", "status", "startTime", "endTime", "functionId"]
    assert ended == call | {"status": "Completed", "endTime": ended["endTime"]}
    assert call["startTime"] <= ended["endTime"] <= now_ms()
    path = f"functions/{cognite.echo}/calls/{call['id']}"
    assert cognite.get(path).json() == ended
    expected = {"callId": call["id"], "functionId": cognite.echo, "response": {"a": [1]}}
    assert cognite.get(f"{path}/response").json() == expected
    assert cognite.get(f"{path}/logs").body == b'{"items":[]}'


def test_data_comes_back_byte_for_byte(cognite: Cognite) -> None:
    call = cognite.run(cognite.echo, _EXACT)
    expected = b'{"callId":%d,"functionId":%d,"response":%s}' % (call["id"], cognite.echo, _EXACT)
    assert cognite.response(call) == expected


@pytest.mark.parametrize("data", [None, {}])
def test_no_data_is_an_empty_dict(cognite: Cognite, data: object) -> None:
    for body in ({"nonce": cognite.nonce()}, {"nonce": cognite.nonce(), "data": data}):
        answer = cognite.post(f"functions/{cognite.echo}/call", body)
        assert answer.status == 201
        assert cognite.result(cognite.ended(answer.json())) == {}


@pytest.mark.parametrize(
    ("expression", "text"),
    [("None", b"null"), ("4", b"4"), ("'text'", b'"text"'), ("[]", b"[]"), ("False", b"false"), ("1.0", b"1.0")],
)
def test_any_json_value_is_a_response(cognite: Cognite, expression: str, text: bytes) -> None:
    function = cognite.deploy(f"def handle():\n    return {expression}\n")
    call = cognite.run(function)
    assert cognite.response(call) == b'{"callId":%d,"functionId":%d,"response":%s}' % (call["id"], function, text)


def test_bodies_may_be_gzipped_and_of_any_content_type(cognite: Cognite) -> None:
    headers = {"content-encoding": "gzip", "content-type": "application/x-www-form-urlencoded"}
    created = cognite.post("sessions", zipped({"items": [{"tokenExchange": True}]}), headers=headers)
    assert created.status == 200
    nonce = created.json()["items"][0]["nonce"]
    body = zipped({"data": {"a": 1}, "nonce": nonce, "functionType": "new", "cursor": None})
    answer = cognite.post(f"functions/{cognite.echo}/call", body, headers=headers)
    assert answer.status == 201
    assert cognite.result(cognite.ended(answer.json())) == {"a": 1}


# how a call ends


def test_an_exception_is_a_failed_call_with_message_and_trace(cognite: Cognite) -> None:
    source = 'def handle(data):\n    print("before")\n    raise ValueError("Cannot assign foo to bar.")\n'
    function = cognite.deploy(source)
    ended = cognite.run(function)
    assert list(ended) == ["id", "status", "startTime", "endTime", "error", "functionId"]
    trace = (
        "Traceback (most recent call last):\n"
        '  File "handler.py", line 3, in handle\n'
        '    raise ValueError("Cannot assign foo to bar.")\n'
        "ValueError: Cannot assign foo to bar.\n"
    )
    assert ended["status"] == "Failed"
    assert ended["error"] == {"trace": trace, "message": "Cannot assign foo to bar."}
    assert list(ended["error"]) == ["trace", "message"]
    assert cognite.response(ended) == b'{"callId":%d,"functionId":%d}' % (ended["id"], function)
    assert cognite.logs(ended) == ["before", *trace.rstrip().split("\n")]


def test_a_call_out_of_time_is_a_timeout_without_an_error(cognite: Cognite) -> None:
    limits = execution_pb2.Limits()
    limits.timeout.FromMilliseconds(300)
    function = cognite.deploy("def handle():\n    print('on', flush=True)\n    while True: pass\n", limits=limits)
    ended = cognite.run(function)
    assert list(ended) == ["id", "status", "startTime", "endTime", "functionId"]
    assert ended["status"] == "Timeout"
    assert ended["endTime"] - ended["startTime"] >= 300
    assert cognite.response(ended) == b'{"callId":%d,"functionId":%d}' % (ended["id"], function)
    assert cognite.logs(ended) == ["on"]


def test_a_call_out_of_memory_fails_with_a_memory_error(cognite: Cognite) -> None:
    function = cognite.deploy("def handle():\n    return len(bytearray(1 << 30))\n", limits=_memory(128))
    ended = cognite.run(function)
    assert ended["status"] == "Failed"
    assert ended["error"]["message"] == "MemoryError: Function ran out of memory"


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("{1, 2}", "Object of type set is not JSON serializable"),
        ("float('nan')", "Out of range float values are not JSON compliant"),
        ("[object]", "Object of type type is not JSON serializable"),
        ("(lambda x: x.append(x) or x)([])", "Circular reference detected"),
    ],
)
def test_what_json_cannot_hold_is_a_failed_call(cognite: Cognite, expression: str, reason: str) -> None:
    function = cognite.deploy(f"def handle():\n    return {expression}\n")
    ended = cognite.run(function)
    assert ended["status"] == "Failed"
    assert ended["error"]["message"] == f"Function return value is not JSON serializable: {reason}"


def test_a_response_above_one_megabyte_is_a_failed_call(cognite: Cognite) -> None:
    function = cognite.deploy("def handle(data):\n    return 'x' * data['n']\n")
    fits = cognite.run(function, b'{"n":%d}' % (2**20 - 2))
    assert fits["status"] == "Completed"
    assert len(cognite.result(fits)) == 2**20 - 2
    ended = cognite.run(function, b'{"n":%d}' % (2**20 - 1))
    assert ended["status"] == "Failed"
    assert ended["error"]["message"] == "Function response is larger than 1 MB (responseSizeMb)."


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("import sys; sys.exit(3)", "The code exited with code 3."),
        ("import os; os._exit(4)", "The code exited with code 4."),
        ("import ctypes; ctypes.string_at(0)", "The code was ended by signal 11."),
    ],
)
def test_code_that_leaves_or_crashes_is_a_failed_call(cognite: Cognite, statement: str, message: str) -> None:
    function = cognite.deploy(f"def handle():\n    {statement}\n")
    ended = cognite.run(function)
    assert ended["status"] == "Failed"
    assert ended["error"]["message"] == message


def test_a_package_that_is_not_there_is_seen_in_the_logs(cognite: Cognite) -> None:
    function = cognite.deploy("import surely_not_there\n\ndef handle():\n    pass\n")
    ended = cognite.run(function)
    assert ended["error"]["message"] == "No module named 'surely_not_there'"
    assert cognite.logs(ended)[-1] == "ModuleNotFoundError: No module named 'surely_not_there'"


def test_a_server_that_is_killed_has_failed_its_calls_and_goes_on_with_its_deployments(tmp_path: Path) -> None:
    with running_server(tmp_path / "data") as server:
        caller = newcomer(server, "killed")
        function = caller.deploy(
            "import time\n\ndef handle():\n    print('started', flush=True)\n    time.sleep(120)\n"
        )
        call = caller.call(function)
        until(lambda: caller.logs(call) == ["started"], seconds=30, what="the log of a running call")
        slow = caller.create(_SLOW, secrets={"s": "t"})
        quick = [caller.create(ECHO, name=str(number)) for number in range(2)]
        server.kill()
        server.start()
        ended = caller.ended(call)
        message = "The worker that ran this call was lost; the call is not run again."
        assert ended == call | {
            "status": "Failed",
            "endTime": ended["endTime"],
            "error": {"trace": "", "message": message},
        }
        for made in (slow, *quick):
            assert caller.end_of_deployment(made["id"])["status"] == "Ready"
        assert caller.result(caller.run(slow["id"])) == "t"
        assert caller.get(f"functions/{function}/calls/{call['id']}").json() == ended
        listed = caller.get("functions").json()["items"]
        assert [each["id"] for each in listed] == [each["id"] for each in (*quick[::-1], slow)]


def test_a_flood_of_lines_keeps_its_end_and_says_what_is_missing(cognite: Cognite) -> None:
    source = (
        "import sys\n\n"
        "def handle():\n"
        "    sys.stdout.write('\\n' * 60_000)\n"
        "    sys.stdout.flush()\n"
        "    raise ValueError('at last')\n"
    )
    messages = cognite.logs(cognite.run(cognite.deploy(source)))
    assert messages[0].endswith("earlier lines are left out]")
    assert messages[-1] == "ValueError: at last"
    assert len(messages) < 60_000


def test_logs_are_read_while_the_call_runs_and_a_cancelled_call_failed(cognite: Cognite, polycall: Server) -> None:
    source = "import sys, time\n\ndef handle():\n    print('started', flush=True)\n    time.sleep(120)\n"
    function = cognite.deploy(source)
    call = cognite.call(function)
    until(lambda: cognite.logs(call) == ["started"], seconds=30, what="the log of a running call")
    running = cognite.get(f"functions/{function}/calls/{call['id']}")
    assert running.json() == call
    assert cognite.response(call) == b'{"callId":%d,"functionId":%d}' % (call["id"], function)
    listing = execution_service_pb2.ListExecutionsRequest(parent=f"packages/{function}")
    [execution] = polycall.executions.ListExecutions(listing, metadata=polycall.metadata).executions
    cancel = execution_service_pb2.CancelExecutionRequest(name=execution.name)
    polycall.executions.CancelExecution(cancel, metadata=polycall.metadata)
    ended = cognite.ended(call)
    assert ended["status"] == "Failed"
    assert ended["error"] == {"trace": "", "message": "The execution was cancelled."}
    assert cognite.logs(ended) == ["started"]


def test_a_log_entry_is_a_line_with_its_time_in_ms(cognite: Cognite) -> None:
    source = (
        "import logging, sys\n\n"
        "def handle():\n"
        "    print('one\\ntwo', flush=True)\n"
        "    print('no end', end='', flush=True)\n"
        "    logging.warning('watch out')\n"
    )
    call = cognite.run(cognite.deploy(source))
    answer = cognite.get(f"functions/{call['functionId']}/calls/{call['id']}/logs").json()
    assert set(answer) == {"items"}
    assert {frozenset(entry) for entry in answer["items"]} == {frozenset({"timestamp", "message"})}
    assert all(call["startTime"] <= entry["timestamp"] <= call["endTime"] for entry in answer["items"])
    messages = [entry["message"] for entry in answer["items"]]
    assert sorted(messages) == ["WARNING:root:watch out", "no end", "one", "two"]
    assert messages.index("one") < messages.index("two") < messages.index("no end")


def test_one_call_never_sees_another(cognite: Cognite) -> None:
    source = (
        "import os\n\nseen = []\n\n"
        "def handle(data):\n"
        "    seen.append(data['n'])\n"
        "    os.environ['LEFT'] = 'behind'\n"
        "    return [seen, os.path.exists('file'), open('file', 'w').close()]\n"
    )
    function = cognite.deploy(source)
    assert [cognite.result(cognite.run(function, b'{"n":%d}' % n)) for n in range(3)] == [
        [[0], False, None],
        [[1], False, None],
        [[2], False, None],
    ]


# sessions


def test_a_session_has_a_nonce_for_one_call(cognite: Cognite) -> None:
    for item, shown in (
        ({"tokenExchange": True}, {"type": "TOKEN_EXCHANGE"}),
        ({"oneshotTokenExchange": True}, {"type": "ONESHOT_TOKEN_EXCHANGE"}),
        ({"clientId": "me", "clientSecret": cognite.key}, {"type": "CLIENT_CREDENTIALS", "clientId": "me"}),
    ):
        answer = cognite.post("sessions", {"items": [item]})
        [created] = answer.json()["items"]
        assert answer.status == 200
        assert type(created["id"]) is int
        assert created == {"id": created["id"], "status": "READY", "nonce": created["nonce"]} | shown
        call = {"data": {}, "nonce": created["nonce"]}
        first = cognite.post(f"functions/{cognite.echo}/call", call)
        second = cognite.post(f"functions/{cognite.echo}/call", call)
        assert (first.status, second.status) == (201, 400)
        assert second.body == b'{"error":{"code":400,"message":"Failed to bind nonce with session"}}'
        cognite.ended(first.json())


def test_an_operator_may_do_without_sessions(little: Server) -> None:
    caller = Cognite(little, little.key)
    function = caller.deploy(ECHO)
    answers = [caller.post(f"functions/{function}/call", {"nonce": nonce}) for nonce in ("any", "any", "", None)]
    assert [answer.status for answer in answers] == [201, 201, 400, 400]
    for answer in answers[:2]:
        assert caller.ended(answer.json())["status"] == "Completed"


# functions


def test_a_function_is_shown_with_all_that_the_sdk_reads(cognite: Cognite) -> None:
    function = cognite.deploy(
        {"my_functions/__init__.py": "", "my_functions/handler.py": ECHO},
        entrypoint="my_functions.handler:handle",
        env={"A": "b"},
    )
    cognite.run(function)
    shown = cognite.get(f"functions/{function}").json()
    runtime = cognite.result(cognite.run(cognite.deploy("import sys\ndef handle(): return sys.version_info[:3]")))
    assert shown == {
        "id": function,
        "createdTime": shown["createdTime"],
        "status": "Ready",
        "name": str(function),
        "fileId": 0,
        "functionPath": "my_functions/handler.py",
        "cpu": 1.0,
        "memory": 1.5,
        "runtime": f"py{runtime[0]}{runtime[1]}",
        "runtimeVersion": f"Python {runtime[0]}.{runtime[1]}.{runtime[2]}",
        "envVars": {"A": "b"},
        "lastCalled": shown["lastCalled"],
    }
    assert time.time() * 1000 - 600_000 < shown["createdTime"] <= shown["lastCalled"] <= now_ms()
    assert cognite.post("functions/byids", {"items": [{"id": function}]}).json() == {"items": [shown]}


def _memory(mib: int) -> execution_pb2.Limits:
    return execution_pb2.Limits(memory_mib=mib)


def test_numbers_are_numbers_on_the_wire(cognite: Cognite) -> None:
    body = cognite.get(f"functions/{cognite.echo}").body
    assert json.loads(body, parse_float=str)["memory"] == "1.5"
    assert b'"id":%d,' % cognite.echo in body


def test_no_call_is_refused_for_want_of_a_slot(cognite: Cognite) -> None:
    function = cognite.deploy("import time\n\ndef handle(data):\n    time.sleep(0.05)\n    return data['n']\n")
    calls = [cognite.call(function, b'{"n":%d}' % number) for number in range(20)]  # 201, each of them
    assert [cognite.result(cognite.ended(call)) for call in calls] == list(range(20))
