"""Apps in a browser, with @domoinc/toolkit 2.3.0 and ryuu.js 5.1.4 as their vendor made them: no credentials at all."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.contracts.domo.clients import App, Failed, app
from tests.contracts.domo.driver import KEYS, Domo
from tests.harness import Response

CODE = """
function add(a, b) { return a + b }
function text(how) { if (how === "fail") throw new RangeError("no"); return "zwölf" }
function list() { return [1, { a: null }] }
"""
NUMBER = {"type": "number"}
MANIFEST = {
    "functions": [
        {"name": "add", "inputs": [{"name": "a", **NUMBER}, {"name": "b", **NUMBER}], "output": NUMBER},
        {"name": "text", "inputs": [{"name": "how", "type": "text", "nullable": True}], "output": {"type": "text"}},
        {"name": "list", "output": {"type": "object"}},
    ]
}
APPS = "/domo/codeengine/v2/packages"


@pytest.fixture(scope="module")
def page(configured: Domo) -> Iterator[App]:
    assert configured.saved(CODE, id="sums", language="JAVASCRIPT", manifest=MANIFEST) == "sums"
    with app(configured.server) as page:
        yield page


def post(domo: Domo, path: str, body: object, **headers: str) -> Response:
    return domo.server.http("POST", f"{APPS}{path}", body=json.dumps(body).encode(), headers=headers)


def test_the_toolkit_lists_reads_and_runs(page: App, configured: Domo) -> None:
    listed = page.toolkit("getAllPackages", {"skip": 0, "limit": 10, "parts": ["functions", "code"]})
    assert page.requests == [["GET", f"{APPS}?skip=0&limit=10&parts=functions%2Ccode", {}]]
    (package,) = listed
    assert (package["id"], package["versions"][0]["code"]) == ("sums", CODE)
    assert page.toolkit("getPackageById", "sums") == configured.asked("GET", "/sums")
    (version,) = page.toolkit("getAllVersions", "sums", {"parts": ["functions"]})
    assert [each["name"] for each in version["functions"]] == ["add", "text", "list"]
    assert page.toolkit("getVersion", "sums", "1.0.0", {"parts": ["functions"]}) == version
    record = page.toolkit("runFunction", "sums", "1.0.0", "add", {"a": 1, "b": 2})
    assert page.requests[0][:2] == ["POST", f"{APPS}/sums/versions/1.0.0/function/add"]
    assert (list(record), record["status"], record["result"]) == (KEYS, "SUCCESS", 3)
    failed = page.toolkit("runFunction", "sums", "1.0.0", "text", {"how": "fail"})
    assert (failed["status"], failed["errorInformation"]["errorMessages"]) == ("FAILED", ["RangeError: no"])
    for method, *given in (
        ("getPackageById", "unknown"),
        ("getVersion", "sums", "9.9.9"),
        ("runFunction", "sums", "1.0.0", "unknown", {}),
    ):
        with pytest.raises(Failed, match="Request errored with status: 404 Not Found"):
            page.toolkit(method, *given)
    with pytest.raises(Failed, match="Request errored with status: 400 Bad Request"):
        page.toolkit("runFunction", "sums", "1.0.0", "add", {"a": "x", "b": 2})


def test_an_alias_takes_flat_inputs_and_answers_the_bare_result(page: App) -> None:
    assert page.domo("post", f"{APPS}/addNumbers", {"n1": 1, "n2": 2}) == 3
    assert page.domo("post", f"{APPS}/addNumbers", {"a": 1, "b": 2, "more": 1}) == 3
    assert page.domo("post", f"{APPS}/text", {}) == "zwölf"
    assert page.requests == [["POST", f"{APPS}/text", {"Content-Type": "application/json"}]]
    for alias, given, status, message in (
        ("text", {"how": "fail"}, 400, "RangeError: no"),
        ("addNumbers", {"n1": "x", "n2": 2}, 400, "inputVariables.a: expected number but got text"),
        ("addNumbers", {"n1": 1}, 400, "inputVariables.b: expected number but it is missing"),
        ("addNumbers", [1], 400, "the body has the wrong shape: Expected `object`, got `array`"),
        ("unknown", {}, 404, "There is no alias unknown; the operator maps aliases to functions."),
        ("gone", {}, 404, "Package sums has no version 9.9.9."),
    ):
        with pytest.raises(Failed) as failed:
            page.domo("post", f"{APPS}/{alias}", given)
        assert (failed.value.answer["status"], json.loads(failed.value.answer["body"])["message"]) == (status, message)


def test_the_complex_form_tells_the_execution_too(page: App, configured: Domo) -> None:
    answer = page.domo("post", f"{APPS}/addNumbers/complex", {"n1": 1, "n2": 2})
    assert list(answer) == ["executionId", "result"]
    assert answer["result"] == 3
    assert configured.get(answer["executionId"], package="sums").json()["result"] == 3
    with pytest.raises(Failed) as failed:
        page.domo("post", f"{APPS}/text/complex", {"how": "fail"})
    assert failed.value.answer["status"] == 400


def test_credentials_of_a_request_win_over_the_apps_own(page: App, configured: Domo) -> None:
    stranger = configured.server.new_key(project="stranger")
    path = "/sums/versions/1.0.0/function/add"
    token = {"x-domo-developer-token": stranger}
    assert configured.refusal(post(configured, path, {}, **token), 404, "Not Found")
    assert configured.refusal(post(configured, "/addNumbers", {}, **token), 404, "Not Found")
    for headers in ({"authorization": "Bearer wrong"}, {"x-domo-authentication": "wrong"}):
        configured.refusal(post(configured, path, {}, **headers), 401, "Unauthorized")
        configured.refusal(post(configured, "/addNumbers", {}, **headers), 401, "Unauthorized")
    # an app's identity is for apps
    product = "/api/codeengine/v2/packages"
    configured.refusal(configured.server.http("GET", product), 401, "Unauthorized")
    configured.refusal(
        configured.server.http("POST", f"{product}/sums/versions/1.0.0/functions/add"), 401, "Unauthorized"
    )


def test_without_an_identity_for_apps_they_have_to_bring_one(owner: Domo) -> None:
    package_id = owner.saved(CODE, language="JAVASCRIPT", manifest=MANIFEST)
    path = f"/{package_id}/versions/1.0.0/function/add"
    body = {"a": 1, "b": 2}
    for each in (path, "/addNumbers", "/addNumbers/complex"):
        owner.refusal(post(owner, each, body), 401, "Unauthorized")
    for each in ("", f"/{package_id}", f"/{package_id}/versions", f"/{package_id}/versions/1.0.0"):
        owner.refusal(owner.server.http("GET", f"{APPS}{each}"), 401, "Unauthorized")
        answer = owner.server.http("GET", f"{APPS}{each}", headers={"x-domo-authentication": owner.key})
        assert answer.json() == owner.asked("GET", each)
    answer = post(owner, path, body, **{"x-domo-authentication": owner.key})
    assert owner.record(answer)["result"] == 3
    owner.asked("DELETE", f"/{package_id}")
