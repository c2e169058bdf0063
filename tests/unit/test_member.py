"""A process's place among others, and its share of the machine."""

from __future__ import annotations

import os
import socket
from dataclasses import fields, replace
from pathlib import Path

import pytest

from polycall.config import Settings
from polycall.domain import IsolationLevel
from polycall.family.address import reserved
from polycall.member import Member, decode_member, encode_member, share_of
from polycall.serving import ServeError

MEMBER = Member(index=1, count=3, node="b", living=("a", "c"), first=False, sockets=Path("/s"), key="secret")


def test_settings_and_place_come_through_as_they_are() -> None:
    settings = Settings(
        processes=3,
        rest_address="",
        data_dir=Path("/d"),
        isolation_floor=IsolationLevel.CONFINED,
        gateway=False,
        database_url="postgresql://u:p@h/d",
        bootstrap_key="k\u00e9y",
        warm_idle_s=1.5,
    )
    line = encode_member(MEMBER, settings)
    assert (line.count(b"\n"), line[-1:]) == (1, b"\n")
    assert decode_member(line) == (MEMBER, settings)


def test_every_setting_comes_through_with_its_default() -> None:
    assert decode_member(encode_member(MEMBER, Settings())) == (MEMBER, Settings())


def test_what_is_the_machines_is_divided_and_rounded_up() -> None:
    settings = Settings(slots=7, queue=10, call_slots=0, warm_workers=0, waiting_children=1, project_slots=2)
    share = share_of(settings, 3)
    assert (share.slots, share.queue, share.call_slots, share.warm_workers) == (3, 4, 0, 0)
    assert (share.waiting_children, share.project_slots) == (1, 1)
    untouched = {item.name for item in fields(Settings) if getattr(share, item.name) == getattr(settings, item.name)}
    assert {"call_queue", "max_memory_mib", "drain_grace_s", "warm_idle_s", "processes"} <= untouched
    assert share_of(settings, 1) == settings


def test_an_address_is_held_and_can_be_shared_by_those_who_know() -> None:
    with reserved("127.0.0.1:0") as address:
        host, _, port = address.rpartition(":")
        assert (host, int(port) > 0) == ("127.0.0.1", True)
        with pytest.raises(ServeError), reserved(address):
            pass
        with socket.socket() as member:
            member.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            member.bind((host, int(port)))
            member.listen()
            socket.create_connection((host, int(port)), timeout=10).close()


@pytest.mark.parametrize("address", ["unix:/tmp/x.sock", ""])
def test_what_cannot_be_shared_is_refused(address: str) -> None:
    with pytest.raises(ServeError) as refused, reserved(address):
        pass
    assert "HOST:PORT" in str(refused.value)


def test_an_address_that_is_not_ours_is_named() -> None:
    with pytest.raises(ServeError) as refused, reserved("192.0.2.1:1"):
        pass
    assert "192.0.2.1:1" in str(refused.value)
    assert os.strerror(99) in str(refused.value)


def test_a_member_says_no_secrets_when_it_is_shown() -> None:
    assert "secret" not in repr(replace(MEMBER, index=2))
