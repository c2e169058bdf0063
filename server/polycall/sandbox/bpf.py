"""Compile a seccomp policy to classic BPF. Standard library only: zygotes load it.

A policy maps system call numbers to an action, or to a list of (condition, action) with a last resort. Numbers are
decided by a binary search over intervals of equal action, so a call costs some eight comparisons however long the
policy is; the kernel caches what does not look at arguments anyway (Linux 5.11).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["ALLOW", "AUDIT_ARCH", "KILL", "Case", "Compare", "Rule", "compile_filter", "errno_action"]

# <linux/seccomp.h>
ALLOW = 0x7FFF_0000
KILL = 0x8000_0000
_ERRNO = 0x0005_0000

# <linux/audit.h>
AUDIT_ARCH = {"x86_64": 0xC000_003E, "aarch64": 0xC000_00B7}

# <linux/bpf_common.h>; offsets into struct seccomp_data { int nr; u32 arch; u64 ip; u64 args[6]; }
_LOAD, _AND, _RETURN = 0x20, 0x54, 0x06
_JUMP, _JUMP_EQUAL, _JUMP_GREATER_EQUAL, _JUMP_SET = 0x05, 0x15, 0x35, 0x45
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_X32_BIT = 0x4000_0000


def errno_action(number: int) -> int:
    """Return the action that fails a call with ``number``."""
    return _ERRNO | number


@dataclass(frozen=True, slots=True)
class Compare:
    """A test of the low 32 bits of one argument: ``eq``, ``ne`` or ``any`` (some bit of value is set)."""

    argument: int
    operator: str
    value: int


@dataclass(frozen=True, slots=True)
class Case:
    """All of ``tests`` hold -> ``action``."""

    tests: tuple[Compare, ...]
    action: int


@dataclass(frozen=True, slots=True)
class Rule:
    """The first case that holds decides; ``otherwise`` if none does."""

    cases: tuple[Case, ...]
    otherwise: int


Instruction = tuple[int, int, int, int]


def _case(case: Case) -> list[Instruction]:
    body: list[Instruction] = []
    # two instructions a test, then the return: the jump out of a failed test leads behind that return
    length = 2 * len(case.tests) + 1
    for index, test in enumerate(case.tests):
        out = length - 2 * index - 2
        body.append((_LOAD, 0, 0, _ARGUMENTS + 8 * test.argument))
        if test.operator == "eq":
            body.append((_JUMP_EQUAL, 0, out, test.value))
        elif test.operator == "ne":
            body.append((_JUMP_EQUAL, out, 0, test.value))
        elif test.operator == "any":
            body.append((_JUMP_SET, 0, out, test.value))
        else:
            raise ValueError(f"unknown operator {test.operator}")
    body.append((_RETURN, 0, 0, case.action))
    return body


def _leaf(rule: Rule | int) -> list[Instruction]:
    if isinstance(rule, int):
        return [(_RETURN, 0, 0, rule)]
    return [instruction for case in rule.cases for instruction in _case(case)] + [(_RETURN, 0, 0, rule.otherwise)]


def _search(bounds: Sequence[int], leaves: Sequence[Rule | int]) -> list[Instruction]:
    """``leaves[i]`` holds for numbers from ``bounds[i]`` up to, not including, ``bounds[i + 1]``."""
    if len(leaves) == 1:
        return _leaf(leaves[0])
    middle = len(leaves) // 2
    below = _search(bounds[:middle], leaves[:middle])
    above = _search(bounds[middle:], leaves[middle:])
    # conditional jumps reach 255 instructions, _JUMP any number
    return [(_JUMP_GREATER_EQUAL, 0, 1, bounds[middle]), (_JUMP, 0, 0, len(below)), *below, *above]


def compile_filter(machine: str, rules: Mapping[int, Rule | int], unknown: int) -> bytes:
    """Return the program for ``machine``; calls without a rule get ``unknown``, foreign architectures KILL.

    Raises KeyError for a machine without an audit number.
    """
    bounds: list[int] = [0]
    leaves: list[Rule | int] = [unknown]
    for number in range(max(rules, default=0) + 2):
        leaf = rules.get(number, unknown)
        if leaf != leaves[-1]:
            if bounds[-1] == number:
                leaves[-1] = leaf
            else:
                bounds.append(number)
                leaves.append(leaf)
    program: list[Instruction] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_JUMP_EQUAL, 1, 0, AUDIT_ARCH[machine]),
        (_RETURN, 0, 0, KILL),
        (_LOAD, 0, 0, _NUMBER),
    ]
    if machine == "x86_64":
        program += [(_JUMP_GREATER_EQUAL, 0, 1, _X32_BIT), (_RETURN, 0, 0, unknown)]
    program += _search(bounds, leaves)
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in program)
