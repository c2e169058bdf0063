"""What functions JavaScript and TypeScript sources have, and what their types say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from polycall.domain import Convention, Function, Language, SchemaOrigin
from polycall.engine.findings import Analysis, Problem, filled, notes_of
from polycall.engine.importing import Surroundings
from polycall.engine.javascript import Described, ModuleReader, located, main_script
from polycall.engine.script_types import ScriptTypes, WantedTypes
from polycall.quick import dataclass

__all__ = ["ScriptAnalyzer"]

_MOST_MODULES = 20  # with declared functions; a version has one, as a rule
_MOST_FUNCTIONS, _LONGEST_NAME = 1000, 128  # as for Python (signatures.functions)
_NO_SCRIPT = "has no main.ts, main.js, index.ts or index.js, and not exactly one top-level module"


@dataclass(frozen=True, slots=True)
class ScriptAnalyzer:
    """Finds functions. Without ``types`` nothing is known of their input but names."""

    modules: ModuleReader
    types: ScriptTypes | None = None

    async def exports(
        self,
        files: Mapping[str, bytes],
        module: str | None,
        language: Language,
        convention: Convention,
        around: Surroundings,
    ) -> Analysis:
        """Return the functions that a module exports (default: ``main_script``), loaded in these surroundings.

        Raises QueueFull, Internal.
        """
        path = located(module, files) if module else main_script(files)
        if path is None:
            return Analysis(problems=(Problem("", 0, f"has no module {module[:200]!r}" if module else _NO_SCRIPT),))
        found = await self.modules.describe(files, path, language, convention, around)
        if found.problem:
            return Analysis(functions=found.functions, problems=_problems(path, found))
        if len(found.functions) > _MOST_FUNCTIONS:
            many = f"has {len(found.functions)} public functions; at most {_MOST_FUNCTIONS}"
            return Analysis(problems=(Problem(path, 0, many),))
        if long := next((each.name for each in found.functions if len(each.name) > _LONGEST_NAME), None):
            message = f"the name {long[:40]}… has {len(long)} characters; at most {_LONGEST_NAME}"
            return Analysis(problems=(Problem(path, 0, message),))
        return await self._typed(files, {path: found.functions})

    async def declared(
        self, files: Mapping[str, bytes], declared: tuple[Function, ...], language: Language
    ) -> Analysis:
        """Give declared functions entry points and types, or say which of their modules cannot be parsed.

        Raises QueueFull, Internal.
        """
        placed: dict[str, list[Function]] = {}
        functions = []
        for function in declared:
            script = function.convention is Convention.SCRIPT
            name, _, _ = function.entrypoint.partition(":")
            path = main_script(files) if not name else name if script and name in files else located(name, files)
            if path is None:
                problem = Problem("", 0, f"has no module {name[:200]!r}" if name else _NO_SCRIPT)
                return Analysis(functions=declared, problems=(problem,))
            if not function.entrypoint:
                function = replace(function, entrypoint=path if script else f"{path}:{function.name}")
            placed.setdefault(path, []).append(function)
            functions.append(function)
        if len(placed) > _MOST_MODULES:
            problem = Problem("", 0, f"has functions in {len(placed)} modules; at most {_MOST_MODULES}")
            return Analysis(functions=declared, problems=(problem,))
        problems: list[Problem] = []
        for path in placed:
            problems += _problems(path, await self.modules.check(files, path, language))
        if problems:
            return Analysis(functions=tuple(functions), problems=tuple(problems))
        analysis = await self._typed(files, {path: tuple(found) for path, found in placed.items()})
        completed = {function.name: function for function in analysis.functions}
        return replace(analysis, functions=tuple(completed[function.name] for function in functions))

    async def _typed(self, files: Mapping[str, bytes], placed: Mapping[str, tuple[Function, ...]]) -> Analysis:
        """Return functions, which are in these modules, with what their types say."""
        functions = tuple(function for found in placed.values() for function in found)
        if self.types is None:
            return Analysis(functions=functions)
        wanted: dict[tuple[str, Convention], list[Function]] = {}
        for path, found in placed.items():
            for function in found:
                if function.convention is not Convention.SCRIPT:
                    wanted.setdefault((path, function.convention), []).append(function)
        asked = [WantedTypes(path, tuple(map(_callable, some)), each) for (path, each), some in wanted.items()]
        answers = await self.types.read(files, asked) if asked else ()
        signatures = {
            (path, convention, signature.name): signature
            for (path, convention), answer in zip(wanted, answers, strict=True)
            for signature in answer
        }
        completed = []
        for path, found in placed.items():
            for function in found:
                signature = signatures.get((path, function.convention, _callable(function)))
                completed.append(function if signature is None else filled(_undeclared(function), signature))
        return Analysis(functions=tuple(completed), notes=notes_of(signatures.values()))


def _callable(function: Function) -> str:
    return function.entrypoint.partition(":")[2] or function.name


def _undeclared(function: Function) -> Function:
    return function if function.schema_origin is not None else replace(function, schema_origin=SchemaOrigin.SOURCE)


def _problems(path: str, found: Described) -> tuple[Problem, ...]:
    return (Problem(path, found.line, found.problem, found.column),) if found.problem else ()
