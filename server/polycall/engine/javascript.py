"""What functions JavaScript and TypeScript sources have, found in a sandbox.

Sources that declare their functions are only parsed. Of others the main module is loaded, as a run would load it, to
see what it exports.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from polycall.bundle import bundle_digest
from polycall.domain import Convention, Function, Language
from polycall.engine.importing import Surroundings
from polycall.engine.limits import DEFAULTS, MIB
from polycall.engine.turns import Turns
from polycall.errors import Internal
from polycall.quick import dataclass
from polycall.sandbox.image import image_of
from polycall.sandbox.job import Bundle, Ending, Job, Runner

__all__ = ["Described", "ModuleReader", "located", "main_script"]

_LIMITS = replace(DEFAULTS, timeout_ms=20_000, cpu_ms=20_000, memory_bytes=512 * MIB, stdout_bytes=0, stderr_bytes=0)
_NAMES = ("main", "index")
_SUFFIXES = (".ts", ".mts", ".js", ".mjs", ".cjs")


class _Problem(msgspec.Struct):
    message: str
    line: int
    column: int


class _Found(msgspec.Struct):
    name: str
    parameters: list[str] | None


class _Answer(msgspec.Struct):
    problem: _Problem | None
    functions: list[_Found]


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What was found of one module: functions, or what is wrong with it. ``line``, ``column``: 0 if not known."""

    functions: tuple[Function, ...] = ()
    problem: str = ""
    line: int = 0
    column: int = 0


def main_script(files: Mapping[str, bytes]) -> str | None:
    """Return ``main`` or ``index`` at the top, else the only module there, as a path; None if there is none."""
    for name in _NAMES:
        for suffix in _SUFFIXES:
            if name + suffix in files:
                return name + suffix
    scripts = [path for path in files if path.endswith(_SUFFIXES) and "/" not in path and not path.endswith(".d.ts")]
    return scripts[0] if len(scripts) == 1 else None


def located(module: str, files: Mapping[str, bytes]) -> str | None:
    """Return the file of a module that may be named without its suffix; None if there is none."""
    return next((module + suffix for suffix in ("", *_SUFFIXES) if module + suffix in files), None)


class ModuleReader:
    """Asks modules, each in a fresh sandboxed process."""

    def __init__(self, runner: Runner, turns: Turns) -> None:
        self._runner = runner
        self._turns = turns

    async def check(self, files: Mapping[str, bytes], path: str, language: Language) -> Described:
        """Say whether a module can be parsed; nothing of it runs. Raises QueueFull, Internal."""
        return await self._ask(files, path, language, Convention.INPUT, None)

    async def describe(
        self,
        files: Mapping[str, bytes],
        path: str,
        language: Language,
        convention: Convention,
        around: Surroundings,
    ) -> Described:
        """Load a module and return the functions that it exports. Raises QueueFull (too many others), Internal."""
        return await self._ask(files, path, language, convention, around)

    async def _ask(
        self,
        files: Mapping[str, bytes],
        path: str,
        language: Language,
        convention: Convention,
        around: Surroundings | None,
    ) -> Described:
        if around is not None:
            files = around.adapter.beside(files, language, equipped=around.image is not None)
        job = Job(
            bundle=Bundle(digest=bundle_digest(files), files=files),
            entrypoint=f"{path}:",  # no function of it, the module itself
            convention=Convention.INPUT,
            language=language,
            limits=_LIMITS,
            payload=msgspec.json.encode({"load": around is not None}),
            env=(around.env if around is not None else None) or {},
            image=(around.image if around is not None else None) or image_of(language),
        )
        async with self._turns.turn():
            outcome = await self._runner.run(job)
        if outcome.ending is Ending.LOST:
            raise Internal("The sandbox that analysed the source was lost.")
        if outcome.ending is not Ending.RETURNED or outcome.value is None:
            message = outcome.error.message if outcome.error is not None else outcome.ending.value
            return Described(problem=f"cannot be loaded: {message}")
        try:
            answer = msgspec.json.decode(outcome.value, type=_Answer)
        except msgspec.DecodeError:
            return Described(problem="cannot be loaded: it answers for itself")
        if answer.problem is not None:
            return Described(problem=answer.problem.message, line=answer.problem.line, column=answer.problem.column)
        return Described(functions=tuple(_functions(answer.functions, path, convention)))


def _functions(found: Sequence[_Found], path: str, convention: Convention) -> list[Function]:
    return [
        Function(
            name=each.name,
            entrypoint=f"{path}:{each.name}",
            convention=convention,
            input_schema=_schema(each.parameters, convention),
        )
        for each in found
        if each.name.isprintable() and "/" not in each.name
    ]


def _schema(parameters: list[str] | None, convention: Convention) -> bytes | None:
    """Return the schema of an input whose members are known by name, and nothing else of them."""
    if convention is not Convention.KEYWORDS or parameters is None or len(parameters) < 2:
        return None
    members: dict[str, Any] = {name: {} for name in parameters}
    return msgspec.json.encode({"type": "object", "properties": members})
