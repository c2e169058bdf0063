"""A caller of the Riza face."""

from __future__ import annotations

import pytest

from tests.contracts.riza.driver import Riza
from tests.harness import Server


@pytest.fixture(scope="session")
def riza(polycall: Server) -> Riza:
    """A caller with the bootstrap key."""
    return Riza(polycall, polycall.key)
