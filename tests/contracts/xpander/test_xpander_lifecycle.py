"""Custom functions by the vendor's own routes: made, shown, listed, changed, deleted (contract, sections 3 to 6)."""

from __future__ import annotations

import gzip
import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from polycall.v1 import execution_pb2, execution_service_pb2, package_service_pb2, tenancy_service_pb2
from tests.contracts.xpander.driver import FUNCTIONS, GREETER, TOOLS, Xpander, refused
from tests.harness import Response, until

_SCOPES = tenancy_service_pb2.ApiKey
ALL = (_SCOPES.SCOPE_RUN, _SCOPES.SCOPE_READ, _SCOPES.SCOPE_DEPLOY)
NOT_FOUND = "Custom function not found"


@pytest.fixture(scope="module")
def made(xpander: Xpander) -> Any:
    """A function that this contract made, which no test changes."""
    return xpander.create(GREETER, description="Greets.")


def _routes(function_id: str) -> list[tuple[str, str]]:
    """Return every route that names a function."""
    return [
        ("GET", f"{FUNCTIONS}/{function_id}"),
        ("PATCH", f"{FUNCTIONS}/{function_id}"),
        ("DELETE", f"{FUNCTIONS}/{function_id}"),
        ("POST", f"{FUNCTIONS}/{function_id}/execute"),
        ("GET", f"{TOOLS}_{function_id}"),
        ("POST", f"{TOOLS}_{function_id}"),
        ("POST", f"/agents/any/operations/xpander-custom-functions_{function_id}"),
    ]


def _create(xpander: Xpander, **members: object) -> tuple[int, Any]:
    answer = xpander.ask("POST", FUNCTIONS, members)
    return answer.status, answer.json()


# who may


def test_every_route_wants_a_key_and_a_good_one(xpander: Xpander, made: Any) -> None:
    for method, path in [*_routes(made["id"]), ("GET", FUNCTIONS), ("POST", FUNCTIONS)]:
        for headers, status, detail in (
            ({}, 401, "Not authenticated"),
            ({"x-api-key": "wrong"}, 403, "Invalid API key"),
            ({"authorization": "Bearer wrong"}, 403, "Invalid API key"),
        ):
            answer = xpander.ask(method, path, b"{" if method in ("POST", "PATCH") else None, headers)
            assert (answer.status, refused(answer)) == (status, detail), (method, path)


def test_another_organizations_function_is_not_there_on_any_route(xpander: Xpander, made: Any) -> None:
    other = Xpander(xpander.server, xpander.server.new_key(project="xpander-others", scopes=ALL))
    for function_id in (made["id"], str(uuid.uuid4()), "a_b", "%20"):
        for method, path in _routes(function_id):
            answer = other.ask(method, path, b"{" if method in ("POST", "PATCH") else None)
            assert (answer.status, refused(answer)) == (404, NOT_FOUND), (method, path)
    assert other.ask("GET", FUNCTIONS).json()["items"] == []
    assert xpander.call(made["id"], {"city": "SF"}) == "Hello, SF"


def test_a_key_does_what_its_scopes_let_it(xpander: Xpander, made: Any) -> None:
    runs = Xpander(xpander.server, xpander.server.new_key(scopes=[_SCOPES.SCOPE_RUN]))
    reads = Xpander(xpander.server, xpander.server.new_key(scopes=[_SCOPES.SCOPE_READ]))
    deploys = Xpander(xpander.server, xpander.server.new_key(scopes=[_SCOPES.SCOPE_DEPLOY]))
    allowed = {
        "GET": {"reads"},
        "PATCH": {"deploys"},
        "POST": {"runs"},
    }
    for method, path in _routes(made["id"]):
        if method != "DELETE":
            may = {"runs", "reads"} if method == "GET" and path.startswith("/tools") else allowed[method]
            for name, caller in (("runs", runs), ("reads", reads), ("deploys", deploys)):
                body = None if method == "GET" else {"city": "SF"}
                status = caller.ask(method, path, body).status
                assert status == (200 if name in may else 403), (method, path, name)
    for caller in (runs, reads):
        for method, path in (
            ("POST", FUNCTIONS),
            ("DELETE", f"{FUNCTIONS}/{made['id']}"),
            ("DELETE", f"{FUNCTIONS}/no"),
        ):
            assert caller.ask(method, path).status == 403, (method, path)
    assert (runs.ask("GET", FUNCTIONS).status, reads.ask("GET", FUNCTIONS).status) == (403, 200)


