"""The vendor's ``http``: which hosts code may reach, and what is added to its requests there.

Every kind of credential may name a secret of the project instead of having one in clear.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from polycall.domain import Credential, CredentialKind, EgressPolicy, EgressRule
from polycall.engine.egress import egress_violations
from polycall.errors import FieldViolation

__all__ = ["MASK", "Allow", "Http", "hidden", "http_violations", "policy_of"]

MASK = "***"


class _Basic(msgspec.Struct, omit_defaults=True):
    user_id: str | None = None
    password: str | None = None
    secret_id: str | None = None

    def masked(self) -> _Basic:
        # some put their key where the user goes, and leave the password empty
        user_id = self.user_id if self.password or self.secret_id else hidden(self.user_id)
        return _Basic(user_id, _hidden_too(self.password, self.secret_id), self.secret_id)


class _Bearer(msgspec.Struct, omit_defaults=True):
    token: str | None = None
    secret_id: str | None = None

    def masked(self) -> _Bearer:
        return _Bearer(_hidden_too(self.token, self.secret_id), self.secret_id)


class _Header(msgspec.Struct, omit_defaults=True):
    name: str | None = None
    value: str | None = None
    token: str | None = None  # another spelling of value
    secret_id: str | None = None

    def masked(self) -> _Header:
        return _Header(self.name, _hidden_too(self.value or self.token, self.secret_id), None, self.secret_id)


class _Query(msgspec.Struct, omit_defaults=True):
    key: str | None = None
    value: str | None = None
    token: str | None = None  # another spelling of value
    secret_id: str | None = None

    def masked(self) -> _Query:
        return _Query(self.key, _hidden_too(self.value or self.token, self.secret_id), None, self.secret_id)


class _Auth(msgspec.Struct, omit_defaults=True):
    basic: _Basic | None = None
    bearer: _Bearer | None = None
    header: _Header | None = None
    query: _Query | None = None

    def masked(self) -> _Auth:
        return _Auth(
            self.basic and self.basic.masked(),
            self.bearer and self.bearer.masked(),
            self.header and self.header.masked(),
            self.query and self.query.masked(),
        )


class Allow(msgspec.Struct, omit_defaults=True):
    """A host, and what is added to requests to it."""

    host: str | None = None
    auth: _Auth | None = None


class Http(msgspec.Struct, omit_defaults=True):
    """Everything that may be reached; without it nothing is."""

    allow: list[Allow] | None = None

    def masked(self) -> Http:
        """Return it as it may be shown and kept: without credentials."""
        if self.allow is None:
            return self
        return Http([Allow(entry.host, entry.auth and entry.auth.masked()) for entry in self.allow])


def policy_of(http: Http | None) -> EgressPolicy | None:
    """Return what a run may reach; None for no network."""
    if http is None or not http.allow:
        return None
    return EgressPolicy(
        rules=tuple(EgressRule(host=entry.host or "", credentials=_credentials(entry.auth)) for entry in http.allow)
    )


def http_violations(http: Http | None) -> Iterator[FieldViolation]:
    """Yield what is wrong, in this contract's names of the fields."""
    yield from egress_violations(policy_of(http), "http.allow", lambda rule, _, kind: f"http.allow[{rule}].auth.{kind}")


def hidden(credential: str | None) -> str | None:
    """Return what is shown of a credential: whether there was one."""
    return None if credential is None else MASK


def _hidden_too(credential: str | None, secret_id: str | None) -> str | None:
    return MASK if secret_id else hidden(credential)


def _credentials(auth: _Auth | None) -> tuple[Credential, ...]:
    """Return the credentials of an entry. All kinds that are there apply; an empty object is none."""
    if auth is None:
        return ()
    found: list[Credential] = []
    if (basic := auth.basic) is not None and (basic.user_id or basic.password or basic.secret_id):
        found.append(_credential(CredentialKind.BASIC, basic.user_id, basic.password, basic.secret_id))
    if (bearer := auth.bearer) is not None and (bearer.token or bearer.secret_id):
        found.append(_credential(CredentialKind.BEARER, None, bearer.token, bearer.secret_id))
    if (header := auth.header) is not None and (header.name or header.value or header.token or header.secret_id):
        found.append(_credential(CredentialKind.HEADER, header.name, header.value or header.token, header.secret_id))
    if (query := auth.query) is not None and (query.key or query.value or query.token or query.secret_id):
        found.append(_credential(CredentialKind.QUERY, query.key, query.value or query.token, query.secret_id))
    return tuple(found)


def _credential(kind: CredentialKind, name: str | None, secret: str | None, secret_id: str | None) -> Credential:
    if secret_id:  # it wins over what is given beside it
        return Credential(kind=kind, name=name or "", secret_id=secret_id)
    return Credential(kind=kind, name=name or "", secret=secret or "")
