"""Egress policies and outbound requests: between ``polycall.v1`` messages and the domain. Secrets go one way."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from polycall.domain import Credential, CredentialKind, EgressPolicy, EgressRule, Execution
from polycall.names import SecretName
from polycall.services.scalars import clean, timestamp
from polycall.services.violations import Violations
from polycall.v1 import execution_pb2

__all__ = ["outbound_message", "policy_message", "read_policy", "read_secret_env", "secret_env_message"]


def read_policy(policy: execution_pb2.EgressPolicy, field: str, wrong: Violations) -> EgressPolicy | None:
    """Read a policy; one without rules is none. What its parts may be is for the engine to say."""
    if not policy.rules:
        return None
    rules = []
    for number, rule in enumerate(policy.rules):
        credentials = []
        for index, credential in enumerate(rule.credentials):
            at = f"{field}.rules[{number}].credentials[{index}]"
            if (read := _read_credential(credential, at, wrong)) is None:
                wrong.add(at, "must be basic, bearer, header or query")
            else:
                credentials.append(read)
        rules.append(EgressRule(host=rule.host, credentials=tuple(credentials)))
    return EgressPolicy(rules=tuple(rules))


def _read_credential(credential: execution_pb2.Credential, at: str, wrong: Violations) -> Credential | None:
    kind = credential.WhichOneof("kind")
    named = getattr(credential, kind).secret if kind is not None else ""
    name = wrong.attempt(lambda: SecretName.parse(named, f"{at}.{kind}.secret")) if named else None
    secret_id = name.secret if name is not None else ""
    match kind:
        case "basic":
            basic = credential.basic
            return Credential(kind=CredentialKind.BASIC, name=basic.user_id, secret=basic.password, secret_id=secret_id)
        case "bearer":
            return Credential(kind=CredentialKind.BEARER, secret=credential.bearer.token, secret_id=secret_id)
        case "header":
            header = credential.header
            return Credential(kind=CredentialKind.HEADER, name=header.name, secret=header.value, secret_id=secret_id)
        case "query":
            query = credential.query
            return Credential(kind=CredentialKind.QUERY, name=query.key, secret=query.value, secret_id=secret_id)
    return None


def read_secret_env(secret_env: Mapping[str, str], field: str, wrong: Violations) -> dict[str, str]:
    """Read environment variables that refer to secrets: ids by variables."""
    read = {}
    for variable, text in secret_env.items():
        name = wrong.attempt(partial(SecretName.parse, text, f"{field}[{variable[:40]!r}]"))
        if name is not None:
            read[variable] = name.secret
    return read


def secret_env_message(secret_env: Mapping[str, str]) -> dict[str, str]:
    """Render environment variables that refer to secrets."""
    return {variable: str(SecretName(secret_id)) for variable, secret_id in secret_env.items()}


def policy_message(policy: EgressPolicy | None) -> execution_pb2.EgressPolicy | None:
    """Render a policy without its secrets."""
    if policy is None:
        return None
    return execution_pb2.EgressPolicy(
        rules=[
            execution_pb2.EgressRule(
                host=rule.host, credentials=[_credential_message(credential) for credential in rule.credentials]
            )
            for rule in policy.rules
        ]
    )


def _credential_message(credential: Credential) -> execution_pb2.Credential:
    kinds = execution_pb2.Credential
    secret = str(SecretName(credential.secret_id)) if credential.secret_id else ""
    match credential.kind:
        case CredentialKind.BASIC:
            return kinds(basic=kinds.Basic(secret=secret))  # the user may be the secret
        case CredentialKind.BEARER:
            return kinds(bearer=kinds.Bearer(secret=secret))
        case CredentialKind.HEADER:
            return kinds(header=kinds.Header(name=credential.name, secret=secret))
        case CredentialKind.QUERY:
            return kinds(query=kinds.Query(key=credential.name, secret=secret))


def outbound_message(execution: Execution) -> execution_pb2.OutboundRequests | None:
    """Render what a run asked of other hosts; None if nothing."""
    if not execution.outbound:
        return None
    return execution_pb2.OutboundRequests(
        requests=[
            execution_pb2.OutboundRequest(
                time=timestamp(request.time_ms),
                host=request.host,
                port=request.port,
                method=request.method,
                status=request.status,
                sent_bytes=request.sent_bytes,
                received_bytes=request.received_bytes,
                refused=clean(request.refused),
            )
            for request in execution.outbound
        ],
        omitted=execution.outbound_omitted,
    )
