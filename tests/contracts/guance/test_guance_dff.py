"""What scripts find in ``DFF``: values that are kept, functions that are started, responses that leave as they say."""

from __future__ import annotations

import base64
import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from polycall.v1.tenancy_service_pb2 import ApiKey, RevokeApiKeyRequest
from tests.contracts.guance.driver import Guance
from tests.contracts.guance.studio import Studio, new_studio, signed_in
from tests.harness import Server, until

KEEPER = """
@DFF.API("Evaluate", timeout=60)
def run(expression):
    return eval(expression)


@DFF.API("Steps", timeout=60)
def steps(expressions):
    return [eval(expression) for expression in expressions]


@DFF.API("Put")
def put(key, value):
    DFF.STORE.set(key, value)


@DFF.API("Again", timeout=60)
def again(key):
    DFF.FUNC("tests__keeper.again", {"key": key})


@DFF.API("Responds")
def respond(**how):
    return DFF.RESP(**how)


@DFF.API("Redirects")
def redirect(url):
    return DFF.REDIRECT(url)


@DFF.API("Gives a file")
def file():
    with open("report.csv", "w") as stream:
        stream.write("a,b\\n")
    return DFF.RESP_FILE("report.csv")
"""


@pytest.fixture(scope="module")
def keeper(studio: Studio) -> Studio:
    """The same script in two projects."""
    studio.published("tests__keeper", KEEPER)
    return studio


@pytest.fixture
def name() -> str:
    """A key of nobody else."""
    return uuid.uuid4().hex


def run(studio: Studio, expression: str) -> Any:
    return studio.call("tests__keeper.run", expression=expression)


def steps(studio: Studio, *expressions: str) -> Any:
    return studio.call("tests__keeper.steps", expressions=list(expressions))


def failure(studio: Studio, expression: str, **options: Any) -> str:
    body = {"kwargs": {"expression": expression}, **({"options": options} if options else {})}
    found = studio.bad("POST", "func/tests__keeper.run", body)
    assert (found["error"], found["reason"]) == (599.3, "EFuncFailed")
    return str(found["detail"]["einfoTEXT"])


# STORE


def test_store_keeps_values_from_call_to_call(keeper: Studio, name: str) -> None:
    value = {"n": 2**70, "x": 1.5, "list": [None, True, "\u00e9"]}
    run(keeper, f"DFF.STORE.set({name!r}, {value!r})")
    assert run(keeper, f"DFF.STORE.get({name!r}) == {value!r}") is True
    assert run(keeper, f"DFF.STORE({name!r})") == value
    run(keeper, f"DFF.STORE.delete({name!r})")
    assert run(keeper, f"DFF.STORE.get({name!r})") is None


def test_store_and_cache_of_another_project_are_others(keeper: Studio, elsewhere: Studio, name: str) -> None:
    elsewhere.published("tests__keeper", KEEPER)
    steps(keeper, f"DFF.STORE.set({name!r}, 1)", f"DFF.CACHE.set({name!r}, 1)")
    assert steps(elsewhere, f"DFF.STORE.get({name!r})", f"DFF.CACHE.get({name!r})", "DFF.STORE.keys()") == [
        None,
        None,
        [],
    ]
    steps(elsewhere, f"DFF.STORE.set({name!r}, 2)", f"DFF.CACHE.set({name!r}, 2)")
    assert steps(keeper, f"DFF.STORE.get({name!r})", f"DFF.CACHE.get({name!r})") == [1, "1"]


def test_scopes_are_apart_and_a_script_has_its_own(keeper: Studio, name: str) -> None:
    keeper.good("POST", "scripts/do/add", {"data": {"id": f"tests__{name}", "codeDraft": KEEPER}})
    keeper.publish(f"tests__{name}")
    steps(keeper, f"DFF.STORE.set('k', {name!r})", f"DFF.STORE.set('k', 's', scope={name!r})")
    assert keeper.call(f"tests__{name}.run", expression="DFF.STORE.get('k')") is None
    assert keeper.call(f"tests__{name}.run", expression="DFF.STORE.get('k', scope='tests__keeper')") == name
    assert keeper.call(f"tests__{name}.run", expression=f"DFF.STORE.get('k', scope={name!r})") == "s"


