from __future__ import annotations

import gzip
import http.client
import json
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.client import ask
from tests.gateway.conftest import Gateway, running

pytestmark = pytest.mark.asyncio(loop_scope="session")

RUN = "/v1/execute-function"


async def arrived(gateway: Gateway, path: str = RUN, **headers: str) -> Any:
    """Return the metadata with which a request with ``headers`` reached the server."""
    answer = await ask(gateway.rest, "POST", path, b"{}", {name.replace("_", "-"): headers[name] for name in headers})
    assert answer.status == 200
    return gateway.last.metadata


async def test_nobody_outside_speaks_in_the_gateways_name(gateway: Gateway) -> None:
    said = {
        "x-http-status": "599",
        "x-polycall-face": "domo",
        "x-polycall-query": "mine",
        "x-polycall-authority": "evil",
        "x-polycall-trace": "mine",
        "x-polycall-function": "mine",
        "X-PolyCall-Whatever": "mine",
        "x-envoy-retry-on": "5xx",
        "x-envoy-upstream-rq-timeout-ms": "1",
        "x-envoy-original-path": "/mine",
        "grpc-status": "3",
        "grpc-encoding": "gzip",
        "x-request-id": "mine",
    }
    answer = await ask(gateway.rest, "POST", RUN, b"{}", said)
    assert answer.status == 200
    metadata = gateway.last.metadata
    assert {name: metadata[name] for name in metadata if str(name).startswith("x-polycall-")} == {
        "x-polycall-face": "riza",
        "x-polycall-authority": gateway.rest,
        "x-polycall-trace": "TRACE-" + answer.headers["x-request-id"].upper(),
    }
    assert not {"x-http-status", "x-envoy-retry-on", "x-envoy-upstream-rq-timeout-ms", "grpc-encoding"} & set(metadata)
    assert metadata["x-envoy-original-path"] == RUN
    assert metadata["x-request-id"] == answer.headers["x-request-id"] != "mine"


async def test_a_deadline_from_outside_has_no_effect(gateway: Gateway) -> None:
    await arrived(gateway, grpc_timeout="1m")
    assert gateway.last.time_remaining is None


async def test_credentials_and_other_headers_arrive_as_they_are(gateway: Gateway) -> None:
    metadata = await arrived(gateway, Authorization="Bearer a b", DF_API_KEY="k", X_Domo_Developer_Token="t")
    assert (metadata["authorization"], metadata["df-api-key"]) == ("Bearer a b", "k")
    assert metadata["x-domo-developer-token"] == "t"


async def test_the_authority_arrives_with_its_port(gateway: Gateway) -> None:
    assert (await arrived(gateway))["x-polycall-authority"] == gateway.rest


async def test_the_scheme_cannot_be_claimed(gateway: Gateway) -> None:
    assert (await arrived(gateway, X_Forwarded_Proto="https"))["x-forwarded-proto"] == "http"


@pytest.mark.parametrize("query", ["a=b", "a=%20&b=%C3%A4&c", "project=other&function_id=zz", "a=?b", "x" * 20_000, ""])
async def test_the_query_of_a_face_arrives_uncut_and_changes_no_path_variable(gateway: Gateway, query: str) -> None:
    answer = await ask(gateway.rest, "GET", f"/api/v1/projects/p/functions/7?{query}")
    assert answer.status == 200
    assert gateway.last.metadata.get("x-polycall-query", "") == query
    assert (gateway.last.request.project, gateway.last.request.function_id) == ("p", "7")


async def test_without_a_query_there_is_no_such_header(gateway: Gateway) -> None:
    assert "x-polycall-query" not in await arrived(gateway)


@pytest.mark.parametrize(
    ("status", "code", "phrase"),
    [
        ("201", "", "Created"),
        ("202", "", "Accepted"),
        ("401", "UNAUTHENTICATED", "Unauthorized"),
        ("409", "FAILED_PRECONDITION", "Conflict"),
        ("413", "RESOURCE_EXHAUSTED", "Payload Too Large"),
        ("422", "INVALID_ARGUMENT", "Unprocessable Entity"),
        ("599", "INTERNAL", "Last Unassigned Server Error Code"),
    ],
)
async def test_a_face_sets_status_and_body(gateway: Gateway, status: str, code: str, phrase: str) -> None:
    headers = {"x-test-status": status, "x-test-code": code, "x-test-echo": "1", "x-test-retry-after": "7"}
    answer = await ask(gateway.rest, "POST", RUN, b'{"b":1,"a":2}', {n: v for n, v in headers.items() if v})
    assert (answer.status, answer.reason, answer.body) == (int(status), phrase, b'{"b":1,"a":2}')
    assert answer.headers["retry-after"] == "7"
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("INVALID_ARGUMENT", 400),
        ("UNAUTHENTICATED", 401),
        ("PERMISSION_DENIED", 403),
        ("NOT_FOUND", 404),
        ("ALREADY_EXISTS", 409),
        ("FAILED_PRECONDITION", 400),
        ("RESOURCE_EXHAUSTED", 429),
        ("CANCELLED", 499),
        ("INTERNAL", 500),
        ("UNIMPLEMENTED", 501),
        ("UNAVAILABLE", 503),
        ("DEADLINE_EXCEEDED", 504),
    ],
)
async def test_without_a_status_of_its_own_the_code_decides(gateway: Gateway, code: str, status: int) -> None:
    answer = await ask(gateway.rest, "POST", RUN, b'{"a":1}', {"x-test-code": code, "x-test-echo": "1"})
    assert (answer.status, answer.body) == (status, b'{"a":1}')


