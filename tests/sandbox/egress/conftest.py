"""A proxy without a sandbox: its listening socket is one of ours, and the tests are the code that is inside."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from polycall.domain import Credential, CredentialKind, EgressPolicy, EgressRule
from polycall.sandbox.egress.bounds import Bounds
from polycall.sandbox.egress.proxy import Egress, EgressConfig, Session
from tests.sandbox.egress.outside import Certificates, Site, site

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)


def rule(host: str, **credentials: Any) -> EgressRule:
    """Make a rule: ``bearer="token"``, ``basic=("user", "password")``, ``header=`` and ``query=("name", "value")``."""
    made = []
    for kind, value in credentials.items():
        name, secret = ("", value) if isinstance(value, str) else value
        made.append(Credential(kind=CredentialKind(kind), name=name, secret=secret))
    return EgressRule(host=host, credentials=tuple(made))


def policy(*rules: EgressRule | str) -> EgressPolicy:
    return EgressPolicy(rules=tuple(rule(one) if isinstance(one, str) else one for one in rules))


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(Path(tmp_path_factory.mktemp("certificates")))


@pytest.fixture(scope="session")
def _secure(certificates: Certificates) -> Iterator[Site]:
    with site(certificates.server("api.example.com", "other.example.com", "example.org")) as found:
        yield found


@pytest.fixture(scope="session")
def _plain() -> Iterator[Site]:
    with site() as found:
        yield found


@pytest.fixture
def secure(_secure: Site) -> Site:
    """A server with TLS that is api.example.com, other.example.com and example.org."""
    _secure.seen.clear()
    return _secure


@pytest.fixture
def plain(_plain: Site) -> Site:
    """A server without TLS."""
    _plain.seen.clear()
    return _plain


Proxy = Callable[..., AbstractAsyncContextManager[tuple[int, Session]]]


@pytest.fixture
def proxy(certificates: Certificates, tmp_path: Path) -> Proxy:
    """Start a proxy; every name leads to loopback."""

    @contextlib.asynccontextmanager
    async def start(
        rules: EgressPolicy,
        bounds: Bounds | None = None,
        lookup: Callable[[str], list[str]] = lambda _: ["127.0.0.1"],
        networks: Any = LOOPBACK,
    ) -> AsyncIterator[tuple[int, Session]]:
        egress = Egress(
            EgressConfig(
                networks=networks, trusted=str(certificates.authority), bounds=bounds or Bounds(), lookup=lookup
            )
        )
        (tmp_path / "trusted.pem").write_text(egress.certificate + certificates.authority.read_text())
        listener = socket.create_server(("127.0.0.1", 0), backlog=32)
        listener.setblocking(False)
        try:
            async with egress.serve(listener, rules) as session:
                yield listener.getsockname()[1], session
        finally:
            listener.close()
            egress.close()

    return start


@pytest.fixture
def trusted(tmp_path: Path) -> str:
    """The file with the certificates that a run trusts; it is there once a proxy was started."""
    return str(tmp_path / "trusted.pem")
