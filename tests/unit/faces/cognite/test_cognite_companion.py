"""Where the client of a handler leads."""

from __future__ import annotations

import pytest

from polycall.faces.cognite.companion import client_address


@pytest.mark.parametrize(
    ("url", "rest", "gateway", "address"),
    [
        ("", "127.0.0.1:8080", True, "http://127.0.0.1:8080"),
        ("", "0.0.0.0:80", True, "http://127.0.0.1:80"),
        ("", "[::]:8080", True, "http://[::1]:8080"),
        ("", "10.1.2.3:8080", True, "http://10.1.2.3:8080"),
        ("", "127.0.0.1:8080", False, ""),
        ("", "127.0.0.1:0", True, ""),
        ("", "unix:/run/x.sock", True, ""),
        ("", "", True, ""),
        ("https://cdf.example", "127.0.0.1:8080", False, "https://cdf.example"),
    ],
)
def test_a_client_leads_to_the_operators_choice_or_to_this_server(
    url: str, rest: str, gateway: bool, address: str
) -> None:
    assert client_address(url, rest, gateway=gateway) == address
