"""What a gateway says of the calls that a load has made: from its access log."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Edge"]

_CALLS = "/polycall.v1.ExecutionService/"
_RUN = f"{_CALLS}RunFunction"
_FLUSHED_S = 1.5  # the log is written once a second


@dataclass(frozen=True, slots=True)
class Edge:
    """The log of one gateway, from the byte on that it had when this was made."""

    log: Path
    begin: int = 0

    @classmethod
    def of(cls, log: Path) -> Edge:
        """Begin with what comes from now on."""
        return cls(log, log.stat().st_size if log.exists() else 0)

    def failures(self) -> str:
        """Say what was not answered OK, the most frequent first.

        By method, what was answered, Envoy's response flags, their details, and how often a server was tried.
        """
        time.sleep(_FLUSHED_S)
        counted = Counter(
            f"{entry['path'].removeprefix(_CALLS)} {entry['grpc'] or 'cut off'} [{entry['flags']} {entry['why']}, "
            f"{entry['attempts']} tried]"
            for entry in self._entries()
            if entry["grpc"] != "OK"
        )
        return ", ".join(f"{count} {what}" for what, count in counted.most_common(6)) or "none"

    def milliseconds(self) -> str:
        """Say how long runs took, seen from here: what they took longer for their caller they waited before it."""
        took = sorted(float(entry["ms"]) for entry in self._entries() if entry["path"] == _RUN)
        if not took:
            return "none"
        return f"p50 {took[len(took) // 2]:.0f} ms, p99 {took[int(len(took) * 0.99)]:.0f} ms"

    def _entries(self) -> Iterator[Mapping[str, Any]]:
        with self.log.open("rb") as file:
            file.seek(self.begin)
            for line in file:
                entry = json.loads(line)
                if str(entry["path"]).startswith(_CALLS):
                    yield entry
