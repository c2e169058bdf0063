"""Whether one may listen at an address."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from polycall.addresses import probe
from polycall.serving import ServeError


@pytest.fixture
def free() -> Iterator[socket.socket]:
    """Keep an address from others' tests; who may share it finds it free until somebody listens there."""
    with socket.socket() as kept:
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        kept.bind(("127.0.0.1", 0))
        yield kept


def test_an_address_that_is_taken_is_named_with_the_reason_and_the_setting(free: socket.socket) -> None:
    free.listen()
    address = f"127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(ServeError) as refused:
        probe(address, "POLYCALL_X")
    assert str(refused.value) == (
        f"Cannot listen on {address} for gRPC: the address is taken or not ours (Address already in use). "
        "Stop what uses it, or set POLYCALL_X."
    )


def test_an_address_that_is_not_ours_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ServeError, match=r"192\.0\.2\.1:50051 .*Cannot assign requested address"):
        probe("192.0.2.1:50051", "POLYCALL_X")

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(ServeError, match=r"nobody\.invalid:50051 .*Name or service not known"):
        probe("nobody.invalid:50051", "POLYCALL_X")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])
def test_an_address_that_is_free_stays_free(host: str, free: socket.socket) -> None:
    for _ in range(2):
        probe(f"{host}:{free.getsockname()[1]}", "POLYCALL_X")
    free.listen()
    probe("[::]:0", "POLYCALL_X")


def test_a_name_of_several_addresses_is_taken_once_all_of_them_are(
    free: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        places = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", one.getsockname()) for one in (taken, free)]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: places)
        probe("name:1", "POLYCALL_X")
        places.pop()
        with pytest.raises(ServeError, match="Address already in use"):
            probe("name:1", "POLYCALL_X")


def test_what_the_machine_has_no_addresses_of_is_left_to_grpc(monkeypatch: pytest.MonkeyPatch) -> None:
    places = [(socket.AF_INET6, socket.SOCK_STREAM, 99, "", ("::", 0, 0, 0))]  # a protocol that there is not
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: places)
    probe("[::]:1", "POLYCALL_X")
