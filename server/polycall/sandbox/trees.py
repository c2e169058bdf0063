"""Measuring and removing directory trees that hostile code made. Standard library only: zygotes load it."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os

from polycall.sandbox.disk import Disk

__all__ = ["measure", "remove_tree"]


def measure(root: str, most: Disk) -> Disk:
    """Return what is below a directory; nothing is looked at any more once there is more than ``most``.

    Links are not followed; a file of several names counts as several. Folders nested so deep that they have no path,
    and those that may not be read, count as more than ``most``: nobody needs them, and anything could be in them.
    """
    size, files, folders = 0, 0, [root]
    while folders:
        folder = folders.pop()
        try:
            # what was a folder may be a link by now
            fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            if error.errno in (errno.ENAMETOOLONG, errno.EACCES):
                return Disk(size, most.files + 1)
            continue  # it has gone
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    files += 1
                    with contextlib.suppress(OSError):
                        if entry.is_dir(follow_symlinks=False):
                            folders.append(os.path.join(folder, entry.name))
                        size += entry.stat(follow_symlinks=False).st_blocks * 512
                    if size > most.bytes or files > most.files:
                        return Disk(size, files)
        finally:
            os.close(fd)
    return Disk(size, files)


def remove_tree(root: str) -> None:
    """Remove a directory and all below it; nobody may be writing there any more.

    No recursion and no long paths: what lies in a folder is moved up and the folder removed, so a tree of any depth is
    flattened as it goes. Links are never followed. What cannot be removed stays, without an error.
    """
    names = itertools.count()
    with contextlib.suppress(OSError):
        os.chmod(root, 0o700)
    moved = True
    while moved:
        moved = False
        for entry in _list(root):
            with contextlib.suppress(OSError):
                if not entry.is_dir(follow_symlinks=False):
                    os.unlink(entry.path)
                    continue
                os.chmod(entry.path, 0o700)
                for inner in _list(entry.path):
                    if inner.is_dir(follow_symlinks=False):
                        # a name of ours: none that is there already, as those with it were moved here by us
                        os.chmod(inner.path, 0o700)
                        os.rename(inner.path, os.path.join(root, f".{next(names)}.removing"))
                    else:
                        os.unlink(inner.path)
                os.rmdir(entry.path)
                moved = True
    with contextlib.suppress(OSError):
        os.rmdir(root)


def _list(path: str) -> list[os.DirEntry[str]]:
    with contextlib.suppress(OSError), os.scandir(path) as entries:
        return list(entries)
    return []
