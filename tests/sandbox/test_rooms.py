"""Who may have whose cgroup, and when."""

from __future__ import annotations

from typing import Any

from polycall.sandbox.rooms import Rooms


class FakeGroup:
    def __init__(self) -> None:
        self.empty = True


def test_cgroups_are_another_zygotes_once_nobody_is_left_who_could_join_them() -> None:
    made: list[Any] = []

    def make() -> Any:
        made.append(FakeGroup())
        return made[-1]

    rooms = Rooms(make)
    first: Any = rooms.open()
    child: Any = first.take()
    assert made == [first.lodging, child]
    first.give_back(child)
    assert first.take() is child

    second = rooms.open()
    assert second.lodging is made[2]  # the first zygote lives
    first.over = True
    assert second.take() is made[3]  # a child of it has not been buried
    first.give_back(child)
    child.empty = False
    assert second.take() is made[4]  # something is there all the same
    child.empty = True
    assert {id(second.take()), id(second.take())} == {id(first.lodging), id(child)}
    assert second.take() is made[5]
