"""The Linux calls that Python's standard library lacks, through ctypes. Standard library only: zygotes load it."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterable

from polycall.sandbox import syscalls

__all__ = [
    "CLONE_NEWCGROUP",
    "CLONE_NEWIPC",
    "CLONE_NEWNET",
    "CLONE_NEWNS",
    "CLONE_NEWPID",
    "CLONE_NEWUSER",
    "CLONE_NEWUTS",
    "MS_NODEV",
    "MS_NOEXEC",
    "MS_NOSUID",
    "adopt_orphans",
    "bind",
    "die_with_parent",
    "drop_bounding_set",
    "drop_capabilities",
    "forbid_new_privileges",
    "fork",
    "mount",
    "pivot_root",
    "protect_device",
    "protect_tree",
    "set_dumpable",
    "set_seccomp_filter",
    "setns",
    "syscall",
    "unmount",
    "unshare",
]

# <linux/sched.h>
CLONE_NEWNS = 0x0002_0000
CLONE_NEWCGROUP = 0x0200_0000
CLONE_NEWUTS = 0x0400_0000
CLONE_NEWIPC = 0x0800_0000
CLONE_NEWUSER = 0x1000_0000
CLONE_NEWPID = 0x2000_0000
CLONE_NEWNET = 0x4000_0000

# <sys/mount.h>
MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
_MNT_DETACH = 2
_MOUNT_ATTR_RDONLY, _MOUNT_ATTR_NOSUID, _MOUNT_ATTR_NODEV, _MOUNT_ATTR_NOEXEC = 1, 2, 4, 8
_AT_FDCWD = -100
_AT_RECURSIVE = 0x8000

# <sys/prctl.h>
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_CAPBSET_DROP = 24
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38

_SIGKILL = 9
_LINUX_CAPABILITY_VERSION_3 = 0x2008_0522
_SECCOMP_SET_MODE_FILTER = 1

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_holding = ctypes.PyDLL(None, use_errno=True)  # its functions are called with the interpreter's lock held
_libc.prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
_libc.mount.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p]
_libc.umount2.argtypes = [ctypes.c_char_p, ctypes.c_int]


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def syscall(name: str, *arguments: object) -> int:
    """Make a system call by name; integers are passed as longs. Raises OSError."""
    number = syscalls.numbers().get(name)
    if number is None:
        raise OSError(errno.ENOSYS, f"{name}: not known on this machine")
    words = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    return _checked(_libc.syscall(ctypes.c_long(number), *words), name)


def fork() -> int:
    """fork(2), and nothing of the interpreter's own: for processes of one thread. Raises OSError."""
    return _checked(_holding.fork(), "fork")


def unshare(flags: int) -> None:
    """Leave namespaces for new ones; CLONE_NEWPID holds for the next child only."""
    _checked(_libc.unshare(ctypes.c_int(flags)), "unshare")


def setns(fd: int, kind: int) -> None:
    """Enter the namespace that ``fd`` stands for."""
    _checked(_libc.setns(ctypes.c_int(fd), ctypes.c_int(kind)), "setns")


def mount(source: str | None, target: str, kind: str | None, flags: int = 0, data: str | None = None) -> None:
    """mount(2)."""
    encoded = [None if text is None else os.fsencode(text) for text in (source, target, kind, data)]
    _checked(_libc.mount(encoded[0], encoded[1], encoded[2], flags, encoded[3]), f"mount on {target}")


def bind(source: str, target: str) -> None:
    """Bind ``source`` and what is mounted below it on ``target``."""
    mount(source, target, None, MS_BIND | MS_REC)


def protect_tree(target: str) -> None:
    """Make ``target`` and every mount below it read-only, nosuid and nodev (Linux 5.12)."""
    _set_mount_attributes(target, _MOUNT_ATTR_RDONLY | _MOUNT_ATTR_NOSUID | _MOUNT_ATTR_NODEV)


def protect_device(target: str) -> None:
    """Make a device a mount that is read-only: it can be written to, but its times and mode are not to be changed."""
    _set_mount_attributes(target, _MOUNT_ATTR_RDONLY | _MOUNT_ATTR_NOSUID | _MOUNT_ATTR_NOEXEC)


def _set_mount_attributes(target: str, attributes: int) -> None:
    # struct mount_attr: attr_set, attr_clr, propagation, userns_fd
    wanted = (ctypes.c_uint64 * 4)(attributes, 0, 0, 0)
    syscall(
        *("mount_setattr", _AT_FDCWD, os.fsencode(target), _AT_RECURSIVE), ctypes.byref(wanted), ctypes.sizeof(wanted)
    )


def unmount(target: str) -> None:
    """Detach ``target`` from the tree."""
    _checked(_libc.umount2(os.fsencode(target), _MNT_DETACH), f"umount {target}")


def pivot_root(new: str, old: str) -> None:
    """pivot_root(2)."""
    syscall("pivot_root", os.fsencode(new), os.fsencode(old))


def _prctl(option: int, argument: int, what: str) -> None:
    _checked(_libc.prctl(option, argument, 0, 0, 0), what)


def die_with_parent() -> None:
    """Ask for SIGKILL when the thread that started this process ends. Every change of ids clears it."""
    _prctl(_PR_SET_PDEATHSIG, _SIGKILL, "PR_SET_PDEATHSIG")


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ended."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1, "PR_SET_CHILD_SUBREAPER")


def forbid_new_privileges() -> None:
    """Make execve unable to give privileges, for good."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1, "PR_SET_NO_NEW_PRIVS")


def set_dumpable(*, dumpable: bool = True) -> None:
    """Give /proc/self back to the process's own uid after a change of ids; or have nobody of that uid trace it."""
    _prctl(_PR_SET_DUMPABLE, int(dumpable), "PR_SET_DUMPABLE")


def drop_bounding_set() -> None:
    """Drop every capability from the bounding set; needs CAP_SETPCAP."""
    for capability in range(64):
        try:
            _prctl(_PR_CAPBSET_DROP, capability, "PR_CAPBSET_DROP")
        except OSError as error:
            if error.errno == errno.EINVAL:  # past the last capability of this kernel
                return
            raise


def drop_capabilities(but: Iterable[int] = ()) -> None:
    """Give up every capability of this process, but some; their numbers are below 32."""
    kept = sum(1 << capability for capability in but)
    header = (ctypes.c_uint32 * 2)(_LINUX_CAPABILITY_VERSION_3, 0)
    # effective, permitted, inheritable; then the same of the numbers from 32 on
    syscall("capset", header, (ctypes.c_uint32 * 6)(kept, kept, 0, 0, 0, 0))


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def set_seccomp_filter(program: bytes) -> None:
    """Install a classic BPF program (8 bytes an instruction) as seccomp filter, for good."""
    description = _Program(len(program) // 8, program)
    syscall("seccomp", _SECCOMP_SET_MODE_FILTER, 0, ctypes.byref(description))
