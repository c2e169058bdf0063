"""What functions a source has, found without running anything of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from polycall.domain import Convention, Function, Language
from polycall.engine.limits import MIB
from polycall.engine.reader import Reader, Unreadable
from polycall.engine.signatures import Report

__all__ = ["Analysis", "Analyzer", "Problem", "main_module"]

_LARGEST_MODULE = 1 * MIB  # as large as ad-hoc code may be
_MOST_MODULES = 20  # with declared functions; a version has one, as a rule
_COOKIE = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")  # PEP 263
# Other codecs are slow on hostile text (idna, punycode), or not about text at all.
_CODECS = {"utf-8": "utf-8", "utf8": "utf-8", "ascii": "ascii", "us-ascii": "ascii", "latin-1": "latin-1"}
_NO_MAIN = "has no main.py, and not exactly one top-level module"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong. ``line`` counts from 1; 0: the whole file. ``path`` "": the whole source."""

    path: str
    line: int
    message: str

    def __str__(self) -> str:
        where = f"{self.path}:{self.line}" if self.line else self.path
        return f"{where}: {self.message}" if where else f"The source {self.message}."


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """What was found: functions, and what is wrong."""

    functions: tuple[Function, ...] = ()
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class _Module:
    """A module to be read, for functions of one convention."""

    path: str
    convention: Convention


class _Wrong(Exception):
    """Raised with the problem that ends an analysis."""

    def __init__(self, path: str, line: int, message: str) -> None:
        super().__init__(message)
        self.problem = Problem(path, line, message)


def main_module(files: Mapping[str, bytes]) -> str | None:
    """Return ``main`` if there is a ``main.py``, else the only top-level module or package, else None."""
    if "main.py" in files:
        return "main"
    modules = [path.removesuffix(".py") for path in files if path.endswith(".py") and "/" not in path]
    if not modules:
        modules = [path.removesuffix("/__init__.py") for path in files if re.fullmatch(r"[^/]+/__init__\.py", path)]
    return modules[0] if len(modules) == 1 and modules[0].isidentifier() else None


