"""Files: made, filled through an address of their own, looked up, deleted."""

from __future__ import annotations

from typing import Any

import pytest

from polycall.v1 import tenancy_service_pb2
from tests.contracts.cognite.driver import ECHO, Cognite, archive, newcomer
from tests.harness import Response, Server, until

_DEPLOY = tenancy_service_pb2.ApiKey.SCOPE_DEPLOY
_ZIP = archive({"handler.py": ECHO})


@pytest.fixture(scope="module")
def caller(polycall: Server) -> Cognite:
    return newcomer(polycall, "files")


def _made(caller: Cognite, query: str = "", **written: Any) -> dict[str, Any]:
    answer = caller.post(f"files{query}", {"name": "a-b.zip"} | written)
    assert answer.status == 201, answer.body
    return dict(answer.json())


def _put(caller: Cognite, url: str, content: bytes = _ZIP, method: str = "PUT") -> Response:
    return caller.server.http(method, url.removeprefix(caller.server.rest), body=content)


def _shown(caller: Cognite, file_id: int) -> dict[str, Any]:
    return dict(caller.post("files/byids", {"items": [{"id": file_id}]}).json()["items"][0])


def test_a_file_is_made_then_filled_without_a_key(caller: Cognite, polycall: Server) -> None:
    made = _made(caller, externalId="filled", mimeType="application/zip", source="ignored", dataSetId=None)
    url = made.pop("uploadUrl")
    times = {"createdTime": made["createdTime"], "lastUpdatedTime": made["lastUpdatedTime"]}
    assert (
        made
        == {
            "id": made["id"],
            "name": "a-b.zip",
            "uploaded": False,
            "externalId": "filled",
            "mimeType": "application/zip",
        }
        | times
    )
    assert url.startswith(f"{polycall.rest}/api/v1/projects/files/files/{made['id']}/content?token=")
    assert _shown(caller, made["id"]) == made
    put = polycall.http("PUT", url.removeprefix(polycall.rest), body=_ZIP)
    assert (put.status, put.body) == (200, b"")
    shown = _shown(caller, made["id"])
    assert shown == made | {
        "uploaded": True,
        "uploadedTime": shown["uploadedTime"],
        "lastUpdatedTime": shown["lastUpdatedTime"],
    }


def test_the_address_is_that_which_the_client_used(caller: Cognite) -> None:
    answer = caller.post("files", {"name": "n"}, headers={"host": "cdf.example:8443"})
    assert answer.json()["uploadUrl"].startswith("http://cdf.example:8443/api/v1/projects/files/files/")


@pytest.mark.parametrize("flag", ["true", "True"])
def test_overwriting_keeps_the_id_and_begins_anew(caller: Cognite, flag: str) -> None:
    first = _made(caller, f"?overwrite={flag}", externalId=f"over-{flag}")
    assert _put(caller, first["uploadUrl"]).status == 200
    second = _made(caller, f"?overwrite={flag}", externalId=f"over-{flag}", name="other.zip")
    assert (second["id"], second["uploaded"], second["name"]) == (first["id"], False, "other.zip")
    assert "uploadedTime" not in second
    assert _put(caller, first["uploadUrl"]).status == 403  # that address was for the earlier content
    assert _put(caller, second["uploadUrl"]).status == 200
    assert _shown(caller, first["id"])["uploaded"] is True


@pytest.mark.parametrize("query", ["", "?overwrite=false", "?overwrite=False"])
def test_an_external_id_is_not_taken_twice(caller: Cognite, query: str) -> None:
    external_id = f"once-{query}"
    _made(caller, query, externalId=external_id)
    answer = caller.post(f"files{query}", {"name": "n", "externalId": external_id})
    assert answer.status == 409
    assert answer.json()["error"] == {
        "code": 409,
        "message": f"External ids already exist: {external_id}",
        "duplicated": [{"externalId": external_id}],
    }


def test_an_address_is_for_one_file_and_one_method(caller: Cognite, cognite: Cognite) -> None:
    mine, other = _made(caller)["uploadUrl"], _made(caller)
    for method in ("GET", "POST", "DELETE", "PATCH"):
        answer = _put(caller, mine, method=method)
        assert (answer.status, answer.json()["error"]["code"]) == (404, 404)
    token = mine.rpartition("=")[2]
    for path in (
        f"/api/v1/projects/files/files/{other['id']}/content?token={token}",
        f"/api/v1/projects/default/files/{other['id']}/content?token={token}",
        f"/api/v1/projects/files/files/999999/content?token={token}",
        f"/api/v1/projects/files/files/{other['id']}/content?token=made-up",
        f"/api/v1/projects/files/files/{other['id']}/content",
    ):
        answer = caller.server.http("PUT", path, body=_ZIP, headers={"authorization": f"Bearer {cognite.key}"})
        assert (answer.status, answer.json()["error"]) == (
            403,
            {"code": 403, "message": "This upload URL is not valid, or not any more; make the file anew."},
        )
    assert _shown(caller, other["id"])["uploaded"] is False


