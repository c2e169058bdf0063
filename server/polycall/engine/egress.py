"""Egress policies: what they must be, and how their credentials are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from polycall.domain import Credential, CredentialKind, EgressPolicy, EgressRule
from polycall.errors import FieldViolation
from polycall.names import SECRET_RULE, PackageName, is_secret_id
from polycall.sandbox.egress.credentials import header_name_problem, header_value_problem
from polycall.sandbox.egress.policy import parse_pattern
from polycall.sealing import Sealer

__all__ = ["anew_policy", "egress_place", "egress_violations", "open_policy", "seal_policy", "secret_problem"]

# Far more than people write by hand; each is looked at for each request that a run makes.
_MOST_RULES = 64
_LONGEST_HOST = 253 + len("*.:65535")
_LONGEST_NAME = 256
# What web servers take for one header as a rule (nginx, Apache: 8 KiB).
_LONGEST_SECRET = 8 << 10

Place = Callable[[int, int, CredentialKind], str]

# How a contract calls what a credential has of names and secrets: Riza's words, which are ours too.
_NAME_OF = {CredentialKind.BASIC: "user_id", CredentialKind.HEADER: "name", CredentialKind.QUERY: "key"}
_SECRET_OF = {CredentialKind.BASIC: "password", CredentialKind.BEARER: "token"}  # else: value


def egress_violations(
    policy: EgressPolicy | None, rules: str = "egress.rules", credential: Place | None = None
) -> Iterator[FieldViolation]:
    """Yield what is wrong with a policy.

    ``rules`` is what the contract calls the rules, ``credential`` what it calls a credential, by the index of its rule,
    its own index and its kind.
    """
    if policy is None:
        return
    if len(policy.rules) > _MOST_RULES:
        yield FieldViolation(rules, f"has {len(policy.rules)} rules; at most {_MOST_RULES}")
        return
    called = credential or (lambda rule, index, kind: f"{rules}[{rule}].credentials[{index}].{kind}")
    seen: dict[object, int] = {}
    for number, rule in enumerate(policy.rules):
        field = f"{rules}[{number}].host"
        problem, pattern = _host_problem(rule)
        if problem is not None:
            yield FieldViolation(field, problem)
        elif (earlier := seen.setdefault(pattern, number)) != number:
            yield FieldViolation(field, f"stands in rule {earlier} already")
        kinds: set[CredentialKind] = set()
        for index, one in enumerate(rule.credentials):
            at = called(number, index, one.kind)
            if one.kind in kinds:
                yield FieldViolation(at, "stands there twice; a rule has at most one credential of each kind")
            kinds.add(one.kind)
            yield from _credential_violations(one, at)


def _host_problem(rule: EgressRule) -> tuple[str | None, object]:
    if len(rule.host) > _LONGEST_HOST:
        return f"must have at most {_LONGEST_HOST} characters", None
    try:
        pattern = parse_pattern(rule.host)
    except ValueError as error:
        return str(error), None
    if rule.credentials and not pattern.host and pattern.suffix.count(".") < 2:
        return "must name a host, or *.example.com, where there are credentials: code could send them to itself", None
    return None, pattern


def _credential_violations(credential: Credential, at: str) -> Iterator[FieldViolation]:
    kind, name, secret = credential.kind, credential.name, credential.secret
    name_at, secret_at = f"{at}.{_NAME_OF.get(kind, 'name')}", f"{at}.{_SECRET_OF.get(kind, 'value')}"
    if len(name) > _LONGEST_NAME:
        yield FieldViolation(name_at, f"must have at most {_LONGEST_NAME} characters")
        return
    if credential.secret_id:
        if not is_secret_id(credential.secret_id):
            yield FieldViolation(f"{at}.secret", f"must be secrets/{{secret}}, whose id {SECRET_RULE}")
        if secret:
            yield FieldViolation(secret_at, "must be left out where a secret is named")
    elif (problem := secret_problem(kind, secret)) is not None:
        yield FieldViolation(secret_at, problem)
    match kind:
        case CredentialKind.BASIC:
            # RFC 7617, 2
            if ":" in name:
                yield FieldViolation(name_at, "must not have a colon")
            if not _is_text(name):
                yield FieldViolation(name_at, "must not have control characters")
            if not name and not secret and not credential.secret_id:
                yield FieldViolation(at, "must have a user_id or a password")
        case CredentialKind.HEADER:
            if (problem := header_name_problem(name)) is not None:
                yield FieldViolation(name_at, problem)
        case CredentialKind.QUERY:
            if not name or not _is_text(name):
                yield FieldViolation(name_at, "must be the name of a parameter, without control characters")


def secret_problem(kind: CredentialKind, secret: str) -> str | None:
    """Return why a text cannot be the secret of a credential; None if it can."""
    if len(secret) > _LONGEST_SECRET:
        return f"must have at most {_LONGEST_SECRET} characters"
    match kind:
        case CredentialKind.BASIC:
            return None if _is_text(secret) else "must not have control characters"
        case CredentialKind.BEARER | CredentialKind.HEADER:
            return header_value_problem(secret)
        case CredentialKind.QUERY:
            return None if secret and _is_text(secret) else "must not be empty, and have no control characters"


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return not any(ord(character) < 0x20 or ord(character) == 0x7F for character in text)


def egress_place(project_id: str, package_id: str) -> str:
    """Return what the secrets of a package's versions are sealed below; versions may not have their id yet."""
    return f"projects/{project_id}/{PackageName(package_id)}"


def seal_policy(policy: EgressPolicy | None, sealer: Sealer, place: str) -> EgressPolicy | None:
    """Return a policy as it is kept: nobody reads its secrets without the server's key, nor for another place."""

    def sealed(rule: EgressRule, credential: Credential) -> Credential:
        secret, name = credential.secret, credential.name
        if credential.kind is CredentialKind.BASIC:
            # the user may be the secret: some put their key there and leave the password empty
            secret, name = f"{name}:{secret}", ""
        kept = replace(credential, name=name, sealed=True)
        return replace(kept, secret=sealer.seal(secret, _place(place, rule, kept)))

    return _changed(policy, sealed)


def open_policy(policy: EgressPolicy | None, sealer: Sealer, place: str) -> EgressPolicy | None:
    """Return a policy as a run needs it. Raises FailedPrecondition if it was sealed with a key that is not here."""

    def opened(rule: EgressRule, credential: Credential) -> Credential:
        secret, name = sealer.open(credential.secret, _place(place, rule, credential), place), credential.name
        if credential.kind is CredentialKind.BASIC:
            name, _, secret = secret.partition(":")
        return replace(credential, name=name, secret=secret, sealed=False)

    return _changed(policy, opened)


def anew_policy(policy: EgressPolicy | None, sealer: Sealer, place: str) -> EgressPolicy | None:
    """Return a policy as it is kept, sealed with the sealer's first key. Raises FailedPrecondition."""

    def anew(rule: EgressRule, credential: Credential) -> Credential:
        return replace(credential, secret=sealer.anew(credential.secret, _place(place, rule, credential), place))

    return _changed(policy, anew)


def _place(place: str, rule: EgressRule, kept: Credential) -> str:
    # in another rule it would go to another host
    return f"{place}/egress/{rule.host}/{kept.kind.value}/{kept.name}"


def _changed(
    policy: EgressPolicy | None, change: Callable[[EgressRule, Credential], Credential]
) -> EgressPolicy | None:
    if policy is None:
        return None
    rules = tuple(
        replace(rule, credentials=tuple(change(rule, credential) for credential in rule.credentials))
        for rule in policy.rules
    )
    return replace(policy, rules=rules)
