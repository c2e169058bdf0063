"""Reads what Python sources say of their functions, in a sandbox: it is a hostile text that is parsed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import msgspec

from polycall.bundle import bundle_digest
from polycall.domain import Convention
from polycall.engine import signatures
from polycall.engine.carried import carried
from polycall.engine.limits import DEFAULTS, MIB
from polycall.engine.signatures.report import Report
from polycall.engine.turns import Turns
from polycall.errors import Internal
from polycall.quick import dataclass
from polycall.sandbox.job import Bundle, Ending, Job, Outcome, Runner

__all__ = ["Reader", "SandboxedReader", "Unreadable", "Wanted"]

# The largest module of the standard library, 230 kB, takes 0.5 s of the processor and 40 MiB. The other bound is for a
# machine that is busy otherwise.
_CPU_S = 5
_LIMITS = replace(
    DEFAULTS, timeout_ms=60_000, cpu_ms=_CPU_S * 1000, memory_bytes=512 * MIB, result_bytes=16 * MIB, stdout_bytes=0
)
# What is laid beside the wanted modules, for types that they import.
_MOST_FILES, _MOST_BYTES, _LARGEST_FILE = 1000, 8 * MIB, 1 * MIB


class Unreadable(Exception):
    """Raised for sources that cannot be read within the limits; the text says why."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A module to be read, for functions of one convention; ``refused``: names that it should not use."""

    path: str
    convention: Convention
    refused: tuple[str, ...] = ()


class Reader(Protocol):
    """Tells what sources say of their functions."""

    async def read(self, files: Mapping[str, bytes], wanted: Sequence[Wanted]) -> Sequence[Report]:
        """Return a report for each wanted module of a source; the schemas are those of the input by its convention.

        Raises Unreadable.
        """


class SandboxedReader:
    """Runs ``polycall.engine.signatures`` on the sources in a fresh sandboxed process."""

    def __init__(self, runner: Runner, turns: Turns) -> None:
        self._runner = runner
        self._turns = turns
        self._ours: Mapping[str, bytes] = {}

    async def read(self, files: Mapping[str, bytes], wanted: Sequence[Wanted]) -> Sequence[Report]:
        """Return a report for each module. Raises Unreadable, QueueFull (too many others), Internal."""
        self._ours = self._ours or await asyncio.to_thread(carried, signatures)
        bundle = {**self._ours} | {
            f"{signatures.SOURCE}/{path}": data for path, data in _read_along(files, wanted).items()
        }
        payload = {"wanted": [(each.path, each.convention.value, each.refused) for each in wanted]}
        job = Job(
            bundle=Bundle(digest=bundle_digest(bundle), files=bundle),
            entrypoint=f"{signatures.__name__}.describe:describe_all",
            convention=Convention.KEYWORDS,
            limits=_LIMITS,
            payload=msgspec.json.encode(payload),
        )
        async with self._turns.turn():
            outcome = await self._runner.run(job)
        return _reports(outcome, len(wanted))


def _read_along(files: Mapping[str, bytes], wanted: Sequence[Wanted]) -> dict[str, bytes]:
    """Return the wanted modules, and as many others as may be read for their types."""
    chosen = {each.path: files[each.path] for each in wanted}
    size = sum(map(len, chosen.values()))
    for path in sorted(files):
        data = files[path]
        if path not in chosen and path.endswith(".py") and len(data) <= _LARGEST_FILE:
            size += len(data)
            if size > _MOST_BYTES or len(chosen) >= _MOST_FILES:
                break
            chosen[path] = data
    return chosen


def _reports(outcome: Outcome, count: int) -> Sequence[Report]:
    if outcome.ending in (Ending.TIMED_OUT, Ending.OUT_OF_CPU_TIME):
        raise Unreadable(f"takes longer than {_CPU_S} s to compile")
    if outcome.ending is Ending.LOST:
        raise Internal("The sandbox that analysed the source was lost.")
    if outcome.ending is not Ending.RETURNED or outcome.value is None:
        raise Unreadable(f"needs more than {_LIMITS.memory_bytes // MIB} MiB to compile, or breaks the compiler")
    # what comes out of a sandbox is believed no more for having been ours on the way in
    try:
        reports = msgspec.json.decode(outcome.value, type=list[Report])
    except msgspec.DecodeError:
        reports = []
    if len(reports) != count:
        raise Unreadable("breaks the compiler")
    return reports
