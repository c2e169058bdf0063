"""Values of an object store on this server's disk, by their digest: read again without asking for them again.

What is here can be lost at any time. So whatever goes wrong with the disk costs a question to the object store, and
nothing else; and nothing is believed that does not have its digest.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import tempfile
from pathlib import Path

__all__ = ["DiskCache"]

_UNFINISHED = ".unfinished-"

log = logging.getLogger(__name__)


class DiskCache:
    """A directory of at most so many bytes; what was read longest ago goes first. Blocking: not for an event loop."""

    def __init__(self, root: Path, most_bytes: int) -> None:
        self._root = root
        self._most = most_bytes
        self._complained = False

    def get(self, digest: str) -> bytes | None:
        """Return a value; None if it is not here, or not whole any more."""
        path = self._root / digest
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            self._complain(error)
            return None
        if hashlib.sha256(data).hexdigest() != digest:
            log.error("%s is not what was written; it is fetched again", path)
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return data

    def put(self, digest: str, data: bytes) -> None:
        """Keep a value, if the disk takes it and it is not larger than all may be together."""
        if len(data) > self._most:
            return
        try:
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._make_room(len(data))
            descriptor, name = tempfile.mkstemp(prefix=_UNFINISHED, dir=self._root)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(data)
                # not synced: what a machine loses in its fall does not have its digest
                Path(name).rename(self._root / digest)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
        except OSError as error:
            self._complain(error)

    def _make_room(self, need: int) -> None:
        found = []
        for path in self._root.iterdir():
            with contextlib.suppress(FileNotFoundError):  # another process was quicker
                status = path.stat()
                found.append((status.st_mtime, status.st_size, path))
        total = sum(size for _, size, _ in found)
        for _, size, path in sorted(found):
            if total + need <= self._most:
                return
            path.unlink(missing_ok=True)  # what somebody writes at this moment is the youngest
            total -= size

    def _complain(self, error: OSError) -> None:
        if not self._complained:
            self._complained = True
            log.warning("values are fetched each time: %s cannot be used: %s", self._root, error.strerror or error)
