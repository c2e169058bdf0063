"""Uploads in time, late, and while others change the file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from polycall.domain import Principal, Scope
from polycall.engine.objects import Objects
from polycall.errors import PermissionDenied, PolycallError
from polycall.faces.cognite.deployments import Deployment, Deployments
from polycall.faces.cognite.failures import Duplicated
from polycall.faces.cognite.files import Files
from polycall.faces.cognite.requests import FileForm
from polycall.sealing import Sealer
from polycall.store.sql import SqlStore, StoreConfig, open_store

_HOUR = 3_600_000
_WHO = Principal(project_id="default", key_id="key", scopes=frozenset({Scope.DEPLOY}))
_FORM = FileForm("a.zip", "mine", None)


@pytest.fixture
async def store(database_dir: Path) -> AsyncIterator[SqlStore]:
    opened = open_store(StoreConfig(data_dir=database_dir))
    await opened.start()
    yield opened
    await opened.stop()


class Keys:
    """All keys are valid."""

    async def of_id(self, project_id: str, key_id: str) -> Principal:
        return Principal(project_id=project_id, key_id=key_id, scopes=frozenset(Scope))


@pytest.fixture
def files(store: SqlStore) -> Files:
    return Files(Objects(store), store, Keys())


async def test_an_upload_may_begin_for_an_hour(files: Files) -> None:
    made, token = await files.create(_WHO, _FORM, 1000, overwrite=False)
    await files.upload("default", made.id, token, b"first", 1000 + _HOUR - 1)
    with pytest.raises(PermissionDenied):
        await files.upload("default", made.id, token, b"late", 1000 + _HOUR)
    kept = await files.get("default", int(made.id))
    assert kept.blob is not None
    assert kept.is_zip is False


async def test_a_token_is_for_one_file_of_one_project(files: Files, store: SqlStore) -> None:
    made, token = await files.create(_WHO, _FORM, 1000, overwrite=False)
    other, _ = await files.create(_WHO, FileForm("b.zip", None, None), 1000, overwrite=False)
    for project, file_id, tried in (("default", other.id, token), ("x", made.id, token), ("default", made.id, "")):
        with pytest.raises(PermissionDenied):
            await files.check_upload(project, file_id, tried, 1000)


async def test_of_many_who_make_a_file_of_one_external_id_one_does(files: Files) -> None:
    async def make() -> bool:
        try:
            await files.create(_WHO, _FORM, 1000, overwrite=False)
        except Duplicated:
            return False
        return True

    assert (await asyncio.gather(*[make() for _ in range(5)])).count(True) == 1


async def test_of_many_who_overwrite_a_file_the_last_token_is_good(files: Files) -> None:
    made = [await files.create(_WHO, _FORM, 1000, overwrite=True) for _ in range(3)]
    assert len({each.id for each, _ in made}) == 1
    good = []
    for each, token in made:
        try:
            await files.upload("default", each.id, token, b"x", 1000)
            good.append(token)
        except PolycallError:
            pass
    assert good == [made[-1][1]]


async def test_who_starts_takes_over_what_belongs_to_nobody_who_lives(store: SqlStore) -> None:
    objects, sealer = Objects(store), Sealer([bytes(32)])
    for number, node in ((1, "dead"), (2, "living"), (3, "me")):
        await Deployments(objects, sealer, node).begin(Deployment("default", str(number), "b", "k"), {"s": "hush"})
    mine = Deployments(objects, sealer, "me")
    taken = await mine.taken_over(["living"])
    assert [each.function_id for each in taken] == ["1", "3"]
    assert await mine.secrets(taken[0]) == {"s": "hush"}
    assert await Deployments(objects, sealer, "third").taken_over(["living", "me"]) == []
    await mine.done("default", "1")
    await mine.done("default", "1")
    assert [each.function_id for each in await mine.taken_over(["living"])] == ["3"]
