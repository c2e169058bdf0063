"""What is said of a module: its functions, or why it cannot be read."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Note", "Report", "Signature"]


@dataclass(frozen=True, slots=True)
class Note:
    """What could not be said in JSON Schema, where. ``column`` counts characters from 1; 0: unknown."""

    path: str
    line: int
    column: int
    message: str


@dataclass(frozen=True, slots=True)
class Signature:
    """What a function's definition says of it. The schemas are JSON text; ``output_schema`` "": nothing is said.

    ``unread``: a type of its input or output comes from outside the source, so that only an import could tell it;
    ``imported``: it was imported, and pydantic told.
    """

    name: str
    input_schema: str
    output_schema: str
    description: str
    accepts_any: bool
    unread: bool = False
    imported: bool = False
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """What was found; if the source cannot be compiled, why (``problem``) and where (0: unknown).

    ``uses``: the names that were asked about and are used, with their places.
    """

    functions: tuple[Signature, ...] = ()
    line: int = 0
    column: int = 0
    problem: str = ""
    uses: tuple[Note, ...] = ()
