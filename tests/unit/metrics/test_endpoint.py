"""The endpoint answers /metrics and nothing else, whoever asks however."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from polycall.metrics.endpoint import MetricsEndpoint, listen
from polycall.serving import ServeError


async def text() -> tuple[str, bytes]:
    return "text/plain; version=0.0.4", b"one 1\n"


@pytest.fixture
async def endpoint() -> AsyncIterator[MetricsEndpoint]:
    made = await listen("127.0.0.1:0", 3)
    made.expose = text
    yield made
    await made.stop()


async def ask(endpoint: MetricsEndpoint, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.port)
    try:
        writer.write(request)
        return await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.close()


async def cut(endpoint: MetricsEndpoint, request: bytes) -> bool:
    """Return whether the connection is closed without an answer."""
    try:
        return await ask(endpoint, request) == b""
    except ConnectionError:
        return True


async def test_a_scrape_gets_the_text_and_the_connection_is_closed(endpoint: MetricsEndpoint) -> None:
    assert await ask(endpoint, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n") == (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: 6\r\n"
        b"Connection: close\r\n\r\none 1\n"
    )
    assert (await ask(endpoint, b"HEAD /metrics?a=b HTTP/1.1\r\n\r\n")).endswith(b"Connection: close\r\n\r\n")


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET / HTTP/1.1", b"404 Not Found"),
        (b"GET /metrics/../x HTTP/1.1", b"404 Not Found"),
        (b"POST /metrics HTTP/1.1", b"405 Method Not Allowed"),
        (b"\xff\xfe", b"404 Not Found"),
    ],
)
async def test_what_is_not_a_scrape_is_refused(endpoint: MetricsEndpoint, request_line: bytes, status: bytes) -> None:
    assert (await ask(endpoint, request_line + b"\r\n\r\n")).startswith(b"HTTP/1.1 " + status + b"\r\n")


async def test_a_head_without_end_is_cut(endpoint: MetricsEndpoint) -> None:
    assert await cut(endpoint, b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 100_000)
    assert (await ask(endpoint, b"GET /metrics HTTP/1.1\r\n\r\n")).endswith(b"one 1\n")


async def test_those_who_say_nothing_keep_nobody_waiting_for_long(endpoint: MetricsEndpoint) -> None:
    silent = [await asyncio.open_connection("127.0.0.1", endpoint.port) for _ in range(16)]
    try:
        assert await cut(endpoint, b"GET /metrics HTTP/1.1\r\n\r\n")  # the seventeenth is turned away
    finally:
        for _, writer in silent:
            writer.close()


async def test_a_start_and_a_failure_are_said_without_words_of_their_own(endpoint: MetricsEndpoint) -> None:
    async def broken() -> tuple[str, bytes]:
        raise RuntimeError("secret")

    broken_one = await listen("127.0.0.1:0", 0)
    early = await ask(broken_one, b"GET /metrics HTTP/1.1\r\n\r\n")
    assert early.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    broken_one.expose = broken
    try:
        answer = await ask(broken_one, b"GET /metrics HTTP/1.1\r\n\r\n")
    finally:
        await broken_one.stop()
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"secret" not in answer


async def test_an_address_that_is_taken_is_named_with_its_setting(endpoint: MetricsEndpoint) -> None:
    with pytest.raises(ServeError, match=r"POLYCALL_METRICS_ADDRESS") as caught:
        await listen(f"127.0.0.1:{endpoint.port}", 0)
    assert f"Cannot listen on 127.0.0.1:{endpoint.port} for metrics: " in str(caught.value)


async def test_of_several_processes_each_has_the_next_port(endpoint: MetricsEndpoint) -> None:
    with pytest.raises(ServeError, match=f"127.0.0.1:{endpoint.port} "):
        await listen(f"127.0.0.1:{endpoint.port - 2}", 2)
