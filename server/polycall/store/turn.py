"""Turns of several processes that write one embedded database."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from polycall.store.failures import unavailable

__all__ = ["Turn"]

# SQLite's own way of waiting sleeps longer and longer, up to 0.1 s, and lets others pass meanwhile: with two processes
# that write, every hundredth commit takes 0.2 to 0.5 s. A group commit takes a millisecond or so.
_STEP_S = 0.0005


class Turn:
    """A lock of an open file, held for a transaction; the kernel lets go of it when its process ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = -1

    def open(self) -> None:
        """Open the file. Raises OSError."""
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def close(self) -> None:
        """Close it; harmless twice."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    @contextlib.contextmanager
    def held(self, wait_s: float) -> Iterator[None]:
        """Hold the turn for the length of a block. Raises Unavailable where it does not come within ``wait_s``."""
        until = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > until:
                    raise unavailable() from None
                time.sleep(_STEP_S)
            else:
                break
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)
