"""Logging in: client credentials for an access token, and what a token opens."""

from __future__ import annotations

import base64
import gzip
from urllib.parse import quote, urlencode

import pytest

from polycall.v1 import tenancy_service_pb2
from tests.contracts.cognite.driver import Cognite
from tests.harness import Response, Server

_SCOPES = tenancy_service_pb2.ApiKey
_GRANT = {"grant_type": "client_credentials"}


def _token(server: Server, form: dict[str, str] | bytes, **headers: str) -> Response:
    body = form if isinstance(form, bytes) else urlencode(form).encode()
    sent = {"content-type": "application/x-www-form-urlencoded"} | headers
    answer = server.http("POST", "/oauth2/token", body=body, headers=sent)
    assert answer.headers["x-request-id"]
    return answer


def _basic(client_id: str, secret: str) -> str:
    return f"Basic {base64.b64encode(f'{client_id}:{secret}'.encode()).decode()}"


def test_credentials_may_stand_in_the_form_or_in_the_header(polycall: Server) -> None:
    key = polycall.new_key(project="login")
    for form, headers in (
        (_GRANT | {"client_id": "app", "client_secret": key, "scope": "anything"}, {}),
        (_GRANT | {"scope": "anything"}, {"authorization": _basic("app", key)}),
        (_GRANT, {"authorization": _basic("app", quote(key, safe=""))}),
    ):
        answer = _token(polycall, form, **headers)
        body = answer.json()
        assert answer.status == 200
        assert body == {"access_token": body["access_token"], "token_type": "Bearer", "expires_in": 3600}
        assert answer.headers["cache-control"] == "no-store"
        with_token = Cognite(polycall, body["access_token"], project="login")
        assert with_token.post("functions/byids", {"items": [{"id": 1}], "ignoreUnknownIds": True}).status == 200


@pytest.mark.parametrize(
    ("form", "headers"),
    [
        (_GRANT, {}),
        (_GRANT | {"client_id": "app"}, {}),
        (_GRANT | {"client_id": "app", "client_secret": "wrong"}, {}),
        (_GRANT, {"authorization": _basic("app", "wrong")}),
        (_GRANT, {"authorization": "Basic not-base64!"}),
        (_GRANT, {"authorization": "Basic"}),
        (_GRANT | {"client_id": "app", "client_secret": "pct_e30.e30"}, {}),
    ],
    ids=["none", "no secret", "wrong", "wrong basic", "no base64", "empty basic", "a token"],
)
def test_wrong_credentials_are_an_invalid_client(
    polycall: Server, form: dict[str, str], headers: dict[str, str]
) -> None:
    answer = _token(polycall, form, **headers)
    assert (answer.status, answer.body) == (401, b'{"error":"invalid_client"}')


def test_a_token_buys_no_other_token_and_no_administration(polycall: Server, cognite: Cognite) -> None:
    token = _token(polycall, _GRANT | {"client_secret": cognite.key}).json()["access_token"]
    assert _token(polycall, _GRANT | {"client_secret": token}).json() == {"error": "invalid_client"}
    answer = polycall.http("POST", "/polycall/v1/apiKeys", body=b"{}", headers={"authorization": f"Bearer {token}"})
    assert answer.status == 403


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({}, "unsupported_grant_type"),
        (b"\xff\xfe", "invalid_request"),
    ],
    ids=["another grant", "no grant", "no text"],
)
def test_other_requests_for_tokens_are_refused(polycall: Server, form: dict[str, str] | bytes, error: str) -> None:
    answer = _token(polycall, form)
    assert (answer.status, answer.json()) == (400, {"error": error})


def test_a_token_says_what_it_opens(polycall: Server, cognite: Cognite) -> None:
    key = polycall.new_key(project="login")
    token = _token(polycall, _GRANT | {"client_secret": key}).json()["access_token"]
    for credential in (key, token):
        answer = polycall.http("GET", "/api/v1/token/inspect", headers={"authorization": f"Bearer {credential}"})
        shown = answer.json()
        assert answer.status == 200
        assert shown == {
            "subject": shown["subject"],
            "projects": [{"projectUrlName": "login", "groups": []}],
            "capabilities": [],
        }
    for headers in ({}, {"authorization": "Bearer wrong"}):
        answer = polycall.http("GET", "/api/v1/token/inspect", headers=headers)
        assert (answer.status, answer.body) == (401, b'{"error":{"code":401,"message":"Unauthorized"}}')


def test_a_token_of_one_project_has_no_access_to_another(polycall: Server, cognite: Cognite) -> None:
    token = _token(polycall, _GRANT | {"client_secret": polycall.new_key(project="login")}).json()["access_token"]
    assert cognite.get(f"functions/{cognite.echo}", key=token).status == 403


def test_a_token_ends_with_its_key(polycall: Server) -> None:
    key = polycall.new_key(project="login")
    token = _token(polycall, _GRANT | {"client_secret": key}).json()["access_token"]
    caller = Cognite(polycall, token, project="login")
    ask = {"items": [{"id": 1}], "ignoreUnknownIds": True}
    assert caller.post("functions/byids", ask).status == 200
    key_id = key.split("_")[1]
    polycall.tenancy.RevokeApiKey(
        tenancy_service_pb2.RevokeApiKeyRequest(name=f"apiKeys/{key_id}", project="projects/login"),
        metadata=polycall.metadata,
    )
    assert caller.post("functions/byids", ask).status == 401


def test_who_has_no_key_sends_little(polycall: Server) -> None:
    fits = _token(polycall, b"grant_type=client_credentials&client_secret=" + b"x" * (60 << 10))
    assert (fits.status, fits.json()) == (401, {"error": "invalid_client"})
    answer = _token(polycall, b"x" * ((64 << 10) + 1))
    assert (answer.status, answer.json()["error"]["code"]) == (413, 413)


def test_what_strangers_pack_is_not_unpacked_beyond_what_credentials_take(polycall: Server) -> None:
    form = urlencode(_GRANT | {"client_id": "app"}).encode() + b"&client_secret=" + b"%41" * 3_000_000
    assert _token(polycall, gzip.compress(form), **{"content-encoding": "gzip"}).status == 413
