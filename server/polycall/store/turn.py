"""Turns of several processes that write one embedded database."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from types import TracebackType

from polycall.store.failures import unavailable

__all__ = ["Turn"]

# SQLite's own way of waiting sleeps longer and longer, up to 0.1 s, and lets others pass meanwhile: with two processes
# that write, every hundredth commit takes 0.2 to 0.5 s. A group commit takes a millisecond or so.
_STEP_S = 0.0005
_WAIT_S = 5.0  # as SQLite waits (_BUSY_S): a process that holds it for longer hangs


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

    def __enter__(self) -> None:
        """Wait for the turn. Raises Unavailable where that takes too long."""
        until = time.monotonic() + _WAIT_S
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > until:
                    raise unavailable() from None
                time.sleep(_STEP_S)
            else:
                return

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let the next one in."""
        fcntl.flock(self._file, fcntl.LOCK_UN)
