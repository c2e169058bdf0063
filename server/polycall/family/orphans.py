"""Orphans: what a server process that was killed leaves behind comes to the init process, which may be us."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection

__all__ = ["bury"]


def bury(known: Collection[int]) -> int:
    """Take note of the end of children that are not ``known``, and return of how many.

    They end by themselves, with their parent; but as process 1 of a container the supervisor is who has to reap them,
    or each stays in the process table.
    """
    buried = 0
    # proc_pid_task_children(5): of the thread that asks, and the supervisor has only one that starts processes
    with contextlib.suppress(OSError), open("/proc/thread-self/children", encoding="ascii") as stream:
        for pid in map(int, stream.read().split()):
            if pid not in known:
                with contextlib.suppress(ChildProcessError):
                    buried += os.waitpid(pid, os.WNOHANG)[0] != 0
    return buried
