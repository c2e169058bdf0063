"""What is called in the sandbox: the files of a source lie beside this package, and nothing loads them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from polycall.engine.signatures import SOURCE
from polycall.engine.typescript.functions import describe
from polycall.engine.typescript.scripts import Scripts

__all__ = ["describe_all"]


def describe_all(wanted: list[tuple[str, list[str], str]]) -> list[list[dict[str, Any]]]:
    """Return the signatures of each (path, names, convention)."""
    root = Path(__file__).parents[3] / SOURCE

    def read(path: str) -> bytes | None:
        try:
            return (root / path).read_bytes()
        except OSError:
            return None

    return [
        [asdict(signature) for signature in describe(Scripts(read), path, names, convention)]
        for path, names, convention in wanted
    ]
