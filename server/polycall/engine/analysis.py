"""What functions a source has, found without running anything of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from polycall.domain import Convention, Function, Language, SchemaOrigin
from polycall.engine.findings import Analysis, Problem, Wrong, filled, notes_of
from polycall.engine.importing import Importer, Surroundings
from polycall.engine.limits import MIB
from polycall.engine.reader import Reader, Unreadable, Wanted
from polycall.engine.rules import NO_RULES, Rules
from polycall.engine.scripts import ScriptAnalyzer
from polycall.engine.signatures.report import Note, Report, Signature

__all__ = ["Analysis", "Analyzer", "Problem", "main_module"]

_LARGEST_MODULE = 1 * MIB  # as large as ad-hoc code may be
_MOST_MODULES = 20  # with declared functions; a version has one, as a rule
_DEFAULTS = Surroundings()
_NO_MAIN = "has no main.py, and not exactly one top-level module"
_NOTHING = "has no public top-level function; declare `functions`, or add one"


def main_module(files: Mapping[str, bytes]) -> str | None:
    """Return ``main`` if there is a ``main.py``, else the only top-level module or package, else None."""
    if "main.py" in files:
        return "main"
    modules = [path.removesuffix(".py") for path in files if path.endswith(".py") and "/" not in path]
    if not modules:
        modules = [path.removesuffix("/__init__.py") for path in files if re.fullmatch(r"[^/]+/__init__\.py", path)]
    return modules[0] if len(modules) == 1 and modules[0].isidentifier() else None


class Analyzer:
    """Finds functions. Nothing it is given makes it raise; what is wrong with a source is in the analysis.

    Without ``scripts`` only Python can be analysed.
    """

    def __init__(self, reader: Reader, importer: Importer | None = None, scripts: ScriptAnalyzer | None = None) -> None:
        self._reader = reader
        self._importer = importer
        self._scripts = scripts

    async def analyze(
        self,
        files: Mapping[str, bytes],
        *,
        module: str | None = None,
        language: Language = Language.PYTHON,
        convention: Convention = Convention.KEYWORDS,
        around: Surroundings = _DEFAULTS,
        rules: Rules = NO_RULES,
    ) -> Analysis:
        """Return the public functions of one module (default: ``main_module``) in source order.

        Functions are top-level ``def`` and ``async def`` and names bound to lambdas, to such functions, or annotated as
        Callable. Their input schema follows ``convention``: an object with a property a parameter for KEYWORDS and
        PARAMETERS, the first parameter's for INPUT, that of ``data`` for HANDLE. Of JavaScript and TypeScript: what the
        module exports, see ``engine.scripts``.
        """
        if language is not Language.PYTHON:
            if self._scripts is None:
                return Analysis(problems=(Problem("", 0, f"is {language}, which is not analysed"),))
            return await self._scripts.exports(files, module, language, convention, around)
        try:
            name = module or _main(files)
            wanted = Wanted(_path_of(name, files), convention, rules.refused)
            report = (await self._read([wanted], files, around))[wanted]
        except Wrong as wrong:
            return Analysis(problems=(wrong.problem,))
        functions = (
            filled(Function(name=each.name, entrypoint=f"{name}:{each.name}", convention=convention), each)
            for each in report.functions
        )
        problems = tuple(_refused([report], rules))
        return Analysis(functions=tuple(functions), problems=problems, notes=notes_of(report.functions))

    async def complete(
        self,
        files: Mapping[str, bytes],
        declared: tuple[Function, ...],
        language: Language = Language.PYTHON,
        around: Surroundings = _DEFAULTS,
        rules: Rules = NO_RULES,
    ) -> Analysis:
        """Return declared functions completed by what their modules say; all of the main module's if none is declared.

        Filled in where they are not declared: entry point, schemas, description, ``accepts_any``. A function that is
        not found is left as it is, unless ``rules`` want it found: Python makes functions in more ways than can be
        read.
        """
        if not declared:
            analysis = await self.analyze(files, language=language, around=around, rules=rules)
            if analysis.functions or analysis.problems:
                return analysis
            return Analysis(problems=(Problem("", 0, _NOTHING),))
        declared = tuple(_marked(function) for function in declared)
        if language is not Language.PYTHON and self._scripts is not None:
            return await self._scripts.declared(files, declared, language)
        try:
            located = [_located(function, files, rules) for function in declared]
            wanted = {module: None for _, module in located}
            reports = await self._read(list(wanted), files, around)
        except Wrong as wrong:
            return Analysis(functions=declared, problems=(wrong.problem,))
        found = [(function, _signature_of(function, reports[module])) for function, module in located]
        return Analysis(
            functions=tuple(filled(function, each) if each else function for function, each in found),
            problems=(*_missing(located, found, rules), *_refused(reports.values(), rules)),
            notes=notes_of(each for _, each in found if each),
        )

    async def _read(
        self, modules: list[Wanted], files: Mapping[str, bytes], around: Surroundings
    ) -> dict[Wanted, Report]:
        """Return the report of each module. Raises Wrong for the first that does not compile."""
        if len(modules) > _MOST_MODULES:
            raise Wrong("", 0, f"has functions in {len(modules)} modules; at most {_MOST_MODULES}")
        for module in modules:
            if (size := len(files[module.path])) > _LARGEST_MODULE:
                limit = f"has {size} bytes; a module with functions may have {_LARGEST_MODULE}"
                raise Wrong(module.path, 0, limit)
        try:
            reports = await self._reader.read(files, modules)
        except Unreadable as refusal:
            raise Wrong(modules[0].path if len(modules) == 1 else "", 0, str(refusal)) from None
        for module, report in zip(modules, reports, strict=True):
            if report.problem:
                raise Wrong(module.path, report.line, report.problem, report.column)
        return {
            module: await self._with_imported(module, report, files, around)
            for module, report in zip(modules, reports, strict=True)
        }

    async def _with_imported(
        self, module: Wanted, report: Report, files: Mapping[str, bytes], around: Surroundings
    ) -> Report:
        """Return a report in which pydantic tells the types that could not be read, if the runtime has it."""
        unread = [each for each in report.functions if each.unread]
        if not unread or self._importer is None or module.convention is Convention.SCRIPT:
            return report
        imported = await self._importer.ask(files, module_name(module.path), module.convention, unread, around)
        note = Note(module.path, 0, 0, f"could not be imported to read its types: {imported.error}")
        functions = []
        for each in report.functions:
            if each.name in imported.schemas:
                taken, given = imported.schemas[each.name]
                each = replace(each, input_schema=taken, output_schema=given, imported=True, notes=())
            elif each.unread and imported.error:
                each = replace(each, notes=(*each.notes, note))
            functions.append(each)
        return replace(report, functions=tuple(functions))


def module_name(path: str) -> str:
    """Return the dotted name of a module's file."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _main(files: Mapping[str, bytes]) -> str:
    name = main_module(files)
    if name is None:
        raise Wrong("", 0, _NO_MAIN)
    return name