# create


def test_what_is_not_given_has_its_default(xpander: Xpander) -> None:
    body = {"name": "n", "source_code": GREETER, "unknown": {"a": 1}, "description": None, "limits": None}
    answer = xpander.ask(
        "POST",
        f"{FUNCTIONS}?unknown=1",
        gzip.compress(json.dumps(body).encode()),
        {"authorization": f"Bearer {xpander.key}", "content-encoding": "gzip"},
    )
    item = answer.json()
    assert answer.status == 201
    assert (item["status"], item["description"], item["limits"]) == ("analysing", "", {"max_run_time": 15})
    assert (item["source_code"], item["analysis_error_details"]) == (GREETER, None)
    assert uuid.UUID(item["id"]).version == 4
    assert item["created_at"].endswith("Z")


@pytest.mark.parametrize(
    ("given", "echoed"),
    [
        ({}, {"max_run_time": 15}),
        ({"max_run_time": 20}, {"max_run_time": 20}),
        ({"timeout": 20.0}, {"max_run_time": 20}),
        ({"timeout": 9, "max_run_time": 8, "memory": None}, {"max_run_time": 8}),
        ({"memory": 512, "unknown": 1}, {"max_run_time": 15, "memory": 512}),
        ({"max_run_time": 1200, "memory": 16}, {"max_run_time": 1200, "memory": 16}),
    ],
)
def test_limits_are_echoed_as_the_vendor_spells_them(xpander: Xpander, given: object, echoed: object) -> None:
    status, item = _create(xpander, name="n", source_code=GREETER, limits=given)
    assert (status, item["limits"]) == (201, echoed)
    assert xpander.ask("GET", f"{FUNCTIONS}/{item['id']}").json()["limits"] == echoed


def test_limits_hold(xpander: Xpander) -> None:
    hungry = xpander.create(
        "def xpander_run_action(mb: int):\n    return len(bytearray(mb << 20))\n", limits={"memory": 64}
    )["id"]
    assert xpander.call(hungry, {"mb": 1}) == 1 << 20
    assert xpander.detail(hungry, {"mb": 100}) == (400, "MemoryError: memory limit of 64 MB exceeded")
    xpander.patch(hungry, limits={"memory": 200})
    assert xpander.call(hungry, {"mb": 100}) == 100 << 20


def test_everything_that_is_wrong_with_a_new_function_is_listed(xpander: Xpander) -> None:
    status, body = _create(
        xpander,
        source_code=5,
        description=1,
        function_name=[],
        limits={"max_run_time": 0, "timeout": "5", "memory": 10_000_000},
    )
    assert status == 422
    assert [(each["type"], each["loc"], each["msg"]) for each in body["detail"]] == [
        ("missing", ["body", "name"], "Field required"),
        ("string_type", ["body", "source_code"], "Input should be a valid string"),
        ("string_type", ["body", "function_name"], "Input should be a valid string"),
        ("string_type", ["body", "description"], "Input should be a valid string"),
        (
            *("greater_than_equal", ["body", "limits", "max_run_time"]),
            "Input should be greater than or equal to 1",
        ),
        ("int_type", ["body", "limits", "timeout"], "Input should be a valid integer"),
        ("less_than_equal", ["body", "limits", "memory"], "Input should be less than or equal to 5120"),
    ]
    assert body["detail"][4]["ctx"] == {"ge": 1}


@pytest.mark.parametrize(
    ("members", "kind", "loc"),
    [
        ({"name": None}, "string_type", ["body", "name"]),
        ({"source_code": None}, "string_type", ["body", "source_code"]),
        ({"limits": []}, "dict_type", ["body", "limits"]),
        ({"limits": {"max_run_time": 1201}}, "less_than_equal", ["body", "limits", "max_run_time"]),
        ({"limits": {"memory": 1.5}}, "int_type", ["body", "limits", "memory"]),
        ({"name": "x" * 4097}, "string_too_long", ["body", "name"]),
        ({"name": "a\0b"}, "value_error", ["body", "name"]),
        ({"description": "a\0b"}, "value_error", ["body", "description"]),
        ({"source_code": "#" * (1 << 20) + "\n"}, "string_too_long", ["body", "source_code"]),
        ({"source_code": "é" * (1 << 19) + "\n"}, "string_too_long", ["body", "source_code"]),
        *(
            ({"function_name": name}, "value_error", ["body", "function_name"])
            for name in ("a b", "a.b", "1a", "class", "_private", "x" * 129)
        ),
    ],
)
def test_a_function_that_cannot_be_is_refused(
    xpander: Xpander, members: dict[str, object], kind: str, loc: list[str]
) -> None:
    status, body = _create(xpander, **{"name": "n", "source_code": GREETER, **members})
    assert (status, [(each["type"], each["loc"]) for each in body["detail"]]) == (422, [(kind, loc)])


