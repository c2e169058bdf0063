"""Object by object: what cannot come over stays behind with a reason, and the others come all the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

from polycall.cli.importing.finds import Remark
from polycall.names import PACKAGE_RULE, is_package_id

__all__ = ["Unfit", "Useless", "check_id", "kept"]

_LONGEST_SHOWN = 200  # of an id that is no id


class Unfit(Exception):
    """Raised for an object that polycall cannot hold; says why."""


class Useless(Unfit):
    """Raised for an object that nobody can use there either."""


class _Identified(Protocol):
    @property
    def id(self) -> str | int: ...


Item = TypeVar("Item", bound=_Identified)
Found = TypeVar("Found")


def kept(items: Iterable[Item], kind: str, make: Callable[[Item], Found], remarks: list[Remark]) -> list[Found]:
    """Return what ``make`` makes of the items, in their order; ``remarks`` takes the unfit and those there twice."""
    found: list[Found] = []
    seen: set[str] = set()
    for item in items:
        identifier = str(item.id)
        try:
            check_id(identifier)
            if identifier in seen:
                raise Unfit("the export has it twice; the first is taken.")
            seen.add(identifier)
            found.append(make(item))
        except Unfit as why:
            remarks.append(
                Remark(kind=kind, id=identifier[:_LONGEST_SHOWN], text=str(why), refused=not isinstance(why, Useless))
            )
    return found


def check_id(identifier: str, what: str = "its id") -> None:
    """Raise Unfit for what cannot be an id here."""
    if not is_package_id(identifier):
        raise Unfit(f"{what} {PACKAGE_RULE}.")
