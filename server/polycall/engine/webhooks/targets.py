"""Completion URLs: what they must be, and which hosts may be told.

Nothing is allowed that the operator has not listed. What is checked here is checked again at each attempt: lists
change.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from polycall.domain import EgressPolicy, EgressRule
from polycall.quick import dataclass
from polycall.sandbox.egress.policy import Authority, Policy, Refused, parse_authority, parse_pattern

__all__ = ["LONGEST_URL", "Target", "Targets"]

LONGEST_URL = 2048  # characters; what browsers, proxies and servers all take
# RFC 3986 without a fragment, which nobody sends, and without userinfo, which would be a password in a list. No
# backslash: some parsers take it for a slash, and see another host than we do.
_URL = re.compile(r"(https?)://([^/?#@\\]+)((?:[/?][!$-\[\]-~]*)?)", re.IGNORECASE)
_PORTS = {"https": 443, "http": 80}
_NOBODY = "cannot be told: the server's operator lists no hosts for completion URLs (POLYCALL_WEBHOOK_HOSTS)"


@dataclass(frozen=True, slots=True)
class Target:
    """Where to post. ``listed``: the host itself stands in the operator's list, not a wildcard that covers it."""

    scheme: str
    authority: Authority
    path: str  # with the query
    listed: bool

    @property
    def host_header(self) -> str:
        """The host as the header Host has it."""
        text = str(self.authority)
        return text.rpartition(":")[0] if self.authority.port == _PORTS[self.scheme] else text


class Targets:
    """The hosts that may be told: of every project, and of single ones. ``http``: without TLS, too."""

    def __init__(self, hosts: str, *, http: bool) -> None:
        """Read ``HOST`` and ``PROJECT=HOST``, parted by commas or blanks. Raises ValueError."""
        of: dict[str, list[EgressRule]] = {}
        for word in hosts.replace(",", " ").split():
            project, equals, host = word.rpartition("=")
            if equals and not project:
                raise ValueError(f"{word!r} must be HOST or PROJECT=HOST")
            try:
                parse_pattern(host)
            except ValueError as error:
                raise ValueError(f"{word!r} {error}") from None
            of.setdefault(project, []).append(EgressRule(host=host))
        shared = of.pop("", [])
        self._shared = Policy(EgressPolicy(rules=tuple(shared)))
        self._own: Mapping[str, Policy] = {
            project: Policy(EgressPolicy(rules=(*shared, *rules))) for project, rules in of.items()
        }
        self._any = bool(shared)
        self._http = http

    def read(self, project_id: str, url: str) -> Target:
        """Return where a completion URL leads. Raises ValueError, which says what is wrong without quoting it."""
        if len(url) > LONGEST_URL:
            raise ValueError(f"has {len(url)} characters; at most {LONGEST_URL}")
        match = _URL.fullmatch(url)
        if match is None:
            raise ValueError(
                "must be an absolute https URL such as https://hooks.example.com/done: printable ASCII, without user, "
                "password and fragment"
            )
        scheme, path = match[1].lower(), match[3]
        if scheme == "http" and not self._http:
            raise ValueError("must be https; the operator can allow http with POLYCALL_WEBHOOK_HTTP")
        authority = parse_authority(match[2], _PORTS[scheme])
        policy = self._own.get(project_id)
        if policy is None:
            if not self._any:
                raise ValueError(_NOBODY)
            policy = self._shared
        try:
            allowed = policy.allow(authority)
        except Refused:
            raise ValueError(
                f"leads to {authority}, which is not among the hosts and ports that the operator lists for completion "
                "URLs of this project (POLYCALL_WEBHOOK_HOSTS)"
            ) from None
        return Target(scheme, authority, path if path.startswith("/") else f"/{path}", allowed.listed)
