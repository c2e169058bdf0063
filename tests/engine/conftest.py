"""One real sandbox for all tests of the engine; a store and an engine for each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio

from polycall.sandbox.sandbox import Sandbox, SandboxConfig
from tests.engine.house import House, house

Build = Callable[..., AbstractAsyncContextManager[House]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run every test of this directory on the loop that the sandbox lives on."""
    for item in items:
        if Path(__file__).parent in item.path.parents and item.get_closest_marker("asyncio") is not None:
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def sandbox() -> AsyncIterator[Sandbox]:
    """The sandbox."""
    shared = Sandbox(SandboxConfig(waiting=3, warm=4, processes=24))
    await shared.start()
    yield shared
    await shared.stop()


@pytest.fixture
def build(database_dir: Path, sandbox: Sandbox) -> Build:
    """Build a house in the test's directory; entered a second time, that is a restart."""
    return partial(house, database_dir, sandbox)


@pytest_asyncio.fixture(loop_scope="session")
async def home(build: Build) -> AsyncIterator[House]:
    """A house with four slots, two of them for Calls."""
    async with build() as built:
        yield built
