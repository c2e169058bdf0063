"""What a rival's worker writes of each job: how long it was from being sent to being started, in nanoseconds."""

from __future__ import annotations

import os
import time

_FILE = os.open(os.environ["BENCH_STARTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def started(sent: str) -> None:
    """Take note of a start. Lines of several processes do not mix: each is one write at the end of the file."""
    os.write(_FILE, b"%d\n" % (time.monotonic_ns() - int(sent)))
