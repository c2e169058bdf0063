"""domolibrary2 2.1.4, unmodified but for where its requests go: packages from nothing to released, called, updated."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.contracts.domo.clients import Failed, Library, library
from tests.contracts.domo.driver import KEYS, Domo

PYTHON = """
import codeengine


def details(name: str, times: int = 1) -> dict:
    print("greeting", name)
    return {"greeting": " ".join(["Hello"] * times + [name]), "by": codeengine.getExecutionDetails()["functionName"]}


def broken(how):
    raise ValueError(how)


def three() -> int:
    return "three"
"""
JAVASCRIPT = """
const codeengine = require("codeengine")

async function details(name, times) {
  console.log("greeting", name)
  const { functionName } = await codeengine.getExecutionDetails()
  return { greeting: [...Array(times).fill("Hello"), name].join(" "), by: functionName }
}

function broken(how) { throw new RangeError(how) }

const three = () => "three"
"""


def field(name: str, type: str, **more: object) -> dict[str, object]:
    return {"name": name, "type": type, "isList": False, "nullable": False, **more}


MANIFEST = {
    "functions": [
        {
            "name": "details",
            "displayName": "Details",
            "inputs": [field("name", "text"), field("times", "number", nullable=True, defaultValues=1)],
            "output": field("result", "object"),
        },
        {"name": "broken", "inputs": [field("how", "text")], "output": field("result", "object")},
        {"name": "three", "inputs": [], "output": field("result", "number")},
    ],
    "configuration": {"accountsMapping": []},
}
KINDS = {
    "PYTHON": (PYTHON, "ValueError: no", "Hello Hello Ada"),
    "JAVASCRIPT": (JAVASCRIPT, "RangeError: no", "Hello Hello Ada"),
}


@pytest.fixture(scope="module")
def client(owner: Domo) -> Iterator[Library]:
    with library(owner.server, owner.key) as client:
        yield client


@pytest.mark.parametrize("language", list(KINDS))
def test_a_package_from_nothing_to_released_called_updated_called_again_and_deleted(
    client: Library, owner: Domo, language: str
) -> None:
    code, failure, greeting = KINDS[language]
    payload = {"name": "Greeter", "description": "", "environment": "LAMBDA", "language": language, "code": code}
    made = client("create_codeengine_package", payload={**payload, "manifest": MANIFEST, "version": "1.0.0"})
    package_id = made["id"]
    asked = {"package_id": package_id, "version": "1.0.0"}
    # what is not released is not there, to this client too
    with pytest.raises(Failed, match="Failed to retrieve"):
        client("get_codeengine_package_by_id_and_version", **asked)
    client("deploy_codeengine_package", **asked)
    with pytest.raises(Failed, match="operation failed"):
        client("deploy_codeengine_package", **asked)
    run = {"function_name": "details", "input_variables": {"name": "Ada", "times": 2}}
    answer = client("execute_codeengine_function", **asked, **run)
    record = answer.pop("_metadata")
    assert answer == {"greeting": greeting, "by": "details"}
    assert list(record) == [key for key in KEYS if key != "result"]
    assert (record["status"], record["stdout"]) == ("SUCCESS", {"log": ["greeting Ada"]})

    # failures are typed, and none is an HTTP error
    failures: tuple[tuple[str, dict[str, Any], str, str], ...] = (
        ("broken", {"how": "no"}, "FAILED", failure),
        ("three", {}, "RESULT_TYPE_FAILURE", "Expected number but got text"),
    )
    for function, inputs, status, message in failures:
        with pytest.raises(Failed, match=f"status {status}"):
            client("execute_codeengine_function", **asked, function_name=function, input_variables=inputs)
        failed = owner.run(function, package=package_id, version="1.0.0", **inputs)
        assert (failed["status"], failed["errorInformation"]["errorMessages"]) == (status, [message])
    for missing in ({"package_id": "unknown"}, {"version": "9.9.9"}, {"function_name": "unknown"}):
        with pytest.raises(Failed, match="Failed to retrieve"):
            client("execute_codeengine_function", **{**asked, **run, **missing})

    # the same code is not written again; other code is a new version
    again = {**payload, "manifest": MANIFEST, "id": package_id, "version": "1.0.0"}
    assert client("upsert_package", payload=again)["code"] == code
    assert [method for method, _ in client.requests] == ["GET", "GET"]
    changed = {**again, "version": "1.0.1", "code": code.replace('"Hello"', '"Salve"')}
    client("upsert_package", payload=changed)
    assert [method for method, _ in client.requests] == ["GET", "GET", "POST"]
    client("deploy_codeengine_package", package_id=package_id, version="1.0.1")
    assert client("get_current_package_version", package_id=package_id) == "1.0.1"
    newer = client("execute_codeengine_function", package_id=package_id, version="1.0.1", **run)
    assert newer["greeting"] == "Salve Salve Ada"
    assert client("execute_codeengine_function", **asked, **run)["greeting"] == greeting

    versions = client("get_package_versions", package_id=package_id)
    assert client.requests[0][1].endswith("/versions/?parts=functions%2Ccode")
    assert [(each["version"], bool(each["released"])) for each in versions] == [("1.0.0", True), ("1.0.1", True)]
    assert versions[0]["code"] == code
    assert [each["name"] for each in versions[0]["functions"]] == ["details", "broken", "three"]
    one = client("get_codeengine_package_by_id", package_id=package_id)
    assert client.requests[0][1].endswith("?parts=versions%2C+name")
    assert one["language"] == {"PYTHON": "Python", "JAVASCRIPT": "JavaScript"}[language]
    assert package_id in [each["id"] for each in client("get_packages")]

    owner.asked("DELETE", f"/{package_id}")
    with pytest.raises(Failed, match="Failed to retrieve"):
        client("get_codeengine_package_by_id", package_id=package_id)
    assert package_id not in [each["id"] for each in client("get_packages")]


def test_a_package_is_made_under_the_id_that_the_client_has_for_it(client: Library, owner: Domo) -> None:
    payload = {"id": "b368d630-7ca5-4b8a-b4ec-f130cf312dc1", "name": "Mine", "language": "PYTHON", "version": "0.1.0"}
    made = client("upsert_package", payload={**payload, "code": "def f(): return {}\n"})
    assert (made["id"], [each["version"] for each in made["versions"]]) == (payload["id"], ["0.1.0"])
    owner.asked("DELETE", f"/{payload['id']}")


def test_accounts_are_mapped_by_saving_the_manifest_anew(client: Library, owner: Domo) -> None:
    package_id = owner.saved("def f(): return {}\n", version="1.0.0", release=False)
    mapping = [{"accountId": 92, "alias": "shop"}]
    # the client reads the version it maps accounts to, and sees only what is released
    with pytest.raises(Failed, match="Failed to retrieve"):
        client("share_accounts_with_package", package_id=package_id, account_mappings=mapping, version_id="1.0.0")
    body = {"id": package_id, "version": "1.0.0", "code": "def f(): return {}\n"}
    owner.asked("POST", "", {**body, "manifest": {"configuration": {"accountsMapping": mapping}}})
    (version,) = client("get_package_versions", package_id=package_id)
    assert version["configuration"] == {"accountsMapping": mapping, "mlModel": []}
    owner.asked("DELETE", f"/{package_id}")


def test_the_client_tells_its_user_of_a_wrong_token(owner: Domo) -> None:
    with (
        library(owner.server, "wrong") as stranger,
        pytest.raises(Failed, match=r"Authentication required \(HTTP 401\)"),
    ):
        stranger("get_codeengine_package_by_id", package_id="any")