def test_store_in_all_its_ways(keeper: Studio, name: str) -> None:
    found = steps(
        keeper,
        f"DFF.STORE.mset({{'a1': 1, 'a2': [2], 'b': None}}, scope={name!r})",
        f"DFF.STORE.mget(['a1', 'b', 'z'], scope={name!r})",
        f"DFF.STORE.keys('a*', scope={name!r})",
        f"DFF.STORE.getall(scope={name!r})",
        f"DFF.STORE.get_pattern('a?', scope={name!r})",
        f"DFF.STORE.set('a1', 9, scope={name!r}, not_exists=True)",
        f"DFF.STORE.get('a1', scope={name!r})",
        f"[DFF.STORE.has('b', scope={name!r}), DFF.STORE.has('z', scope={name!r})]",
        f"DFF.STORE.delete(['a1', 'a2'], scope={name!r})",
        f"DFF.STORE.keys(scope={name!r})",
    )
    assert found == [
        *(None, {"a1": 1, "b": None}, ["a1", "a2"], {"a1": 1, "a2": [2], "b": None}, {"a1": 1, "a2": [2]}),
        *(None, 1, [True, False], None, ["b"]),
    ]


def test_what_is_kept_for_a_while_goes(keeper: Studio, name: str) -> None:
    steps(keeper, f"DFF.STORE.set({name!r}, 1, expires=0.2)", f"DFF.CACHE.set({name!r}, 1, expires=0.2)")
    until(lambda: steps(keeper, f"DFF.STORE.get({name!r})", f"DFF.CACHE.get({name!r})") == [None, None], what="the end")


# CACHE


