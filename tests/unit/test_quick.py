"""Quick dataclasses do what dataclasses do."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass, field, replace
from typing import Any

import pytest

from polycall.quick import changed, quick


@dataclass(frozen=True, slots=True)
class Plain:
    first: int
    second: str = "two"
    third: list[int] = field(default_factory=list)
    last: int = field(default=4, kw_only=True)


@quick
@dataclass(frozen=True, slots=True)
class Quick:
    first: int
    second: str = "two"
    third: list[int] = field(default_factory=list)
    last: int = field(default=4, kw_only=True)


def test_is_made_with_the_same_defaults() -> None:
    made = Quick(1)
    assert type(made) is Quick
    assert (made.first, made.second, made.third, made.last) == (1, "two", [], 4)
    assert made.third is not Quick(1).third
    assert repr(made) == "Quick(first=1, second='two', third=[], last=4)"


@pytest.mark.parametrize("kind", [Plain, Quick])
def test_takes_the_same_arguments(kind: Any) -> None:
    assert kind(1, "b", [3], last=5) == kind(first=1, second="b", third=[3], last=5)
    for arguments, keywords in (((), {}), ((1, "b", [3], 4), {}), ((1,), {"unknown": 1})):
        with pytest.raises(TypeError):
            kind(*arguments, **keywords)


def test_stays_as_it_was_made() -> None:
    made = Quick(1)
    with pytest.raises(FrozenInstanceError):
        made.first = 2  # type: ignore[misc]
    assert made.first == 1


def test_a_copy_has_the_changes_and_the_original_has_not() -> None:
    made = Quick(1, third=[3], last=5)
    copy = changed(made, second="b")
    assert copy == replace(made, second="b") == Quick(1, "b", [3], last=5)
    assert type(copy) is Quick
    assert copy.third is made.third
    assert made.second == "two"
    with pytest.raises(FrozenInstanceError):
        copy.second = "c"  # type: ignore[misc]


def test_a_copy_has_no_field_that_its_class_lacks() -> None:
    with pytest.raises(AttributeError):
        changed(Quick(1), unknown=1)


def test_a_class_that_does_more_when_it_is_made_is_refused() -> None:
    with pytest.raises(TypeError, match="more to do"):

        @quick
        @dataclass(frozen=True, slots=True)
        class Checked:
            first: int

            def __post_init__(self) -> None:
                raise ValueError
