"""Entering new namespaces as root or as an ordinary user. Standard library only: zygotes load it."""

from __future__ import annotations

import os

from polycall.sandbox import kernel

__all__ = ["ALL_NAMESPACES", "become_root", "enter_range", "enter_single", "is_initial_root"]

ALL_NAMESPACES = (
    kernel.CLONE_NEWUSER
    | kernel.CLONE_NEWPID
    | kernel.CLONE_NEWNS
    | kernel.CLONE_NEWIPC
    | kernel.CLONE_NEWUTS
    | kernel.CLONE_NEWNET
    | kernel.CLONE_NEWCGROUP
)


def _write(path: str, text: str, dir_fd: int | None = None) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC, dir_fd=dir_fd)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def is_initial_root() -> bool:
    """Return whether this process is the kernel's own root, which must never be mapped into a sandbox.

    RLIMIT_NPROC does not hold for it, and it owns the host's files.
    """
    if os.geteuid() != 0:
        return False
    with open("/proc/self/uid_map", encoding="ascii") as stream:
        inside, outside, _ = stream.readline().split()
    return inside == "0" and outside == "0"


def enter_single(inside: int, flags: int, proc: int | None = None) -> None:
    """Leave for new namespaces, one of them CLONE_NEWUSER, where this process's own uid and gid become ``inside``.

    ``proc`` is a descriptor of a /proc that shows this process; None: the one at its usual place. Raises OSError.
    """
    uid, gid = os.geteuid(), os.getegid()
    kernel.unshare(flags)
    base = "/proc/self" if proc is None else "self"
    for name, text in (("setgroups", "deny"), ("uid_map", f"{inside} {uid} 1\n"), ("gid_map", f"{inside} {gid} 1\n")):
        _write(f"{base}/{name}", text, dir_fd=proc)


def enter_range(uids: range, flags: int) -> None:
    """Leave for new namespaces, one of them CLONE_NEWUSER, where a range of the host's ids become 0, 1, 2, ...

    Needs root. The ids of this process are not changed yet: see ``become_root``. Raises OSError.
    """
    go_read, go_write = os.pipe()
    done_read, done_write = os.pipe()
    process = os.getpid()
    helper = os.fork()
    if helper == 0:
        # A map of several ids can only be written from outside, by who has CAP_SETUID there.
        status = 1
        try:
            os.close(go_write)
            if os.read(go_read, 1):
                for name in ("uid_map", "gid_map"):
                    _write(f"/proc/{process}/{name}", f"0 {uids.start} {len(uids)}\n")
                os.write(done_write, b".")
                status = 0
        finally:
            os._exit(status)
    os.close(done_write)
    os.close(go_read)
    try:
        kernel.unshare(flags)
        os.write(go_write, b".")
        mapped = os.read(done_read, 1)
    finally:
        os.close(go_write)
        os.close(done_read)
        os.waitpid(helper, 0)
    if not mapped:
        raise PermissionError(1, f"uids {uids.start} to {uids.stop - 1} cannot be mapped")


def become_root() -> None:
    """Take uid and gid 0 of a namespace that was entered with a range of ids."""
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