@pytest.mark.parametrize(
    ("does", "gives"),
    [
        (
            ["set(K, 'x')", "get(K)", "type(K)", "exists(K)", "delete(K)", "exists(K)", "type(K)"],
            [True, "x", "string", True, 1, False, "none"],
        ),
        (
            ["set(K, 1.5)", "set(K, 2, not_exists=True)", "get(K)", "getset(K, 'y')", "get(K)"],
            [True, None, "1.5", "1.5", "y"],
        ),
        (["set(K, 1, exists=True)", "get(K)"], [None, None]),
        (["incr(K)", "incr(K, 5)", "incrby(K, -2)", "get(K)"], [1, 6, 4, "4"]),
        (
            [
                "ttl(K)",
                "set(K, 1)",
                "ttl(K)",
                "expire(K, 100)",
                "ttl(K)",
                "set(K, 1, expires=50)",
                "ttl(K)",
                "pttl(K) > 49000",
            ],
            [-2, True, -1, True, 100, True, 50, True],
        ),
        (["set(K, 1)", "expire(K, 0)", "get(K)", "expire(K, 5)"], [True, True, None, False]),
        (
            [
                "hset(K, 'a', 1)",
                "hset(K, 'a', 2)",
                "hset(K, 'a', 3, not_exists=True)",
                "hsetnx(K, 'b', 4)",
                "hget(K, 'a')",
                "hget(K)",
                "hmget(K, ['a', 'z'])",
                "hkeys(K)",
                "hkeys(K, 'a*', with_values=True)",
            ],
            [1, 0, 0, 1, "2", {"a": "2", "b": "4"}, {"a": "2", "z": None}, ["a", "b"], {"a": "2"}],
        ),
        (
            [
                "hmset(K, {'a': 1, 'b': 2})",
                "hincr(K, 'a')",
                "hincrby(K, 'a', 5)",
                "hgetall(K)",
                "hdel(K, 'a')",
                "hdel(K, ['b', 'z'])",
                "type(K)",
            ],
            [True, 2, 7, {"a": "7", "b": "2"}, 1, 1, "none"],
        ),
        (
            [
                "rpush(K, ['a', 'b'])",
                "lpush(K, 'c')",
                "llen(K)",
                "lrange(K)",
                "lrange(K, 1, 1)",
                "lrange(K, -2)",
                "lpop(K)",
                "rpop(K)",
                "lrange(K)",
                "ltrim(K, 1, 0)",
                "rpop(K)",
                "type(K)",
            ],
            [2, 3, 3, ["c", "a", "b"], ["a"], ["a", "b"], "c", "b", ["a"], True, None, "none"],
        ),
        (
            [
                "rpush(K, ['a', 'b'])",
                "rpoplpush(K)",
                "lrange(K)",
                "rpoplpush(K, K + '2')",
                "lrange(K)",
                "lrange(K + '2')",
            ],
            [2, "b", ["b", "a"], "a", ["b"], ["a"]],
        ),
        (
            [
                "sadd(K, ['a', 'b', 'a'])",
                "sadd(K, 'a')",
                "scard(K)",
                "sorted(DFF.cache.smembers(K))",
                "sismember(K, 'a')",
                "srem(K, 'a')",
                "sismember(K, 'a')",
            ],
            [2, 0, 2, ["a", "b"], True, 1, False],
        ),
        (
            [
                "mset({K + '1': 1, K + '2': 'x'})",
                "mget([K + '1', K + '3'])",
                "keys(K + '*')",
                "get_pattern(K + '*')",
                "delete_pattern(K + '*')",
            ],
            [True, {"K1": "1", "K3": None}, ["K1", "K2"], {"K1": "1", "K2": "x"}, 2],
        ),
    ],
)
def test_cache_in_the_manner_of_redis(keeper: Studio, name: str, does: list[str], gives: list[Any]) -> None:
    calls = [one if one.startswith("sorted") else f"DFF.cache.{one}" for one in does]  # lower case is as good
    found = steps(keeper, *(call.replace("K", repr(name)) for call in calls))
    assert json.loads(json.dumps(found).replace(name, "K")) == gives


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        (
            "DFF.CACHE.set('k', {})",
            "redis.exceptions.DataError: "
            "Invalid input of type: 'dict'. Convert to a bytes, string, int or float first.",
        ),
        (
            "[DFF.CACHE.set('w', 1), DFF.CACHE.lpush('w', 1)]",
            "redis.exceptions.ResponseError: WRONGTYPE Operation against a key holding the wrong kind of value",
        ),
        (
            "[DFF.CACHE.set('w', 'x'), DFF.CACHE.incr('w')]",
            "redis.exceptions.ResponseError: value is not an integer or out of range",
        ),
        ("DFF.CACHE.set('w', 1, expires=-1)", "redis.exceptions.ResponseError: invalid expire time"),
        ("DFF.STORE.set('k' * 600, 1)", "Exception: key: must have 1 to 512 characters"),
        ("DFF.STORE.set('', 1)", "Exception: key: must have 1 to 512 characters"),
        (
            "DFF.STORE.set('k', 1, scope='s' * 257)",
            "Exception: `scope` is too long. Length of `scope` should be less then 256",
        ),
        (
            "DFF.STORE.set('k', 'x' * (256 << 10))",
            "Exception: value: has 262146 bytes as JSON; at most 262144 are kept",
        ),
        ("DFF.STORE.set('k', 1, expires=-1)", "Exception: `expires` should be a positive number of seconds"),
        ("DFF.FUNC('tests__nothing.f')", "worker.tasks.func.EntityNotFound: Function not found: `tests__nothing.f`"),
        (
            "DFF.FUNC('tests__keeper.run', kwargs=[1])",
            "TypeError: cannot convert dictionary update sequence element #0 to a sequence",
        ),
        ("DFF.CONN('x')", "NotImplementedError: DFF.CONN is not available on this server"),
    ],
)
def test_what_cannot_be_kept_or_started_says_so(keeper: Studio, expression: str, text: str) -> None:
    assert failure(keeper, expression) == text


