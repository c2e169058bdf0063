"""Languages by the names of files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from polycall.domain import Language

__all__ = ["SUFFIXES", "language_of", "suffix_of"]

SUFFIXES: Mapping[str, Language] = {
    ".py": Language.PYTHON,
    ".js": Language.JAVASCRIPT,
    ".mjs": Language.JAVASCRIPT,
    ".cjs": Language.JAVASCRIPT,
    ".ts": Language.TYPESCRIPT,
    ".mts": Language.TYPESCRIPT,
    ".cts": Language.TYPESCRIPT,
}


def suffix_of(language: Language) -> str:
    """Return the suffix that a file of a language has as a rule."""
    return next(suffix for suffix, found in SUFFIXES.items() if found is language)


def language_of(paths: Iterable[str]) -> Language:
    """Return the language of a source: that of its ``main`` or ``index``, else the only one at its top, else Python."""
    top = [path for path in map(PurePosixPath, paths) if len(path.parts) == 1 and path.suffix in SUFFIXES]
    for stem in ("main", "index"):
        for path in sorted(top, key=lambda path: list(SUFFIXES).index(path.suffix)):
            if path.stem == stem:
                return SUFFIXES[path.suffix]
    found = {SUFFIXES[path.suffix] for path in top}
    return found.pop() if len(found) == 1 else Language.PYTHON
