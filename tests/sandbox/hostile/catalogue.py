"""What a hostile program is: a sentence, an attack of the threat model, code, and what must come of it at each level."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from polycall.domain import IsolationLevel, Language, Reason
from polycall.sandbox.job import Ending

__all__ = [
    "NOTHING",
    "Breaks",
    "Either",
    "Ends",
    "Expectation",
    "Program",
    "Refused",
    "Returns",
    "Unpromised",
    "program",
]

L0, L1, L2, L3 = IsolationLevel


@dataclass(frozen=True, slots=True)
class Returns:
    """The run returns exactly this. Programs return what they achieved: an empty list means that all was in vain."""

    value: Any


@dataclass(frozen=True, slots=True)
class Ends:
    """The run ends in one of these ways."""

    endings: tuple[Ending, ...]
    signal: int | None = None
    exit_code: int | None = None
    reason: Reason | None = None
    says: str | None = None  # the message of the error, whole


@dataclass(frozen=True, slots=True)
class Breaks:
    """Not promised at this level; the program runs and must achieve something, which shows that the attack is real."""

    why: str


@dataclass(frozen=True, slots=True)
class Unpromised:
    """Not promised at this level; the program does not run, because it would do harm."""

    why: str


@dataclass(frozen=True, slots=True)
class Either:
    """What comes first decides which of these it is; nothing else may come."""

    of: tuple[Returns | Ends, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """The sandbox does not run it at all: what it asks for would not hold here."""


Expectation = Returns | Ends | Either | Refused | Breaks | Unpromised
NOTHING = Returns([])  # was achieved


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One hostile program.

    ``expected`` is what must come of it, by level, and for a place by its name where that differs. ``input`` is added
    to the targets that a place offers. ``then`` (with ``warm``): what the next call of the same version must come to,
    whose input has ``"call": 2``. ``files``: input files of both calls. ``hosts``: it has a way out, to these. ``asks``: it may ask the server
    (``tests.sandbox.services``).
    """

    name: str
    attack: str
    code: str
    expected: Mapping[IsolationLevel | str, Expectation]
    language: Language = Language.PYTHON
    input: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)
    warm: bool = False
    then: Expectation | None = None
    files: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    asks: bool = False

    def at(self, place: str, level: IsolationLevel) -> Expectation:
        """Return what must come of it there."""
        return self.expected.get(place, self.expected[level])


# What most Python programs begin with: raw system calls, and a list of what succeeded.
PRELUDE = """
import ctypes, errno, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = libc.syscall(ctypes.c_long(number), *words)
    return errno.errorcode[ctypes.get_errno()] if result < 0 else 'done'
def succeeded(**attacks):
    done = []
    for name, attack in attacks.items():
        try:
            if attack() not in (False, None):
                done.append(name)
        except OSError:
            pass
    return done
"""


def program(
    name: str,
    code: str,
    *,
    attack: str,
    held: Expectation = Returns([]),
    at: Mapping[IsolationLevel | str, Expectation] | None = None,
    language: Language = Language.PYTHON,
    **rest: Any,
) -> Program:
    """Make a program. ``held`` is expected wherever ``at`` says nothing else."""
    body = textwrap.dedent(code)
    return Program(
        name=name,
        attack=attack,
        code=PRELUDE + body if language is Language.PYTHON else body,
        expected={**dict.fromkeys(IsolationLevel, held), **(at or {})},
        language=language,
        **rest,
    )
