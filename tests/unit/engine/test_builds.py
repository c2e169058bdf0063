"""The queue of builds: nobody's minutes keep another project waiting for longer than one build."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

import pytest

from polycall.domain import Language, ManifestKind, RevisionState, RuntimeRevision
from polycall.engine.building import BuildFailed
from polycall.engine.buildlog import BuildLog
from polycall.engine.builds import Builds
from polycall.errors import QueueFull


class Shop:
    """A store that has everything, and a builder that notes what it is given and fails."""

    def __init__(self) -> None:
        self.built: list[str] = []

    async def unfinished_revisions(self) -> tuple[RuntimeRevision, ...]:
        return ()

    async def change_revision(self, revision: RuntimeRevision, states: Collection[RevisionState]) -> bool:
        return True

    async def build(self, revision: RuntimeRevision, log: BuildLog) -> Any:
        self.built.append(revision.id)
        raise BuildFailed("there is nothing to build here")


def revision(project_id: str, number: int) -> RuntimeRevision:
    return RuntimeRevision(
        project_id=project_id,
        runtime_id=f"{project_id}-runtime-{number % 2}",
        id=f"{project_id}{number}",
        language=Language.PYTHON,
        manifest_kind=ManifestKind.REQUIREMENTS_TXT,
        manifest="",
        state=RevisionState.PENDING,
        created_at=0,
    )


async def submitted(builds: Builds, *asked: RuntimeRevision) -> None:
    for each in asked:
        builds.check_room(each.project_id)
        await builds.submit(each)


async def done(builds: Builds, asked: list[RuntimeRevision]) -> None:
    await builds.start()
    try:
        for each in asked:
            await builds.ended(each, 10)
    finally:
        await builds.stop()


async def test_projects_take_turns() -> None:
    shop: Any = Shop()
    builds = Builds(shop, shop, most=64, at_once=1)
    asked = [revision("a", number) for number in range(4)] + [revision("b", 0), revision("c", 0), revision("b", 1)]
    await submitted(builds, *asked)
    await done(builds, asked)
    assert shop.built == ["a0", "b0", "c0", "a1", "b1", "a2", "a3"]


async def test_a_project_leaves_places_for_others() -> None:
    shop: Any = Shop()
    builds = Builds(shop, shop, most=8, at_once=1)
    await submitted(builds, *(revision("a", number) for number in range(5)))
    with pytest.raises(QueueFull, match=r"5 builds of runtimes are waiting, 5 of them of this project"):
        builds.check_room("a")
    await submitted(builds, revision("b", 0), revision("b", 1))
    with pytest.raises(QueueFull):
        builds.check_room("b")
    await submitted(builds, revision("c", 0))
    with pytest.raises(QueueFull):
        builds.check_room("d")


async def test_what_is_deleted_is_waited_for_no_more() -> None:
    shop: Any = Shop()
    builds = Builds(shop, shop, most=8, at_once=1)
    asked = [revision("a", 0), revision("a", 1), revision("b", 0)]
    await submitted(builds, *asked)
    builds.forget("a", "a-runtime-1")
    builds.forget("b", "b-runtime-0")
    builds.forget("c", "c-runtime-0")
    await asyncio.wait_for(done(builds, asked), 10)
    assert shop.built == ["a0"]
