"""Become Envoy, and die with the parent: ``python -I -S exec_envoy.py PARENT_PID FILES BINARY ARGUMENT...``.

A program of its own because the parent speaks gRPC and must not run Python code between fork and exec, and because not
every machine has setpriv(1). The process id stays the same over exec, and so does the parent-death signal.
"""

import ctypes
import os
import resource
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(parent: int, files: int, command: list[str]) -> None:
    """Arrange for the parent's death, allow for ``files`` open files, and exec."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    # The parent may have died before the line above; nobody would tell.
    if os.getppid() != parent:
        os._exit(1)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = files if hard == resource.RLIM_INFINITY else min(files, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    # No environment: not ours, and not what Python adds to one that is empty.
    os.execve(command[0], command, {})  # noqa: S606


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
