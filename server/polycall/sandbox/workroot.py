"""Where children have their directories when no mount namespace gives them any."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile

from polycall.sandbox.lock import hold
from polycall.sandbox.trees import remove_tree

__all__ = ["WorkRoot"]

_PREFIX = "polycall-work-"


class WorkRoot:
    """A directory of this server, removed with it; what dead servers left is removed first."""

    def __init__(self) -> None:
        _remove_stale()
        self.path = tempfile.mkdtemp(prefix=_PREFIX)
        self._lock = hold(self.path)
        os.chmod(self.path, 0o711)  # noqa: S103  (children reach their own directories, and list nothing)

    def adopt(self, path: str, name: str = "packages") -> str:
        """Copy a directory or file in, where children with a uid of their own reach it; return the copy's path."""
        copy = os.path.join(self.path, name)
        return shutil.copytree(path, copy) if os.path.isdir(path) else shutil.copy(path, copy)

    def close(self) -> None:
        """Remove it with all that is in it."""
        remove_tree(self.path)
        os.close(self._lock)


def _remove_stale() -> None:
    for entry in os.scandir(tempfile.gettempdir()):
        with contextlib.suppress(OSError):
            if entry.name.startswith(_PREFIX) and entry.stat(follow_symlinks=False).st_uid == os.geteuid():
                lock = hold(entry.path)
                remove_tree(entry.path)
                os.close(lock)
