"""Sandboxes of a user without privileges, when the tests are root's."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import polycall

_NOBODY = 65534


def as_ordinary_user(script: str, *arguments: str) -> Any:
    """Run a script of Python as a user without privileges and return the JSON that it prints."""
    if os.geteuid() != 0:
        pytest.skip("only root can become an ordinary user")
    interpreter = _readable_interpreter()
    if interpreter is None:
        pytest.skip("no interpreter of this version that an ordinary user may run")
    with _everybodys() as packages:
        finished = subprocess.run(
            [interpreter, "-c", script, *arguments],
            user=_NOBODY,
            group=_NOBODY,
            extra_groups=[],
            env={"PYTHONPATH": str(packages), "PYTHONDONTWRITEBYTECODE": "1"},
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


@contextlib.contextmanager
def _everybodys() -> Iterator[Path]:
    """Yield a copy of what a sandbox needs where anybody may read it: a checkout may lie in a private home."""
    with tempfile.TemporaryDirectory(prefix="polycall-everybodys-") as name:
        root = Path(name)
        root.chmod(0o755)
        package = Path(polycall.__file__).parent
        hidden = shutil.ignore_patterns("__pycache__")
        (root / "polycall").mkdir()
        for module in ("__init__.py", "errors.py", "ids.py", "quick.py", "structs.py"):
            shutil.copy(package / module, root / "polycall" / module)
        for inner in ("domain", "sandbox"):
            shutil.copytree(package / inner, root / "polycall" / inner, ignore=hidden)
        for library in ("msgspec", "h11", "cryptography", "_cffi_backend"):  # the last is cryptography's
            found = Path(str(importlib.util.find_spec(library).origin))  # type: ignore[union-attr]
            if found.name == "__init__.py":
                shutil.copytree(found.parent, root / library, ignore=hidden)
            else:
                shutil.copy(found, root)
        for path in root.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
        yield root


def _readable_interpreter() -> str | None:
    """Return a Python that ordinary users may run, of the version that our packages are built for."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for candidate in (sys.executable, *(shutil.which(name, path=path) for path in ("/usr/bin", "/usr/local/bin"))):
        if candidate is None:
            continue
        with contextlib.suppress(PermissionError, subprocess.CalledProcessError):
            # a copied binary may run where the installation that it belongs to, which the sandbox uses, may not
            check = [candidate, "-c", "import os, sys; sys.exit(not os.access(sys._base_executable, os.X_OK))"]
            subprocess.run(check, user=_NOBODY, group=_NOBODY, cwd="/", capture_output=True, check=True)
            return candidate
    return None
