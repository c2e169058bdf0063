"""The tools that build environments, in a directory of their own: all that a build sees of what the server has."""

from __future__ import annotations

import hashlib
import os
import shutil
import sysconfig
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from polycall.runtimes.environments import Environments

__all__ = ["build_tools"]

# Each is a distribution that installs one program of the same name.
_TOOLS = ("uv", "deno")
# Beside the environments of runtimes, whose names are bare digests.
_PREFIX = "build-tools-"


def build_tools(environments: Environments) -> Path:
    """Return a directory with ``bin/uv`` and ``bin/deno``, as far as they are installed. Raises OSError.

    Blocking, for some milliseconds.
    """
    found = {name: path for name in _TOOLS if (path := _program(name)) is not None}
    lines = sorted(f"{name} {version(name)} {path}" for name, path in found.items())

    def fill(target: Path) -> None:
        (target / "bin").mkdir(parents=True)
        for name, path in found.items():
            place = target / "bin" / name
            try:
                os.link(path, place)
            except OSError:  # another file system
                shutil.copyfile(path, place)
                place.chmod(0o755)

    return environments.add(_PREFIX + hashlib.sha256("\n".join(lines).encode()).hexdigest(), fill)


def _program(name: str) -> Path | None:
    try:
        version(name)
    except PackageNotFoundError:
        return None
    path = Path(sysconfig.get_path("scripts")) / name
    return path if path.is_file() else None
