from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from polycall_gateway import Contract, GatewayConfig, InvalidConfig, Launcher, render
from polycall_gateway.address import Address
from polycall_gateway.situations import SITUATIONS
from tests.gateway.upstream import message_pool


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("127.0.0.1:8080", "127.0.0.1:8080"),
        ("localhost:0", "127.0.0.1:0"),
        ("[::1]:80", "[::1]:80"),
        ("0.0.0.0:65535", "0.0.0.0:65535"),
        ("unix:/run/rest.sock", "unix:/run/rest.sock"),
    ],
)
def test_addresses_are_read(text: str, shown: str) -> None:
    assert str(Address.parse("rest_address", text)) == shown


@pytest.mark.parametrize("text", ["8080", "example.com:80", "127.0.0.1", "127.0.0.1:99999", "127.0.0.1:x", ":80"])
def test_what_is_no_address_is_named_with_its_setting(text: str) -> None:
    with pytest.raises(InvalidConfig, match=f"^rest_address: '{text}' is not an address"):
        GatewayConfig(rest_address=text)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_run_s": 0.0}, "max_run_s: must be above 0, is 0.0"),
        ({"requests_per_second": -1}, "requests_per_second: must not be below 0, is -1"),
        ({"upstreams": ()}, "upstreams: at least one"),
        ({"directory": Path("/x" * 60)}, "directory: .* sockets need a shorter path"),
        ({"mesh_address": "127.0.0.1:8080"}, "rest_address and mesh_address are both 127.0.0.1:8080"),
    ],
)
def test_a_setting_that_cannot_be_is_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidConfig, match=message):
        GatewayConfig(**settings)


def test_a_listener_for_an_unknown_face_is_refused() -> None:
    with pytest.raises(InvalidConfig, match=r"^rizza_address: there is no face rizza; there are cognite, domo,"):
        Launcher(GatewayConfig(face_addresses={"rizza": "127.0.0.1:0"}))


def test_every_reason_that_the_gateway_gives_is_in_the_contract() -> None:
    reasons = message_pool(Contract.load()).FindEnumTypeByName("polycall.v1.ErrorReason").values_by_name
    given = {f"ERROR_REASON_{situation.reason}" for situation in SITUATIONS if situation.reason}
    assert given <= set(reasons)


def test_a_change_changes_the_version_and_nothing_else_does() -> None:
    first = render(GatewayConfig())
    assert first.versions == render(GatewayConfig()).versions
    assert first.versions[0] != render(GatewayConfig(max_run_s=1)).versions[0]
    assert first.versions[1] != render(GatewayConfig(upstreams=(Path("/run/a"),))).versions[1]


def test_files_are_replaced_whole(short_path: Path) -> None:
    render(GatewayConfig()).write(short_path)
    before = (short_path / "xds" / "lds.json").stat().st_ino
    render(GatewayConfig()).write(short_path)
    assert (short_path / "xds" / "lds.json").stat().st_ino != before
    assert sorted(path.name for path in (short_path / "xds").iterdir()) == ["cds.json", "lds.json"]
