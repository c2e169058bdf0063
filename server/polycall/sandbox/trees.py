"""Removing directory trees that hostile code made. Standard library only: zygotes load it."""

from __future__ import annotations

import contextlib
import itertools
import os

__all__ = ["remove_tree"]


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
