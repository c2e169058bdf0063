"""Which addresses a run may be connected to: those of the public internet, and what the operator lists.

An explicit list: ``ipaddress.is_global`` of Python 3.11 takes metadata services, multicast and several forms that carry
an IPv4 address inside for global ones.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

from polycall.quick import dataclass

__all__ = ["Address", "AddressFilter", "Network", "parse_networks"]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# IANA's IPv4 Special-Purpose Address Registry, multicast, and what clouds put on public numbers.
_REFUSED_4 = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network; 0.0.0.0 is the host itself on Linux
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT; Alibaba's metadata service
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # Azure's host
        "169.254.0.0/16",  # link-local; most clouds' metadata services
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments; Oracle's metadata service
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarking
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)

# All that IANA has given out for global unicast, without what tunnels or documents.
_GLOBAL_6 = ipaddress.IPv6Network("2000::/3")
_REFUSED_6 = tuple(
    ipaddress.IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments: Teredo (which carries IPv4), benchmarking, ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which carries IPv4
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# ISATAP (RFC 5214): an interface identifier of 0000:5efe or 0200:5efe, then an IPv4 address
_ISATAP = (0x0000_5EFE, 0x0200_5EFE)


@dataclass(frozen=True, slots=True)
class AddressFilter:
    """Says why an address is refused. ``networks``: the operator's own, allowed though they are not public."""

    networks: Sequence[Network] = ()

    def refusal(self, address: Address, *, listed: bool) -> str | None:
        """Return why a run may not be connected to ``address``; None if it may.

        ``listed``: a rule names the host itself. Wildcards never reach the operator's own networks.
        """
        if isinstance(address, ipaddress.IPv6Address) and address.scope_id:
            return "it has a zone"
        plain = _unwrapped(address)
        if listed and any(plain in network or address in network for network in self.networks):
            return None
        if isinstance(plain, ipaddress.IPv4Address):
            return "it is not public" if any(plain in network for network in _REFUSED_4) else None
        if plain not in _GLOBAL_6 or any(plain in network for network in _REFUSED_6):
            return "it is not public"
        if (int(plain) >> 32) & 0xFFFF_FFFF in _ISATAP:
            return "it is a tunnel's"
        return None


def _unwrapped(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 one stands for on this machine's network, else the address itself."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Return address ranges such as ``10.1.0.0/16``, or single addresses. Raises ValueError, which says why."""
    return tuple(ipaddress.ip_network(text) for text in texts)
