"""Keys for secrets at rest that come and go."""

from __future__ import annotations

from dataclasses import replace

import pytest

from polycall.domain import Convention, Credential, CredentialKind, EgressPolicy, EgressRule, Function, Reason, Scope
from polycall.engine import resealing as module
from polycall.engine.resealing import Resealed, Resealing
from polycall.engine.secrets import Secrets
from polycall.engine.webhooks.signature import signing_place
from polycall.errors import FailedPrecondition, PermissionDenied, Unavailable
from polycall.sealing import Sealer, key_of
from tests.engine.house import DEFAULT, OTHER, House, other_project, refusal

pytestmark = pytest.mark.asyncio(loop_scope="session")

OLD, NEW = bytes(32), b"n" * 32  # OLD is the house's own
HANDLE = Function(name="handle", entrypoint="main:handle", convention=Convention.HANDLE)
POLICY = EgressPolicy(
    rules=(
        EgressRule(
            host="api.example.com",
            credentials=(
                Credential(kind=CredentialKind.BASIC, name="user", secret="hunter2"),
                Credential(kind=CredentialKind.BEARER, secret_id="1"),
            ),
        ),
    )
)


async def filled(home: House) -> None:
    """Keep secrets in two projects, and a version that has some of its own."""
    await other_project(home.store)
    for who, secret_id in ((DEFAULT, "1"), (DEFAULT, "2"), (OTHER, "1")):
        await home.engine.secrets.create(who, "n", f"{who.project_id} {secret_id}", id=secret_id)
    source = b"def handle(secrets): return secrets"
    await home.deploy("a/b", source, functions=(HANDLE,), secrets={"token": "own"}, egress=POLICY)
    await home.deploy("p")


async def test_everything_is_sealed_anew_piece_by_piece_and_opens_without_the_old_key(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ROWS", 1)
    await filled(home)
    rotated = await home.engine.webhooks.rotate(OTHER, 0)
    both, new = Sealer([NEW, OLD]), Sealer([NEW])
    resealing = Resealing(home.store.real, both)
    assert await resealing.reseal(DEFAULT) == Resealed(secrets=4, versions=1, failed=0)
    assert await resealing.reseal(DEFAULT) == Resealed(secrets=0, versions=0, failed=0)
    await Resealing(home.store.real, new).check()
    secrets = Secrets(home.store.real, new)
    assert await secrets.open_all("default", ["1", "2"]) == {"1": "default 1", "2": "default 2"}
    assert await secrets.open("other", "1") == "other 1"
    (signing,) = await home.store.real.all_sealed_signing(None, 9)
    assert new.open(signing.sealed, signing_place("other", rotated.secret.id)) == rotated.text
    home.registry._sealer = new
    home.registry._recent._versions.drop_where(lambda key: True)
    version = await home.registry.version("default", "a/b")
    assert home.registry.secrets(version) == {"token": "own"}
    assert home.registry.egress(version) == POLICY


async def test_a_store_that_is_away_leaves_what_was_done_and_the_rest_for_the_next_time(home: House) -> None:
    await filled(home)
    resealing = Resealing(home.store, Sealer([NEW, OLD]))
    home.store.away.add("all_sealed_versions")
    await refusal(resealing.reseal(DEFAULT), Unavailable)
    home.store.let_go()
    assert await resealing.reseal(DEFAULT) == Resealed(secrets=0, versions=1, failed=0)


async def test_what_cannot_be_opened_stays_and_is_counted(home: House) -> None:
    await filled(home)
    strange = Secrets(home.store.real, Sealer([b"s" * 32]))
    await strange.create(DEFAULT, "n", "strange", id="3")
    moved = (await home.store.real.sealed_secrets("default", ["1"]))["1"]
    await home.store.real.update_secret("default", "2", value=(moved, 1))
    resealing = Resealing(home.store.real, Sealer([NEW, OLD]))
    assert await resealing.reseal(DEFAULT) == Resealed(secrets=2, versions=1, failed=2)
    assert await home.store.real.sealed_secrets("default", ["2"]) == {"2": moved}
    assert await strange.open("default", "3") == "strange"


async def test_what_was_changed_meanwhile_is_left(home: House) -> None:
    await filled(home)
    (first, *_) = await home.store.real.all_sealed_secrets(None, 9)
    (version,) = await home.store.real.all_sealed_versions(None, 9)
    await home.engine.secrets.update(DEFAULT, "1", value="changed")
    other = replace(version, kept=("{}", version.kept[1]))
    assert await home.store.real.reseal([(first, replace(first, sealed="1.x.y")), (other, version)]) == 0
    assert await home.engine.secrets.open("default", "1") == "changed"


async def test_a_server_without_a_key_that_is_needed_does_not_start(home: House) -> None:
    await Resealing(home.store.real, Sealer([NEW])).check()
    await filled(home)
    name = key_of(Sealer([OLD]).seal("x", "y"))
    resealing = Resealing(home.store.real, Sealer([NEW]))
    missing = await refusal(resealing.check(), FailedPrecondition)
    assert (missing.reason, missing.metadata) == (Reason.SECRET_UNUSABLE, {"keys": name})
    assert f"({name}: 3 secrets, 1 versions)" in missing.message
    assert f"POLYCALL_LOST_ENCRYPTION_KEYS={name} starts the server without it" in missing.message
    await resealing.check([name])
    await refusal(resealing.check(["0" * 8]), FailedPrecondition)
    await Resealing(home.store.real, Sealer([NEW, OLD])).check()


async def test_only_an_operator_has_everything_sealed_anew(home: House) -> None:
    who = replace(DEFAULT, scopes=frozenset(Scope) - {Scope.OPERATOR})
    await refusal(home.engine.resealing.reseal(who), PermissionDenied)