def test_counters_count_however_many_count_at_once(keeper: Studio, name: str) -> None:
    body = {"kwargs": {"expression": f"DFF.CACHE.incr({name!r})"}, "options": {"execMode": "async"}}
    for _ in range(10):
        keeper.good("POST", "func/tests__keeper.run", body)
    until(lambda: run(keeper, f"DFF.CACHE.get({name!r})") == "10", what="ten calls", seconds=60)


def test_a_run_asks_so_often_and_no_more(keeper: Studio) -> None:
    text = failure(keeper, "[DFF.STORE.get('k') for _ in range(1001)]", apiTimeout=30)
    assert text == "Exception: a run may ask the server 1000 times, and for 32 MiB in all"


# FUNC


def test_func_starts_another_function(keeper: Studio, name: str) -> None:
    assert run(keeper, f"DFF.FUNC('tests__keeper.put', kwargs={{'key': {name!r}, 'value': [1.5]}})") is None
    until(lambda: run(keeper, f"DFF.STORE.get({name!r})") == [1.5], what="the other function", seconds=30)


def test_a_function_does_not_start_itself(keeper: Studio, name: str) -> None:
    found = keeper.bad("POST", "func/tests__keeper.again", {"kwargs": {"key": name}})
    assert found["detail"]["einfoTEXT"] == (
        "worker.tasks.func.FuncCircularCall: `tests__keeper.again` -> [tests__keeper.again]"
    )


def test_functions_start_each_other_five_times_at_most(keeper: Studio) -> None:
    for n in range(1, 8):
        code = f"@DFF.API('c')\ndef go():\n    DFF.STORE.set('{n}', 1, scope='chain')\n"
        code += f"    DFF.FUNC('tests__chain{n + 1}.go')\n"
        keeper.published(f"tests__chain{n}", code)
    keeper.call("tests__chain1.go")
    until(lambda: run(keeper, "DFF.STORE.keys(scope='chain')") == ["1", "2", "3", "4", "5"], what="five", seconds=30)
    task = keeper.good("POST", "func/tests__chain5.go", {"options": {"execMode": "async", "saveResult": True}})[
        "taskId"
    ]
    assert task.startswith("task-")  # by itself it may: a chain begins with whoever calls
    until(lambda: "6" in run(keeper, "DFF.STORE.keys(scope='chain')"), what="the sixth", seconds=30)


# what leaves as it says


def linked(studio: Studio, function: str, **data: Any) -> str:
    body = {"data": {"funcId": f"tests__keeper.{function}", "funcCallKwargsJSON": {}, **data}}
    return str(studio.good("POST", "auth-links/do/add", body)["id"])


def test_an_auth_link_lets_in_whoever_knows_it(keeper: Studio) -> None:
    link = linked(keeper, "run", funcCallKwargsJSON={"expression": "INPUT_BY_CALLER"})
    answer = keeper.ask("POST", f"al/{link}", {"kwargs": {"expression": "1 + 1"}}, headers={})
    assert (answer.status, answer.json()["data"]) == (200, {"result": 2})
    answer = keeper.ask("GET", f"al/{link}?kwargs=%7B%22expression%22%3A%222%2B2%22%7D", headers={})
    assert answer.json()["data"] == {"result": 4}


def test_arguments_of_a_link_are_its_own(keeper: Studio) -> None:
    link = linked(keeper, "run", funcCallKwargsJSON={"expression": "6 * 7"})
    assert keeper.ask("POST", f"al/{link}", headers={}).json()["data"] == {"result": 42}
    found = keeper.bad("POST", f"al/{link}", {"kwargs": {"expression": "DFF.STORE.keys()"}}, headers={})
    assert (found["error"], found["detail"]) == (400.43, {"message": "Found unexpected field `expression`"})


