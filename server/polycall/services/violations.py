"""Collects what is wrong with a request, so that the caller hears of everything at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from polycall.errors import FieldViolation, InvalidArgument

__all__ = ["Violations", "below"]

T = TypeVar("T")


class Violations:
    """The violations of one request. ``add`` and ``attempt`` collect, ``refuse`` raises what there is."""

    def __init__(self) -> None:
        self._found: list[FieldViolation] = []

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, field: str, description: str) -> None:
        """Note a wrong field."""
        self._found.append(FieldViolation(field, description))

    def attempt(self, parse: Callable[[], T]) -> T | None:
        """Return what ``parse`` returns; None, with its violations noted, if it raises InvalidArgument."""
        try:
            return parse()
        except InvalidArgument as error:
            self.take(error)
            return None

    def take(self, error: InvalidArgument) -> None:
        """Note what is wrong by an error that was raised for a part of the request."""
        self._found += error.violations

    def error(self) -> InvalidArgument:
        """Return all of them as one error."""
        return InvalidArgument(self._found)

    def refuse(self) -> None:
        """Raise InvalidArgument if there are any."""
        if self._found:
            raise self.error()


@contextmanager
def below(parent: str) -> Iterator[None]:
    """Put ``parent.`` before the fields of an InvalidArgument that is raised within: a request inside a request."""
    try:
        yield
    except InvalidArgument as error:
        inside = [FieldViolation(f"{parent}.{v.field}" if v.field else parent, v.description) for v in error.violations]
        raise type(error)(inside, reason=error.reason, metadata=error.metadata) from None
