"""Our dataclasses do what those of the standard library do."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import FrozenInstanceError, field, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import pytest

import polycall
from polycall.quick import dataclass

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, slots=True)
class Plain:
    first: int
    second: str = "two"
    third: list[int] = field(default_factory=list)
    last: int = field(default=4, kw_only=True)


@dataclass(frozen=True, slots=True)
class Quick:
    first: int
    second: str = "two"
    third: list[int] = field(default_factory=list)
    last: int = field(default=4, kw_only=True)


@dataclass(frozen=True, slots=True)
class Point:
    """A key of dictionaries, of which one field is its own business."""

    kind: ClassVar[str] = "point"
    x: int
    y: int = 0
    note: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Colored(Point):
    color: str = "red"


@dataclass(frozen=True, slots=True)
class Box(Generic[T]):
    value: T


@dataclass(slots=True)
class Counter:
    count: int = 0


@dataclass(slots=True, eq=False)
class Itself:
    count: int = 0


@dataclass(frozen=True, slots=True)
class Checked:
    first: int

    def __post_init__(self) -> None:
        if self.first < 0:
            raise ValueError("negative")


@dataclass(frozen=True)
class Named:
    first: int = 1

    def __repr__(self) -> str:
        return "named"

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 7


@dataclass(frozen=True, slots=True)
class Crowded:
    """Fields with the names that a compiled function might use."""

    cls: int
    twin: int
    MISSING: int
    name: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Nothing:
    pass


def test_is_made_with_the_same_defaults() -> None:
    made = Quick(1)
    assert type(made) is Quick
    assert (made.first, made.second, made.third, made.last) == (1, "two", [], 4)
    assert made.third is not Quick(1).third
    assert repr(made) == "Quick(first=1, second='two', third=[], last=4)"
    assert repr(Crowded(1, 2, 3)) == "Crowded(cls=1, twin=2, MISSING=3, name=[])"
    assert (Nothing(), repr(Nothing()), hash(Nothing())) == (Nothing(), "Nothing()", hash(Nothing()))


@pytest.mark.parametrize("kind", [Plain, Quick])
def test_takes_the_same_arguments(kind: Any) -> None:
    assert kind(1, "b", [3], last=5) == kind(first=1, second="b", third=[3], last=5)
    for arguments, keywords in (((), {}), ((1, "b", [3], 4), {}), ((1,), {"unknown": 1})):
        with pytest.raises(TypeError):
            kind(*arguments, **keywords)


@pytest.mark.parametrize("kind", [Plain, Quick])
def test_what_the_standard_library_does_with_it_is_the_same(kind: Any) -> None:
    made = kind(1, third=[3])
    assert dataclasses.asdict(made) == {"first": 1, "second": "two", "third": [3], "last": 4}
    assert dataclasses.astuple(made) == (1, "two", [3], 4)
    assert replace(made, first=2) == kind(2, third=[3])
    assert [item.name for item in fields(kind)] == ["first", "second", "third", "last"]
    assert kind.__match_args__ == ("first", "second", "third")
    assert not hasattr(made, "__dict__")
    for copied in (copy.copy(made), copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert copied == made
        assert type(copied) is kind


def test_stays_as_it_was_made() -> None:
    made = Quick(1)
    changes: tuple[Callable[[], None], ...] = (
        lambda: setattr(made, "first", 2),
        lambda: delattr(made, "first"),
        lambda: setattr(made, "unknown", 2),
    )
    for change in changes:
        with pytest.raises(FrozenInstanceError):
            change()
    assert made.first == 1


def test_equals_what_is_of_its_class_and_has_the_same_in_the_fields_that_are_compared() -> None:
    assert Point(1, 2, "a") == Point(1, 2, "b")
    assert {Point(1, 2, "a"): 1}[Point(1, 2)] == 1
    assert Point(1, 2) != Point(2, 1)
    assert Point(1, 2) != Colored(1, 2)
    assert Box(1) != (1,)  # type: ignore[comparison-overlap]
    assert Box(float("nan")) != Box(float("nan"))
    assert Counter(1) == Counter(1)
    assert Itself(1) != Itself(1)
    with pytest.raises(TypeError, match="unhashable"):
        hash(Counter(1))


def test_a_field_that_is_not_to_be_shown_is_not_shown() -> None:
    assert repr(Point(1, note="secret")) == "Point(x=1, y=0)"


def test_has_the_fields_of_what_it_is_made_of() -> None:
    made = Colored(1, color="blue")
    assert repr(made) == "Colored(x=1, y=0, color='blue')"
    assert replace(made, x=3) == Colored(3, color="blue")
    with pytest.raises(FrozenInstanceError):
        made.x = 2  # type: ignore[misc]


def test_one_that_may_change_changes() -> None:
    made = Counter()
    made.count += 1
    assert made == Counter(1)


def test_a_class_that_checks_itself_does_so_each_time() -> None:
    assert Checked(1) == Checked(1)
    for _ in range(2):
        with pytest.raises(ValueError, match="negative"):
            Checked(-1)
    with pytest.raises(ValueError, match="negative"):
        replace(Checked(1), first=-1)


def test_what_a_class_says_itself_stands() -> None:
    assert (repr(Named()), hash(Named()), Named(1) == Named(2)) == ("named", 7, True)


def test_shows_itself_within_itself() -> None:
    made = Quick(1)
    made.third.append(made)  # type: ignore[arg-type]
    assert repr(made) == "Quick(first=1, second='two', third=[...], last=4)"


def test_a_field_that_is_not_given_is_refused() -> None:
    with pytest.raises(TypeError, match="not given"):

        @dataclass(frozen=True)
        class Derived:
            first: int = field(init=False, default=1)


def test_a_zygote_has_none_or_each_of_its_children_would_compile_it() -> None:
    server = Path(polycall.__file__).parents[1]
    program = (
        f"import sys; sys.path.insert(0, {str(server)!r}); import polycall.sandbox.nursery, polycall.sandbox.probe;"
        "print(*sorted(name for name in sys.modules if name.startswith('polycall.') and '.sandbox' not in name))"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
