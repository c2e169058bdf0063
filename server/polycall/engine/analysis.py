"""What functions a source has, found without running anything of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from polycall.domain import Convention, Function, Language
from polycall.engine.signatures import SourceError, read_functions

__all__ = ["Analysis", "Problem", "analyze", "main_module"]

# Parsing holds the interpreter, and takes up to 1 kB of memory a byte of source ("1<1<1<1..."): about 0.4 s and
# 200 MiB at this size. Modules written by people are a tenth of it.
_LARGEST_MODULE = 256 * 1024
_COOKIE = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")  # PEP 263
# Other codecs are slow on hostile text (idna, punycode), or not about text at all.
_CODECS = {"utf-8": "utf-8", "utf8": "utf-8", "ascii": "ascii", "us-ascii": "ascii", "latin-1": "latin-1"}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong. ``line`` counts from 1; 0: the whole file. ``path`` "": the whole source."""

    path: str
    line: int
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """What was found: public functions in source order, and what is wrong."""

    functions: tuple[Function, ...] = ()
    problems: tuple[Problem, ...] = ()


def main_module(files: Mapping[str, bytes]) -> str | None:
    """Return ``main`` if there is a ``main.py``, else the only top-level module or package, else None."""
    if "main.py" in files:
        return "main"
    modules = [path.removesuffix(".py") for path in files if path.endswith(".py") and "/" not in path]
    if not modules:
        modules = [path.removesuffix("/__init__.py") for path in files if re.fullmatch(r"[^/]+/__init__\.py", path)]
    return modules[0] if len(modules) == 1 and modules[0].isidentifier() else None


def analyze(
    files: Mapping[str, bytes],
    *,
    module: str | None = None,
    language: Language = Language.PYTHON,
    convention: Convention = Convention.KEYWORDS,
) -> Analysis:
    """Return the public functions of one module (default: ``main_module``); never raises for what the source holds.

    Functions are top-level ``def`` and ``async def`` and names bound to lambdas, to such functions, or annotated as
    Callable. Their input schema follows ``convention``: an object with a property a parameter for KEYWORDS and
    PARAMETERS, the first parameter's for INPUT, that of ``data`` for HANDLE. A SCRIPT has no functions.
    """
    if language is not Language.PYTHON:
        return Analysis(problems=(Problem("", 0, f"{language} sources are not analysed"),))
    name = module or main_module(files)
    if name is None:
        return Analysis(problems=(Problem("", 0, "has no main.py, and not exactly one top-level module"),))
    path = _path_of(name, files)
    if path is None:
        return Analysis(problems=(Problem("", 0, f"has no module {name[:200]!r}"),))
    try:
        signatures = read_functions(_text(files[path]), convention.value)
    except SourceError as error:
        return Analysis(problems=(Problem(path, error.line, error.message),))
    if convention is Convention.SCRIPT:
        return Analysis()
    functions = (
        Function(
            name=signature.name,
            entrypoint=f"{name}:{signature.name}",
            convention=convention,
            input_schema=signature.schema.encode(),
            description=signature.description,
            accepts_any=signature.accepts_any,
        )
        for signature in signatures
    )
    return Analysis(functions=tuple(functions))


def _path_of(module: str, files: Mapping[str, bytes]) -> str | None:
    if not all(part.isidentifier() for part in module.split(".")):
        return None
    base = module.replace(".", "/")
    return next((path for path in (f"{base}.py", f"{base}/__init__.py") if path in files), None)


def _text(data: bytes) -> str:
    """Decode a module as Python would. Raises SourceError."""
    if len(data) > _LARGEST_MODULE:
        raise SourceError(0, f"has {len(data)} bytes; a module with functions may have {_LARGEST_MODULE}")
    if data.startswith(b"\xef\xbb\xbf"):
        return _decoded(data[3:], "utf-8")
    for line, text in enumerate(data[:4096].split(b"\n")[:2], 1):
        if cookie := _COOKIE.match(text):
            named = cookie[1].decode().lower().replace("_", "-")
            if named not in _CODECS:
                raise SourceError(line, f"encoding {named[:40]!r} is not supported; use UTF-8")
            return _decoded(data, _CODECS[named])
        if text.strip() and not text.lstrip().startswith(b"#"):
            break
    return _decoded(data, "utf-8")


def _decoded(data: bytes, codec: str) -> str:
    try:
        return data.decode(codec)
    except UnicodeDecodeError as error:
        raise SourceError(data[: error.start].count(b"\n") + 1, f"is not valid {codec.upper()}") from None
