"""What Envoy answers by itself, worded as each vendor would."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from polycall_gateway.admin import Admin
from polycall_gateway.descriptors import NATIVE, Contract
from polycall_gateway.vendors import VENDORS
from tests.gateway.client import ask
from tests.gateway.conftest import FACES, Gateway, running
from tests.harness import Response

pytestmark = pytest.mark.asyncio(loop_scope="session")

# For each face a method to call, and a path where it has nothing.
METHODS = {
    "riza": "/v1/execute-function",
    "cognite": "/api/v1/projects/p/functions/1/call",
    "guance": "/api/v1/outer_function/execute",
    "xpander": "/v1/custom_functions/f/execute",
    "domo": "/api/codeengine/v2/packages/p/versions/1.0.1/functions/f",
    NATIVE: "/polycall/v1/executions:execute",
}
NOWHERE = {
    "riza": ("/v1", "/v1/nowhere", "/v1/tools/x/y/z", "/v1/custom_functionsx"),
    "cognite": ("/api/v1/projects/p/nowhere", "/api/v1/token/x", "/oauth2/x"),
    "guance": ("/api/v1/nowhere", "/api/v2/x", "/api"),
    "xpander": ("/v1/custom_functions/f/nowhere", "/tools", "/agents/a/x", "/health/x"),
    "domo": ("/api/codeengine/x", "/domo/x"),
    NATIVE: ("/polycall/v1/nowhere", "/polycall/v1/executions/x:run", "/polycall"),
}
ALL = (*FACES, NATIVE)


def told(face: str, status: int, phrase: str, code: int, text: str, trace: str) -> Any:
    """Return what the face's contract wants as the body."""
    return {
        "riza": {"code": code, "message": text},
        "cognite": {"error": {"code": status, "message": text}},
        "guance": {
            "code": status,
            "content": {},
            "errorCode": "ft.InternalError" if status >= 500 else "ft.InvalidParameter",
            "message": text,
            "success": False,
            "traceId": trace,
        },
        "xpander": {"detail": phrase},
        "domo": {"status": status, "statusReason": phrase, "message": text},
        NATIVE: {"code": code, "message": text},
    }[face]


def check(face: str, answer: Response, status: int, phrase: str, code: int, text: str, **other: Any) -> None:
    body = answer.json()
    details = body.pop("details", None) if face == NATIVE else None
    assert (answer.status, answer.reason) == (status, phrase)
    trace = "TRACE-" + answer.headers["x-request-id"].upper()
    assert body == told(face, status, phrase, code, text, trace) | other
    assert answer.headers["content-type"] == VENDORS[face].content_type
    assert answer.headers["server"] == "polycall"
    if details:
        [info] = details
        assert info["domain"] == "polycall"
        values = Contract.load().descriptors
        assert f"ERROR_REASON_{info['reason']}".encode() in values


@pytest.mark.parametrize(("face", "path"), [(face, path) for face in ALL for path in NOWHERE[face]])
async def test_an_unknown_path_is_404_in_the_words_of_its_vendor(gateway: Gateway, face: str, path: str) -> None:
    answer = await ask(gateway.rest, "GET", path)
    code = 5 if face == "riza" else 12
    other = {"errorCode": "ft.NotFound"} if face == "guance" else {}
    check(face, answer, 404, "Not Found", code, "There is nothing at this path.", **other)


@pytest.mark.parametrize("face", ALL)
async def test_another_method_is_405_and_names_those_that_are_taken(gateway: Gateway, face: str) -> None:
    answer = await ask(gateway.rest, "PUT", METHODS[face], b"{}")
    text = "This path does not take this method; the header allow names those it takes."
    other = {"errorCode": "ft.NotFound"} if face == "guance" else {}
    check(face, answer, 405, "Method Not Allowed", 12, text, **other)
    assert answer.headers["allow"] == "POST"


async def test_405_names_every_method_of_a_path(gateway: Gateway) -> None:
    answer = await ask(gateway.rest, "PUT", "/polycall/v1/packages/p")
    assert answer.headers["allow"] == "DELETE, GET, PATCH"


@pytest.mark.parametrize("face", ALL)
@pytest.mark.parametrize("more", [1, 16 << 10])
async def test_a_body_over_the_limit_is_413_whether_its_length_is_told_or_not(
    impatient: Gateway, face: str, more: int
) -> None:
    largest = b'{"code":"%s"}' % (b"x" * ((64 << 10) - len(b'{"code":""}')))
    assert (await ask(impatient.rest, "POST", METHODS[face], largest)).status == 200
    large = largest + b" " * more
    for body, headers in (
        (large, {}),
        (b"%x\r\n%s\r\n0\r\n\r\n" % (len(large), large), {"transfer-encoding": "chunked"}),
    ):
        answer = await ask(impatient.rest, "POST", METHODS[face], body, headers)
        code = 3 if face == "riza" else 8
        other = {"detail": "Request body too large"} if face == "xpander" else {}
        text = "The request body is larger than the server takes."
        check(face, answer, 413, "Payload Too Large", code, text, **other)