def test_a_link_ends_with_the_key_that_made_it_or_changed_it_last(keeper: Studio) -> None:
    link = linked(keeper, "run", funcCallKwargsJSON={"expression": "1"})
    project = base64.urlsafe_b64decode(link.split("-")[1] + "==").decode()
    key = keeper.server.new_key(project=project, scopes=[ApiKey.SCOPE_DEPLOY, ApiKey.SCOPE_RUN])
    modify = f"auth-links/{link}/do/modify"
    signed_in(keeper.server, key).good("POST", modify, {"data": {"note": "theirs"}})
    assert keeper.ask("POST", f"al/{link}", headers={}).json()["data"] == {"result": 1}
    keeper.server.tenancy.RevokeApiKey(
        RevokeApiKeyRequest(name=f"apiKeys/{key.split('_')[1]}", project=f"projects/{project}"),
        metadata=keeper.server.metadata,
    )
    found = keeper.bad("POST", f"al/{link}", {}, headers={})
    assert (found["error"], found["reason"]) == (403.21, "EBizCondition.AuthLinkExpired")
    keeper.good("POST", modify, {"data": {"note": "mine"}})
    assert keeper.ask("POST", f"al/{link}", headers={}).json()["data"] == {"result": 1}


def test_a_key_that_may_not_run_makes_no_link_and_takes_none_over(keeper: Studio) -> None:
    link = linked(keeper, "run", funcCallKwargsJSON={"expression": "1"})
    project = base64.urlsafe_b64decode(link.split("-")[1] + "==").decode()
    key = keeper.server.new_key(project=project, scopes=[ApiKey.SCOPE_DEPLOY, ApiKey.SCOPE_READ])
    theirs = signed_in(keeper.server, key)
    data = {"funcId": "tests__keeper.run", "funcCallKwargsJSON": {"expression": "2"}}
    for path in ("auth-links/do/add", f"auth-links/{link}/do/modify"):
        refused = theirs.bad("POST", path, {"data": data})
        assert (refused["error"], refused["message"].split(";")[0]) == (401.15, "This API key lacks the scope `run`")
    assert keeper.ask("POST", f"al/{link}", headers={}).json()["data"] == {"result": 1}


def test_a_link_that_ended_lets_nobody_in(keeper: Studio) -> None:
    link = linked(keeper, "run", funcCallKwargsJSON={"expression": "1"}, note="n", tagsJSON=["t"])
    (shown,) = keeper.good("GET", f"auth-links/do/list?id={link}")
    assert (shown["funcId"], shown["note"], shown["tagsJSON"], shown["isDisabled"]) == (
        "tests__keeper.run",
        "n",
        ["t"],
        False,
    )
    modify = f"auth-links/{link}/do/modify"
    assert keeper.good("POST", modify, {"data": {"isDisabled": True}}) == {"id": link}
    assert keeper.bad("POST", f"al/{link}", {}, headers={})["reason"] == "EBizCondition.AuthLinkDisabled"
    past = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    keeper.good("POST", modify, {"data": {"isDisabled": False, "expireTime": past}})
    assert keeper.bad("POST", f"al/{link}", {}, headers={})["reason"] == "EBizCondition.AuthLinkExpired"
    keeper.good("GET", f"auth-links/{link}/do/delete")
    for given in (link, "auln-x-y", "auln-ZGVmYXVsdA-" + "x" * 24, "x"):
        found = keeper.bad("POST", f"al/{given}", {}, headers={})
        assert (found["error"], found["message"]) == (404.41, "No such Auth Link")


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ({}, 400.43),
        ({"funcId": "tests__nothing.f"}, 404.41),
        ({"funcId": "tests__keeper.run", "funcCallKwargsJSON": [1]}, 400.43),
        ({"funcId": "tests__keeper.run", "throttlingJSON": {"bySecond": 1}}, 400.44),
        ({"funcId": "tests__keeper.run", "expireTime": "soon"}, 400.43),
        ({"funcId": "tests__keeper.run", "colour": "red"}, 400.43),
    ],
)
def test_a_link_that_cannot_be_is_refused(keeper: Studio, data: Any, error: float) -> None:
    assert keeper.bad("POST", "auth-links/do/add", {"data": data})["error"] == error


