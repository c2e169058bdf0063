"""A project stores and changes as much as it may, through whichever contract; each says so in its own words."""

from __future__ import annotations

import io
import uuid
import zipfile
from collections.abc import Callable
from typing import Any

import pytest

from polycall.errors import Code
from polycall.v1 import audit_service_pb2, secret_service_pb2, tenancy_service_pb2
from tests.contracts.tenants import Tenant, newcomer
from tests.harness import Response, Server, until
from tests.integration.native import refusal

_HALF = f"# {'x' * (600 << 10)}\n"  # of the MiB that a project of `little` may store
_CHANGES = 90  # of a project of `little` in an hour
_WHY = "This project may store 1 MiB (sources, files, and values that code keeps) and would store 1.2."


def _riza(tenant: Tenant, text: str) -> Response:
    tool = {"name": f"t{uuid.uuid4().hex[:8]}", "language": "python", "code": f"{text}def execute(input): return 1"}
    return tenant.ask("riza", "POST", "/v1/tools", tool)


def _cognite(tenant: Tenant, text: str) -> Response:
    at = f"/api/v1/projects/{tenant.project}"
    url = tenant.good("cognite", "POST", f"{at}/files", {"name": "f.zip"})["uploadUrl"]
    return tenant.server.http("PUT", url.removeprefix(tenant.server.rest), body=text.encode())


def _guance(tenant: Tenant, text: str) -> Response:
    of_set = f"s{uuid.uuid4().hex[:8]}"
    tenant.good("guance", "POST", "/api/v1/script-sets/do/add", {"data": {"id": of_set, "title": "t"}})
    script = {"data": {"id": f"{of_set}__s", "codeDraft": text}}
    return tenant.ask("guance", "POST", "/api/v1/scripts/do/add", script)


def _xpander(tenant: Tenant, text: str) -> Response:
    code = f"{text}def xpander_run_action():\n    return 1\n"
    return tenant.ask("xpander", "POST", "/v1/custom_functions", {"name": "f", "source_code": code})


def _domo(tenant: Tenant, text: str) -> Response:
    package = {"name": "p", "language": "PYTHON", "code": f"{text}def f(): return 1\n", "version": "1.0.0"}
    return tenant.ask("domo", "POST", "/api/codeengine/v2/packages", package)


_SAYS: dict[str, tuple[Callable[[Tenant, str], Response], int, Callable[[Any], tuple[Any, str]], Any]] = {
    "riza": (_riza, 400, lambda body: (body["code"], body["message"]), 8),
    "cognite": (_cognite, 400, lambda body: (body["error"]["code"], body["error"]["message"]), 400),
    "guance": (_guance, 503, lambda body: (body["reason"], body["message"]), "ESysLimitReached"),
    "xpander": (_xpander, 409, lambda body: (None, body["detail"]), None),
    "domo": (_domo, 400, lambda body: (body["statusReason"], body["message"]), "Bad Request"),
}


@pytest.mark.parametrize("face", sorted(_SAYS))
def test_a_project_that_is_full_is_told_in_the_words_of_the_contract(little: Server, face: str) -> None:
    store, status, said, what = _SAYS[face]
    tenant = newcomer(little)
    assert store(tenant, f"#1{_HALF}").status in (200, 201)
    refused = store(tenant, f"#2{_HALF}")
    assert refused.status == status, refused.body
    got, message = said(refused.json())
    assert (got, message.startswith(_WHY)) == (what, True), message
    assert "retry-after" not in refused.headers
    # of another project nothing is full
    assert store(newcomer(little), f"#1{_HALF}").status in (200, 201)


def test_what_was_refused_leaves_nothing(little: Server) -> None:
    tenant = newcomer(little)
    assert _domo(tenant, f"#1{_HALF}").status in (200, 201)
    for store in (_domo, _guance, _riza, _xpander):
        assert store(tenant, f"#2{_HALF}").status in (400, 409, 503), store
    refusal(lambda: little.deploy("native", {"main.py": f"#3{_HALF}def f(): return 1\n"}, key=tenant.key))
    packages = tenant.good("native", "GET", "/polycall/v1/packages")["packages"]
    assert [package["face"] for package in packages] == ["domo"]