@pytest.mark.parametrize("face", ALL)
async def test_without_a_server_it_is_503_and_may_be_tried_again(orphan: Gateway, face: str) -> None:
    answer = await ask(orphan.rest, "POST", METHODS[face], b"{}")
    text = "The server is not reachable; nothing was run. Try again in a second."
    check(face, answer, 503, "Service Unavailable", 14, text)
    assert answer.headers["retry-after"] == "1"
    assert "x-should-retry" not in answer.headers


@pytest.mark.parametrize("face", ALL)
async def test_a_server_that_does_not_answer_in_time_is_504_and_must_not_be_repeated(
    impatient: Gateway, face: str
) -> None:
    answer = await ask(impatient.rest, "POST", METHODS[face], b"{}", {"x-test-delay": "20"})
    check(face, answer, 504, "Gateway Timeout", 4, "The server did not answer in time; the code may have run.")
    assert answer.headers["x-should-retry"] == "false"


async def test_a_body_that_does_not_arrive_in_time_is_408(short_path: Path) -> None:
    async with running(short_path, max_upload_s=0.3) as gateway:
        too_long = {"content-length": "5"}
        answers = await asyncio.gather(*(ask(gateway.rest, "POST", METHODS[face], None, too_long) for face in ALL))
    for face, answer in zip(ALL, answers, strict=True):
        check(face, answer, 408, "Request Timeout", 4, "The request did not arrive in time.")


LOST = "The connection to the server was lost; the code may have run."


async def in_flight(gateway: Gateway, path: str) -> asyncio.Task[Response]:
    """Return a request that the server works on. One that came before Envoy had found the server is made again."""
    admin = Admin(gateway.config.admin_socket)
    async with asyncio.timeout(60):
        while True:
            asking = asyncio.create_task(ask(gateway.rest, "POST", path, b"{}", {"x-test-delay": "20"}))
            while not asking.done():
                if (await admin.stats("servers.upstream_rq_active$"))["cluster.servers.upstream_rq_active"]:
                    return asking
                await asyncio.sleep(0.02)


async def test_a_server_that_is_killed_in_the_middle_is_500_once_and_must_not_be_repeated(short_path: Path) -> None:
    async with running(short_path, server=False) as gateway:
        for face in ALL:
            path = gateway.config.upstreams[0]
            path.unlink(missing_ok=True)
            server = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.gateway.upstream", str(path)), stdout=asyncio.subprocess.PIPE
            )
            try:
                assert server.stdout is not None
                assert await asyncio.wait_for(server.stdout.readline(), 20) == b"serving\n"
                asking = await in_flight(gateway, METHODS[face])
            finally:
                server.kill()
                await server.wait()
            answer = await asking
            check(face, answer, 500, "Internal Server Error", 13, LOST)
            assert answer.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("face", FACES)
async def test_a_face_that_ends_without_a_reply_is_spoken_for(gateway: Gateway, face: str) -> None:
    answer = await ask(gateway.rest, "POST", METHODS[face], b"{}", {"x-test-abort": "UNAVAILABLE"})
    check(face, answer, 500, "Internal Server Error", 13, LOST)
    assert answer.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("face", FACES)
async def test_an_exception_that_escapes_a_face_is_not_told(gateway: Gateway, face: str) -> None:
    answer = await ask(gateway.rest, "POST", METHODS[face], b"{}", {"x-test-delay": "not a number"})
    check(face, answer, 500, "Internal Server Error", 13, LOST)
    assert "number" not in answer.body.decode()


@pytest.mark.parametrize("face", FACES)
async def test_a_face_that_the_server_does_not_have_is_404(gateway: Gateway, face: str) -> None:
    answer = await ask(gateway.rest, "POST", METHODS[face], b"{}", {"x-test-abort": "UNIMPLEMENTED"})
    code = 5 if face == "riza" else 12
    other = {"errorCode": "ft.NotFound"} if face == "guance" else {}
    check(face, answer, 404, "Not Found", code, "There is nothing at this path.", **other)


async def test_nobodys_path_is_404_all_the_same(gateway: Gateway) -> None:
    for path in ("/", "/nowhere", "/polycall.faces.riza.v1.RizaService/ExecuteFunction"):
        answer = await ask(gateway.rest, "POST", path, b"{}")
        assert answer.status == 404
        assert answer.body == b'{"error":{"code":404,"message":"There is nothing at this path."}}'


