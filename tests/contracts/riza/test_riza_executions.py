"""What was run, as it is shown afterwards: at once, with its request and its answer, page by page."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import rizaio
from rizaio import AsyncRiza
from rizaio import Riza as Client

from polycall.ids import from_ulid, new_id, to_ulid
from polycall.v1 import execution_service_pb2, tenancy_service_pb2
from tests.contracts.riza.driver import ECHO, Result, Riza, ScriptResult
from tests.harness import until

AUTH = {
    "basic": {"user_id": "me", "password": "hunter-2"},
    "bearer": {"token": "hunter-2"},
    "header": {"name": "X-Key", "value": "hunter-2"},
    "query": {"key": "api_key", "value": "hunter-2"},
}
MASKED = {
    "basic": {"user_id": "me", "password": "***"},
    "bearer": {"token": "***"},
    "header": {"name": "X-Key", "value": "***"},
    "query": {"key": "api_key", "value": "***"},
}


def test_a_function_is_shown_with_its_request_and_its_answer_at_once(client: Client) -> None:
    ran = client.command.exec_func(
        code="print('out')\ndef execute(input): return {'n': input['n'], 'big': 2**60 + 1}",
        language="PYTHON",  # type: ignore[arg-type]
        input={"n": 1.5},
        env={"A": "b"},
        files=[{"path": "f", "contents": "c"}],
        limits={"execution_timeout": 5},
        http={"allow": [{"host": "example.com", "auth": AUTH}]},  # type: ignore[arg-type]
    )
    shown = client.executions.get(ran.execution.id)
    assert (shown.id, shown.exit_code, shown.language) == (ran.execution.id, 0, "python")
    assert shown.duration == ran.execution.duration
    assert abs(datetime.now(UTC) - shown.started_at) < timedelta(minutes=2)
    assert shown.details is not None
    assert shown.details.type == "function"
    assert shown.details.response.to_dict() == ran.to_dict()
    assert shown.details.request.to_dict() == {
        "code": "print('out')\ndef execute(input): return {'n': input['n'], 'big': 2**60 + 1}",
        "language": "python",
        "input": {"n": 1.5},
        "env": {"A": "b"},
        "files": [{"path": "f", "contents": "c"}],
        "limits": {"execution_timeout": 5},
        "http": {"allow": [{"host": "example.com", "auth": MASKED}]},
    }


def test_an_execution_is_shown_for_thirty_days(newcomer: Callable[[], Riza]) -> None:
    """As the contract says; the server keeps it for longer."""
    alone = newcomer()
    older, old, young = [alone.run(ECHO, input=age).id for age in (31, 30, 29)]
    (database,) = alone.server.data_dir.glob("polycall.db")
    until(lambda: len(alone.get("/v1/executions")["data"]) == 3, what="the records")
    with sqlite3.connect(database, timeout=30) as connection:
        for execution_id, days in ((older, 31), (old, 30), (young, 29)):
            ran = from_ulid(execution_id)
            assert ran is not None
            connection.execute(
                "UPDATE executions SET queued_at = queued_at - ? WHERE id = ?", (days * 86_400_000, ran.hex)
            )
    connection.close()
    assert [shown["id"] for shown in alone.get("/v1/executions")["data"]] == [young]
    assert alone.get(f"/v1/executions/{young}")["id"] == young
    for gone in (older, old):
        assert alone.refused(alone.ask("GET", f"/v1/executions/{gone}"))[:2] == (404, 5)


def test_a_script_is_shown_with_what_older_clients_say_translated(alone: Riza) -> None:
    ran = alone.script(
        "import sys; print(input()); sys.exit(3)",
        language="PYTHON",
        stdin="x",
        args=["a"],
        allow_http_hosts=["example.com"],
    )
    assert ran.exit_code == 3
    shown = alone.get(f"/v1/executions/{ran.id}")
    assert list(shown) == ["id", "duration", "exit_code", "language", "started_at", "details"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", shown["started_at"])
    assert shown["details"] == {
        "type": "script",
        "request": {
            "code": "import sys; print(input()); sys.exit(3)",
            "language": "python",
            "http": {"allow": [{"host": "example.com"}]},
            "args": ["a"],
            "stdin": "x",
        },
        "response": {"id": ran.id, "exit_code": 3, "stdout": "x\n", "stderr": "", "duration": ran.duration},
    }


@pytest.mark.parametrize("code", ["def execute(input): 1/0", "def execute(input): return {1}", "nonsense("])
def test_what_failed_is_shown_as_it_was_answered(alone: Riza, code: str) -> None:
    ran = alone.run(code)
    response = alone.get(f"/v1/executions/{ran.id}")["details"]["response"]
    assert (response["output_status"], response["execution"]["stderr"]) == (ran.status, ran.stderr)
    assert list(response) == ["output", "output_status", "execution"]


def test_an_execution_that_is_unknown_or_not_ours_is_not_found(alone: Riza, strict: Client, riza: Riza) -> None:
    foreign = riza.run().id
    native = riza.server.executions.Execute(
        execution_service_pb2.ExecuteRequest(code=ECHO), metadata=[("authorization", f"Bearer {alone.key}")]
    ).name.rpartition("/")[2]
    for unknown in (foreign, native, to_ulid(new_id()), "x", "..%2Fx", "é" * 100, "0" * 26):
        status, code, _ = alone.refused(alone.ask("GET", f"/v1/executions/{unknown.replace('é', '%C3%A9')}"))
        assert (status, code) == (404, 5), unknown
    with pytest.raises(rizaio.NotFoundError) as missing:
        strict.executions.get(foreign)
    assert missing.value.body == {"code": 5, "message": f"There is no execution {foreign!r} in this project."}


def test_every_execution_is_listed_once_to_the_end_while_others_are_added(newcomer: Callable[[], Riza]) -> None:
    mine = newcomer()
    made = [mine.run(input=number).id for number in range(5)]
    with Client(api_key=mine.key, base_url=mine.server.rest, _strict_response_validation=True) as client:
        seen = []
        for shown in client.executions.list(limit=2):
            seen.append(shown.id)
            assert shown.details is not None
            assert shown.details.type == "function"
            mine.run()
        assert seen == list(reversed(made))
        assert len(list(client.executions.list())) == 10


def test_the_asynchronous_client_comes_to_the_end_too(newcomer: Callable[[], Riza]) -> None:
    mine = newcomer()
    made = [mine.run(input=number).id for number in range(3)]

    async def walk() -> list[str]:
        async with AsyncRiza(api_key=mine.key, base_url=mine.server.rest) as client:
            return [shown.id async for shown in client.executions.list(limit=1)]

    assert asyncio.run(walk()) == list(reversed(made))


def test_those_that_failed_can_be_listed_alone(newcomer: Callable[[], Riza]) -> None:
    mine = newcomer()
    mine.run()
    raised = mine.run("def execute(input): raise ValueError")
    assert mine.run("def execute(input): return {1}").ending == ("json_serialization_error", 0)
    left = mine.run("import sys\ndef execute(input): sys.exit(0)")
    assert left.ending == ("error", 0)
    late = mine.run("def execute(input):\n  while True: pass", limits={"execution_timeout": 1})
    script = mine.script("raise SystemExit(4)")
    with Client(api_key=mine.key, base_url=mine.server.rest, _strict_response_validation=True) as client:
        found = list(client.executions.list(only_non_zero_exit_codes=True, limit=1))
        assert [(each.id, each.exit_code) for each in found] == [(script.id, 4), (late.id, 124), (raised.id, 1)]
        assert len(list(client.executions.list(only_non_zero_exit_codes=False))) == 6


def test_a_page_begins_after_an_id_whatever_it_is_of(newcomer: Callable[[], Riza]) -> None:
    mine = newcomer()
    first = mine.run().id
    between = to_ulid(new_id())
    time.sleep(0.002)  # ids of one millisecond have no order
    second = mine.run().id

    def ids(query: str) -> list[str]:
        return [each["id"] for each in mine.get(f"/v1/executions?{query}")["data"]]

    assert ids("") == ids("limit=0") == ids("limit=1000") == ids("starting_after=&surprise=1") == [second, first]
    assert ids(f"starting_after={second}") == [first]
    assert ids(f"starting_after={between}") == ids(f"starting_after={between.lower()}") == [first]
    assert ids(f"starting_after={first}") == []
    for nowhere in ("x", "%00", "%C3%A9", "Z" * 26):
        assert ids(f"starting_after={nowhere}") == []
    assert ids("limit=1&limit=2") == [second, first]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("limit=-1", "limit: must be 1 to 100, or 0 for 100"),
        ("limit=1.5", "limit: must be 1 to 100, or 0 for 100"),
        ("limit=many", "limit: must be 1 to 100, or 0 for 100"),
        (f"limit={'9' * 5000}", "limit: must be 1 to 100, or 0 for 100"),
        ("only_non_zero_exit_codes=yes", "only_non_zero_exit_codes: must be true or false"),
        ("starting_after=%FF", "the query cannot be read"),
        ("&".join(f"a{number}=" for number in range(101)), "the query cannot be read"),
    ],
    ids=lambda value: value[:30],
)
def test_a_query_that_cannot_be_meant_is_refused(alone: Riza, query: str, message: str) -> None:
    assert alone.refused(alone.ask("GET", f"/v1/executions?{query}")) == (400, 3, message)


def test_a_page_ends_where_it_is_large_and_nothing_is_lost(newcomer: Callable[[], Riza]) -> None:
    mine = newcomer()
    code = "print('x' * (9 << 20))\ndef execute(input): pass"
    made = [mine.run(code).id for _ in range(3)]
    assert [each["id"] for each in mine.get("/v1/executions")["data"]] == made[:1:-1]
    with Client(api_key=mine.key, base_url=mine.server.rest) as client:
        assert [each.id for each in client.executions.list()] == list(reversed(made))


def test_a_key_needs_the_scope_to_read_and_none_is_unauthenticated(alone: Riza) -> None:
    run_only = alone.server.new_key(scopes=[tenancy_service_pb2.ApiKey.SCOPE_RUN])
    for path in ("/v1/executions", f"/v1/executions/{to_ulid(new_id())}"):
        assert alone.refused(alone.ask("GET", path, key=run_only))[:2] == (403, 7)
        assert alone.refused(alone.ask("GET", path, key="")) == (401, 16, "unauthenticated")
        assert alone.refused(alone.ask("DELETE", path))[:2] == (405, 12)


def test_the_database_has_neither_code_nor_environment_in_clear(riza: Riza) -> None:
    word = "never-in-clear-9d2f"
    ran = riza.run(f"def execute(input): return None  # {word}", env={"KEY": word}, input=word)
    assert Result.of(riza.post(code=ECHO)).ending == ("valid", 0)
    assert isinstance(riza.script("pass"), ScriptResult)
    assert riza.get(f"/v1/executions/{ran.id}")["details"]["request"]["env"] == {"KEY": word}
    assert riza.get("/v1/executions?limit=1")  # writes what was recorded
    (database,) = riza.server.data_dir.glob("polycall.db")
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        kept = connection.execute("SELECT face_data, sealed FROM executions WHERE face = 'riza'").fetchall()
    assert kept
    assert not any(word.encode() in row or word in sealed for row, sealed in kept)