def _path_of(module: str, files: Mapping[str, bytes]) -> str:
    if all(part and "/" not in part for part in module.split(".")):  # what stands in no import statement, too
        base = module.replace(".", "/")
        for path in (f"{base}.py", f"{base}/__init__.py"):
            if path in files:
                return path
    raise Wrong("", 0, f"has no module {module[:200]!r}")


def _marked(function: Function) -> Function:
    """Return a function that says whether its input schema was declared."""
    return replace(function, schema_origin=SchemaOrigin.DECLARED if function.input_schema else None)


def _refused(reports: Iterable[Report], rules: Rules) -> Iterator[Problem]:
    for report in reports:
        for use in report.uses:
            yield Problem(use.path, use.line, f"{use.message} {rules.why}")


def _missing(
    located: list[tuple[Function, Wanted]], found: list[tuple[Function, Signature | None]], rules: Rules
) -> Iterator[Problem]:
    for (function, module), (_, signature) in zip(located, found, strict=True):
        if rules.must_exist and signature is None:
            yield Problem(module.path, 0, f"there is no function {function.name} at the top level")


def _located(function: Function, files: Mapping[str, bytes], rules: Rules) -> tuple[Function, Wanted]:
    """Return a declared function with its entry point, and the module it is in."""
    if function.convention is Convention.SCRIPT:
        if function.entrypoint not in files:
            raise Wrong("", 0, f"has no file {function.entrypoint[:200]!r}")
        return function, Wanted(function.entrypoint, Convention.SCRIPT, rules.refused)
    if not function.entrypoint:
        function = replace(function, entrypoint=f"{_main(files)}:{function.name}")
    module, _, _ = function.entrypoint.partition(":")
    return function, Wanted(_path_of(module, files), function.convention, rules.refused)


def _signature_of(function: Function, report: Report) -> Signature | None:
    if function.convention is Convention.SCRIPT:
        return None
    _, _, attribute = function.entrypoint.partition(":")
    return next((each for each in report.functions if each.name == (attribute or function.name)), None)
