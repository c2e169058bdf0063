"""Tables for people: as wide as they need for a pipe, as wide as the screen for a terminal."""

from __future__ import annotations

import shutil
import sys
import unicodedata
from collections.abc import Sequence

from polycall.cli.terminal import printable, styled

__all__ = ["COLOURS", "print_facts", "print_table", "render_table"]

_GAP = "  "
_NARROWEST = 8  # a column is not cut below this: what is left would say nothing

# The words that carry a colour, wherever they stand in a cell of their own.
COLOURS = {
    "COMPLETED": "green",
    "READY": "green",
    "RELEASED": "green",
    "yes": "green",
    "RUNNING": "cyan",
    "QUEUED": "cyan",
    "ANALYSING": "cyan",
    "FAILED": "red",
    "TIMEOUT": "red",
    "ERROR": "red",
    "no": "red",
    "CANCELLED": "yellow",
    "revoked": "yellow",
    "expired": "yellow",
}


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table with a header line; on a terminal the widest cells are cut to fit."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    lines = render_table([header, *rows], width)
    print(styled("".join(lines[0]).rstrip(), "dim", sys.stdout))
    for line in lines[1:]:
        print("".join(styled(cell, COLOURS.get(cell.strip(), ""), sys.stdout) for cell in line).rstrip())


def print_facts(facts: Sequence[tuple[str, str]]) -> None:
    """Print names and values, one pair a line, without those that have no value; values are never cut."""
    shown = [(name, value) for name, value in facts if value]
    widest = max((_width(name) for name, _ in shown), default=0)
    for name, value in shown:
        first, *rest = printable(value).split("\n")
        label = styled(name.ljust(widest), "dim", sys.stdout)
        print(f"{label}{_GAP}{styled(first, COLOURS.get(first, ''), sys.stdout)}")
        for line in rest:
            print(f"{' ' * widest}{_GAP}{line}")


def render_table(rows: Sequence[Sequence[str]], width: int | None) -> list[list[str]]:
    """Return the cells of each row, padded to their columns and cut so that a row fits ``width`` (None: no bound)."""
    clean = [[printable(cell).replace("\n", " ") for cell in row] for row in rows]
    columns = [max(_width(row[index]) for row in clean) for index in range(len(clean[0]))]
    if width is not None:
        _shrink(columns, width - len(_GAP) * (len(columns) - 1))
    last = len(columns) - 1
    return [
        [_fit(cell, columns[index]) + ("" if index == last else _GAP) for index, cell in enumerate(row)]
        for row in clean
    ]


def _shrink(columns: list[int], room: int) -> None:
    while sum(columns) > room:
        widest = max(range(len(columns)), key=columns.__getitem__)
        if columns[widest] <= _NARROWEST:
            return
        columns[widest] -= 1


def _fit(cell: str, width: int) -> str:
    missing = width - _width(cell)
    if missing >= 0:
        return cell + " " * missing
    kept = ""
    for character in cell:
        if _width(kept + character) > width - 1:
            break
        kept += character
    return kept + "…" + " " * (width - 1 - _width(kept))


def _width(text: str) -> int:
    """Return the columns a terminal gives the text: two for wide characters, none for combining ones."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
