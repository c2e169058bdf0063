"""What is held at which level, as the threat model says it: ``python -m tests.sandbox.hostile.table``.

Prints the table that ``docs/threat-model.md`` has to contain as it is; a test compares.
"""

from __future__ import annotations

from collections import defaultdict

from polycall.domain import IsolationLevel
from tests.sandbox.hostile.catalogue import Breaks, Program, Unpromised
from tests.sandbox.hostile.everything import CATEGORIES

__all__ = ["table"]

_LEVELS = tuple(reversed(IsolationLevel))


def table() -> str:
    """Return the table in Markdown: one row an attack, one column a level."""
    attacks: dict[str, list[tuple[str, Program]]] = defaultdict(list)
    for category in CATEGORIES:
        name = category.__name__.rpartition(".")[2]
        for program in category.PROGRAMS:
            attacks[program.attack].append((name, program))
    lines = ["| attack | L3 | L2 | L1 | L0 | not held, because | programs |", "|---|---|---|---|---|---|---|"]
    for attack, found in attacks.items():
        programs = [program for _, program in found]
        cells = [_cell(programs, level) for level in _LEVELS]
        reasons = dict.fromkeys(reason for level in _LEVELS for program in programs if (reason := _why(program, level)))
        files = dict.fromkeys(name for name, _ in found)
        where = f"{len(programs)} in {', '.join(f'`{name}`' for name in files)}"
        lines.append(f"| {' | '.join([attack, *cells, '; '.join(reasons), where])} |")
    return "\n".join(lines)


def _why(program: Program, level: IsolationLevel) -> str | None:
    expected = program.expected[level]
    return expected.why if isinstance(expected, Breaks | Unpromised) else None


def _cell(programs: list[Program], level: IsolationLevel) -> str:
    open_ones = sum(_why(program, level) is not None for program in programs)
    return "held" if not open_ones else "no" if open_ones == len(programs) else "in part"


if __name__ == "__main__":
    print(table())
