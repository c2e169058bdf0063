"""Resource limits of a process that cannot set its own: from outside, before it is given anything."""

from __future__ import annotations

import resource

from polycall.domain import Limits
from polycall.sandbox.child import Child

__all__ = ["bound"]


def bound(child: Child, limits: Limits, *, own_uid: bool, memory: bool) -> None:
    """Set the limits of a run. ``own_uid``: processes are counted for this child alone. ``memory``: no cgroup does.

    Raises OSError: it must not be given anything then.
    """
    pid = child.pid
    if pid is None:
        raise ProcessLookupError("the process has ended")
    files = limits.open_files + child.traits.files
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (files, files))
    if own_uid:
        processes = limits.processes + child.traits.threads
        resource.prlimit(pid, resource.RLIMIT_NPROC, (processes, processes))
    if memory:
        # what its interpreter has reserved, most of which is never touched, is not the run's
        most = _data(pid) + limits.memory_bytes
        resource.prlimit(pid, resource.RLIMIT_DATA, (most, most))


def _data(pid: int) -> int:
    with open(f"/proc/{pid}/statm", encoding="ascii") as stream:
        # proc(5): size resident shared text lib data dt, in pages
        return int(stream.read().split()[5]) * resource.getpagesize()
