"""Secrets in the engine: who may do what with them, and what becomes of their values."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Collection, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from polycall.domain import Reason, Scope
from polycall.engine.secrets import LONGEST_NAME, LONGEST_VALUE, MOST_SECRETS, Secrets
from polycall.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    QuotaExceeded,
)
from polycall.ids import from_ulid
from polycall.sealing import Sealer
from polycall.store.sql import SqlStore, StoreConfig, open_store
from tests.engine.house import DEFAULT, OTHER, other_project, refusal

pytestmark = pytest.mark.asyncio(loop_scope="session")

VALUE = "hunter2-é\U0001f600"


@pytest_asyncio.fixture(loop_scope="session")
async def store(database_dir: Path) -> AsyncIterator[SqlStore]:
    store = open_store(StoreConfig(data_dir=database_dir))
    await store.start()
    await other_project(store)
    yield store
    await store.stop()


@pytest.fixture
def secrets(store: SqlStore) -> Secrets:
    return Secrets(store, Sealer([bytes(32)]))


async def test_a_value_is_opened_by_id_or_name_and_never_stored_as_it_is(
    secrets: Secrets, store: SqlStore, tmp_path: Path
) -> None:
    made = await secrets.create(DEFAULT, "API key", VALUE, face="riza")
    assert (made.project_id, made.name, made.face, made.created_by) == ("default", "API key", "riza", "k1")
    assert (len(made.id), made.updated_at) == (26, made.created_at)
    assert await secrets.get(DEFAULT, made.id) == await secrets.find(DEFAULT, "API key") == made
    assert await secrets.open("default", made.id) == await secrets.open_named("default", "API key") == VALUE
    assert VALUE not in repr(made)
    await store.stop()
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"API key" in kept
    assert b"hunter2" not in kept


async def test_a_new_value_is_what_opens_from_then_on(secrets: Secrets) -> None:
    made = await secrets.create(DEFAULT, "n", "old", id="mine")
    assert await secrets.update(DEFAULT, "mine", name="m") == replace(made, name="m")
    assert await secrets.open("default", "mine") == "old"
    updated = await secrets.update(DEFAULT, "mine", value="new")
    assert (updated.created_at, updated.updated_at >= made.updated_at) == (made.created_at, True)
    assert await secrets.open("default", "mine") == "new"
    await secrets.delete(DEFAULT, "mine")
    gone = await refusal(secrets.open("default", "mine"), FailedPrecondition)
    assert (gone.reason, gone.subject) == (Reason.SECRET_UNUSABLE, "secrets/mine")
    assert (await refusal(secrets.find(DEFAULT, "m"), NotFound)).reason is Reason.SECRET_NOT_FOUND


async def test_ids_are_taken_once_names_as_often_as_one_likes(secrets: Secrets) -> None:
    for number in ("1", "2"):
        await secrets.create(DEFAULT, "same", number, id=number)
    assert await secrets.open_all("default", ["1", "2"]) == {"1": "1", "2": "2"}
    assert await secrets.open_all("default", []) == {}
    taken = await refusal(secrets.create(DEFAULT, "other", "x", id="1"), AlreadyExists)
    assert taken.resource_name == "secrets/1"
    named = await refusal(secrets.create(DEFAULT, "same", "x", unique_name=True), AlreadyExists)
    assert named.resource_name in ("secrets/1", "secrets/2")


async def test_every_limit_is_named_and_none_is_quoted(secrets: Secrets) -> None:
    await secrets.create(DEFAULT, "n" * LONGEST_NAME, "é" * (LONGEST_VALUE // 2))
    for name, value, secret_id, fields in (
        ("", "", "..", ["secret.display_name", "secret.value", "secret_id"]),
        ("n" * (LONGEST_NAME + 1), "v" * (LONGEST_VALUE + 1), "i" * 129, None),
        ("n", "hunter2\0", "", ["secret.value"]),
        ("n", "hunter2\ud800", "", ["secret.value"]),
    ):
        wrong = await refusal(secrets.create(DEFAULT, name, value, id=secret_id), InvalidArgument)
        assert [v.field for v in wrong.violations] == (fields or ["secret.display_name", "secret.value", "secret_id"])
        assert "hunter2" not in wrong.message
    wrong = await refusal(secrets.update(DEFAULT, "1", name="", value=""), InvalidArgument)
    assert [v.field for v in wrong.violations] == ["secret.display_name", "secret.value"]


async def test_a_project_has_as_many_as_it_may(secrets: Secrets, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_SECRETS == 1000
    monkeypatch.setattr("polycall.engine.secrets.MOST_SECRETS", 2)
    await secrets.create(OTHER, "n", "v")
    for number in ("1", "2"):
        await secrets.create(DEFAULT, number, "v")
    full = await refusal(secrets.create(DEFAULT, "3", "v"), QuotaExceeded)
    assert full.message == "The project has 2 secrets, which is as many as it may have; delete one that is not needed."


async def test_a_list_goes_on_after_an_id_though_it_is_deleted(secrets: Secrets) -> None:
    made = [await secrets.create(DEFAULT, str(number), "v") for number in range(4)]
    by_age = sorted(made, key=lambda secret: (secret.created_at, secret.id), reverse=True)
    assert list((await secrets.list(DEFAULT, 10)).items) == by_age
    page = await secrets.list(DEFAULT, 3)
    assert list((await secrets.list(DEFAULT, 3, page.next_token)).items) == by_age[3:]
    await secrets.delete(DEFAULT, by_age[1].id)
    assert list((await secrets.list(DEFAULT, 9, starting_after=by_age[1].id)).items) == by_age[2:]
    assert list((await secrets.list(DEFAULT, 9, starting_after=by_age[2].id)).items) == by_age[3:]
    assert (await secrets.list(DEFAULT, 9, starting_after="no place")).items == ()
    assert (await secrets.list(OTHER, 9, starting_after=by_age[0].id)).items == ()
    minted = from_ulid(made[0].id)
    assert minted is not None
    assert minted.int >> 80 == made[0].created_at


async def test_only_checked_is_not_kept(secrets: Secrets) -> None:
    await secrets.create(DEFAULT, "n", "v", id="1", validate_only=True)
    assert (await secrets.list(DEFAULT, 9)).items == ()


async def test_a_secret_belongs_to_its_project_and_takes_a_scope(secrets: Secrets) -> None:
    await secrets.create(DEFAULT, "n", "v", id="1")
    strange: tuple[Awaitable[object], ...] = (
        secrets.get(OTHER, "1"),
        secrets.find(OTHER, "n"),
        secrets.update(OTHER, "1", value="x"),
        secrets.delete(OTHER, "1"),
    )
    for attempt in strange:
        assert (await refusal(attempt, NotFound)).reason is Reason.SECRET_NOT_FOUND
    await refusal(secrets.open("other", "1"), FailedPrecondition)
    reader = replace(DEFAULT, scopes=frozenset({Scope.READ, Scope.RUN}))
    writer = replace(DEFAULT, scopes=frozenset({Scope.DEPLOY}))
    refused: tuple[Awaitable[object], ...] = (
        secrets.create(reader, "n", "v"),
        secrets.update(reader, "1", value="x"),
        secrets.delete(reader, "1"),
        secrets.get(writer, "1"),
        secrets.find(writer, "n"),
        secrets.list(writer, 9),
    )
    for attempt in refused:
        await refusal(attempt, PermissionDenied)
    assert await secrets.open("default", "1") == "v"


async def test_a_value_opens_nowhere_else_and_with_no_other_key(
    secrets: Secrets, store: SqlStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for secret_id in ("1", "2"):
        await secrets.create(DEFAULT, "n", VALUE, id=secret_id)
    moved = (await store.sealed_secrets("default", ["1"]))["1"]
    await store.update_secret("default", "2", value=(moved, 1))
    damaged = await refusal(secrets.open("default", "2"), FailedPrecondition)
    assert (damaged.reason, damaged.subject) == (Reason.SECRET_UNUSABLE, "secrets/2")
    assert "is damaged, or was sealed for another place" in damaged.message
    other = await refusal(Secrets(store, Sealer([b"k" * 32])).open("default", "1"), FailedPrecondition)
    assert (other.reason, other.subject) == (Reason.SECRET_UNUSABLE, "secrets/1")
    assert "POLYCALL_ENCRYPTION_KEY" in other.message
    assert VALUE not in caplog.text


async def test_what_was_looked_up_is_kept_sealed_until_it_changes(
    secrets: Secrets, store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await secrets.create(DEFAULT, "n", "one", id="1")
    await secrets.create(DEFAULT, "n", "two", id="2")
    looked: list[set[str]] = []
    real = store.sealed_secrets

    async def sealed(project_id: str, ids: Collection[str]) -> Mapping[str, str]:
        looked.append(set(ids))
        found = await real(project_id, ids)
        if len(looked) == 1:  # it changes between the look and its answer
            await secrets.update(DEFAULT, "1", value="new")
        return found

    monkeypatch.setattr(store, "sealed_secrets", sealed)
    assert [await secrets.open("default", "1") for _ in range(3)] == ["one", "new", "new"]
    assert looked == [{"1"}, {"1"}]
    assert await secrets.open_all("default", ["1", "2"]) == {"1": "new", "2": "two"}
    assert looked == [{"1"}, {"1"}, {"2"}]
    assert "two" not in repr(secrets._recent._values)
    secrets.heard("other")
    await secrets.open("default", "2")
    secrets.heard("default")
    await secrets.open("default", "2")
    assert looked == [{"1"}, {"1"}, {"2"}, {"2"}]
    await secrets.delete(DEFAULT, "2")
    await refusal(secrets.open("default", "2"), FailedPrecondition)
