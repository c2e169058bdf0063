"""Reads what Python sources say of their functions, in a sandbox: it is a hostile text that is parsed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import msgspec

from polycall.bundle import bundle_digest
from polycall.domain import Convention
from polycall.engine import docstrings, schema, signatures
from polycall.engine.limits import DEFAULTS, MIB
from polycall.engine.signatures import Report
from polycall.errors import Internal, QueueFull
from polycall.sandbox.job import Bundle, Ending, Job, Outcome, Runner

__all__ = ["Reader", "SandboxedReader", "Unreadable"]

# The largest module of the standard library, 230 kB, takes 0.5 s and 40 MiB.
_LIMITS = replace(DEFAULTS, timeout_ms=5_000, memory_bytes=512 * MIB, result_bytes=16 * MIB, stdout_bytes=0)
_AT_ONCE = 2  # beside the slots of runs, so that a deployment never waits for somebody's long run
_TURN_S = 10.0
_OURS = (docstrings, schema, signatures)


class Unreadable(Exception):
    """Raised for sources that cannot be read within the limits; the text says why."""


class Reader(Protocol):
    """Tells what sources say of their functions."""

    async def read(self, sources: Sequence[tuple[str, Convention]]) -> Sequence[Report]:
        """Return a report for each source text; the schemas are those of the input by its convention.

        Raises Unreadable.
        """


class SandboxedReader:
    """Runs ``polycall.engine.signatures`` on the sources in a fresh sandboxed process."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._turns = asyncio.Semaphore(_AT_ONCE)
        files = {f"{module.__name__.replace('.', '/')}.py": Path(str(module.__file__)).read_bytes() for module in _OURS}
        self._bundle = Bundle(digest=bundle_digest(files), files=files)

    async def read(self, sources: Sequence[tuple[str, Convention]]) -> Sequence[Report]:
        """Return a report for each source. Raises Unreadable, QueueFull (too many others), Internal."""
        payload = {"sources": [(text, convention.value) for text, convention in sources]}
        job = Job(
            bundle=self._bundle,
            entrypoint=f"{signatures.__name__}:describe_all",
            convention=Convention.KEYWORDS,
            limits=_LIMITS,
            payload=msgspec.json.encode(payload),
        )
        try:
            async with asyncio.timeout(_TURN_S):
                await self._turns.acquire()
        except TimeoutError:
            raise QueueFull(
                "Too many sources are being analysed; try again.", subject="analysis", retry_after_s=_TURN_S
            ) from None
        try:
            outcome = await self._runner.run(job)
        finally:
            self._turns.release()
        return _reports(outcome, len(sources))


def _reports(outcome: Outcome, count: int) -> Sequence[Report]:
    if outcome.ending is Ending.TIMED_OUT:
        raise Unreadable(f"takes longer than {_LIMITS.timeout_ms // 1000} s to compile")
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
