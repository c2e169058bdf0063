"""Access tokens: the rights of a key for a while, and never longer than the key has them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from polycall.domain import Principal, Scope, Session
from polycall.engine import keys as module
from polycall.engine.tokens import PREFIX, Claims, Signer
from polycall.errors import Unauthenticated
from polycall.ids import now_ms
from tests.engine.conftest import Build
from tests.engine.house import House, refusal

ADMIN = Principal(project_id="default", key_id="a", scopes=frozenset({Scope.ADMIN, Scope.RUN, Scope.READ}))
OPERATOR = replace(ADMIN, scopes=frozenset(Scope))
WORK = frozenset({Scope.RUN, Scope.READ, Scope.DEPLOY})


async def _key(home: House, **asked: Any) -> tuple[str, Principal]:
    key, text = await home.keys.create(OPERATOR, **asked)
    return key.id, await home.keys.authenticate(text)


async def _session(home: House, who: Principal, *, active: bool = True) -> Session:
    session = Session(
        project_id=who.project_id,
        id=await home.store.real.next_number("s"),
        type="TOKEN_EXCHANGE",
        status="READY",
        created_at=now_ms(),
        expires_at=now_ms() + 60_000,
        nonce_expires_at=now_ms() + 60_000,
        key_id=who.key_id,
        scopes=frozenset({Scope.RUN}),
    )
    await home.store.real.create_session(session, b"n" * 32)
    bound = await home.store.real.bind_session(who.project_id, b"n" * 32, now_ms(), now_ms() + 60_000)
    return bound if active and bound is not None else session


async def test_a_token_does_what_its_key_may_do_but_for_the_administration(home: House) -> None:
    key_id, who = await _key(home, scopes=frozenset(Scope))
    of_token = await home.keys.authenticate(home.keys.token(who, 60))
    assert (of_token.key_id, of_token.project_id, of_token.scopes) == (key_id, "default", WORK)


async def test_a_token_ends_at_its_time(home: House) -> None:
    _, who = await _key(home)
    refused = await refusal(home.keys.authenticate(home.keys.token(who, 0)), Unauthenticated)
    assert refused.message == "This access token has expired; log in anew."


async def test_a_token_ends_with_its_key(home: House) -> None:
    key_id, who = await _key(home)
    token = home.keys.token(who, 60)
    await home.keys.authenticate(token)
    await home.keys.revoke(OPERATOR, key_id)
    await refusal(home.keys.authenticate(token), Unauthenticated)


async def test_a_token_ends_when_its_key_expires(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    _, who = await _key(home, expires_at=now_ms() + 5000)
    token = home.keys.token(who, 60)
    await home.keys.authenticate(token)
    monkeypatch.setattr(module, "now_ms", lambda: now_ms() + 6000)
    await refusal(home.keys.authenticate(token), Unauthenticated)


async def test_a_token_of_the_bootstrap_key_ends_with_that_key(build: Build) -> None:
    async with build(bootstrap="first") as home:
        token = home.keys.token(await home.keys.authenticate("first"), 60)
        assert (await home.keys.authenticate(token)).scopes == WORK
    async with build(bootstrap="second") as home:
        await refusal(home.keys.authenticate(token), Unauthenticated)
    async with build() as home:
        await refusal(home.keys.authenticate(token), Unauthenticated)


async def test_no_token_stands_in_for_a_key(home: House) -> None:
    _, who = await _key(home)
    await refusal(home.keys.of_key(home.keys.token(who, 60)), Unauthenticated)


async def test_a_token_that_was_changed_or_made_elsewhere_is_worth_nothing(home: House) -> None:
    key_id, who = await _key(home)
    token = home.keys.token(who, 60)
    body, _, signature = token.partition(".")
    forged = Claims(project_id="default", key_id=key_id, expires_at=now_ms() + 60_000, scopes=tuple(Scope))
    foreign = Signer([b"k" * 32]).sign(forged)
    for other in (
        token[:-1],
        body,
        f"{body}.",
        f".{signature}",
        f"{foreign.partition('.')[0]}.{signature}",
        foreign,
        PREFIX,
        f"{PREFIX}\u00e9.\u00e9",
        f"{body}.\udcff",
        PREFIX + "a" * 5000,
    ):
        await refusal(home.keys.authenticate(other), Unauthenticated)
    assert (await home.keys.authenticate(token)).key_id == key_id


async def test_what_an_older_encryption_key_signed_is_believed(home: House) -> None:
    claims = Claims(project_id="default", key_id="k", expires_at=1, scopes=())
    token = Signer([b"o" * 32]).sign(claims, b"it")
    both = Signer([b"n" * 32, b"o" * 32])
    both.check(token, b"it")
    assert both.claims(token) == claims
    for signer, bound_to in ((both, b"another"), (Signer([b"n" * 32]), b"it")):
        with pytest.raises(Unauthenticated):
            signer.check(token, bound_to)


async def test_a_token_of_a_session_has_the_rights_of_the_session_and_ends_with_it(home: House) -> None:
    key_id, who = await _key(home)
    session = await _session(home, who)
    token = home.keys.session_token(session, 60)
    of_token = await home.keys.authenticate(token)
    assert (of_token.key_id, of_token.scopes) == (key_id, frozenset({Scope.RUN}))
    await home.store.real.revoke_sessions("default", [session.id], now_ms())
    refused = await refusal(home.keys.authenticate(token), Unauthenticated)
    assert refused.message == "The session of this access token has ended."


async def test_a_token_of_a_session_that_is_not_bound_is_worth_nothing(home: House) -> None:
    _, who = await _key(home)
    token = home.keys.session_token(replace(await _session(home, who), id=10**6), 60)
    await refusal(home.keys.authenticate(token), Unauthenticated)
