"""Environments as they come out of the sandbox that built them, written to disk. Every byte is hostile.

The format is that of ``polycall.runtimes.inside.build``. What is refused: paths that are absolute, climb, repeat, or
lie below a file or a link; links that lead out of the environment; more files or bytes than allowed; anything but files
and links; bytes after the end. Nothing is ever written outside the given directory, and nothing gets other rights than
to be read, and to be run where it was meant to.
"""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path

__all__ = ["BadEnvironment", "Unpacker"]

_ENTRY = struct.Struct("<BHQ")
_END, _FILE, _EXECUTABLE, _LINK = range(4)
# <linux/limits.h>: NAME_MAX, and PATH_MAX less room for the directory above
_MOST_NAME, _MOST_PATH = 255, 3072
_MOST_DEPTH = 64  # some times what node_modules in node_modules have
_MOST_TARGET = 4096
_FOLDER = 0o755


class BadEnvironment(Exception):
    """Raised for what cannot be an environment, or is larger than it may be; says what and where."""


class Unpacker:
    """Takes the bytes as they come. Blocking: not for an event loop.

    ``root`` must not exist yet, and nobody else may write below it. The sizes are counted in bytes of the files' data.
    """

    def __init__(self, root: Path, *, most_bytes: int, most_files: int) -> None:
        self._root = os.fspath(root)
        self._most_bytes = most_bytes
        self._most_files = most_files
        self._buffer = bytearray()
        self._kinds: dict[str, str] = {}  # path -> "directory", "file" or "link"
        self._links: list[str] = []
        self._file = -1
        self._left = 0  # bytes of the open file that are still to come
        self._ended = False
        self.files = 0
        self.bytes = 0
        os.mkdir(self._root)
        os.chmod(self._root, _FOLDER)

    def feed(self, data: bytes) -> None:
        """Take bytes. Raises BadEnvironment, OSError; the environment is of no use then, and ``close`` is due."""
        self._buffer += data
        while self._buffer:
            if self._file >= 0:
                self._write()
            elif not self._entry():
                return

    def finish(self) -> None:
        """Take the end. Raises BadEnvironment if it was not all that was announced, or a link leads out."""
        if not self._ended:
            raise BadEnvironment("it ends in the middle")
        for path in self._links:
            whole = os.path.join(self._root, path)
            try:
                os.stat(whole)
            except OSError as error:
                # before it is followed here: the kernel follows 40 at most, and nobody could use more
                if error.errno == errno.ELOOP:
                    raise BadEnvironment(f"the link {path[:200]!r} leads through too many others") from None
            # lexically they stay inside; through other links they could still leave
            target = os.path.realpath(whole)
            if target != self._root and not target.startswith(self._root + os.sep):
                raise BadEnvironment(f"the link {path[:200]!r} leads out of it")

    def close(self) -> None:
        """Close the file that is open, if any."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _write(self) -> None:
        piece = memoryview(self._buffer)[: self._left]
        written = os.write(self._file, piece) if self._left else 0
        piece.release()
        del self._buffer[:written]
        self._left -= written
        if self._left == 0:
            self.close()

    def _entry(self) -> bool:
        """Take the head of an entry, and all of a link; False if it is not there yet."""
        if self._ended:
            raise BadEnvironment("something comes after its end")
        if len(self._buffer) < _ENTRY.size:
            return False
        kind, path_length, length = _ENTRY.unpack_from(self._buffer)
        if kind not in (_END, _FILE, _EXECUTABLE, _LINK) or path_length > _MOST_PATH:
            raise BadEnvironment("it has an entry that is none")
        if kind == _LINK and length > _MOST_TARGET:
            raise BadEnvironment("it has a link with a target that is too long")
        whole = _ENTRY.size + path_length + (length if kind == _LINK else 0)
        if len(self._buffer) < whole:
            return False
        path_bytes = bytes(self._buffer[_ENTRY.size : _ENTRY.size + path_length])
        target = bytes(self._buffer[_ENTRY.size + path_length : whole])
        del self._buffer[:whole]
        if kind == _END:
            self._ended = True
            return True
        path = self._placed(path_bytes, "link" if kind == _LINK else "file")
        self._count(length)
        if kind == _LINK:
            self._link(path, target)
        else:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            mode = 0o755 if kind == _EXECUTABLE else 0o644
            self._file = os.open(os.path.join(self._root, path), flags, mode)
            os.fchmod(self._file, mode)  # whatever the umask
            self._left = length
            if length == 0:
                self.close()
        return True

    def _count(self, length: int) -> None:
        self.files += 1
        self.bytes += length
        if self.files > self._most_files:
            raise BadEnvironment(f"it has more than {self._most_files} files")
        if self.bytes > self._most_bytes:
            raise BadEnvironment(f"it has more than {self._most_bytes >> 20} MiB")

    def _placed(self, encoded: bytes, kind: str) -> str:
        """Return a path whose directories are there and that nothing is at."""
        try:
            path = encoded.decode()
        except UnicodeDecodeError:
            raise BadEnvironment("it has a path that is not UTF-8") from None
        parts = path.split("/")
        bad = any(part in ("", ".", "..") or len(part.encode()) > _MOST_NAME for part in parts)
        if bad or "\0" in path or len(parts) > _MOST_DEPTH:
            raise BadEnvironment(f"it has the path {path[:200]!r}")
        for count in range(1, len(parts)):
            folder = "/".join(parts[:count])
            there = self._kinds.get(folder)
            if there is None:
                os.mkdir(os.path.join(self._root, folder))
                os.chmod(os.path.join(self._root, folder), _FOLDER)  # whatever the umask
                self._kinds[folder] = "directory"
                self.files += 1
            elif there != "directory":
                raise BadEnvironment(f"it has {path[:200]!r} below a {there}")
        if path in self._kinds:
            raise BadEnvironment(f"it has {path[:200]!r} twice")
        self._kinds[path] = kind
        return path

    def _link(self, path: str, encoded: bytes) -> None:
        try:
            target = encoded.decode()
        except UnicodeDecodeError:
            raise BadEnvironment("it has a link to a path that is not UTF-8") from None
        reached = os.path.normpath(os.path.join(os.path.dirname(path), target))
        if not target or "\0" in target or target.startswith("/") or reached.split("/")[0] == "..":
            raise BadEnvironment(f"the link {path[:200]!r} leads out of it")
        os.symlink(target, os.path.join(self._root, path))
        self._links.append(path)
