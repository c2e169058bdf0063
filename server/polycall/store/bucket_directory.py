"""A directory as an object store: what lies in it, and how it goes. Blocking: not for an event loop.

Others may write there, or may come to. So no link is followed: a directory that is a link would have files of this
machine listed as objects that nothing names, and deleted. And a name that no object of ours has keeps nobody from
seeing the others.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from polycall.store.bucket import Listed

__all__ = ["delete_file", "listed_files"]


def listed_files(top: Path, prefix: str) -> Iterator[Listed]:
    """Yield the files below a prefix, also what a server that was killed had begun to write. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):  # nothing was written yet
        for folder, _, names, descriptor in os.fwalk(top / prefix, follow_symlinks=False):
            below = os.path.relpath(folder, top)
            for name in names:
                key = f"{below}/{name}"
                if not (key.isascii() and key.isprintable()):
                    continue
                with contextlib.suppress(FileNotFoundError):  # another server was quicker
                    status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                    if stat.S_ISREG(status.st_mode):
                        yield Listed(key, status.st_mtime_ns // 1_000_000)


def delete_file(top: Path, key: str) -> None:
    """Delete a file, if it is there. Raises OSError, also if there is a link on the way to it."""
    *folders, name = key.split("/")
    descriptor = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for folder in folders:
            inner = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        os.unlink(name, dir_fd=descriptor)
    except FileNotFoundError:
        return
    finally:
        os.close(descriptor)
