"""API keys: who may do what, at once and for no other project."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from polycall.domain import ApiKey, Principal, Reason, Scope
from polycall.engine import keys as module
from polycall.engine.keys import BOOTSTRAP_KEY_ID, new_key_text
from polycall.errors import AlreadyExists, InvalidArgument, NotFound, PermissionDenied, Unauthenticated, Unavailable
from polycall.ids import now_ms
from tests.engine.conftest import Build
from tests.engine.house import DEFAULT, OTHER, House, other_project, refusal, until

ADMIN = Principal(project_id="default", key_id="a", scopes=frozenset({Scope.ADMIN, Scope.RUN, Scope.READ}))
OPERATOR = Principal(project_id="default", key_id="o", scopes=frozenset({Scope.OPERATOR, Scope.RUN, Scope.READ}))


async def valid(home: House, text: str) -> bool:
    try:
        await home.keys.authenticate(text)
    except Unauthenticated:
        return False
    return True


async def test_a_key_is_who_it_was_made_for(home: House) -> None:
    key, text = await home.keys.create(ADMIN, name="ci", scopes=frozenset({Scope.RUN}))
    who = await home.keys.authenticate(text)
    assert (who.project_id, who.key_id, who.scopes) == ("default", key.id, frozenset({Scope.RUN}))
    assert text.startswith(f"pc_{key.id}_")


async def test_without_scopes_a_key_may_run_and_read(home: House) -> None:
    key, _ = await home.keys.create(ADMIN)
    assert key.scopes == {Scope.RUN, Scope.READ}


@pytest.mark.parametrize("token", [None, ""])
async def test_no_key_is_missing(home: House, token: str | None) -> None:
    assert (await refusal(home.keys.authenticate(token), Unauthenticated)).reason is Reason.API_KEY_MISSING


@pytest.mark.parametrize("token", ["x", "pc_1_2", "k" * 5000, "\udcff", "\0", new_key_text("0" * 16)], ids=range(6))
async def test_what_is_no_key_of_ours_is_invalid(home: House, token: str) -> None:
    assert (await refusal(home.keys.authenticate(token), Unauthenticated)).reason is Reason.API_KEY_INVALID


async def test_the_text_of_a_key_is_not_stored(home: House, tmp_path: Path) -> None:
    key, text = await home.keys.create(ADMIN)
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert key.id.encode() in stored
    assert text.removeprefix(f"pc_{key.id}_").encode() not in stored
    assert (await home.keys.list(ADMIN)) == (key,)


async def test_a_changed_key_is_another_key(home: House) -> None:
    _, text = await home.keys.create(ADMIN)
    assert await valid(home, text)
    for other in (text[:-1], text + "0", text.upper(), text.swapcase(), f" {text}"):
        assert not await valid(home, other)


async def test_the_bootstrap_key_may_do_everything_and_is_not_in_the_database(build: Build) -> None:
    async with build(bootstrap="secret") as home:
        home.store.away.add("*")
        who = await home.keys.authenticate("secret")
        assert (who.project_id, who.key_id, who.scopes) == ("default", BOOTSTRAP_KEY_ID, frozenset(Scope))
    async with build(bootstrap="another") as home:
        assert not await valid(home, "secret")
    async with build() as home:
        assert not await valid(home, "another")


# revocation and expiry


async def test_a_revoked_key_is_refused_at_once(home: House) -> None:
    key, text = await home.keys.create(ADMIN)
    assert await valid(home, text)  # known by now
    revoked = await home.keys.revoke(ADMIN, key.id)
    assert revoked.revoked_at is not None
    assert not await valid(home, text)
    assert await home.keys.revoke(ADMIN, key.id) == revoked


async def test_a_key_that_is_looked_up_while_it_is_revoked_is_not_kept(home: House) -> None:
    key, text = await home.keys.create(ADMIN)
    look = home.store.hold("find_key")
    asking = asyncio.create_task(home.keys.authenticate(text))
    await look.begun.wait()  # read, and not revoked
    await home.keys.revoke(ADMIN, key.id)
    look.go.set()
    await asking  # it was asked before
    assert not await valid(home, text)


async def test_a_revocation_holds_though_its_caller_went_away(home: House) -> None:
    key, text = await home.keys.create(ADMIN)
    assert await valid(home, text)
    revoke = home.store.hold("revoke_key")
    caller = asyncio.create_task(home.keys.revoke(ADMIN, key.id))
    await revoke.begun.wait()
    caller.cancel()
    await asyncio.sleep(0)
    revoke.go.set()
    await asyncio.wait([caller])
    assert caller.cancelled()
    assert not await valid(home, text)


async def test_a_key_ends_at_its_time_also_when_it_is_known(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    ends_at = now_ms() + 1000
    _, text = await home.keys.create(ADMIN, expires_at=ends_at)
    monkeypatch.setattr(module, "now_ms", lambda: ends_at - 1)
    assert await valid(home, text)
    monkeypatch.setattr(module, "now_ms", lambda: ends_at)
    refused = await refusal(home.keys.authenticate(text), Unauthenticated)
    assert refused.reason is Reason.API_KEY_INVALID


async def test_a_key_that_was_unknown_is_known_once_it_exists(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    text = new_key_text("0" * 16)
    assert not await valid(home, text)
    monkeypatch.setattr(module, "new_key_text", lambda _: text)
    await home.keys.create(ADMIN)
    assert await valid(home, text)


async def test_a_known_key_works_while_the_database_is_away_and_an_unknown_one_is_not_refused_for_it(
    home: House,
) -> None:
    _, known = await home.keys.create(ADMIN)
    _, unknown = await home.keys.create(ADMIN)
    await home.keys.authenticate(known)
    home.store.away.add("find_key")
    assert await valid(home, known)
    await refusal(home.keys.authenticate(unknown), Unavailable)


async def test_what_is_known_is_looked_up_again_after_a_while(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    key, text = await home.keys.create(ADMIN)
    await home.keys.authenticate(text)
    await home.store.real.revoke_key("default", key.id, 1)  # by another server
    assert await valid(home, text)
    real = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: real() + 31)
    assert not await valid(home, text)


async def test_the_known_keys_are_bounded(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CACHE_KEYS", 2)
    texts = [(await home.keys.create(ADMIN))[1] for _ in range(4)]
    for text in texts:
        await home.keys.authenticate(text)
    assert len(home.keys._known) == 2


# last use


async def _last_used(home: House, key: ApiKey) -> int | None:
    return next(kept.last_used_at for kept in await home.keys.list(ADMIN) if kept.id == key.id)


async def test_the_last_use_is_written_for_all_keys_at_once(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TOUCH_S", 0.05)
    keys = [await home.keys.create(ADMIN) for _ in range(3)]
    before = now_ms()
    for _, text in keys * 5:
        await home.keys.authenticate(text)

    async def written() -> bool:
        used = [await _last_used(home, key) for key, _ in keys]
        return all(at is not None and at >= before for at in used)

    await until(written)
    assert home.store.calls.count("touch_keys") == 1


async def test_the_last_use_is_written_at_the_end(build: Build) -> None:
    async with build() as home:
        key, text = await home.keys.create(ADMIN)
        await home.keys.authenticate(text)
        assert await _last_used(home, key) is None
    async with build() as home:
        assert await _last_used(home, key) is not None


async def test_a_last_use_that_cannot_be_written_is_written_later(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TOUCH_S", 0.01)
    key, text = await home.keys.create(ADMIN)
    home.store.away.add("touch_keys")
    await home.keys.authenticate(text)
    await until(lambda: home.store.calls.count("touch_keys") >= 1)
    await asyncio.sleep(0)
    await home.keys.close()  # harmless
    home.store.away.clear()
    await home.keys.close()
    assert await _last_used(home, key) is not None


# who may manage what


@pytest.mark.parametrize("scope", [Scope.OPERATOR, Scope.DEPLOY])
async def test_nobody_gives_a_scope_that_he_does_not_have(home: House, scope: Scope) -> None:
    refused = await refusal(home.keys.create(ADMIN, scopes=frozenset({scope})), PermissionDenied)
    assert refused.metadata == {"scope": scope.value}


async def test_the_default_scopes_have_to_be_ones_own_too(home: House) -> None:
    bare = Principal(project_id="default", key_id="b", scopes=frozenset({Scope.ADMIN}))
    await refusal(home.keys.create(bare), PermissionDenied)
    assert (await home.keys.create(bare, scopes=frozenset({Scope.ADMIN})))[0].scopes == {Scope.ADMIN}


@pytest.mark.parametrize("project", ["other", "nowhere"])
async def test_an_admin_of_one_project_is_nobody_in_another_and_learns_nothing(home: House, project: str) -> None:
    await other_project(home.store)
    theirs, text = await home.keys.create(OTHER)
    for work in (
        home.keys.create(ADMIN, project_id=project),
        home.keys.list(ADMIN, project),
        home.keys.revoke(ADMIN, theirs.id, project),
    ):
        assert (await refusal(work, PermissionDenied)).metadata == {"scope": "operator"}
    # named as if it were his own
    missing = await refusal(home.keys.revoke(ADMIN, theirs.id), NotFound)
    assert missing.reason is Reason.API_KEY_NOT_FOUND
    assert await valid(home, text)


async def test_an_operator_manages_every_project_with_the_scopes_he_has(home: House) -> None:
    await other_project(home.store)
    key, text = await home.keys.create(OPERATOR, project_id="other")
    assert (await home.keys.authenticate(text)).project_id == "other"
    assert await home.keys.list(OPERATOR, "other") == (key,)
    await refusal(home.keys.create(OPERATOR, project_id="other", scopes=frozenset({Scope.ADMIN})), PermissionDenied)
    assert (await home.keys.revoke(OPERATOR, key.id, "other")).id == key.id
    refused = await refusal(home.keys.create(OPERATOR, project_id="nowhere"), NotFound)
    assert refused.reason is Reason.PROJECT_NOT_FOUND


@pytest.mark.parametrize("scopes", [{Scope.RUN}, {Scope.READ}, {Scope.DEPLOY}, {Scope.RUN, Scope.READ, Scope.DEPLOY}])
async def test_keys_are_managed_by_admins_alone(home: House, scopes: set[Scope]) -> None:
    who = Principal(project_id="default", key_id="k", scopes=frozenset(scopes))
    verbs: list[tuple[Coroutine[Any, Any, Any], str]] = [
        (home.keys.create(who), "admin"),
        (home.keys.list(who), "admin"),
        (home.keys.revoke(who, "k"), "admin"),
        (home.keys.create_project(ADMIN, "mine"), "operator"),
        (home.keys.list_projects(ADMIN), "operator"),
    ]
    for work, scope in verbs:
        assert (await refusal(work, PermissionDenied)).metadata == {"scope": scope}


async def test_projects_are_made_once_and_named_well(home: House) -> None:
    assert (await home.keys.create_project(DEFAULT, "team-1", "Team")).display_name == "Team"
    await refusal(home.keys.create_project(DEFAULT, "team-1"), AlreadyExists)
    assert [project.id for project in await home.keys.list_projects(DEFAULT)] == ["default", "team-1"]
    for bad in ("", "1a", "A", "a" * 64, "a/b", "a\n", "ä"):
        wrong = await refusal(home.keys.create_project(DEFAULT, bad, "x" * 257), InvalidArgument)
        assert [violation.field for violation in wrong.violations] == ["project_id", "project.display_name"]


async def test_a_key_that_cannot_be_is_refused(home: House) -> None:
    assert (await refusal(home.keys.create(ADMIN, name="x" * 257), InvalidArgument)).violations[
        0
    ].field == "display_name"
    assert (await refusal(home.keys.create(ADMIN, expires_at=now_ms()), InvalidArgument)).violations[0].field == (
        "expire_time"
    )
