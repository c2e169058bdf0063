"""Built environments on disk: directories that are whole or not there, named by what they were built from."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

__all__ = ["Environments"]

_UNFINISHED = ".unfinished-"


class Environments:
    """The directory of all environments of a data directory. Blocking: not for an event loop."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def path(self, name: str) -> Path:
        """Return where an environment is, or would be."""
        return self._root / name

    def has(self, name: str) -> bool:
        """Tell whether an environment is there."""
        return self.path(name).is_dir()

    def add(self, name: str, fill: Callable[[Path], None]) -> Path:
        """Return where the environment is; if it is not there yet, ``fill`` makes it at the path that it is given.

        Raises what ``fill`` raises, and OSError; nothing is left then. Whoever comes second uses what the first made.
        """
        target = self.path(name)
        if target.is_dir():
            return target
        self._root.mkdir(mode=0o755, parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=self._root))
        try:
            made = unfinished / "made"
            fill(made)
            os.sync()  # a machine that fails after the rename must not come back with empty files under a good name
            try:
                made.rename(target)
            except OSError:
                if not target.is_dir():  # otherwise another build of the same was quicker
                    raise
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        return target

    def size(self) -> int:
        """Return the bytes of all files of all that were built: their names are digests."""
        total = 0
        for built in self._root.glob("?" * 64):
            for directory, _, files in os.walk(built):
                for name in files:
                    with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                        total += os.lstat(os.path.join(directory, name)).st_size
        return total

    def sweep(self, used: Callable[[str], bool]) -> None:
        """Remove the environments that are not used, and what a server that was killed had not finished.

        Only for the server that holds the data directory's lock.
        """
        with contextlib.suppress(FileNotFoundError):
            for entry in list(self._root.iterdir()):
                if entry.name.startswith(_UNFINISHED) or not used(entry.name):
                    shutil.rmtree(entry, ignore_errors=True)
