"""Packages of ours that are carried into a sandbox, compiled: there they are imported once for every analysis."""

from __future__ import annotations

import importlib.util
import marshal
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

__all__ = ["carried"]

# PEP 552: a compiled file that is not compared with any source
_UNCHECKED = (0b01).to_bytes(4, "little") + bytes(8)


def carried(*packages: ModuleType) -> dict[str, bytes]:
    """Return the modules of packages as the files of a bundle. The sandbox has the interpreter of the server."""
    return dict(_modules(packages))


def _modules(packages: tuple[ModuleType, ...]) -> Iterator[tuple[str, bytes]]:
    for package in packages:
        folder = package.__name__.replace(".", "/")
        for path in sorted(Path(str(package.__file__)).parent.glob("*.py")):
            code = compile(path.read_bytes(), f"{folder}/{path.name}", "exec", dont_inherit=True)
            yield f"{folder}/{path.stem}.pyc", importlib.util.MAGIC_NUMBER + _UNCHECKED + marshal.dumps(code)