@pytest.mark.parametrize("status", ["99", "1000", "abc", "150", "600"])
async def test_a_status_that_is_none_is_not_taken(gateway: Gateway, status: str) -> None:
    answer = await ask(gateway.rest, "POST", RUN, b"{}", {"x-test-status": status})
    assert answer.status == 200


async def test_an_empty_reply_has_no_body(gateway: Gateway) -> None:
    answer = await ask(gateway.rest, "POST", RUN, b"{}", {"x-test-empty": "1", "x-test-status": "202"})
    assert (answer.status, answer.body, answer.headers["content-length"]) == (202, b"", "0")


async def test_an_answer_shows_nothing_of_grpc_and_envoy(gateway: Gateway) -> None:
    answer = await ask(gateway.rest, "POST", RUN, b"{}", {"x-test-code": "NOT_FOUND"})
    assert set(answer.headers) == {"content-type", "content-length", "date", "server", "x-request-id"}


async def test_the_content_type_of_a_reply_is_the_faces(gateway: Gateway) -> None:
    answer = await ask(gateway.rest, "POST", RUN, b"{}", {"x-test-type": "application/json;charset=UTF-8"})
    assert answer.headers["content-type"] == "application/json;charset=UTF-8"


async def test_a_request_that_claims_to_be_grpc_is_served_as_what_it_is(gateway: Gateway) -> None:
    for kind in ("application/grpc", "application/grpc+proto", "Application/GRPC", "application/grpc-web"):
        answer = await ask(gateway.rest, "POST", RUN, b"{}", {"content-type": kind, "x-test-echo": "1"})
        assert (answer.status, answer.body) == (200, b"{}")


async def test_headers_that_grpc_cannot_carry_do_no_harm(gateway: Gateway) -> None:
    for name in ("x-thing-bin", "x!thing", "x~thing'"):
        assert (await ask(gateway.rest, "POST", RUN, b"{}", {name: "not base64!"})).status == 200
        assert name not in gateway.last.metadata


async def test_hidden_spellings_of_headers_are_refused(gateway: Gateway) -> None:
    assert (await ask(gateway.rest, "POST", RUN, b"{}", {"x_polycall_face": "domo"})).status == 400


async def test_compressed_requests_arrive_as_they_are(gateway: Gateway) -> None:
    body = gzip.compress(b'{"a":1}')
    answer = await ask(gateway.rest, "POST", RUN, body, {"content-encoding": "gzip", "x-test-echo": "1"})
    assert answer.body == body
    assert gateway.last.metadata["content-encoding"] == "gzip"


async def test_long_answers_are_compressed_for_those_who_take_it(gateway: Gateway) -> None:
    body = b'{"a": "' + b"x" * 5000 + b'"}'
    headers = {"x-test-echo": "1", "accept-encoding": "gzip"}
    answer = await ask(gateway.rest, "POST", RUN, body, headers)
    assert answer.headers["content-encoding"] == "gzip"
    assert gzip.decompress(answer.body) == body
    plain = await ask(gateway.rest, "POST", RUN, body, {"x-test-echo": "1"})
    assert plain.body == body


async def test_http_1_0_is_refused_with_words(gateway: Gateway) -> None:
    class Old(http.client.HTTPConnection):
        _http_vsn = 10
        _http_vsn_str = "HTTP/1.0"

    connection = Old(gateway.rest)
    connection.request("GET", "/healthz")
    response = connection.getresponse()
    assert response.status == 426
    connection.close()


async def test_the_access_log_names_the_route_and_leaves_the_query_out(short_path: Path) -> None:
    log = short_path / "access.log"
    async with running(short_path, access_log=str(log)) as gateway:
        await ask(gateway.rest, "POST", f"{RUN}?token=secret", b"{}", {"authorization": "Bearer secret"})
        await ask(gateway.rest, "GET", "/polycall/v1/executions?pageToken=secret")
        await ask(gateway.rest, "GET", "/" + "x" * 20_000)
    lines = log.read_text().splitlines()
    assert json.loads(lines[2])["path"] == "/" + "x" * 1023
    assert "secret" not in log.read_text()
    assert ['"route":"riza.ExecuteFunction"' in lines[0], '"path":"/v1/execute-function"' in lines[0]] == [True, True]
    assert '"route":"native.ListExecutions"' in lines[1]
