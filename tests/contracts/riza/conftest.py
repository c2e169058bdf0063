"""Callers of the Riza face."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest
from rizaio import Riza as Client

from polycall.v1 import tenancy_service_pb2
from tests.contracts.riza.driver import Riza
from tests.harness import Server

_SCOPES = tenancy_service_pb2.ApiKey
EVERYTHING = (_SCOPES.SCOPE_RUN, _SCOPES.SCOPE_READ, _SCOPES.SCOPE_DEPLOY)


@pytest.fixture(scope="session")
def riza(polycall: Server) -> Riza:
    """A caller with the bootstrap key."""
    return Riza(polycall, polycall.key)


@pytest.fixture(scope="session")
def newcomer(polycall: Server) -> Callable[[], Riza]:
    """Makes callers, each in a project of its own: nothing is there yet."""

    def make() -> Riza:
        return Riza(polycall, polycall.new_key(project=f"riza-{uuid.uuid4().hex[:8]}", scopes=EVERYTHING))

    return make


@pytest.fixture(scope="module")
def alone(newcomer: Callable[[], Riza]) -> Riza:
    """A caller in a project that the tests of this module share with nobody else."""
    return newcomer()


@pytest.fixture(scope="module", params=[True, False], ids=["strict", "loose"])
def client(request: pytest.FixtureRequest, alone: Riza) -> Iterator[Client]:
    """The vendor's SDK, with and without its own checks of what it is answered."""
    with Client(api_key=alone.key, base_url=alone.server.rest, _strict_response_validation=request.param) as client:
        yield client


@pytest.fixture(scope="module")
def strict(alone: Riza) -> Iterator[Client]:
    """The vendor's SDK, checking everything that it is answered."""
    with Client(api_key=alone.key, base_url=alone.server.rest, _strict_response_validation=True) as client:
        yield client
