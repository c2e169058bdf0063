"""Keys for secrets at rest that come and go."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from polycall import sealing
from polycall.domain import (
    Convention,
    Credential,
    CredentialKind,
    EgressPolicy,
    EgressRule,
    ExecutionFilter,
    Function,
    Reason,
    Scope,
    SigningSecret,
)
from polycall.engine import egress
from polycall.engine import resealing as module
from polycall.engine.resealing import Resealed, Resealing
from polycall.engine.secrets import Secrets
from polycall.engine.webhooks.signature import signing_place
from polycall.errors import FailedPrecondition, PermissionDenied, Unavailable
from polycall.faces.cognite.deployments import Deployment, Deployments
from polycall.faces.riza.records import Record, Records, request_place
from polycall.sealing import Sealer, key_of, mark_of
from tests.engine.house import DEFAULT, OTHER, House, other_project, refusal
from tests.store.examples import recorded

pytestmark = pytest.mark.asyncio(loop_scope="session")

OLD, NEW = bytes(32), b"n" * 32  # OLD is the house's own
LIVING = Sealer([OLD])
REQUEST = Record("script", b'{"code":"c"}')
DEPLOYMENT = Deployment("default", "17", "", "k")
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
    signing = SigningSecret(project_id="default", id="g", created_at=1)
    await home.store.real.rotate_signing_secret(signing, LIVING.seal("whsec", signing_place("default", "g")), 0, 9)
    face_data, sealed = Records(LIVING).keep("default", REQUEST)
    home.store.real.record(recorded(face="riza", face_data=face_data, sealed=sealed))
    await home.store.real.flush()
    await Deployments(home.engine.objects, LIVING, "me").begin(DEPLOYMENT, {"s": "hush"})


def resealing_of(home: House, *keys: bytes) -> Resealing:
    sealer = Sealer(keys)
    deployments = Deployments(home.engine.objects, sealer, "me")
    return Resealing(home.store.real, sealer, {"riza": request_place}, deployments)


async def everything_opens(home: House, *keys: bytes) -> None:
    """Open everything that ``filled`` has kept."""
    sealer, store = Sealer(keys), home.store.real
    await resealing_of(home, *keys).check()
    secrets = Secrets(store, sealer)
    assert await secrets.open_all("default", ["1", "2"]) == {"1": "default 1", "2": "default 2"}
    assert await secrets.open("other", "1") == "other 1"
    home.registry._sealer = sealer
    home.registry._recent._versions.drop_where(lambda key: True)
    version = await home.registry.version("default", "a/b")
    assert home.registry.secrets(version) == {"token": "own"}
    assert home.registry.egress(version) == POLICY
    ((signing, sealed),) = [(s.id, s.sealed) for s in await store.all_sealed_signing(None, 9)]
    assert sealer.open(sealed, signing_place("default", signing)) == "whsec"
    (listed,) = (await store.list("default", ExecutionFilter(), 9)).items
    assert Records(sealer).read(await store.get("default", listed.id)) == Records(sealer).read(listed) == REQUEST
    assert await Deployments(home.engine.objects, sealer, "me").secrets(DEPLOYMENT) == {"s": "hush"}


async def test_everything_is_sealed_anew_piece_by_piece_and_opens_without_the_old_key(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ROWS", 1)
    await filled(home)
    before = await texts(home)
    resealing = resealing_of(home, NEW, OLD)
    done = Resealed(secrets=3, versions=1, signing_secrets=1, requests=1, deployments=1)
    assert await resealing.reseal(DEFAULT) == done
    assert await resealing.reseal(DEFAULT) == Resealed()
    after = await texts(home)
    assert {key_of(text) for text in after} == {key_of(Sealer([NEW]).seal("", ""))}
    # the ciphertexts are what they were: only their data keys have another envelope
    assert [text.split(".")[3] for text in after] == [text.split(".")[3] for text in before]
    await everything_opens(home, NEW)


async def test_what_was_sealed_before_there_were_envelopes_is_put_into_some(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealing, "_ENVELOPE", "0")  # nothing that anybody reads
    monkeypatch.setattr(Sealer, "seal", directly)
    monkeypatch.setattr(egress, "_place", lambda place, rule, kept: place)
    await filled(home)
    monkeypatch.undo()
    assert {mark_of(text)[:2] for text in await texts(home)} == {"1."}
    await everything_opens(home, OLD)
    resealing = resealing_of(home, OLD)
    await resealing.migrate()  # nothing was seen yet
    assert {mark_of(text)[:2] for text in await texts(home)} == {"1."}
    await resealing.check()
    await resealing.migrate()
    assert {mark_of(text) for text in await texts(home)} == {Sealer([OLD]).mark}
    await everything_opens(home, OLD)


def directly(sealer: Sealer, secret: str, place: str) -> str:
    """Seal as releases did before there were envelopes."""
    (cipher,) = sealer._ciphers.values()
    sealed = sealing._encrypted(cipher, secret.encode(), place.encode())
    return f"1.{sealer._first}.{sealing._text(sealed)}"


async def texts(home: House) -> list[str]:
    """Return all that is sealed, in one order."""
    store = home.store.real
    found = [row.sealed for row in await store.all_sealed_secrets(None, 99)]
    for version in await store.all_sealed_versions(None, 99):
        found += version.secrets.values()
        found += [c.secret for rule in version.egress.rules for c in rule.credentials] if version.egress else []
    found += [row.sealed for row in await store.all_sealed_signing(None, 99)]
    for mark in await store.request_marks():
        found += [row.sealed for row in await store.all_sealed_requests(mark, None, 99)]
    for kept in await home.engine.objects.of_kind("cognite", "deployment", 99):
        found += json.loads(kept.data)["secrets"].values()
    return found


async def test_a_store_that_is_away_leaves_what_was_done_and_the_rest_for_the_next_time(home: House) -> None:
    await filled(home)
    resealing = Resealing(home.store, Sealer([NEW, OLD]))
    home.store.away.add("all_sealed_versions")
    await refusal(resealing.reseal(DEFAULT), Unavailable)
    home.store.let_go()
    assert await resealing.reseal(DEFAULT) == Resealed(versions=1, signing_secrets=1, requests=1)


async def test_what_cannot_be_opened_stays_and_is_counted(home: House) -> None:
    await filled(home)
    strange = Secrets(home.store.real, Sealer([b"s" * 32]))
    await strange.create(DEFAULT, "n", "strange", id="3")
    moved = (await home.store.real.sealed_secrets("default", ["1"]))["1"]
    await home.store.real.update_secret("default", "2", value=(moved, 1))
    resealing = Resealing(home.store.real, Sealer([NEW, OLD]))
    done = Resealed(secrets=3, versions=1, signing_secrets=1, requests=1, failed=1)
    assert await resealing.reseal(DEFAULT) == done
    # what was moved is under the new key as well, and opens no more than before
    await refusal(Secrets(home.store.real, Sealer([NEW, OLD])).open("default", "2"), FailedPrecondition)
    assert await strange.open("default", "3") == "strange"


async def test_what_was_changed_meanwhile_is_left(home: House) -> None:
    await filled(home)
    (first, *_) = await home.store.real.all_sealed_secrets(None, 9)
    (version,) = await home.store.real.all_sealed_versions(None, 9)
    await home.engine.secrets.update(DEFAULT, "1", value="changed")
    other = replace(version, kept=("{}", version.kept[1]))
    assert await home.store.real.reseal([(first, replace(first, sealed="2.x.y.z")), (other, version)]) == 0
    assert await home.engine.secrets.open("default", "1") == "changed"


async def test_a_server_without_a_key_that_is_needed_does_not_start(home: House) -> None:
    await Resealing(home.store.real, Sealer([NEW])).check()
    await filled(home)
    name = key_of(Sealer([OLD]).seal("x", "y"))
    resealing = resealing_of(home, NEW)
    missing = await refusal(resealing.check(), FailedPrecondition)
    assert (missing.reason, missing.metadata) == (Reason.SECRET_UNUSABLE, {"keys": name})
    assert f"({name}: 1 deployments, 3 secrets, 1 signing secrets, stored requests, 1 versions)" in missing.message
    assert f"POLYCALL_LOST_ENCRYPTION_KEYS={name} starts the server without it" in missing.message
    await resealing.check([name])
    await refusal(resealing.check(["0" * 8]), FailedPrecondition)
    await resealing_of(home, NEW, OLD).check()


async def test_only_an_operator_has_everything_sealed_anew(home: House) -> None:
    who = replace(DEFAULT, scopes=frozenset(Scope) - {Scope.OPERATOR})
    await refusal(home.engine.resealing.reseal(who), PermissionDenied)