async def test_guance_keeps_the_callers_trace_id_if_it_is_one(gateway: Gateway) -> None:
    kept = await ask(gateway.rest, "GET", "/api/v1/x", None, {"X-Trace-Id": "TRACE-0A1B"})
    assert kept.json()["traceId"] == "TRACE-0A1B"
    for hostile in ('a","success":true,"x":"', "x" * 500, "a\\"):
        made = await ask(gateway.rest, "GET", "/api/v1/x", None, {"X-Trace-Id": hostile})
        assert made.json()["traceId"] == "TRACE-" + made.headers["x-request-id"].upper()


async def test_a_body_has_its_vendors_key_order_and_nothing_more(gateway: Gateway) -> None:
    answer = await ask(gateway.rest, "GET", "/domo/x")
    assert answer.body == b'{"status":404,"statusReason":"Not Found","message":"There is nothing at this path."}'


async def test_a_rate_limit_is_429_in_the_words_of_each_vendor(short_path: Path) -> None:
    async with running(short_path, requests_per_second=1) as gateway:
        while (await ask(gateway.rest, "GET", "/nowhere")).status != 429:
            pass
        for face in ALL:
            answer = await ask(gateway.rest, "POST", METHODS[face], b"{}")
            while answer.status == 200:  # a new second has begun
                answer = await ask(gateway.rest, "POST", METHODS[face], b"{}")
            text = "Too many requests; try again in a second."
            if face == "guance":
                code = "ft.TriggerApiWorkspaceCurrentLimiting"
                check(face, answer, 401, "Unauthorized", 8, text, errorCode=code)
            else:
                check(face, answer, 429, "Too Many Requests", 8, text)
            assert answer.headers["retry-after"] == "1"
            told = [answer.headers[f"x-ratelimit-{name}"] for name in ("limit", "remaining")]
            assert told == ["2", "0"]  # twice the rate in a burst
            assert answer.headers["x-ratelimit-reset"] in ("0", "1")


async def test_healthz_follows_the_server(short_path: Path) -> None:
    async with running(short_path) as gateway:
        assert gateway.upstream is not None
        for serving, status, word in ((True, 200, "SERVING"), (False, 503, "NOT_SERVING"), (True, 200, "SERVING")):
            await gateway.upstream.serve(serving)
            async with asyncio.timeout(60):
                while (answer := await ask(gateway.rest, "GET", "/healthz")).status != status:
                    await asyncio.sleep(0.05)
            assert answer.body == json.dumps({"status": word}, separators=(",", ":")).encode()


async def test_healthz_is_on_every_listener(gateway: Gateway, orphan: Gateway) -> None:
    assert len(gateway.launcher.addresses) == 2 + len(FACES)
    for address in gateway.launcher.addresses.values():
        answer = await ask(address, "GET", "/healthz")
        assert (answer.status, answer.body) == (200, b'{"status":"SERVING"}')
        assert answer.headers["content-type"] == "application/json"
    for address in orphan.launcher.addresses.values():
        answer = await ask(address, "GET", "/healthz")
        assert (answer.status, answer.body) == (503, b'{"status":"NOT_SERVING"}')


@pytest.mark.parametrize("face", FACES)
async def test_headers_over_the_limit_are_431_in_the_words_of_a_listeners_only_face(
    gateway: Gateway, face: str
) -> None:
    huge = {"x-huge": "x" * (40 << 10)}
    answer = await ask(gateway.launcher.addresses[face], "POST", METHODS[face], b"{}", huge)
    text = "The request headers are larger than the server takes."
    assert answer.status == 431
    assert answer.json() == told(face, 431, "Request Header Fields Too Large", 3, text, "-")
    shared = await ask(gateway.rest, "POST", METHODS[face], b"{}", huge)  # there is no path yet that would name a face
    assert (shared.status, shared.json()["error"]["code"]) == (431, 431)


@pytest.mark.parametrize("face", FACES)
async def test_a_faces_own_listener_serves_that_face_alone(gateway: Gateway, face: str) -> None:
    address = gateway.launcher.addresses[face]
    assert (await ask(address, "POST", METHODS[face], b"{}")).status == 200
    for other in ALL:
        if other != face:
            answer = await ask(address, "POST", METHODS[other], b"{}")
            code = 5 if face == "riza" else 12
            words = {"errorCode": "ft.NotFound"} if face == "guance" else {}
            check(face, answer, 404, "Not Found", code, "There is nothing at this path.", **words)
