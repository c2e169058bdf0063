"""The name in a client's hello, read from bytes that anybody may have sent."""

from __future__ import annotations

import contextlib
import ssl

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polycall.sandbox.egress.hello import Incomplete, NotHello, server_name


def hello(name: str | None) -> bytes:
    """Return what OpenSSL begins with."""
    context = ssl.create_default_context()
    context.check_hostname = False
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def in_records(data: bytes, size: int) -> bytes:
    body = data[5:]
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"\x16\x03\x01" + len(piece).to_bytes(2, "big") + piece for piece in pieces)


def test_the_name_is_found() -> None:
    assert server_name(hello("API.example.com")) == "api.example.com"
    assert server_name(hello(None)) is None
    assert server_name(hello("127.0.0.1")) is None


@pytest.mark.parametrize("size", [1, 7, 100])
def test_a_hello_may_be_spread_over_records(size: int) -> None:
    assert server_name(in_records(hello("api.example.com"), size)) == "api.example.com"


def test_every_beginning_is_incomplete() -> None:
    data = hello("api.example.com")
    for end in range(len(data)):
        with pytest.raises(Incomplete):
            server_name(data[:end])


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"\x17\x03\x03\x00\x01\x00",  # data before any handshake
        b"\x16\x02\x00\x00\x01\x01",  # SSL 2
        b"\x16\x03\x01\x00\x00",  # an empty record, of which there could be any number
        b"\x16\x03\x01\xff\xff",
        b"\x16\x03\x01\x00\x04\x02\x00\x00\x00",  # a server's hello
        b"\x16\x03\x01\x00\x04\x01\xff\xff\xff",  # 16 MiB of hello
        b"\x16\x03\x01\x00\x04\x01\x00\x00\x00",  # nothing in it
    ],
)
def test_what_is_no_hello_is_told(data: bytes) -> None:
    with pytest.raises(NotHello):
        server_name(data)


def test_two_names_are_refused() -> None:
    data = hello("api.example.com")
    name = b"\x00\x00\x00\x14\x00\x12\x00\x00\x0fapi.example.com"
    assert name in data
    doubled = data.replace(name, name + name)
    # the lengths of record, message and extensions grow with it
    grown = bytearray(doubled)
    for at, size in ((3, 2), (6, 3)):
        grown[at : at + size] = (int.from_bytes(grown[at : at + size], "big") + len(name)).to_bytes(size, "big")
    extensions = doubled.index(name) - 2
    while int.from_bytes(data[extensions : extensions + 2], "big") != len(data) - extensions - 2:
        extensions -= 1
    length = int.from_bytes(grown[extensions : extensions + 2], "big") + len(name)
    grown[extensions : extensions + 2] = length.to_bytes(2, "big")
    with pytest.raises(NotHello, match="two server names"):
        server_name(bytes(grown))


@settings(deadline=None)
@given(st.binary(max_size=600), st.integers(0, 600))
def test_any_bytes_have_an_answer(noise: bytes, at: int) -> None:
    data = hello_bytes()
    for candidate in (noise, data[:at] + noise, data[:at] + noise + data[at + len(noise) :]):
        with contextlib.suppress(Incomplete, NotHello):
            server_name(candidate)


def hello_bytes() -> bytes:
    if not _kept:
        _kept.append(hello("api.example.com"))
    return _kept[0]


_kept: list[bytes] = []
