"""What differs between languages before anything is run."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from polycall.domain import Convention, Language
from polycall.errors import RuntimeMissing

__all__ = ["check_language", "is_callable_name", "main_file", "without_meaning"]

_MAIN: Mapping[Language, str] = {
    Language.PYTHON: "main.py",
    Language.JAVASCRIPT: "main.js",
    Language.TYPESCRIPT: "main.ts",
}


def check_language(language: Language, available: Collection[Language]) -> None:
    """Raise RuntimeMissing for a language that does not run here."""
    if language not in available:
        raise RuntimeMissing(
            f"{language} is not installed on this server; it runs {', '.join(sorted(available))}.",
            subject=language,
            metadata={"language": language.value},
        )


def main_file(language: Language) -> str:
    """Return what code that came without a name is called."""
    return _MAIN[language]


def is_callable_name(name: str, language: Language) -> bool:
    """Whether a function can have a name."""
    return (name if language is Language.PYTHON else name.replace("$", "_")).isidentifier()


def without_meaning(convention: Convention, language: Language) -> str | None:
    """Say why a language has no such convention; None if it has."""
    if convention is Convention.HANDLE and language is not Language.PYTHON:
        return f"HANDLE is for Python functions (client, data, secrets); use INPUT or KEYWORDS for {language}"
    return None
