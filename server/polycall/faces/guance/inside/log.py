"""The execution"s log."""

from __future__ import annotations

import builtins
import sys
import time
from typing import Any

__all__ = ["Log"]


class Log:
    """The execution's log: a time and the milliseconds since the script was loaded before every entry."""

    def __init__(self) -> None:
        self._since = time.time()

    def write(self, text: str) -> None:
        now = time.time()
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(now))
        sys.stdout.write(f"[{stamp}.{int(now * 1000) % 1000:03d}] [+{int((now - self._since) * 1000)}ms] {text}\n")

    def print(
        self, *values: object, sep: str | None = " ", end: str | None = "\n", file: Any = None, flush: bool = False
    ) -> None:
        if file is None and sys.stdout is sys.__stdout__:
            self.write((" " if sep is None else sep).join(map(str, values)))
        else:  # to where the script sends it, as it is
            builtins.print(*values, sep=sep, end=end, file=file, flush=flush)
