"""A server that has little to give, for what every contract says of that."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness import Server, running_server

# One slot, one place in its queue, an operator who allows little. Who tests what is kept has a project of its own.
LITTLE = {
    "POLYCALL_SLOTS": "1",
    "POLYCALL_QUEUE": "1",
    "POLYCALL_MAX_TIMEOUT_S": "20",
    "POLYCALL_MAX_MEMORY_MIB": "200",
    "POLYCALL_REQUESTS_PER_SECOND": "1000",
    "POLYCALL_PROJECT_STORAGE_MIB": "1",
    "POLYCALL_CHANGES_PER_HOUR": "90",  # the operator's own, who makes the projects, are fewer
    "POLYCALL_ENTRIES": "2",
    "POLYCALL_EGRESS_ANYWHERE": "false",
    "POLYCALL_COGNITE_NONCE": "lenient",
    "POLYCALL_RIZA_MAX_TIMEOUT_S": "2",
}


@pytest.fixture(scope="session")
def little(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server; tests/scheduling.py has one worker run the modules that ask for it."""
    with running_server(tmp_path_factory.mktemp("little"), **LITTLE) as server:
        yield server
