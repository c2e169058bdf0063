"""A real Envoy in front of a small server, shared by all tests that leave it as they found it."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from polycall_gateway import Contract, GatewayConfig, Launcher
from tests.gateway.client import ask
from tests.gateway.upstream import Call, Upstream

HEALTHY_S = 60.0  # Envoy asks every two seconds
FACES = ("cognite", "domo", "guance", "riza", "xpander")


@dataclass
class Gateway:
    """Envoy, and the server behind it if there is one."""

    launcher: Launcher
    config: GatewayConfig
    upstream: Upstream | None = None

    @property
    def rest(self) -> str:
        return self.launcher.addresses["rest"]

    @property
    def mesh(self) -> str:
        return self.launcher.addresses["mesh"]

    @property
    def last(self) -> Call:
        assert self.upstream is not None
        return self.upstream.calls[-1]


def config(directory: Path, **settings: Any) -> GatewayConfig:
    """Free ports everywhere, everything else in ``directory``."""
    addresses: dict[str, Any] = {"rest_address": "127.0.0.1:0", "mesh_address": "127.0.0.1:0"}
    return GatewayConfig(
        **(addresses | {"directory": directory / "gateway", "upstreams": (directory / "server.sock",)} | settings)
    )


@contextlib.asynccontextmanager
async def running(directory: Path, *, server: bool = True, **settings: Any) -> AsyncIterator[Gateway]:
    """Run Envoy with ``settings``, and unless ``server`` is False the server."""
    chosen = config(directory, **settings)
    async with contextlib.AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(Upstream(Contract.load(), chosen.upstreams[0])) if server else None
        launcher = await stack.enter_async_context(Launcher(chosen))
        yield Gateway(launcher, chosen, upstream)


@pytest.fixture(scope="session")
def contract() -> Contract:
    return Contract.load()


# Socket paths have to be short; pytest's are not.
@pytest.fixture
def short_path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="gateway-") as directory:
        yield Path(directory)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared() -> AsyncIterator[Gateway]:
    with tempfile.TemporaryDirectory(prefix="gateway-") as directory:
        faces = dict.fromkeys(FACES, "127.0.0.1:0")
        async with running(Path(directory), face_addresses=faces) as made:
            yield made


@pytest_asyncio.fixture(loop_scope="session")
async def gateway(shared: Gateway) -> Gateway:
    return await _healthy(shared)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_impatient() -> AsyncIterator[Gateway]:
    with tempfile.TemporaryDirectory(prefix="gateway-") as directory:
        async with running(Path(directory), max_run_s=0.3, run_margin_s=0.2, max_body_bytes=64 << 10) as made:
            yield made


@pytest_asyncio.fixture(loop_scope="session")
async def impatient(shared_impatient: Gateway) -> Gateway:
    """Half a second for a run, 64 KiB for a body."""
    return await _healthy(shared_impatient)


async def _healthy(gateway: Gateway) -> Gateway:
    """Wait until Envoy takes the server for healthy: while others' tests have the event loop, it answers no probes."""
    async with asyncio.timeout(HEALTHY_S):
        while (await ask(gateway.rest, "GET", "/healthz")).status != 200:
            await asyncio.sleep(0.05)
    return gateway


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def orphan() -> AsyncIterator[Gateway]:
    """Envoy without a server."""
    with tempfile.TemporaryDirectory(prefix="gateway-") as directory:
        async with running(Path(directory), server=False) as made:
            yield made