def test_an_address_ends_with_the_key_that_it_was_given_to(caller: Cognite, polycall: Server) -> None:
    key = polycall.new_key(project="files", scopes=[_DEPLOY])
    answer = polycall.http(
        "POST",
        "/api/v1/projects/files/files",
        body=b'{"name": "a.zip"}',
        headers={"authorization": f"Bearer {key}", "content-type": "application/json"},
    )
    made = answer.json()
    assert _put(caller, made["uploadUrl"]).status == 200
    polycall.tenancy.RevokeApiKey(
        tenancy_service_pb2.RevokeApiKeyRequest(name=f"apiKeys/{key.split('_')[1]}", project="projects/files"),
        metadata=polycall.metadata,
    )
    assert _put(caller, made["uploadUrl"]).status == 403


def test_a_file_may_have_a_hundred_megabytes_and_no_more(caller: Cognite) -> None:
    url = _made(caller)["uploadUrl"]
    content = bytes(100 << 20)
    assert _put(caller, url, content).status == 200
    answer = _put(caller, url, content + b"x")
    assert (answer.status, answer.json()["error"]["code"]) == (413, 413)


def test_files_are_looked_up_by_either_id(caller: Cognite) -> None:
    made = _made(caller, externalId="looked-up")
    for item in ({"id": made["id"]}, {"externalId": "looked-up"}):
        assert caller.post("files/byids", {"items": [item]}).json()["items"][0]["id"] == made["id"]
    ask = {"items": [{"id": made["id"]}, {"id": 999_999}, {"externalId": "nope"}]}
    answer = caller.post("files/byids", ask)
    assert answer.status == 400
    assert answer.json()["error"] == {
        "code": 400,
        "message": "File ids not found: (id: 999999 | externalId: nope)",
        "missing": [{"id": 999_999}, {"external_id": "nope", "externalId": "nope"}],
    }
    found = caller.post("files/byids", ask | {"ignoreUnknownIds": True}).json()["items"]
    assert [each["id"] for each in found] == [made["id"]]


def test_files_are_deleted_all_or_none(caller: Cognite) -> None:
    one, two = _made(caller, externalId="deleted"), _made(caller)
    assert _put(caller, two["uploadUrl"]).status == 200
    both = [{"externalId": "deleted"}, {"id": two["id"]}, {"id": two["id"]}]
    answer = caller.post("files/delete", {"items": [*both, {"id": 999_999}]})
    assert (answer.status, answer.json()["error"]["missing"]) == (400, [{"id": 999_999}])
    assert _shown(caller, two["id"])["uploaded"] is True
    answer = caller.post("files/delete", {"items": both})
    assert (answer.status, answer.json()) == (200, {})
    answer = caller.post("files/byids", {"items": both, "ignoreUnknownIds": True})
    assert answer.json() == {"items": []}
    assert [_put(caller, made["uploadUrl"]).status for made in (one, two)] == [403, 403]
    assert caller.post("files/delete", {"items": both, "ignoreUnknownIds": True}).status == 200
    assert _made(caller, externalId="deleted")["id"] not in (one["id"], two["id"])


def test_a_function_keeps_the_file_that_it_was_made_from(caller: Cognite) -> None:
    made = _made(caller)
    assert _put(caller, made["uploadUrl"]).status == 200
    function = caller.post("functions", {"items": [{"name": "f", "fileId": made["id"]}]}).json()["items"][0]["id"]
    assert caller.post("files/delete", {"items": [{"id": made["id"]}]}).status == 200
    shown = until(
        lambda: (found := caller.get(f"functions/{function}").json())["status"] in ("Ready", "Failed") and found,
        what="the function",
    )
    assert (shown["status"], shown["fileId"]) == ("Ready", made["id"])


@pytest.mark.parametrize(
    ("query", "body", "field"),
    [
        ("", {}, "name"),
        ("", {"name": ""}, "name"),
        ("", {"name": 1}, "name"),
        ("", {"name": "n", "externalId": "x" * 256}, "externalId"),
        ("?overwrite=maybe", {"name": "n"}, "overwrite"),
    ],
)
def test_a_bad_file_is_refused(caller: Cognite, query: str, body: dict[str, object], field: str) -> None:
    answer = caller.post(f"files{query}", body)
    assert answer.status == 400
    assert field in answer.json()["error"]["message"]


def test_a_key_that_may_not_deploy_makes_no_file(polycall: Server) -> None:
    reader = Cognite(polycall, polycall.new_key(project="files"), project="files")
    assert reader.post("files", {"name": "n"}).status == 403
