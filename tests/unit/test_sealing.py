"""Secrets at rest."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest

from polycall.domain import Credential, CredentialKind, EgressPolicy, EgressRule
from polycall.engine.egress import open_policy, seal_policy
from polycall.errors import FailedPrecondition
from polycall.sealing import Sealer, key_of, mark_of, new_encryption_key, parse_encryption_keys

OLD, NEW = bytes(32), bytes(range(32))
PLACE = "projects/a/packages/p"


def test_what_is_sealed_opens_again_and_never_looks_the_same() -> None:
    sealer = Sealer([NEW])
    sealed = [sealer.seal("secret é", PLACE) for _ in range(2)]
    assert [sealer.open(one, PLACE) for one in sealed] == ["secret é"] * 2
    assert sealed[0] != sealed[1]
    assert all("secret" not in one and base64.b64encode(b"secret").decode()[:6] not in one for one in sealed)


def test_an_older_key_still_opens_and_the_first_seals() -> None:
    old, both = Sealer([OLD]), Sealer([NEW, OLD])
    assert both.open(old.seal("secret", PLACE), PLACE) == "secret"
    with pytest.raises(FailedPrecondition, match="was sealed with another key"):
        old.open(both.seal("secret", PLACE), PLACE)


def test_another_key_wraps_the_data_key_and_leaves_the_text() -> None:
    sealed = Sealer([OLD]).seal("secret", PLACE)
    both, new = Sealer([NEW, OLD]), Sealer([NEW])
    anew = both.anew(sealed, "any place: it is not opened")
    assert (mark_of(anew), anew.split(".")[3]) == (new.mark, sealed.split(".")[3])
    assert new.open(anew, PLACE) == "secret"
    assert both.anew(anew, PLACE) == anew
    with pytest.raises(FailedPrecondition, match="was sealed with another key"):
        new.anew(sealed, PLACE)
    parts = sealed.split(".")
    other = Sealer([OLD]).seal("other", PLACE).split(".")
    for damaged in (sealed[:40], ".".join([*parts[:2], parts[2][:-8] + "AAAAAAA=", parts[3]])):
        with pytest.raises(FailedPrecondition, match="is damaged"):
            both.anew(damaged, PLACE)
    with pytest.raises(FailedPrecondition, match="is damaged"):  # the data key of another text
        both.open(".".join([*parts[:2], other[2], parts[3]]), PLACE)


def test_what_was_sealed_before_there_were_envelopes_opens_and_becomes_one() -> None:
    sealer, direct = Sealer([NEW]), "1.0f60cee3.IOTaNaE1KtWBAEnVoegwt6uKqny+umS03Z6ozki36jc8OZniig=="
    assert key_of(direct) == key_of(sealer.seal("x", PLACE))
    assert sealer.open(direct, PLACE) == "secret é"
    anew = sealer.anew(direct, f"{PLACE}/egress/host", PLACE)
    assert mark_of(anew) == sealer.mark
    assert sealer.open(anew, f"{PLACE}/egress/host", PLACE) == "secret é"
    for place, before in ((PLACE, "elsewhere"), ("elsewhere", None)):
        with pytest.raises(FailedPrecondition, match="is damaged, or was sealed for another place"):
            sealer.open(direct, place, before)


def test_a_credential_does_not_open_for_another_host() -> None:
    sealer = Sealer([NEW])
    credential = Credential(kind=CredentialKind.BEARER, secret="token")
    sealed = seal_policy(
        EgressPolicy(rules=(EgressRule(host="api.example.com", credentials=(credential,)),)), sealer, PLACE
    )
    assert sealed is not None
    moved = replace(sealed, rules=(replace(sealed.rules[0], host="evil.example.com"),))
    with pytest.raises(FailedPrecondition, match="for another place"):
        open_policy(moved, sealer, PLACE)


def test_another_place_or_a_changed_text_does_not_open() -> None:
    sealer = Sealer([NEW])
    sealed = sealer.seal("secret", PLACE)
    for text, place in ((sealed, "projects/b/packages/p"), (sealed[:-8] + "AAAAAAA=", PLACE), (sealed[:20], PLACE)):
        with pytest.raises(FailedPrecondition, match="is damaged, or was sealed for another place"):
            sealer.open(text, place)
    for text in ("", "plain text", "3" + sealed[1:]):
        with pytest.raises(FailedPrecondition, match="was sealed with another key"):
            sealer.open(text, PLACE)


def test_keys_are_32_bytes_as_base64() -> None:
    one, other = new_encryption_key(), new_encryption_key()
    assert one != other
    assert [len(key) for key in parse_encryption_keys(f"{one}, {other}")] == [32, 32]
    for text in ("", ",", "short", base64.b64encode(bytes(16)).decode(), f"{one},x"):
        with pytest.raises(ValueError, match=r"must (not be empty|be 32 bytes)"):
            parse_encryption_keys(text)


def test_every_secret_of_a_policy_is_sealed_the_user_of_basic_too() -> None:
    policy = EgressPolicy(
        rules=(
            EgressRule(
                host="h",
                credentials=(
                    Credential(kind=CredentialKind.BASIC, name="sk_live", secret=""),
                    Credential(kind=CredentialKind.BASIC, name="user", secret="pass:word"),
                    Credential(kind=CredentialKind.BEARER, secret="token"),
                    Credential(kind=CredentialKind.HEADER, name="X-Key", secret="value"),
                    Credential(kind=CredentialKind.QUERY, name="key", secret="value"),
                ),
            ),
        )
    )
    sealer = Sealer([NEW])
    sealed = seal_policy(policy, sealer, PLACE)
    assert sealed is not None
    assert [one.name for one in sealed.rules[0].credentials] == ["", "", "", "X-Key", "key"]
    assert all(one.sealed for one in sealed.rules[0].credentials)
    assert open_policy(sealed, sealer, PLACE) == policy
    assert not any(secret in repr(policy) for secret in ("sk_live", "pass:word", "token", "value"))
    assert (seal_policy(None, sealer, PLACE), open_policy(None, sealer, PLACE)) == (None, None)
