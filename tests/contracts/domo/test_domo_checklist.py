"""The contract's closing checklist, item by item: what must hold for clients that are not changed."""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.contracts.domo.driver import CONTENT_TYPE, KEYS, Domo

CODE = """
import sys

def show(value=None):
    print("out"); print("err", file=sys.stderr)
    return value

def number(a):
    return a

def fail(how):
    if how == "raise":
        raise ValueError("bad")
    if how == "exit":
        sys.exit(1)
    return {"type": "x", "nothing": None}.get(how)
"""
OBJECT, NUMBER = {"name": "o", "type": "object"}, {"name": "a", "type": "number"}
MANIFEST = {
    "functions": [
        {"name": "show"},
        {"name": "number", "inputs": [NUMBER], "output": NUMBER},
        {"name": "fail", "inputs": [{"name": "how", "type": "text"}], "output": NUMBER},
    ]
}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@pytest.fixture(scope="module")
def package(owner: Domo) -> Iterator[str]:
    package_id = owner.saved(CODE, version="1.0.1-b.2", manifest=MANIFEST)
    yield package_id
    owner.asked("DELETE", f"/{package_id}")


def run(owner: Domo, package: str, function: str, *, get_logs: bool = False, **inputs: Any) -> Any:
    return owner.run(function, package=package, version="1.0.1-b.2", get_logs=get_logs, **inputs)


def test_paths_are_exact(owner: Domo, package: str) -> None:
    """Exact product path; singular `/function/` for apps; trailing slash on `/versions/`; dots; blanks in `parts`."""
    assert run(owner, package, "number", a=1)["version"] == "1.0.1-b.2"
    token = {"x-domo-developer-token": owner.key}
    path = f"/domo/codeengine/v2/packages/{package}/versions/1.0.1-b.2"
    answer = owner.server.http("POST", f"{path}/function/number", body=b'{"a": 1}', headers=token)
    assert owner.record(answer)["result"] == 1
    owner.refusal(owner.server.http("POST", f"{path}/functions/number", body=b"{}", headers=token), 404, "Not Found")
    owner.refusal(owner.ask("POST", f"/{package}/versions/1.0.1-b.2/function/number", {}), 404, "Not Found")
    for query in ("?parts=versions%2C+name", "?parts=versions%2C%20name"):
        assert owner.asked("GET", f"/{package}", query=query)["id"] == package
        assert [each["version"] for each in owner.asked("GET", f"/{package}/versions/", query=query)] == ["1.0.1-b.2"]


def test_the_token_header_is_of_any_case_and_refusals_have_their_reason_phrase(
    owner: Domo, other: Domo, package: str
) -> None:
    """Lower-case token header; 401/403/404/409 with reason phrases."""
    for name in ("x-domo-developer-token", "X-DOMO-Developer-Token"):
        connection = http.client.HTTPConnection("127.0.0.1", owner.server.rest_port, timeout=60)
        connection.putrequest("GET", f"/api/codeengine/v2/packages/{package}")
        connection.putheader(name, owner.key)
        connection.endheaders()
        assert connection.getresponse().status == 200
        connection.close()
    owner.refusal(owner.ask("GET", f"/{package}", key="wrong"), 401, "Unauthorized")
    other.refusal(other.ask("GET", f"/{package}"), 403, "Forbidden")
    owner.refusal(owner.ask("GET", "/unknown"), 404, "Not Found")
    owner.refusal(owner.ask("POST", f"/{package}/versions/1.0.1-b.2/release"), 409, "Conflict")


@pytest.mark.parametrize(
    ("how", "status"),
    [("raise", "FAILED"), ("exit", "FAILED"), ("type", "RESULT_TYPE_FAILURE"), ("nothing", "OUTPUT_UNDEFINED")],
)
def test_a_failure_is_http_200_with_messages_and_without_a_result(
    owner: Domo, package: str, how: str, status: str
) -> None:
    """Function failure is HTTP 200; `errorMessages` non-empty on every non-SUCCESS; `result` null then."""
    record = run(owner, package, "fail", how=how)
    assert (record["status"], record["result"]) == (status, None)
    assert all(isinstance(each, str) and each for each in record["errorInformation"]["errorMessages"])
    assert record["errorInformation"]["errorMessages"]


