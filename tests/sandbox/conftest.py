"""Real sandboxes at every level, started once and shared by the tests that leave them as they found them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio

from polycall.domain import IsolationLevel, Language
from polycall.sandbox.job import Outcome
from polycall.sandbox.sandbox import Sandbox, SandboxConfig
from tests.sandbox.programs import LIMITS, job

Run = Callable[..., Awaitable[Outcome]]


def config(level: IsolationLevel = IsolationLevel.CONTAINED, **changes: Any) -> SandboxConfig:
    settings: dict[str, Any] = {"max_level": level, "waiting": 2, "disk_bytes": LIMITS.disk_bytes}
    return SandboxConfig(**(settings | changes))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def started() -> AsyncIterator[Callable[[IsolationLevel], Awaitable[Sandbox]]]:
    """Give the shared sandbox of a level, started at its first use."""
    sandboxes: dict[IsolationLevel, Sandbox] = {}

    async def get(level: IsolationLevel) -> Sandbox:
        if level not in sandboxes:
            sandboxes[level] = Sandbox(config(level))
            await sandboxes[level].start()
            assert sandboxes[level].isolation == level
        return sandboxes[level]

    yield get
    for sandbox in sandboxes.values():
        await sandbox.stop()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "levels(*levels): the isolation levels a test runs at; 3 without it")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "sandbox" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("levels")
        levels = [IsolationLevel(level) for level in (marker.args if marker else (3,))]
        metafunc.parametrize("sandbox", levels, indirect=True, ids=[f"L{level}" for level in levels])


@pytest_asyncio.fixture(loop_scope="session")
async def sandbox(request: pytest.FixtureRequest, started: Callable[..., Awaitable[Sandbox]]) -> Sandbox:
    """The shared sandbox of the level that the test runs at."""
    found = await started(request.param)
    if "javascript" in request.node.nodeid and Language.JAVASCRIPT not in found.languages:
        pytest.skip("root without CAP_SYS_RESOURCE and without namespaces cannot set the limits of Deno")
    return found


@pytest.fixture
def run(sandbox: Sandbox) -> Run:
    """Run ad-hoc code, or what ``job`` takes."""

    async def run(code: Any, value: Any = None, output: Any = None, **changes: Any) -> Outcome:
        return await sandbox.run(job(code, value, **changes), output)

    return run
