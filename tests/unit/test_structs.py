"""What is made in C is a dataclass to whoever reads it."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from dataclasses import field, fields, replace
from typing import Any, ClassVar

import pytest

from polycall.structs import changed, cstruct


@dataclasses.dataclass(frozen=True, slots=True)
class Plain:
    first: int
    second: str = "two"
    third: list[int] = field(default_factory=list)
    last: int = field(default=4, kw_only=True)


@cstruct(frozen=True, slots=True)
class Made:
    first: int
    second: str = "two"
    third: list[int] = field(default_factory=list)
    last: int = 4

    kind: ClassVar[str] = "made"

    @property
    def twice(self) -> int:
        return 2 * self.first


@cstruct(frozen=True, slots=True, kw_only=True)
class Point:
    x: int
    y: int = 0
    token: str = field(default="", repr=False)
    seen: int = field(default=0, compare=False)


@cstruct(slots=True, eq=False)
class Itself:
    count: int = 0
    _hidden: list[int] = field(default_factory=list)


def test_is_made_with_the_same_defaults_and_arguments() -> None:
    made = Made(1)
    assert type(made) is Made
    assert (made.first, made.second, made.third, made.last, made.twice, Made.kind) == (1, "two", [], 4, 2, "made")
    assert made.third is not Made(1).third
    assert repr(made) == "Made(first=1, second='two', third=[], last=4)"
    assert Made(1, "b", [3], 5) == Made(first=1, second="b", third=[3], last=5)
    wrong: tuple[tuple[tuple[Any, ...], dict[str, Any]], ...] = (((), {}), ((1,), {"unknown": 1}))
    for arguments, keywords in wrong:
        with pytest.raises(TypeError):
            Made(*arguments, **keywords)
    with pytest.raises(TypeError):
        Point(1)  # type: ignore[call-arg]


@pytest.mark.parametrize("kind", [Plain, Made])
def test_what_the_standard_library_does_with_it_is_the_same(kind: Any) -> None:
    made = kind(1, third=[3])
    assert dataclasses.asdict(made) == {"first": 1, "second": "two", "third": [3], "last": 4}
    assert dataclasses.astuple(made) == (1, "two", [3], 4)
    assert replace(made, first=2) == kind(2, third=[3])
    assert [item.name for item in fields(kind)] == ["first", "second", "third", "last"]
    assert not hasattr(made, "__dict__")
    for copied in (copy.copy(made), copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert copied == made
        assert type(copied) is kind
    for name in ("first", "second"):
        with pytest.raises(AttributeError):
            setattr(made, name, 2)
        with pytest.raises(AttributeError):
            delattr(made, name)
    assert made.first == 1


def test_equals_what_is_of_its_class_and_has_the_same_in_the_fields_that_are_compared() -> None:
    for _ in range(2):
        assert Point(x=1, seen=2) == Point(x=1, seen=3)
        assert {Point(x=1, seen=2): 1}[Point(x=1)] == 1
        assert Point(x=1) != Point(x=1, token="t")
    assert Made(1) != Plain(1)  # type: ignore[comparison-overlap]
    one = Itself()
    assert one != Itself()
    assert one in {one}
    one.count += 1
    assert one.count == 1


def test_a_field_that_is_not_to_be_shown_is_not_shown() -> None:
    assert repr(Point(x=1, token="secret")) == "Point(x=1, y=0, seen=0)"


def test_a_copy_has_the_changes_and_the_original_has_not() -> None:
    made = Made(1, third=[3], last=5)
    other = changed(made, second="b")
    assert other == replace(made, second="b") == Made(1, "b", [3], 5)
    assert type(other) is Made
    assert other.third is made.third
    assert made.second == "two"
    with pytest.raises(TypeError):
        changed(made, unknown=1)


def test_a_class_that_is_more_than_its_fields_is_refused() -> None:
    class Checked:
        first: int

        def __post_init__(self) -> None:
            raise ValueError

    class Derived(Made):
        other: int = 0

    for kind in (Checked, Derived):
        with pytest.raises(TypeError, match="more than its fields"):
            cstruct(frozen=True)(kind)
