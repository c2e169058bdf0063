"""``polycall`` as it is, and between two SIGUSR2 it counts what its serving thread calls; for ``bench.warmpath``.

The counts go to the file that BENCH_COUNTS names, when the counting ends. A coroutine counts whenever it goes on.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from types import FrameType

from polycall.cli import main

__all__ = ["counted"]


def counted() -> None:
    """Run the command line, and count when told to."""
    target = Path(os.environ.pop("BENCH_COUNTS"))
    counts = {"call": 0, "c_call": 0}

    def count(_: FrameType, event: str, __: object) -> None:
        if event in counts:
            counts[event] += 1

    def toggle(*_: object) -> None:
        if sys.getprofile() is None:
            counts.update(call=0, c_call=0)
            sys.setprofile(count)
        else:
            sys.setprofile(None)
            unfinished = target.with_suffix(".new")
            unfinished.write_text(json.dumps({"python": counts["call"], "c": counts["c_call"]}))
            unfinished.rename(target)

    signal.signal(signal.SIGUSR2, toggle)
    main()


if __name__ == "__main__":
    counted()
