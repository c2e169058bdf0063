"""Checks inputs against schemas that callers made: here if that takes bounded time, else in a sandbox."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

import msgspec

from polycall.bundle import bundle_digest
from polycall.domain import Convention
from polycall.engine import schemas
from polycall.engine.carried import carried
from polycall.engine.limits import DEFAULTS, KIB, MIB
from polycall.engine.schemas.check import Check
from polycall.engine.schemas.keywords import expressions_of, problems_of
from polycall.engine.schemas.reading import Json, Unusable, printable, read
from polycall.engine.turns import ProjectTurns, Turns
from polycall.errors import Internal, InvalidArgument
from polycall.quick import dataclass
from polycall.sandbox.job import Bundle, Ending, Job, Runner

__all__ = ["InputSchemas"]

_LARGEST_SCHEMA = 1 * MIB
_MOST_PROBLEMS = 20  # of a schema that are named
# What is looked at takes a microsecond or two a piece. An input is looked at more than once if its schema says several
# things of it.
_FREE_STEPS, _STEPS_A_BYTE = 50_000, 2
# More than the first is checked in a thread, more than the second in a sandbox: parsed, a byte may take fifty.
_INLINE_BYTES, _THREAD_BYTES = 8 * KIB, 256 * KIB
# Reading a schema takes longer than checking most inputs.
_MOST_KEPT, _KEPT_BYTES = 256, 8 * KIB
# In a sandbox: for expressions, and for each megabyte.
_CPU_S, _CPU_S_A_MIB = 1, 1
_MEMORY_BYTES = 512 * MIB
# Beside the time that runs have: an answer is promised.
_WAIT_S = 5.0
_LIMITS = replace(DEFAULTS, timeout_ms=20_000, memory_bytes=_MEMORY_BYTES, result_bytes=1 * MIB, stdout_bytes=0)


class _Answer(msgspec.Struct):
    problem: str | None = None
    unusable: str | None = None


@dataclass(frozen=True, slots=True)
class _Schema:
    value: Json
    expressions: bool  # it has some


class InputSchemas:
    """Checks schemas, and inputs by them."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._turns = Turns(wait_s=_WAIT_S, what="inputs")
        self._project_turns = ProjectTurns(what="inputs of this project")
        self._ours: Mapping[str, bytes] = {}

    async def check_schema(self, project_id: str, schema: bytes, field: str) -> None:
        """Raise InvalidArgument naming ``field`` unless the text is a schema that inputs can be checked with.

        Raises QueueFull too.
        """
        if len(schema) > _LARGEST_SCHEMA:
            raise InvalidArgument.of(field, f"must have at most {_LARGEST_SCHEMA} bytes")
        try:
            found = await self._read(schema)
            if found.expressions:
                await self._aside(project_id, schema, None, 0)
        except Unusable as error:
            raise InvalidArgument.of(field, str(error)) from None

    async def check(self, project_id: str, schema: bytes, value: bytes, field: str) -> None:
        """Raise InvalidArgument naming ``field`` unless a value fits a schema that was checked; QueueFull."""
        if schema.strip() in (b"{}", b"true"):
            return
        steps = _FREE_STEPS + _STEPS_A_BYTE * len(value)
        try:
            found = await self._read(schema)
            if found.expressions or len(value) > _THREAD_BYTES:
                problem = await self._aside(project_id, schema, value, steps)
            elif len(value) <= _INLINE_BYTES:
                problem = _problem(found.value, value, steps)
            else:
                problem = await asyncio.to_thread(_problem, found.value, value, steps)
        except Unusable as error:
            raise InvalidArgument.of(field, str(error)) from None
        if problem is not None:
            place, _, why = problem.partition(": ")
            raise InvalidArgument.of(f"{field}{'' if place == '/' else place}", why)

    async def _read(self, schema: bytes) -> _Schema:
        if len(schema) <= _KEPT_BYTES:
            return _kept(schema)
        return await asyncio.to_thread(_read, schema)

    async def _aside(self, project_id: str, schema: bytes, value: bytes | None, steps: int) -> str | None:
        """Return what is wrong with a value, looked for in a sandbox. Raises Unusable, QueueFull, Internal."""
        self._ours = self._ours or await asyncio.to_thread(carried, schemas)
        payload = {"schema": schema.decode(), "value": None if value is None else value.decode(), "steps": steps}
        cpu_s = _CPU_S + _CPU_S_A_MIB * len(value or b"") // MIB
        job = Job(
            bundle=Bundle(digest=bundle_digest(self._ours), files=self._ours),
            entrypoint=f"{schemas.__name__}.describe:look",
            convention=Convention.KEYWORDS,
            limits=replace(_LIMITS, cpu_ms=cpu_s * 1000),
            payload=msgspec.json.encode(payload),
        )
        async with self._project_turns.turn(project_id, _WAIT_S), self._turns.turn():
            outcome = await self._runner.run(job)
        if outcome.ending is Ending.LOST:
            raise Internal("The sandbox that checked the input was lost.")
        if outcome.ending is not Ending.RETURNED or outcome.value is None:
            raise Unusable(f"takes more than {cpu_s} s or {_MEMORY_BYTES // MIB} MiB to check by its schema")
        # what comes out of a sandbox is believed no more for having been ours on the way in
        try:
            answer = msgspec.json.decode(outcome.value, type=_Answer)
        except msgspec.DecodeError:
            raise Internal("The sandbox that checked the input answered nonsense.") from None
        if answer.unusable is not None:
            raise Unusable(answer.unusable)
        return answer.problem


def _problem(schema: Json, value: bytes, steps: int) -> str | None:
    return Check(schema, steps).problem(read(value))


@lru_cache(_MOST_KEPT)
def _kept(schema: bytes) -> _Schema:
    return _read(schema)


def _read(schema: bytes) -> _Schema:
    """Return a schema that has no problems. Raises Unusable."""
    value = read(schema)
    problems = []
    for problem in problems_of(value):
        problems.append(problem)
        if len(problems) == _MOST_PROBLEMS:
            break
    if problems:
        raise Unusable(printable("; ".join(problems)))
    return _Schema(value, any(True for _ in expressions_of(value)))
