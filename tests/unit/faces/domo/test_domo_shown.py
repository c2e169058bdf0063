"""What is shown of packages that are larger than one answer may be, and of executions that are too old."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, cast

import pytest

from polycall.domain import Language, Package, Principal, Version
from polycall.errors import PayloadTooLarge
from polycall.faces.domo.package_face import PackageReader
from polycall.faces.domo.packages import Packages
from polycall.faces.domo.permissions import Permissions
from polycall.faces.domo.room import Room
from polycall.faces.domo.shown import Parts, read_parts
from tests.unit.faces.domo.fakes import NOW, PACKAGE, World, version

WHO = Principal(project_id="default", key_id="k", scopes=frozenset())
SHOWN = Package(project_id="default", id=PACKAGE, created_at=NOW, updated_at=NOW)
MIB = "x" * (1 << 20)


class Large:
    """Versions with a MiB of code each."""

    def __init__(self, count: int, language: Language) -> None:
        self._versions = [version(id=f"1.0.{number}", language=language) for number in range(count)]

    async def versions(self, who: Principal, package: Package, room: Room, *, all_of_them: bool) -> Sequence[Version]:
        return self._versions

    async def code(self, version: Version) -> str:
        return MIB

    def language(self, package: Package, versions: Sequence[Version]) -> Language:
        return versions[-1].language


def reader(count: int, language: Language) -> PackageReader:
    return PackageReader(cast("Packages", Large(count, language)), cast("Permissions", None))


@pytest.mark.parametrize(("language", "parts"), [(Language.PYTHON, Parts()), (Language.JAVASCRIPT, read_parts("code"))])
async def test_an_answer_has_room_for_48_mib(language: Language, parts: Parts) -> None:
    body = await reader(48, language).package(WHO, SHOWN, parts, Room(), writes=True)
    assert [each["code"] for each in body["versions"]] == [MIB] * 48
    with pytest.raises(PayloadTooLarge, match="larger than 48 MiB; ask for fewer, with skip and limit, or for one"):
        await reader(49, language).package(WHO, SHOWN, parts, Room(), writes=True)


async def test_who_has_just_changed_a_package_is_shown_what_there_is_room_for() -> None:
    body: Any = await reader(48, Language.PYTHON).written(WHO, SHOWN)
    assert [each["code"] for each in body["versions"]] == [MIB] * 48
    body = await reader(49, Language.PYTHON).written(WHO, SHOWN)
    assert [each["code"] for each in body["versions"]] == [""] * 49


async def test_an_execution_is_shown_for_thirty_days() -> None:
    world = World(b"3")
    await world.run(a=1, b=2)
    ((execution_id, execution),) = world.engine.made.items()
    days = 24 * 3600 * 1000
    for age, status in ((30 * days - 1, 200), (30 * days, 404)):
        world.engine.made[execution_id] = dataclasses.replace(execution, queued_at=NOW - age)
        assert (await world.get(str(execution_id))).status == status