def test_a_response_leaves_a_link_as_it_says(keeper: Studio) -> None:
    how = {
        "data": "<b>hi</b>",
        "status_code": 201,
        "content_type": "html",
        "headers": {"X-Mine": "1", "Set-Cookie": "a=b"},
    }
    link = linked(keeper, "respond", funcCallKwargsJSON=how)
    answer = keeper.ask("GET", f"al/{link}", headers={})
    assert (answer.status, answer.body) == (201, b"<b>hi</b>")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["x-mine"] == "1"
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "spoiled",
    [
        "{}",
        "{'raw': 1}",
        "{'raw': 1, '_responseControl': 5}",
        "{'raw': 1, '_responseControl': {'fileBase64': '!'}}",
    ],
)
def test_a_script_that_plays_with_its_adapter_spoils_its_own_result(keeper: Studio, spoiled: str) -> None:
    code = (
        "import gc, json\n"
        "@DFF.API('x')\n"
        "def spoil():\n"
        "    for each in gc.get_objects():\n"
        "        if isinstance(each, dict) and callable(each.get('encode')) and 'DFF' in each:\n"
        f"            each['encode'] = lambda value, options: json.dumps({spoiled})\n"
    )
    keeper.good("POST", "scripts/do/add", {"data": {"id": "tests__spoiled", "codeDraft": code}})
    keeper.publish("tests__spoiled")
    link = keeper.good(
        "POST", "auth-links/do/add", {"data": {"funcId": "tests__spoiled.spoil", "funcCallKwargsJSON": {}}}
    )
    answer = keeper.ask("GET", f"al/{link['id']}", headers={})
    assert (answer.status, answer.json()["error"], answer.json()["reason"]) == (599, 599.4, "EFuncResultParsingFailed")
    keeper.good("GET", "scripts/tests__spoiled/do/delete")


def test_a_response_without_a_body_has_none(keeper: Studio) -> None:
    link = linked(keeper, "respond", funcCallKwargsJSON={"data": "x", "status_code": 204})
    answer = keeper.ask("GET", f"al/{link}", headers={})
    assert (answer.status, answer.body) == (204, b"")


def test_a_redirect_and_a_file_leave_a_link(keeper: Studio) -> None:
    answer = keeper.ask("GET", f"al/{linked(keeper, 'redirect', funcCallKwargsJSON={'url': 'http://x/y'})}", headers={})
    assert (answer.status, answer.headers["location"]) == (302, "http://x/y")
    answer = keeper.ask("GET", f"al/{linked(keeper, 'file')}", headers={})
    assert (answer.status, answer.body) == (200, b"a,b\n")
    assert answer.headers["content-disposition"] == "attachment"


def test_elsewhere_a_response_is_its_value(keeper: Studio, caller: Guance) -> None:
    body = {"kwargs": {"data": [1], "status_code": 404}, "options": {"returnType": "ALL"}}
    result = caller.execute("tests__keeper.respond", body)["data"]["result"]
    assert (result["raw"], result["_responseControl"]["statusCode"]) == ([1], 404)
    assert keeper.call("tests__keeper.respond", data={"a": 1.0}) == {"a": 1}


# results for later


def test_a_saved_result_is_there_for_later_in_any_form(keeper: Studio, caller: Guance) -> None:
    body = {"kwargs": {"expression": "[1.0, 2**70]"}, "options": {"execMode": "async", "saveResult": True}}
    task = caller.execute("tests__keeper.run", body)["data"]["taskId"]

    def answered() -> Any:
        answer = keeper.ask("GET", f"func-result?taskId={task}")
        assert answer.status in (200, 599)
        if answer.status == 599:
            assert (answer.json()["error"], answer.json()["reason"]) == (599.1, "EAPITimeout")
        return answer.status == 200 and answer.json()["data"]["result"]

    assert until(answered, what="the result", seconds=30) == [1, 2**70]
    for form, result in (("repr", f"[1.0, {2**70}]"), ("jsonDumps", f"[1.0,{2**70}]")):
        assert keeper.good("GET", f"func-result?taskId={task}&returnType={form}") == {"result": result}
    assert keeper.good("GET", f"func-result?taskId={task}&returnType=ALL")["result"]["raw"] == [1, 2**70]
    assert keeper.ask("GET", f"func-result?taskId={task}&unfold=true").json() == [1, 2**70]