def test_a_body_that_is_none_or_no_object_is_refused(xpander: Xpander, made: Any) -> None:
    for method, path in (("POST", FUNCTIONS), ("PATCH", f"{FUNCTIONS}/{made['id']}")):
        for body, kind, loc in (
            (None, "missing", ["body"]),
            (b"[]", "dict_type", ["body"]),
            (b"{name: 1}", "json_invalid", ["body", 1]),
            (b'{"name": "\xff"}', "json_invalid", ["body", 10]),
        ):
            answer = xpander.ask(method, path, body)
            (problem,) = refused(answer)
            assert (answer.status, problem["type"], problem["loc"]) == (422, kind, loc), (method, body)
    answer = xpander.ask("POST", FUNCTIONS, b" " * ((16 << 20) + 1))
    assert (answer.status, refused(answer)) == (413, "Request body too large")
    headers = {"x-api-key": xpander.key, "content-encoding": "br"}
    assert xpander.ask("POST", FUNCTIONS, b"{}", headers).status == 415


def test_the_entry_function_can_have_another_name(xpander: Xpander) -> None:
    source = "def helper():\n    return 1\n\nasync def main(n: int):\n    return n + helper()\n"
    item = xpander.create(source, function_name="main")
    assert (item["status"], xpander.call(item["id"], {"n": 1})) == ("ready", 2)


# list


def test_the_list_is_paged_newest_first_and_hides_sources(xpander: Xpander) -> None:
    mine = Xpander(xpander.server, xpander.server.new_key(project="xpander-lists", scopes=ALL))
    nothing = {"items": [], "total": 0, "page": 1, "per_page": 20, "total_pages": 0}
    assert mine.ask("GET", FUNCTIONS).json() == nothing
    names = [f"f{number}" for number in range(5)]
    for name in names:
        created = mine.ask("POST", FUNCTIONS, {"name": name, "source_code": GREETER}).json()["created_at"]
        until(lambda: datetime.now(UTC) > datetime.fromisoformat(created) + timedelta(milliseconds=1))  # noqa: B023
    mine.deploy(GREETER)  # natively: the vendor's list has what the vendor's routes made

    def page(query: str) -> Any:
        answer = mine.ask("GET", f"{FUNCTIONS}{query}")
        assert answer.status == 200, answer.body
        body = answer.json()
        assert list(body) == ["items", "total", "page", "per_page", "total_pages"]
        assert {item["source_code"] for item in body["items"]} <= {None}
        return body

    whole = page("")
    assert [item["name"] for item in whole["items"]] == names[::-1]
    pages = [page(f"?page={number}&per_page=2&unknown=1") for number in (1, 2, 3, 4)]
    assert [[item["name"] for item in each["items"]] for each in pages] == [["f4", "f3"], ["f2", "f1"], ["f0"], []]
    assert {(each["total"], each["per_page"], each["total_pages"]) for each in pages} == {(5, 2, 3)}
    assert page("?page=1&page=3&per_page=2")["page"] == 3
    assert page(f"?page={10**40}")["items"] == []
    assert page("?per_page=50")["total_pages"] == 1


@pytest.mark.parametrize(
    ("query", "problems"),
    [
        (
            "page=0&per_page=51",
            [
                {
                    "type": "greater_than_equal",
                    "loc": ["query", "page"],
                    "msg": "Input should be greater than or equal to 1",
                    "input": "0",
                    "ctx": {"ge": 1},
                },
                {
                    "type": "less_than_equal",
                    "loc": ["query", "per_page"],
                    "msg": "Input should be less than or equal to 50",
                    "input": "51",
                    "ctx": {"le": 50},
                },
            ],
        ),
        (
            "page=x",
            [
                {
                    "type": "int_parsing",
                    "loc": ["query", "page"],
                    "msg": "Input should be a valid integer, unable to parse string as an integer",
                    "input": "x",
                }
            ],
        ),
    ],
)
def test_a_query_that_cannot_be_is_listed(xpander: Xpander, query: str, problems: object) -> None:
    answer = xpander.ask("GET", f"{FUNCTIONS}?{query}")
    assert (answer.status, refused(answer)) == (422, problems)