class Analyzer:
    """Finds functions. Nothing it is given makes it raise; what is wrong with a source is in the analysis."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def analyze(
        self,
        files: Mapping[str, bytes],
        *,
        module: str | None = None,
        language: Language = Language.PYTHON,
        convention: Convention = Convention.KEYWORDS,
    ) -> Analysis:
        """Return the public functions of one module (default: ``main_module``) in source order.

        Functions are top-level ``def`` and ``async def`` and names bound to lambdas, to such functions, or annotated as
        Callable. Their input schema follows ``convention``: an object with a property a parameter for KEYWORDS and
        PARAMETERS, the first parameter's for INPUT, that of ``data`` for HANDLE.
        """
        try:
            _check_language(language)
            name = module or _main(files)
            wanted = _Module(_path_of(name, files), convention)
            report = (await self._read([wanted], files))[wanted]
        except _Wrong as wrong:
            return Analysis(problems=(wrong.problem,))
        functions = (
            Function(
                name=signature.name,
                entrypoint=f"{name}:{signature.name}",
                convention=convention,
                input_schema=signature.schema.encode(),
                description=signature.description,
                accepts_any=signature.accepts_any,
            )
            for signature in report.functions
        )
        return Analysis(functions=tuple(functions))

    async def complete(
        self, files: Mapping[str, bytes], declared: tuple[Function, ...], language: Language = Language.PYTHON
    ) -> Analysis:
        """Return declared functions completed by what their modules say; all of the main module's if none is declared.

        Filled in where they are not declared: entry point, input schema, description, ``accepts_any``. A function that
        is not found is left as it is: Python makes functions in more ways than can be read.
        """
        if not declared:
            analysis = await self.analyze(files, language=language)
            if analysis.functions or analysis.problems:
                return analysis
            nothing = Problem("", 0, "has no public top-level function; declare `functions`, or add one")
            return Analysis(problems=(nothing,))
        try:
            _check_language(language)
            located = [_located(function, files) for function in declared]
            wanted = {module: None for _, module in located}
            reports = await self._read(list(wanted), files)
        except _Wrong as wrong:
            return Analysis(functions=declared, problems=(wrong.problem,))
        return Analysis(functions=tuple(_completed(function, reports[module]) for function, module in located))

    async def _read(self, modules: list[_Module], files: Mapping[str, bytes]) -> dict[_Module, Report]:
        """Return the report of each module. Raises _Wrong for the first that does not compile."""
        if len(modules) > _MOST_MODULES:
            raise _Wrong("", 0, f"has functions in {len(modules)} modules; at most {_MOST_MODULES}")
        sources = [(_text(module.path, files[module.path]), module.convention) for module in modules]
        try:
            reports = await self._reader.read(sources)
        except Unreadable as refusal:
            raise _Wrong(modules[0].path if len(modules) == 1 else "", 0, str(refusal)) from None
        for module, report in zip(modules, reports, strict=True):
            if report.problem:
                raise _Wrong(module.path, report.line, report.problem)
        return dict(zip(modules, reports, strict=True))


def _check_language(language: Language) -> None:
    if language is not Language.PYTHON:
        raise _Wrong("", 0, f"is {language}, which is not analysed")


def _main(files: Mapping[str, bytes]) -> str:
    name = main_module(files)
    if name is None:
        raise _Wrong("", 0, _NO_MAIN)
    return name


def _path_of(module: str, files: Mapping[str, bytes]) -> str:
    if all(part.isidentifier() for part in module.split(".")):
        base = module.replace(".", "/")
        for path in (f"{base}.py", f"{base}/__init__.py"):
            if path in files:
                return path
    raise _Wrong("", 0, f"has no module {module[:200]!r}")


def _located(function: Function, files: Mapping[str, bytes]) -> tuple[Function, _Module]:
    """Return a declared function with its entry point, and the module it is in."""
    if function.convention is Convention.SCRIPT:
        if function.entrypoint not in files:
            raise _Wrong("", 0, f"has no file {function.entrypoint[:200]!r}")
        return function, _Module(function.entrypoint, Convention.SCRIPT)
    if not function.entrypoint:
        function = replace(function, entrypoint=f"{_main(files)}:{function.name}")
    module, _, _ = function.entrypoint.partition(":")
    return function, _Module(_path_of(module, files), function.convention)


def _completed(function: Function, report: Report) -> Function:
    if function.convention is Convention.SCRIPT:
        return function
    _, _, attribute = function.entrypoint.partition(":")
    found = next((signature for signature in report.functions if signature.name == (attribute or function.name)), None)
    if found is None:
        return function
    return replace(
        function,
        input_schema=function.input_schema or found.schema.encode(),
        description=function.description or found.description,
        accepts_any=function.accepts_any or found.accepts_any,
    )


def _text(path: str, data: bytes) -> str:
    """Decode a module as Python would."""
    if len(data) > _LARGEST_MODULE:
        raise _Wrong(path, 0, f"has {len(data)} bytes; a module with functions may have {_LARGEST_MODULE}")
    if data.startswith(b"\xef\xbb\xbf"):
        return _decoded(path, data[3:], "utf-8")
    for line, text in enumerate(data[:4096].split(b"\n")[:2], 1):
        if cookie := _COOKIE.match(text):
            named = cookie[1].decode().lower().replace("_", "-")
            if named not in _CODECS:
                raise _Wrong(path, line, f"encoding {named[:40]!r} is not supported; use UTF-8")
            return _decoded(path, data, _CODECS[named])
        if text.strip() and not text.lstrip().startswith(b"#"):
            break
    return _decoded(path, data, "utf-8")


def _decoded(path: str, data: bytes, codec: str) -> str:
    try:
        return data.decode(codec)
    except UnicodeDecodeError as error:
        raise _Wrong(path, data[: error.start].count(b"\n") + 1, f"is not valid {codec.upper()}") from None