def test_a_synchronous_result_can_be_saved_too(keeper: Studio) -> None:
    body = {"kwargs": {"expression": "'x'"}, "options": {"saveResult": True, "returnType": "repr"}}
    assert keeper.good("POST", "func/tests__keeper.run", body) == {"result": "'x'"}


def test_a_failed_task_says_why(keeper: Studio) -> None:
    body = {"kwargs": {"expression": "1 / 0"}, "options": {"execMode": "async", "saveResult": True}}
    task = keeper.good("POST", "func/tests__keeper.run", body)["taskId"]
    found = until(
        lambda: (found := keeper.bad("GET", f"func-result?taskId={task}"))["error"] != 599.1 and found,
        what="the end",
        seconds=30,
    )
    assert (found["error"], found["detail"]["einfoTEXT"]) == (599.3, "ZeroDivisionError: division by zero")


@pytest.mark.parametrize(
    ("query", "error"),
    [("taskId=task-nothing", 404.41), ("", 400.43), ("taskId=x&returnType=xml", 400.43), ("taskId=x&unfold=1", 400.43)],
)
def test_a_result_that_is_not_there(keeper: Studio, query: str, error: float) -> None:
    assert keeper.bad("GET", f"func-result?{query}")["error"] == error


def test_a_result_that_was_not_saved_is_nobodys(keeper: Studio, elsewhere: Studio) -> None:
    body = {"kwargs": {"expression": "1"}, "options": {"execMode": "async", "saveResult": True}}
    task = keeper.good("POST", "func/tests__keeper.run", body)["taskId"]
    assert elsewhere.bad("GET", f"func-result?taskId={task}")["error"] == 404.41


def test_a_call_with_an_eta_waits(keeper: Studio, name: str) -> None:
    at = datetime.now(UTC) + timedelta(seconds=1.5)
    kwargs = {"expression": f"DFF.STORE.set({name!r}, __import__('time').time())"}
    body = {"kwargs": kwargs, "options": {"execMode": "async", "eta": at.isoformat()}}
    assert keeper.good("POST", "func/tests__keeper.run", body) is None
    ran_at = until(lambda: run(keeper, f"DFF.STORE.get({name!r})"), what="the call", seconds=30)
    assert ran_at >= at.timestamp() - 0.05


def test_a_failed_function_is_http_599_on_the_bare_route(keeper: Studio) -> None:
    answer = keeper.ask("POST", "func/tests__keeper.run", {"kwargs": {"expression": "1 / 0"}})
    assert (answer.status, answer.json()["error"]) == (599, 599.3)
    assert b'"error":599.3,' in answer.body
    assert keeper.bad("POST", "func/tests__keeper.run", {"options": {"timeout": 1}})["detail"] == {
        "message": "Found unexpected field `timeout`"
    }
    unfolded = {"kwargs": {"expression": "'x'"}, "options": {"unfold": True}}
    assert keeper.ask("POST", "func/tests__keeper.run", unfolded).body == b'"x"'


def test_a_project_keeps_as_much_as_it_may(little: Server) -> None:
    studio = new_studio(little)
    studio.script_set("tests")
    studio.published("tests__keeper", KEEPER)
    steps(studio, "DFF.STORE.set('a', 1)", "DFF.CACHE.set('a', 1)")
    assert failure(studio, "DFF.STORE.set('b', 1)") == (
        "Exception: The values that this project keeps are 2 already, as many as it may have; delete some."
    )
    steps(studio, "DFF.CACHE.delete('a')", "DFF.STORE.set('b', 1)")
