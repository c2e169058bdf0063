"""What every test may ask for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import Server, running_server


@pytest.fixture(scope="session")
def polycall(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One real server with gateway and sandbox, shared by all tests that leave it as they found it."""
    with running_server(Path(tmp_path_factory.mktemp("polycall"))) as server:
        yield server
