"""What the gateway does for its clients' connections, as an edge has to."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from polycall_gateway import GatewayConfig, render
from tests.gateway.client import ask
from tests.gateway.conftest import Gateway
from tests.gateway.upstream import Call

pytestmark = pytest.mark.asyncio(loop_scope="session")

ESTABLISHED, KEEPALIVE_TIMER = "01", "02"  # linux: Documentation/networking/proc_net_tcp.rst
READERS = 8  # four for each of Envoy's two threads: three were enough
TICKS_S = 100  # of the times in that file, on all machines


def keepalive_s(here: tuple[str, int], there: tuple[str, int]) -> float | None:
    """Return when the kernel will ask whether the other side is still there; None if nothing says that it will."""
    for local, remote, state, timer in connections():
        if (local, remote, state) == (hexadecimal(here), hexadecimal(there), ESTABLISHED):
            kind, _, ticks = timer.partition(":")
            return int(ticks, 16) / TICKS_S if kind == KEEPALIVE_TIMER else None
    return None


def connections() -> Iterator[tuple[str, str, str, str]]:
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, state, _, timer, *_ = line.split()
        yield local, remote, state, timer


def hexadecimal(address: tuple[str, int]) -> str:
    return f"{socket.inet_aton(address[0])[::-1].hex().upper()}:{address[1]:04X}"


async def asked_within_s(here: tuple[str, int], there: tuple[str, int]) -> float:
    async with asyncio.timeout(30):
        while (due := keepalive_s(here, there)) is None:  # the other side has to take it first
            await asyncio.sleep(0.01)
        return due


@pytest.mark.parametrize("listener", ["rest", "mesh", "riza"])
async def test_a_client_that_says_nothing_any_more_is_asked_whether_it_is_there(
    gateway: Gateway, listener: str
) -> None:
    host, _, port = gateway.launcher.addresses[listener].rpartition(":")
    with closing(socket.create_connection((host, int(port)), timeout=10)) as client:
        assert 20 < await asked_within_s((host, int(port)), client.getsockname()) <= 60


async def test_readers_that_do_not_read_hold_up_nobody_else(gateway: Gateway) -> None:
    assert gateway.upstream is not None
    piece = {"output": {"stream": "STREAM_STDOUT", "data": base64.b64encode(b"x" * 18_000).decode()}}
    head = f"GET /polycall/v1/executions/e:stream HTTP/1.1\r\nhost: x\r\nx-test-answers: {json.dumps([piece])}\r\n"
    host, _, port = gateway.rest.rpartition(":")
    before = len(gateway.upstream.calls)
    with contextlib.ExitStack() as stack:
        for _ in range(READERS):
            reader = stack.enter_context(closing(socket.create_connection((host, int(port)), timeout=10)))
            reader.sendall(f"{head}x-test-times: 2000\r\n\r\n".encode())
        async with asyncio.timeout(60):
            while len(calls := gateway.upstream.calls[before:]) < READERS or not await stuck(calls):
                await asyncio.sleep(0.01)
        assert not any(call.finished for call in calls)
        for _ in range(4):  # some of each of Envoy's threads
            assert (await ask(gateway.rest, "GET", "/polycall/v1/executions/e")).status == 200


async def stuck(calls: list[Call]) -> bool:
    """Tell whether nothing more goes out."""
    sent = [call.sent for call in calls]
    await asyncio.sleep(0.2)
    return [call.sent for call in calls] == sent


async def test_a_server_elsewhere_that_says_nothing_any_more_is_asked_whether_it_is_there() -> None:
    (cluster,) = render(GatewayConfig(replicas=("server-0:50051",))).cds["resources"]
    asked = {"keepalive_time": 20, "keepalive_interval": 5, "keepalive_probes": 2}
    assert cluster["upstream_connection_options"] == {"tcp_keepalive": asked}
    (here,) = render(GatewayConfig()).cds["resources"]  # a socket of a file
    assert "upstream_connection_options" not in here
