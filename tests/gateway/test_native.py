"""The native API as JSON, under /polycall/v1/."""

from __future__ import annotations

import asyncio
import http.client
import json
from typing import Any

import pytest
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from tests.gateway.client import ask, send
from tests.gateway.conftest import Gateway

pytestmark = pytest.mark.asyncio(loop_scope="session")

EXECUTE = "/polycall/v1/executions:execute"
STREAM = "/polycall/v1/executions/e:stream"

DETAILS: list[tuple[Message, dict[str, Any]]] = [
    (
        error_details_pb2.ErrorInfo(reason="QUEUE_FULL", domain="polycall", metadata={"queue": "64"}),
        {"reason": "QUEUE_FULL", "domain": "polycall", "metadata": {"queue": "64"}},
    ),
    (
        error_details_pb2.BadRequest(field_violations=[{"field": "input.items[2].price", "description": "no number"}]),
        {"fieldViolations": [{"field": "input.items[2].price", "description": "no number"}]},
    ),
    (error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(nanos=400_000_000)), {"retryDelay": "0.400s"}),
    (
        error_details_pb2.QuotaFailure(violations=[{"subject": "queue", "description": "full"}]),
        {"violations": [{"subject": "queue", "description": "full"}]},
    ),
    (
        error_details_pb2.PreconditionFailure(violations=[{"type": "STATE", "subject": "v", "description": "d"}]),
        {"violations": [{"type": "STATE", "subject": "v", "description": "d"}]},
    ),
    (
        error_details_pb2.ResourceInfo(resource_type="function", resource_name="packages/p/functions/f"),
        {"resourceType": "function", "resourceName": "packages/p/functions/f"},
    ),
    (error_details_pb2.RequestInfo(request_id="r-1"), {"requestId": "r-1"}),
    (
        error_details_pb2.Help(links=[{"description": "limits", "url": "https://example.com"}]),
        {"links": [{"description": "limits", "url": "https://example.com"}]},
    ),
    (error_details_pb2.DebugInfo(stack_entries=["a"], detail="d"), {"stackEntries": ["a"], "detail": "d"}),
    (
        error_details_pb2.LocalizedMessage(locale="de", message="nein"),
        {"locale": "de", "message": "nein"},
    ),
]


@pytest.mark.parametrize("path", [EXECUTE, STREAM])
@pytest.mark.parametrize(("detail", "told"), DETAILS, ids=lambda value: getattr(value, "DESCRIPTOR", None) and "")
async def test_an_error_is_a_google_rpc_status_with_its_details(
    gateway: Gateway, path: str, detail: Message, told: dict[str, Any]
) -> None:
    packed = any_pb2.Any()
    packed.Pack(detail)
    status = status_pb2.Status(code=8, message="64 calls are queued for this key", details=[packed])
    headers = {"x-test-abort": "RESOURCE_EXHAUSTED", "x-test-details": status.SerializeToString().hex()}
    method, body = ("GET", None) if path == STREAM else ("POST", b"{}")
    answer = await ask(gateway.rest, method, path, body, headers)
    assert (answer.status, answer.headers["content-type"]) == (429, "application/json")
    assert answer.json() == {
        "code": 8,
        "message": "64 calls are queued for this key",
        "details": [{"@type": f"type.googleapis.com/{detail.DESCRIPTOR.full_name}", **told}],
    }
    assert not [name for name in answer.headers if name.startswith("grpc-")]


async def test_an_error_without_details_is_a_google_rpc_status_too(gateway: Gateway) -> None:
    answer = await ask(gateway.rest, "GET", "/polycall/v1/executions/e", None, {"x-test-abort": "NOT_FOUND"})
    assert (answer.status, answer.json()) == (404, {"code": 5, "message": "refused by the server"})


async def test_nobody_outside_speaks_in_the_gateways_name(gateway: Gateway) -> None:
    said = {f"x-polycall-{name}": "mine" for name in ("face", "query", "authority", "trace", "function", "length")} | {
        "x-http-status": "599",
        "x-envoy-original-path": "/mine",
        "grpc-timeout": "1m",
        "grpc-encoding": "gzip",
    }
    answer = await ask(gateway.rest, "POST", EXECUTE, b"{}", said)
    assert answer.status == 200
    metadata = gateway.last.metadata
    assert {name: metadata[name] for name in metadata if str(name).startswith("x-polycall-")} == {
        "x-polycall-face": "native",
        "x-polycall-length": "2",
    }
    assert metadata["x-envoy-original-path"] == EXECUTE
    assert not {"x-http-status", "grpc-encoding"} & set(metadata)
    assert gateway.last.time_remaining is None


async def test_an_answer_shows_nothing_of_grpc_and_envoy(gateway: Gateway) -> None:
    for headers in ({}, {"x-test-abort": "NOT_FOUND"}):
        answer = await ask(gateway.rest, "POST", EXECUTE, b"{}", headers)
        assert set(answer.headers) == {"content-type", "content-length", "date", "server", "x-request-id"}


async def test_a_request_that_claims_to_be_grpc_is_served_as_what_it_is(gateway: Gateway) -> None:
    for kind in (
        "application/grpc",
        "application/grpc+proto",
        "Application/GRPC",
        "application/grpc-web",
        "text/plain",
    ):
        answer = await ask(gateway.rest, "POST", EXECUTE, b'{"code": "c"}', {"content-type": kind})
        assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
        assert gateway.last.request.code == "c"


