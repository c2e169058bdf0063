"""What an analysis says: functions, problems, notes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from polycall.domain import Function, SchemaOrigin
from polycall.engine.signatures.report import Note, Signature
from polycall.quick import dataclass

__all__ = ["Analysis", "Problem", "Wrong", "filled", "notes_of"]

_MOST_NOTES = 200  # of one answer


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong. ``line``, ``column`` count from 1; 0: the whole file, line. ``path`` "": the source."""

    path: str
    line: int
    message: str
    column: int = 0

    def __str__(self) -> str:
        where = f"{self.path}:{self.line}" if self.line else self.path
        return f"{where}: {self.message}" if where else f"The source {self.message}."


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """What was found: functions, what is wrong, and what of the functions' types JSON Schema cannot say (``notes``)."""

    functions: tuple[Function, ...] = ()
    problems: tuple[Problem, ...] = ()
    notes: tuple[Problem, ...] = ()


class Wrong(Exception):
    """Raised with the problem that ends an analysis."""

    def __init__(self, path: str, line: int, message: str, column: int = 0) -> None:
        super().__init__(message)
        self.problem = Problem(path, line, message, column)


def filled(function: Function, found: Signature) -> Function:
    """Return a function with what its definition says of what is not declared."""
    told = found.input_schema.encode() or function.input_schema
    origin = SchemaOrigin.IMPORT if found.imported else SchemaOrigin.SOURCE
    declared = function.schema_origin is SchemaOrigin.DECLARED
    return replace(
        function,
        input_schema=function.input_schema if declared else told,
        output_schema=function.output_schema or found.output_schema.encode() or None,
        description=function.description or found.description,
        accepts_any=function.accepts_any or found.accepts_any,
        schema_origin=function.schema_origin or origin,
    )


def notes_of(signatures: Iterable[Signature]) -> tuple[Problem, ...]:
    """Return the notes of some signatures, each once, up to a bound."""
    notes: dict[Note, None] = {}
    for each in signatures:
        notes |= dict.fromkeys(each.notes)
    return tuple(Problem(note.path, note.line, note.message, note.column) for note in list(notes)[:_MOST_NOTES])
