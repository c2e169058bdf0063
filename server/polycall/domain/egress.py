"""What a run may reach, what is added to its requests, and what came of them."""

from __future__ import annotations

import enum
from dataclasses import field

from polycall.quick import dataclass

__all__ = ["Credential", "CredentialKind", "EgressPolicy", "EgressRule", "OutboundRequest"]


class CredentialKind(enum.StrEnum):
    """Where in a request a credential goes."""

    BASIC = "basic"  # Authorization: Basic
    BEARER = "bearer"  # Authorization: Bearer; wins over basic
    HEADER = "header"  # a header of its own
    QUERY = "query"  # a parameter of the query


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """What is added to outbound requests outside the sandbox.

    ``name``: BASIC: the user, HEADER: the header, QUERY: the parameter. ``secret``: password, token or value, as it is
    or as it is kept (``sealed``); "" where ``secret_id`` names the secret that is it when a run begins. No ``repr``
    shows what is secret: a user may be, too.
    """

    kind: CredentialKind
    name: str = field(default="", repr=False)
    secret: str = field(default="", repr=False)
    sealed: bool = False
    secret_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressRule:
    """Hosts that a run may reach: ``example.com``, ``*.example.com`` (not the apex) or ``*``, each with ``:port``.

    ``credentials``: at most one of each kind. ``any_address``: as in ``EgressPolicy``, for this host alone.
    """

    host: str
    credentials: tuple[Credential, ...] = ()
    any_address: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressPolicy:
    """Which hosts a run may reach by HTTP; nothing else is reachable. No rules: nothing is.

    ``any_address``: the operator named these hosts, so it does not matter that one has a private address. No request
    can set it.
    """

    rules: tuple[EgressRule, ...] = ()
    any_address: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboundRequest:
    """One request that a run made. Neither path nor headers nor bodies are kept: they may hold secrets.

    ``method`` is ``CONNECT`` for a connection that was passed on encrypted: what is in it nobody sees, and the bytes
    are those of the connection. ``status``: of the answer; None without one. ``refused``: why it did not get there.
    """

    time_ms: int  # when it began, the server's clock
    host: str
    port: int
    method: str
    status: int | None = None
    sent_bytes: int = 0  # of the request's body
    received_bytes: int = 0  # of the answer's body
    refused: str = ""