def test_a_deployment_for_which_there_is_no_room_fails_and_says_so(little: Server) -> None:
    tenant = newcomer(little)
    at = f"/api/v1/projects/{tenant.project}"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:  # not compressed: as large as what is in it
        archive.writestr("handler.py", f"{_HALF}def handle(): return 1\n")
    file = tenant.good("cognite", "POST", f"{at}/files", {"name": "f.zip"})
    assert little.http("PUT", file["uploadUrl"].removeprefix(little.rest), body=packed.getvalue()).status == 200
    wanted = {"items": [{"name": "f", "fileId": file["id"]}]}
    function = tenant.good("cognite", "POST", f"{at}/functions", wanted)["items"][0]["id"]

    def ended() -> Any:
        shown = tenant.good("cognite", "GET", f"{at}/functions/{function}")
        return shown if shown["status"] in ("Ready", "Failed") else None

    shown = until(ended, what="the deployment")
    assert (shown["status"], shown["error"]["message"].startswith(_WHY)) == ("Failed", True), shown


def test_natively_it_is_resource_exhausted_with_what_is_full(little: Server) -> None:
    tenant = newcomer(little)
    little.deploy("p", {"main.py": f"{_HALF}def f(): return 1\n"}, key=tenant.key)
    refused = refusal(lambda: little.deploy("p", {"main.py": f"#{_HALF}def f(): return 1\n"}, key=tenant.key))
    assert (refused.code, refused.reason) == (Code.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED")
    assert refused.message.startswith(_WHY)
    assert refused.metadata["limit_bytes"] == str(1 << 20)
    assert int(refused.metadata["bytes"]) > 1200 << 10
    assert set(refused.details) == {"QuotaFailure"}
    assert [violation.subject for violation in refused.details["QuotaFailure"].violations] == ["project_storage_mib"]


def test_a_key_makes_the_audit_log_grow_by_so_many_events_an_hour_and_no_more(little: Server) -> None:
    tenant = newcomer(little)
    metadata = [("authorization", f"Bearer {tenant.key}")]
    made = little.tenancy.CreateApiKey(tenancy_service_pb2.CreateApiKeyRequest(), metadata=metadata)
    secret = secret_service_pb2.CreateSecretRequest()
    secret.secret.display_name, secret.secret.value = "s", "hunter2"
    # at once: in 40 s there is room for another
    making = [little.secrets.CreateSecret.future(secret, metadata=metadata) for _ in range(_CHANGES - 1)]
    name = [each.result().name for each in making][-1]
    refused = refusal(lambda: little.secrets.CreateSecret(secret, metadata=metadata))
    assert (refused.code, refused.reason) == (Code.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED")
    assert refused.message.startswith(f"The keys of this project may make {_CHANGES} changes in an hour, and have")
    assert set(refused.details) == {"QuotaFailure", "RetryInfo"}
    for face, (change, *_) in _SAYS.items():
        if face not in ("cognite", "guance"):  # their first step is another request, which is refused before
            answer = change(tenant, "")
            assert (answer.status, "retry-after" in answer.headers) == (429, True), (face, answer.body)
    file = tenant.ask("cognite", "POST", f"/api/v1/projects/{tenant.project}/files", {"name": "f.zip"})
    assert file.status == 429, file.body
    assert 0 < int(file.headers["retry-after"]) <= 3600 // _CHANGES
    added = tenant.ask("guance", "POST", "/api/v1/script-sets/do/add", {"data": {"id": "s", "title": "t"}})
    assert (added.status, added.json()["reason"]) == (429, "EClientRateLimit.WorkerQueueLength")
    # who only reads or runs is not held up, nor who takes the key away, nor anybody in another project
    assert tenant.good("native", "GET", f"/polycall/v1/{name}")["name"] == name
    revoke = tenancy_service_pb2.RevokeApiKeyRequest(name=made.api_key.name)
    assert little.tenancy.RevokeApiKey(revoke, metadata=metadata).HasField("revoke_time")
    assert _domo(newcomer(little), "").status in (200, 201)
    # all that was done is in the log, and nothing else yet
    listing = audit_service_pb2.ListAuditEventsRequest(project=f"projects/{tenant.project}", page_size=1000)
    events = little.audit.ListAuditEvents(listing, metadata=little.metadata).events
    assert len([event for event in events if event.actor != "bootstrap"]) == _CHANGES + 1
