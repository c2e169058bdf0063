"""How tests write jobs in JavaScript and TypeScript."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from polycall.domain import Convention, Language
from polycall.sandbox.image import image_of
from polycall.sandbox.job import Job
from tests.sandbox.programs import job

__all__ = ["js", "node_script", "ts"]


def js(code: str | Mapping[str, str], value: Any = None, **changes: Any) -> Job:
    """Ad-hoc JavaScript by default: ``main.js`` with ``execute(input)``."""
    return _job(code, value, "main.js", Language.JAVASCRIPT, changes)


def ts(code: str | Mapping[str, str], value: Any = None, **changes: Any) -> Job:
    """Ad-hoc TypeScript by default: ``main.ts`` with ``execute(input)``."""
    return _job(code, value, "main.ts", Language.TYPESCRIPT, changes)


def node_script(code: str, file: str = "main.js", **changes: Any) -> Job:
    """A program."""
    return js({file: code}, **({"entrypoint": file, "convention": Convention.SCRIPT} | changes))


def _job(code: str | Mapping[str, str], value: Any, file: str, language: Language, changes: Mapping[str, Any]) -> Job:
    files = {file: code} if isinstance(code, str) else code
    settings = {"entrypoint": f"{next(iter(files))}:execute", "language": language, "image": image_of(language)}
    return job(files, value, **(settings | dict(changes)))
