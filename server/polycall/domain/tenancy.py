"""Projects, and who may do what in them."""

from __future__ import annotations

import enum

from polycall.quick import dataclass

__all__ = ["DEFAULT_PROJECT", "ApiKey", "Principal", "Project", "Scope", "Session"]

DEFAULT_PROJECT = "default"


class Scope(enum.StrEnum):
    """What a key may do in its project."""

    RUN = "run"  # Execute, RunFunction, Call, CancelExecution
    READ = "read"  # read packages and executions
    DEPLOY = "deploy"  # create, release, delete packages and versions
    ADMIN = "admin"  # the project's API keys
    OPERATOR = "operator"  # projects and the keys of every project; only an operator can give it
    AUDIT = "audit"  # read the audit log


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """The tenant; owns everything else."""

    id: str
    created_at: int
    display_name: str = ""
    max_running: int | None = None  # so many of its Calls run at once, over all servers; None: no limit of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """What is stored of an API key; its secret is not."""

    id: str
    project_id: str
    name: str
    scopes: frozenset[Scope]
    created_at: int
    expires_at: int | None = None
    revoked_at: int | None = None
    last_used_at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who is asking: a key, its project and its scopes."""

    project_id: str
    key_id: str
    scopes: frozenset[Scope]
    user_id: str = "0"  # numeric text, where a contract wants a user


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A Cognite session: the right to act for a key, created READY with a nonce that binds it once.

    ``expires_at`` says for how long it is ACTIVE once it is bound.
    """

    project_id: str
    id: int
    type: str  # CLIENT_CREDENTIALS, TOKEN_EXCHANGE, ONESHOT_TOKEN_EXCHANGE
    status: str  # READY, ACTIVE, REVOKED; what its times make of it: `status_at`
    created_at: int
    expires_at: int
    nonce_expires_at: int
    client_id: str | None = None
    key_id: str | None = None  # None: made by an earlier release; nobody can act for it
    scopes: frozenset[Scope] = frozenset()

    def status_at(self, now_ms: int) -> str:
        """Return the status as it is at a time: what is READY or ACTIVE is so until its time is up."""
        until = {"READY": self.nonce_expires_at, "ACTIVE": self.expires_at}.get(self.status)
        return "EXPIRED" if until is not None and until <= now_ms else self.status