@pytest.mark.parametrize("query", ["page=", "page=1.5", "page=-1", "per_page=0", "per_page=%00", "page=" + "9" * 5000])
def test_other_queries_that_cannot_be_are_422(xpander: Xpander, query: str) -> None:
    answer = xpander.ask("GET", f"{FUNCTIONS}?{query}")
    assert (answer.status, len(refused(answer))) == (422, 1)


# change


def test_texts_and_limits_change_without_a_new_analysis(xpander: Xpander, made: Any) -> None:
    item = xpander.create(GREETER)
    changed = xpander.patch(item["id"], name="other", description="d", limits={"timeout": 30}, source_code=None)
    assert changed == item | {"name": "other", "description": "d", "limits": {"max_run_time": 30}}
    changed = xpander.patch(item["id"], limits={"memory": 300}, name=None, unknown=1)
    assert changed["limits"] == {"max_run_time": 30, "memory": 300}
    assert xpander.patch(item["id"], description="") == changed | {"description": ""}
    assert xpander.patch(item["id"]) == changed | {"description": ""}
    assert xpander.call(item["id"], {"city": "SF"}) == "Hello, SF"


def test_new_code_is_409_until_it_is_ready_and_the_old_runs_no_more(xpander: Xpander) -> None:
    function_id = xpander.create("def xpander_run_action():\n    return 'old'\n")["id"]
    assert xpander.call(function_id) == "old"
    seen: list[Response] = []

    def called(function_id: str) -> bool:
        seen.append(xpander.send(function_id, b"{}"))
        return seen[-1].status == 200

    for round_ in range(3):
        changed = xpander.patch(function_id, source_code=f"def xpander_run_action():\n    return {round_}\n")
        assert (changed["status"], changed["input_schema"], changed["technical_description"]) == (
            *("analysing", None, None),
        )
        until(lambda: called(function_id), what="the new code")
        assert seen[-1].body == str(round_).encode()
    told = {answer.body for answer in seen if answer.status != 200}
    assert told <= {b'{"detail":"Custom function is not ready (status: analysing)"}'}


def test_code_that_fails_its_analysis_is_an_error_until_it_is_mended(xpander: Xpander) -> None:
    function_id = xpander.create(GREETER)["id"]
    assert xpander.patch(function_id, source_code="def other():\n    pass\n")["status"] == "analysing"
    item = xpander.analysed(function_id)
    assert (item["status"], item["input_schema"], item["technical_description"]) == ("error", None, None)
    assert item["analysis_error_details"] == "main.py: there is no function xpander_run_action at the top level"
    assert xpander.patch(function_id, limits={"memory": 99})["status"] == "error"
    for method, path in _routes(function_id)[3:]:
        answer = xpander.ask(method, path, b"[" if method == "POST" else None)
        assert (answer.status, refused(answer)) == (409, "Custom function is not ready (status: error)"), path
    assert xpander.patch(function_id, function_name="other")["status"] == "analysing"
    item = xpander.analysed(function_id)
    assert (item["status"], item["analysis_error_details"], item["limits"]["memory"]) == ("ready", None, 99)
    assert item["technical_description"] == "Calls other without parameters; returns any."
    assert xpander.call(function_id) is None


def test_of_changes_made_at_once_none_is_lost(xpander: Xpander) -> None:
    function_id = xpander.create(GREETER)["id"]
    changes: list[dict[str, object]] = [
        {"name": "n"},
        {"description": "d"},
        {"limits": {"max_run_time": 7}},
        {"limits": {"memory": 77}},
        {"source_code": "def other(n: int):\n    return n\n"},
        {"function_name": "other"},
    ]
    with ThreadPoolExecutor(len(changes)) as threads:
        list(threads.map(lambda members: xpander.patch(function_id, **members), changes))
    item = xpander.analysed(function_id)
    assert (item["name"], item["description"], item["status"]) == ("n", "d", "ready")
    assert (item["limits"], item["source_code"]) == ({"max_run_time": 7, "memory": 77}, changes[4]["source_code"])
    assert xpander.call(function_id, {"n": 5}) == 5


# delete


