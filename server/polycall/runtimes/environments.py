"""Built environments on disk: directories that are whole or not there, named by what they were built from."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

__all__ = ["Environments", "Unfinished"]

_UNFINISHED = ".unfinished-"


class Unfinished:
    """A place for an environment that is being made. ``path`` does not exist yet."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._scratch = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=root))
        self.path = self._scratch / "made"

    def keep(self, name: str) -> Path:
        """Give it its name, and return where it is. Raises OSError. Whoever comes second uses what the first made."""
        target = self._root / name
        _sync(self._root)  # a machine that fails after the rename must not come back with empty files under a good name
        try:
            self.path.rename(target)
        except OSError:
            if not target.is_dir():  # otherwise another build of the same was quicker
                raise
        return target

    def drop(self) -> None:
        """Remove what was not kept; harmless after ``keep``."""
        shutil.rmtree(self._scratch, ignore_errors=True)


def _sync(directory: Path) -> None:
    """Have all that was written to a directory's file system on its disk. Raises OSError.

    syncfs(2): sync(2) waits for all file systems of the machine, also for one that is elsewhere and does not answer,
    and tells of no failure. A file at a time takes a hundred times as long.
    """
    file = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(file) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(directory))
    finally:
        os.close(file)


class Environments:
    """The directory of all environments of a data directory. Blocking: not for an event loop."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._sizes: dict[str, int] = {}  # of what was built, which never changes

    def path(self, name: str) -> Path:
        """Return where an environment is, or would be."""
        return self._root / name

    def has(self, name: str) -> bool:
        """Tell whether an environment is there."""
        return self.path(name).is_dir()

    def begin(self) -> Unfinished:
        """Return a place for an environment that is to be made. Raises OSError; ``drop`` is due."""
        self._root.mkdir(mode=0o755, parents=True, exist_ok=True)
        return Unfinished(self._root)

    def add(self, name: str, fill: Callable[[Path], None]) -> Path:
        """Return where the environment is; if it is not there yet, ``fill`` makes it at the path that it is given.

        Raises what ``fill`` raises, and OSError; nothing is left then.
        """
        target = self.path(name)
        if target.is_dir():
            return target
        unfinished = self.begin()
        try:
            fill(unfinished.path)
            return unfinished.keep(name)
        finally:
            unfinished.drop()

    def size(self) -> int:
        """Return the bytes of all files of all that were built: their names are digests."""
        return sum(map(self._size, self._built()))

    def touch(self, name: str) -> bool:
        """Say that an environment is in use; False if it is not there."""
        try:
            with self._one_at_a_time():
                os.utime(self.path(name))
        except FileNotFoundError:
            return False
        except OSError:  # a disk that became read-only: what is there can still be run
            return self.has(name)
        return True

    def remove(self, name: str) -> None:
        """Remove an environment that nothing runs on."""
        with self._one_at_a_time():
            gone = self._set_aside(name)
        shutil.rmtree(gone, ignore_errors=True)

    def make_room(self, need: int, most: int, *, spare: Collection[str], idle_s: float) -> bool:
        """Remove what was touched longest ago until ``need`` bytes more are at most ``most``; return whether they are.

        Only what is in ``spare`` goes, and was not touched for ``idle_s`` seconds.
        """
        sizes = {path.name: self._size(path) for path in self._built()}
        total = sum(sizes.values())
        if total + need <= most:
            return True
        gone = []
        with contextlib.suppress(FileNotFoundError), self._one_at_a_time():
            ages = sorted((self.path(name).stat().st_mtime, name) for name in sizes if name in spare)
            for touched, name in ages:
                if total + need <= most or touched > time.time() - idle_s:
                    break
                gone.append(self._set_aside(name))
                total -= sizes[name]
        for path in gone:
            shutil.rmtree(path, ignore_errors=True)
        return total + need <= most

    def sweep(self, used: Callable[[str], bool]) -> None:
        """Remove the environments that are not used, and what a server that was killed had not finished.

        Only for the server that holds the data directory's lock.
        """
        with contextlib.suppress(FileNotFoundError):
            for entry in list(self._root.iterdir()):
                if entry.name.startswith(_UNFINISHED) or not used(entry.name):
                    shutil.rmtree(entry, ignore_errors=True)

    def _built(self) -> list[Path]:
        return list(self._root.glob("?" * 64))

    def _size(self, built: Path) -> int:
        size = self._sizes.get(built.name)
        if size is None:
            size = self._sizes[built.name] = _bytes_of(built)
        return size

    def _set_aside(self, name: str) -> Path:
        # renamed first: what is there under its name is whole
        aside = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=self._root))
        with contextlib.suppress(FileNotFoundError):
            self.path(name).rename(aside / "gone")
        return aside

    @contextlib.contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        """Exclude other processes that use the directory, for the moment of a rename or a touch."""
        directory = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(directory, fcntl.LOCK_EX)
            yield
        finally:
            os.close(directory)


def _bytes_of(environment: Path) -> int:
    total = 0
    for directory, _, files in os.walk(environment):
        for name in files:
            with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                total += os.lstat(os.path.join(directory, name)).st_size
    return total