async def test_resource_names_with_several_segments_arrive_whole(gateway: Gateway) -> None:
    await ask(gateway.rest, "POST", "/polycall/v1/packages/p/versions/1.0/functions/f:run", b'{"inputJson": "{}"}')
    assert gateway.last.request.function == "packages/p/versions/1.0/functions/f"
    await ask(gateway.rest, "POST", "/polycall/v1/packages/p/functions/f:run", b"{}")
    assert gateway.last.request.function == "packages/p/functions/f"
    await ask(gateway.rest, "PATCH", "/polycall/v1/packages/p?updateMask=displayName", b'{"displayName": "P"}')
    assert (gateway.last.request.package.name, gateway.last.request.package.display_name) == ("packages/p", "P")
    assert list(gateway.last.request.update_mask.paths) == ["display_name"]


async def test_the_query_fills_the_fields_of_a_list(gateway: Gateway) -> None:
    query = "page_size=3&pageToken=a%26b&states=STATE_QUEUED&states=STATE_RUNNING&created_after=2026-01-01T00:00:00Z"
    assert (await ask(gateway.rest, "GET", f"/polycall/v1/executions?{query}")).status == 200
    request = gateway.last.request
    assert (request.page_size, request.page_token, list(request.states)) == (3, "a&b", [1, 2])
    assert request.created_after.ToJsonString() == "2026-01-01T00:00:00Z"
    assert "x-polycall-query" not in gateway.last.metadata


UNFIT = {
    "code": 3,
    "message": "The request does not fit: check path, query, headers and body.",
    "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "INVALID_INPUT", "domain": "polycall"}],
}


@pytest.mark.parametrize(
    ("method", "path", "body", "why"),
    [
        (
            "GET",
            "/polycall/v1/executions?nonsense=1",
            None,
            'Could not find field "nonsense" in the type "polycall.v1.ListExecutionsRequest".',
        ),
        ("GET", "/polycall/v1/executions?pageSize=x", None, 'page_size: invalid value "x" for type TYPE_INT32'),
        ("POST", EXECUTE, b"{bad", "Unexpected end of string. Expected : between key:value pair.\nbad\n   ^"),
        ("POST", EXECUTE, b'{"code": 5}', "code: invalid value 5 for type TYPE_STRING"),
        (
            "POST",
            EXECUTE,
            '{"language": "\\"\\u0001é"}'.encode(),
            'language: invalid value ""\x01é" for type type.googleapis.com/polycall.v1.Language',
        ),
        ("POST", EXECUTE, b"[]", ": Root element must be a message."),
    ],
)
async def test_what_does_not_fit_is_400_and_says_where(
    gateway: Gateway, method: str, path: str, body: bytes | None, why: str
) -> None:
    answer = await ask(gateway.rest, method, path, body)
    assert (answer.status, answer.json()) == (400, UNFIT | {"message": f"The request does not fit. {why}"})


async def test_what_does_not_fit_is_not_quoted_where_it_may_be_large(gateway: Gateway) -> None:
    wrong = b'{"code": "%b", "language": "NONSENSE"}'
    small, large = wrong % (b"x" * 1000), wrong % (b"x" * (64 << 10))
    assert (await ask(gateway.rest, "POST", EXECUTE, small)).json() != UNFIT
    answer = await ask(gateway.rest, "POST", EXECUTE, large)
    assert (answer.status, answer.json()) == (400, UNFIT)


async def test_a_body_may_not_say_what_the_path_says(gateway: Gateway) -> None:
    answer = await ask(
        gateway.rest, "POST", "/polycall/v1/packages/p/functions/f:run", b'{"function": "packages/q/functions/f"}'
    )
    assert (answer.status, answer.json()["details"]) == (400, UNFIT["details"])


async def test_a_stream_is_a_line_an_event(gateway: Gateway) -> None:
    events = [
        {"started": {"name": "executions/e"}},
        {"output": {"stream": "STREAM_STDOUT", "data": "aGk="}},
        {"finished": {"name": "executions/e", "state": "STATE_COMPLETED"}},
    ]
    answer = await ask(gateway.rest, "GET", STREAM, None, {"x-test-answers": json.dumps(events)})
    assert answer.status == 200
    assert [json.loads(line) for line in answer.body.splitlines()] == events


async def test_an_event_arrives_when_it_is_sent_even_compressed(gateway: Gateway) -> None:
    headers = {
        "x-test-answers": json.dumps([{"started": {"name": "executions/e"}}, {}]),
        "x-test-pause": "20",
        "accept-encoding": "gzip",
    }
    connection = http.client.HTTPConnection(gateway.rest, timeout=10)
    await asyncio.to_thread(send, connection, "GET", STREAM, None, headers)
    response = await asyncio.to_thread(connection.getresponse)
    line = await asyncio.to_thread(response.readline)
    assert (json.loads(line), gateway.last.finished) == ({"started": {"name": "executions/e"}}, False)
    assert response.getheader("content-encoding") is None
    connection.close()


@pytest.mark.parametrize("path", [EXECUTE, "/v1/execute-function"])
async def test_a_client_that_goes_away_cancels_the_call(gateway: Gateway, path: str) -> None:
    assert gateway.upstream is not None
    before = len(gateway.upstream.calls)
    connection = http.client.HTTPConnection(gateway.rest)
    await asyncio.to_thread(send, connection, "POST", path, b"{}", {"x-test-delay": "20"})
    async with asyncio.timeout(60):
        while len(gateway.upstream.calls) == before:
            await asyncio.sleep(0.01)
        connection.close()
        while not gateway.last.cancelled:
            await asyncio.sleep(0.01)
