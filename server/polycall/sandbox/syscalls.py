"""System call numbers of this machine. Standard library only: zygotes load it.

``syscalls.json`` is taken from the kernel's unistd headers (x86_64, and the generic table that aarch64 uses) up to
file_setattr, Linux 6.17. Numbers from 424 up are the same on every architecture.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache

__all__ = ["MACHINE", "numbers"]

MACHINE = os.uname().machine


@cache
def numbers() -> Mapping[str, int]:
    """Return name -> number; empty on a machine whose table is not known."""
    import json  # not at the top: the first process of a zygote needs no table, and is to stay small

    with open(os.path.join(os.path.dirname(__file__), "syscalls.json"), "rb") as stream:
        tables: dict[str, dict[str, int]] = json.load(stream)
    return tables.get(MACHINE, {})
