"""A caller of the xpander face."""

from __future__ import annotations

import pytest

from tests.contracts.xpander.driver import GREETER, Xpander
from tests.harness import Server


@pytest.fixture(scope="session")
def xpander(polycall: Server) -> Xpander:
    """A caller with the bootstrap key."""
    return Xpander(polycall, polycall.key)


@pytest.fixture(scope="session")
def greeter(xpander: Xpander) -> str:
    """The id of a function that greets a city."""
    return xpander.deploy(GREETER)
