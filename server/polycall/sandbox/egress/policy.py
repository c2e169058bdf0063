"""Which hosts a run may reach: ``example.com``, ``*.example.com``, ``*``, each with or without a port."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence

from polycall.domain import Credential, EgressPolicy, EgressRule
from polycall.quick import dataclass

__all__ = ["DEFAULT_PORTS", "Allowed", "Authority", "Policy", "Refused", "parse_authority", "parse_pattern"]

# What a rule without a port allows.
DEFAULT_PORTS = (80, 443)

# RFC 1035: 63 octets a label, 253 a name as text. The underscore is in use though no host name may have it.
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NAME = 253
# What the WHATWG URL Standard and inet_aton(3) take for a number: 127.1, 0x7f.1, 2130706433 are addresses too.
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


class Refused(Exception):
    """Raised for a host that no rule allows; written for the code that asked."""


@dataclass(frozen=True, slots=True)
class Authority:
    """Where a request goes: a host, in lower case, and a port. ``literal``: the host is an IP address."""

    host: str
    port: int
    literal: bool = False

    def __str__(self) -> str:
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


def parse_authority(text: str, default_port: int | None) -> Authority:
    """Parse ``host``, ``host:port``, ``[v6]:port``. Raises ValueError, which says what is wrong."""
    host, port = _split(text)
    if port is None:
        if default_port is None:
            raise ValueError("has no port")
        port = default_port
    name, literal = _host(host)
    return Authority(name, port, literal)


@dataclass(frozen=True, slots=True)
class _Pattern:
    """``suffix`` for ``*.example.com`` is ``.example.com``, for ``*`` empty."""

    host: str  # "" for wildcards
    suffix: str
    port: int | None
    literal: bool

    @property
    def rank(self) -> tuple[bool, int, bool]:
        """The more particular a pattern, the greater."""
        return bool(self.host), len(self.suffix), self.port is not None

    def matches(self, authority: Authority) -> bool:
        """Whether it allows to go there."""
        if authority.port not in (DEFAULT_PORTS if self.port is None else (self.port,)):
            return False
        return self.covers(authority)

    def covers(self, authority: Authority) -> bool:
        """Whether it allows the host, whatever the port."""
        if self.host:
            return authority.host == self.host
        # a wildcard stands for names: an address is nobody's sub-domain
        return not authority.literal and authority.host.endswith(self.suffix)


def parse_pattern(text: str) -> _Pattern:
    """Parse a rule's host. Raises ValueError, which says what is wrong."""
    if "/" in text:
        raise ValueError("must be a host, such as api.example.com, without scheme and path")
    host, port = _split(text)
    if host == "*":
        return _Pattern("", "", port, False)
    if host.startswith("*."):
        name, literal = _host(host[2:])
        if literal:
            raise ValueError("must not have a wildcard before an address")
        return _Pattern("", f".{name}", port, False)
    if "*" in host:
        raise ValueError("may have a wildcard only as its first label: *.example.com, or * for every host")
    name, literal = _host(host)
    return _Pattern(name, "", port, literal)


def _split(text: str) -> tuple[str, int | None]:
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError("must be [ADDRESS] or [ADDRESS]:PORT")
        return host, _port(rest[1:]) if rest else None
    if text.count(":") > 1:
        return text, None  # an IPv6 address without brackets
    host, colon, port = text.partition(":")
    return host, _port(port) if colon else None


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) <= 65535):
        raise ValueError("must have a port from 1 to 65535 after the colon")
    return int(text)


def _host(text: str) -> tuple[str, bool]:
    """Return a host in its one form, and whether it is an address."""
    if not text.isascii():
        raise ValueError("must be ASCII; write an international name in its xn-- form")
    name = text.lower()
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        pass
    else:
        if isinstance(address, ipaddress.IPv6Address) and address.scope_id:
            raise ValueError("must not have a zone")
        return str(address), True
    name = name.removesuffix(".")
    labels = name.split(".")
    if len(name) > _NAME or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("must be a host name, such as api.example.com")
    if _NUMBER.fullmatch(labels[-1]):
        raise ValueError("must be a host name, or an address in its usual form")
    return name, False


@dataclass(frozen=True, slots=True)
class Allowed:
    """What the rule that decided gives. ``listed``: it names the host itself; ``any_address``: whatever that has."""

    listed: bool
    credentials: tuple[Credential, ...]
    any_address: bool = False


class Policy:
    """The rules of a run, the most particular first: the first that matches decides.

    ``anywhere``: whether a rule that names no host (``*``) is followed. Raises ValueError for a rule that does not
    parse; ``engine.egress`` has checked them where users write them.
    """

    def __init__(self, policy: EgressPolicy, *, anywhere: bool = True) -> None:
        rules = [(parse_pattern(rule.host), rule) for rule in policy.rules]
        self._rules: Sequence[tuple[_Pattern, EgressRule]] = sorted(rules, key=lambda pair: pair[0].rank, reverse=True)
        self._any_address = policy.any_address
        self._anywhere = anywhere

    def allow(self, authority: Authority) -> Allowed:
        """Return what may go there. Raises Refused."""
        for pattern, rule in self._rules:
            if pattern.matches(authority):
                if not pattern.host and not pattern.suffix and not self._anywhere:
                    raise Refused(f"{authority.host} is named by no rule, and the operator lets `*` reach nothing")
                return Allowed(bool(pattern.host), rule.credentials, self._any_address or rule.any_address)
        if any(pattern.covers(authority) for pattern, _ in self._rules):
            raise Refused(f"port {authority.port} of {authority.host} is not allowed for this run")
        raise Refused(f"{authority.host} is not among the hosts that this run may reach")
