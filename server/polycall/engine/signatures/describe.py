"""What is called in the sandbox: the modules of a source lie beside this package, as files that nothing imports."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from polycall.engine.signatures import SOURCE
from polycall.engine.signatures.functions import describe
from polycall.engine.signatures.modules import Modules

__all__ = ["describe_all"]


def describe_all(wanted: list[tuple[str, str, list[str]]]) -> list[dict[str, Any]]:
    """Return the report of each (path, convention, refused names), as JSON holds it."""
    root = Path(__file__).parents[3] / SOURCE

    def read(path: str) -> bytes | None:
        try:
            return (root / path).read_bytes()
        except OSError:
            return None

    reports = []
    for path, convention, refused in wanted:
        name = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        report = describe(Modules(read), name, path, read(path) or b"", convention, refused)
        reports.append(asdict(report))
    return reports
