"""Directories that are held by a living server: the next one can tell what the dead have left."""

from __future__ import annotations

import fcntl
import os

__all__ = ["hold"]


def hold(path: str) -> int:
    """Lock a directory for as long as the returned descriptor is open. Raises OSError if another server holds it.

    A lock of the open file, not of a pid: it is right across pid namespaces and cannot outlive its server.
    """
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(fd)
        raise
    return fd