def test_a_record_has_all_thirteen_keys(owner: Domo, package: str) -> None:
    """All thirteen keys; ISO times with milliseconds; `startedBy` a string; nulls only as in section 5."""
    for record in (run(owner, package, "number", a=1), run(owner, package, "fail", how="raise")):
        assert (list(record), len(record)) == (KEYS, 13)
        assert TIME.fullmatch(record["startedOn"])
        assert TIME.fullmatch(record["completedOn"])
        assert isinstance(record["startedBy"], str)
        nulls = {key for key, value in record.items() if value is None}
        assert nulls <= {"result"}
        assert {key for key, value in record["errorInformation"].items() if value is None} == {"result"}


@pytest.mark.parametrize("value", [{"a": {"b": [1]}}, "text", 3, 1.5, True, [1, "x", None], []])
def test_results_arrive_as_what_they_are(owner: Domo, package: str, value: object) -> None:
    """Object results arrive as objects, scalars and lists as they are."""
    record = run(owner, package, "show", value=value)
    assert (record["result"], type(record["result"])) == (value, type(value))


def test_logs_are_arrays_in_every_answer(owner: Domo, package: str) -> None:
    """`stdout.log` / `stderr.log` arrays in every answer, filled only with `getLogs:true`."""
    record = run(owner, package, "show")
    assert (record["stdout"], record["stderr"]) == ({"log": []}, {"log": []})
    record = run(owner, package, "show", get_logs=True)
    assert (record["stdout"], record["stderr"]) == ({"log": ["out"]}, {"log": ["err"]})
    record = run(owner, package, "fail", how="raise")
    assert (record["stdout"], record["stderr"]) == ({"log": []}, {"log": []})


def test_lists_are_bare_arrays_whose_python_versions_have_code_and_functions(owner: Domo, package: str) -> None:
    """Package and version lists are bare arrays; `versions[]` entries carry `code` and `functions` for Python."""
    packages, versions = owner.asked("GET"), owner.asked("GET", f"/{package}/versions")
    assert (type(packages), type(versions)) == (list, list)
    (mine,) = (each for each in packages if each["id"] == package)
    for version in (*mine["versions"], *versions):
        assert version["code"] == CODE
        assert [each["name"] for each in version["functions"]] == ["show", "number", "fail"]


def test_an_unknown_id_creates_and_release_happens_once(owner: Domo) -> None:
    """POST with unknown `id` creates it; release once, then 409."""
    body = {"id": "of-the-client", "name": "Mine", "language": "PYTHON", "code": CODE, "version": "1.0.0"}
    assert owner.asked("POST", "", body)["id"] == "of-the-client"
    assert owner.asked("POST", "/of-the-client/versions/1.0.0/release")["versions"][0]["released"]
    owner.refusal(owner.ask("POST", "/of-the-client/versions/1.0.0/release", b"{}"), 409, "Conflict")
    answer = owner.ask("DELETE", "/of-the-client")
    assert (answer.status, answer.body, answer.headers["content-type"]) == (200, b"", CONTENT_TYPE)


def test_integers_stay_integers(owner: Domo, package: str) -> None:
    """Integers stay integers: `number` results print `3`, not `3.0`."""
    answer = owner.post("number", b'{"inputVariables":{"a":3.0}}', package=package, version="1.0.1-b.2")
    assert b'"result":3,' in answer.body
    answer = owner.post("show", b'{"inputVariables":{"value":9007199254740993}}', package=package, version="1.0.1-b.2")
    assert b'"result":9007199254740993,' in answer.body
