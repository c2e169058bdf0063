"""Which addresses runs may be connected to."""

from __future__ import annotations

import ipaddress

import pytest

from polycall.sandbox.egress.addresses import AddressFilter, parse_networks

REFUSED = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "169.254.170.2",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::2",
    "::7f00:1",
    "::127.0.0.1",
    "::8.8.8.8",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::10.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::8.8.8.8",
    "64:ff9b:1::7f00:1",
    "100::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "2002:808:808::1",
    "2620:4f:8000::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
    "2600::5efe:7f00:1",
    "2600::200:5efe:a00:1",
]
ALLOWED = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "168.63.129.15",
    "169.253.255.255",
    "172.15.255.255",
    "172.32.0.0",
    "191.255.255.255",
    "192.0.1.0",
    "192.167.255.255",
    "198.17.255.255",
    "223.255.255.255",
    "2606:4700::1111",
    "2a00:1450:4001::1",
    "64:ff9b::8.8.8.8",
    "::ffff:8.8.8.8",
]


@pytest.mark.parametrize("text", REFUSED)
@pytest.mark.parametrize("listed", [True, False])
def test_what_is_not_public_is_refused_in_every_form(text: str, listed: bool) -> None:
    assert AddressFilter().refusal(ipaddress.ip_address(text), listed=listed) is not None


@pytest.mark.parametrize("text", ALLOWED)
def test_what_is_public_is_allowed(text: str) -> None:
    assert AddressFilter().refusal(ipaddress.ip_address(text), listed=False) is None


def test_the_operators_networks_are_for_hosts_that_a_rule_names() -> None:
    own = AddressFilter(parse_networks(["10.1.0.0/16", "fd00::/8"]))
    for text, expected in (
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("64:ff9b::10.1.2.3", True),
        ("fd00::1", True),
        ("10.2.0.1", False),
        ("::ffff:10.2.0.1", False),
        ("2002:a01:203::1", False),  # 6to4 of 10.1.2.3: through somebody else's relay
        ("fd00::1%eth0", False),
        ("127.0.0.1", False),
    ):
        address = ipaddress.ip_address(text)
        assert (own.refusal(address, listed=True) is None) == expected, text
        assert own.refusal(address, listed=False) is not None


def test_networks_are_parsed_strictly() -> None:
    assert [str(network) for network in parse_networks(["10.0.0.0/8", "127.0.0.1"])] == ["10.0.0.0/8", "127.0.0.1/32"]
    for text in ("10.0.0.1/8", "10.0.0.0/33", "example.com", ""):
        with pytest.raises(ValueError, match=r"."):
            parse_networks([text])