def test_what_is_deleted_is_gone_while_what_runs_ends_by_itself(xpander: Xpander) -> None:
    source = "import time\ndef xpander_run_action():\n    time.sleep(2)\n    return 'done'\n"
    function_id = xpander.create(source)["id"]
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(xpander.send, function_id, b"{}")
        until(lambda: _runs(xpander, function_id), what="the run")
        answer = xpander.ask("DELETE", f"{FUNCTIONS}/{function_id}")
        assert (answer.status, answer.body) == (202, b"")
        for method, path in _routes(function_id):
            assert xpander.ask(method, path, b"{}" if method in ("POST", "PATCH") else None).status == 404
        assert function_id not in [item["id"] for item in xpander.ask("GET", FUNCTIONS).json()["items"]]
        assert (running.result().status, running.result().body) == (200, b'"done"')


# what natively is the same thing


def test_what_is_made_here_is_a_package_with_a_version_a_source(xpander: Xpander) -> None:
    item = xpander.create(GREETER, name="Native", description="Seen from there.")
    name = f"packages/{item['id']}"
    package = xpander.server.packages.GetPackage(
        package_service_pb2.GetPackageRequest(name=name), metadata=xpander.server.metadata
    )
    assert (package.display_name, package.description) == ("Native", "Seen from there.")
    run = execution_service_pb2.RunFunctionRequest(
        function=f"{name}/functions/xpander_run_action", input_json='{"city": "SF"}'
    )
    execution = xpander.server.executions.RunFunction(run, metadata=xpander.server.metadata)
    assert (execution.state, execution.output_json) == (execution_pb2.Execution.STATE_COMPLETED, '"Hello, SF"')
    xpander.patch(item["id"], source_code="def xpander_run_action():\n    return 2\n")
    xpander.analysed(item["id"])
    listed = xpander.server.packages.ListVersions(
        package_service_pb2.ListVersionsRequest(parent=name), metadata=xpander.server.metadata
    )
    assert [version.name.rpartition("/")[2] for version in listed.versions] == ["2", "1"]
    xpander.deploy("def xpander_run_action():\n    return 3\n", function_id=item["id"])  # natively, over it
    assert xpander.call(item["id"]) == 3
    assert xpander.ask("GET", f"{FUNCTIONS}/{item['id']}").json()["status"] == "ready"
    assert xpander.patch(item["id"], source_code="def xpander_run_action():\n    return 4\n")["status"] == "analysing"
    xpander.analysed(item["id"])
    assert xpander.call(item["id"]) == 4


def test_versions_that_are_made_natively_are_gone_on_from(xpander: Xpander) -> None:
    function_id = xpander.create(GREETER)["id"]
    deploy, source = xpander.server.deploy, {"main.py": "def xpander_run_action(): return 'native'\n"}
    for version, next_one in (("3", "4"), ("2", "5"), ("own-name", "6")):
        deploy(function_id, source, version=version, key=xpander.key)
        assert xpander.call(function_id) == "native"
        xpander.patch(function_id, source_code=f"def xpander_run_action(): return {next_one}\n")
        xpander.analysed(function_id)
        assert xpander.call(function_id) == int(next_one)
        name = f"packages/{function_id}/versions/{next_one}"
        request = package_service_pb2.GetVersionRequest(name=name)
        assert xpander.server.packages.GetVersion(request, metadata=xpander.server.metadata).name == name
    refused_too = deploy(function_id, {"main.py": "def xpander_run_action(): eval('1')\n"}, key=xpander.key)
    assert refused_too.error == "main.py:1: eval is not allowed in custom functions"
    assert xpander.call(function_id) == 6


def test_what_was_deployed_natively_is_shown_and_run_and_not_changed_here(xpander: Xpander, greeter: str) -> None:
    item = xpander.ask("GET", f"{FUNCTIONS}/{greeter}").json()
    assert (item["name"], item["status"], item["source_code"]) == ("xpander_run_action", "ready", GREETER)
    assert xpander.ask("GET", f"{TOOLS}_{greeter}").json()["parameters"]["required"] == ["city"]
    for method in ("PATCH", "DELETE"):
        answer = xpander.ask(method, f"{FUNCTIONS}/{greeter}", b"{}" if method == "PATCH" else None)
        words = "This function was not made through this API; change and delete it where it was deployed."
        assert (answer.status, refused(answer)) == (409, words)


def _runs(xpander: Xpander, function_id: str) -> bool:
    listed = xpander.server.executions.ListExecutions(
        execution_service_pb2.ListExecutionsRequest(page_size=100), metadata=xpander.server.metadata
    )
    return any(f"packages/{function_id}/" in each.function for each in listed.executions)
