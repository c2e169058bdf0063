"""Ticks without waiting for them: the next one of a schedule is moved in the embedded database of a running server."""

from __future__ import annotations

import contextlib
import sqlite3
import time

from tests.harness import Server

__all__ = ["make_due"]

_BUSY_S = 30.0  # the server writes too


def make_due(server: Server, schedule_id: str, *, project: str = "default", ago_ms: int = 10) -> int:
    """Let a schedule's next tick have come so long ago; return it."""
    tick = int(time.time() * 1000) - ago_ms
    with contextlib.closing(sqlite3.connect(server.data_dir / "polycall.db", timeout=_BUSY_S)) as raw, raw:
        moved = raw.execute(
            "UPDATE schedules SET next_run = ? WHERE project_id = ? AND id = ?", (tick, project, schedule_id)
        )
        assert moved.rowcount == 1
    return tick
