"""A caller of the Cognite face."""

from __future__ import annotations

import pytest

from tests.contracts.cognite.driver import ECHO, Cognite
from tests.harness import Server


@pytest.fixture(scope="session")
def cognite(polycall: Server) -> Cognite:
    """A caller of project default, with a function that returns its data."""
    caller = Cognite(polycall, polycall.key)
    caller.echo = caller.deploy(ECHO)
    return caller
