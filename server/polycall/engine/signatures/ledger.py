"""What is gathered while the types of one function are read: definitions, notes, and how much may still be written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from polycall.engine.signatures.definitions import reference
from polycall.engine.signatures.literals import text_of
from polycall.engine.signatures.report import Note

__all__ = ["Budget", "Ledger"]

Schema = dict[str, Any]
T = TypeVar("T")

_LITERAL_SIZE = 8 * 1024  # characters of one default or enumeration; a longer one is left out
_MOST_DEFINITIONS = 200  # of one function's types
_MOST_NOTES = 50  # of one function


@dataclass(slots=True)
class Budget:
    """Characters that the schemas of a module may still take: a class may be used many times, and its uses multiply."""

    left: int

    def spend(self, characters: int) -> bool:
        """Return whether they were left."""
        self.left -= characters
        return self.left >= 0

    def affordable(self, value: Any) -> bool:
        """Return whether a value is short enough to be written into a schema."""
        text = text_of(value)
        return 0 < len(text) <= _LITERAL_SIZE and self.spend(len(text))


class Ledger(Generic[T]):
    """Definitions that are referred to before they are written; ``T`` is what one of them is written from."""

    def __init__(self) -> None:
        self.notes: list[Note] = []
        self.definitions: dict[str, Schema] = {}
        self._names: dict[object, str] = {}
        self._waiting: list[tuple[str, T]] = []

    def note(self, note: Note) -> None:
        """Take a note, once, up to a bound."""
        if note not in self.notes and len(self.notes) < _MOST_NOTES:
            self.notes.append(note)

    def refer(self, key: object, wanted: str, source: T) -> Schema | None:
        """Return a reference to the definition of ``key``, which is written later; None if there are too many."""
        if key not in self._names:
            if len(self._names) >= _MOST_DEFINITIONS:
                return None
            self._waiting.append((self.name(key, wanted), source))
        return reference(self._names[key])

    def name(self, key: object, wanted: str) -> str:
        """Return the name of a definition: what is wanted, with a number if it is taken."""
        taken = set(self._names.values())
        name, count = wanted, 1
        while name in taken:
            count += 1
            name = f"{wanted}_{count}"
        self._names[key] = name
        return name

    def next(self) -> tuple[str, T] | None:
        """Return a definition that is referred to and not written yet; None when there are no more."""
        return self._waiting.pop(0) if self._waiting else None

    def define(self, name: str, schema: Mapping[str, Any]) -> None:
        """Write a definition. One that is nothing but itself is any value."""
        self.definitions[name] = {} if schema == reference(name) else dict(schema)
