"""What a zygote gives up before it imports what strangers wrote. Standard library only: zygotes load it.

A child gives up everything before it runs a line of anybody's code. A zygote cannot: it has to make children. So where
packages of a runtime are imported ahead of runs, they are in a process that could do what making a child takes, and
that is all it is left with:

- a keeper stays PID 1 of its pid namespace: it ends with the server, and the kernel ends with it whatever there is.
  The zygote can neither signal nor trace it;
- no descriptor of the host's, its /proc least of all;
- six capabilities, over namespaces that have nothing in them, and none that a program it executes would get;
- a filter of system calls: those of a child, and of what a child may not do just the calls that make one, with the
  very flags that these have.

Memory and processes are bounded by a cgroup of its own, into which it went before this.
"""

from __future__ import annotations

import os
from typing import NoReturn

from polycall.sandbox import kernel

__all__ = ["CAPABILITIES", "ONE_THREAD", "leave_keeper"]

# <linux/capability.h>: what `confine` and `doorway` need.
_KILL, _SETGID, _SETUID, _SETPCAP, _NET_ADMIN, _SYS_ADMIN = 5, 6, 7, 8, 12, 21
CAPABILITIES = (_KILL, _SETGID, _SETUID, _SETPCAP, _NET_ADMIN, _SYS_ADMIN)

# What libraries start threads with while they are imported. Threads do not survive a fork, and a run has its processor
# and some of it, not all that the machine has.
ONE_THREAD = dict.fromkeys(
    ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)


def leave_keeper() -> None:
    """Go on in a child of this process, which stays behind as PID 1 and runs nothing but this."""
    # not to be traced, nor its memory to be written: that takes a capability that the child will not have
    kernel.set_dumpable(dumpable=False)
    process = os.fork()
    if process:
        _keep(process)
    kernel.set_dumpable()
    kernel.die_with_parent()


def _keep(process: int) -> NoReturn:
    os.closerange(0, os.sysconf("SC_OPEN_MAX"))
    while True:
        try:
            ended, _ = os.wait()
        except ChildProcessError:
            break
        if ended == process:
            break
    os._exit(0)
