"""Resource limits of a process that cannot set its own: from outside, before it is given anything."""

from __future__ import annotations

import resource

from polycall.domain import Limits
from polycall.sandbox.cgroup import HEADROOM
from polycall.sandbox.child import Child

__all__ = ["bound", "may_bound_others"]

_CAP_SYS_RESOURCE = 24  # capabilities(7)


def may_bound_others() -> bool:
    """Whether this process can set limits of processes with other uids that are in no user namespace of its own."""
    with open("/proc/self/status", encoding="ascii") as stream:
        effective = next(line for line in stream if line.startswith("CapEff:"))
    return bool(int(effective.split()[1], 16) >> _CAP_SYS_RESOURCE & 1)


def bound(child: Child, limits: Limits, *, own_uid: bool, memory: bool) -> int:
    """Set the limits of a run, and return what the child has in memory, bytes.

    ``own_uid``: processes are counted for this child alone. ``memory``: no cgroup counts it. Raises OSError: the child
    must not be given anything then.
    """
    pid = child.sure_pid()
    most = child.traits.with_its_own(limits)
    files = limits.open_files + child.traits.files
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (files, files))
    if own_uid:
        resource.prlimit(pid, resource.RLIMIT_NPROC, (most.processes, most.processes))
    resident, data = _memory(pid)
    if memory:
        # what its interpreter has reserved, most of which is never touched, is not the run's
        data += most.memory_bytes + HEADROOM
        resource.prlimit(pid, resource.RLIMIT_DATA, (data, data))
    return resident


def _memory(pid: int) -> tuple[int, int]:
    with open(f"/proc/{pid}/statm", encoding="ascii") as stream:
        # proc(5): size resident shared text lib data dt, in pages
        pages = stream.read().split()
    return int(pages[1]) * resource.getpagesize(), int(pages[5]) * resource.getpagesize()
