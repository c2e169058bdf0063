"""All hostile programs, by category."""

from __future__ import annotations

from tests.sandbox.hostile import (
    asks,
    egress,
    endings,
    frames,
    harness,
    javascript,
    leftovers,
    memory,
    network,
    output,
    processes,
    reading,
    storage,
    system_calls,
    values,
)
from tests.sandbox.hostile.catalogue import Program

__all__ = ["CATEGORIES", "PROGRAMS"]

CATEGORIES = (
    processes, memory, storage, output, reading, system_calls, network, egress, frames, asks, values, harness, endings, leftovers,
    javascript,
)  # fmt: skip
PROGRAMS: tuple[Program, ...] = tuple(program for category in CATEGORIES for program in category.PROGRAMS)
