"""Landlock: what a process may open, for good. Standard library only: zygotes load it.

See ``Documentation/userspace-api/landlock.rst`` of the kernel for the ABI numbers.
"""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Iterable

from polycall.sandbox.kernel import syscall

__all__ = ["abi_version", "restrict"]

_CREATE_RULESET_VERSION = 1
_RULE_PATH_BENEATH = 1
_RULE_NET_PORT = 2

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_MAKE_CHAR, _MAKE_BLOCK = 1 << 6, 1 << 11
_TRUNCATE = 1 << 14
_FIRST_RIGHTS = (1 << 13) - 1
# right -> the ABI that brought it
_LATER_RIGHTS = {1 << 13: 2, _TRUNCATE: 3, 1 << 15: 5}  # REFER, TRUNCATE, IOCTL_DEV

_NET_BIND_TCP, _NET_CONNECT_TCP = 1, 2  # ABI 4
_SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS = 1 | 2  # ABI 6
# LANDLOCK_RESTRICT_SELF_LOG_SAME_EXEC_OFF, ABI 7: whatever is refused would be a line in the host's audit log
_UNLOGGED = 1


class _Ruleset(ctypes.Structure):
    _fields_ = [("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64)]


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("allowed", ctypes.c_uint64), ("fd", ctypes.c_int32)]


def abi_version() -> int:
    """Return the Landlock ABI of the kernel; 0 without Landlock."""
    try:
        return syscall("landlock_create_ruleset", None, 0, _CREATE_RULESET_VERSION)
    except OSError:
        return 0


class _NetPort(ctypes.Structure):
    _fields_ = [("allowed", ctypes.c_uint64), ("port", ctypes.c_uint64)]


def restrict(abi: int, readable: Iterable[str | int], writable: Iterable[str | int], ports: Iterable[int] = ()) -> None:
    """Confine this process and its future children. Paths, or O_PATH descriptors, that exist; others are left out.

    Readable paths may be read, listed and executed; writable ones get everything but device nodes. TCP is refused but
    for connections to ``ports`` (ABI 4); signals and abstract sockets end at this process and its children (ABI 6).
    Raises OSError.
    """
    rights = _FIRST_RIGHTS | sum(right for right, since in _LATER_RIGHTS.items() if abi >= since)
    attributes = _Ruleset(
        rights,
        _NET_BIND_TCP | _NET_CONNECT_TCP if abi >= 4 else 0,
        _SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS if abi >= 6 else 0,
    )
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    ruleset = syscall("landlock_create_ruleset", ctypes.byref(attributes), size, 0)
    try:
        for path in readable:
            _allow(ruleset, path, (_EXECUTE | _READ_FILE | _READ_DIR) & rights)
        for path in writable:
            _allow(ruleset, path, rights & ~(_MAKE_CHAR | _MAKE_BLOCK))
        for port in ports if abi >= 4 else ():
            rule = _NetPort(_NET_CONNECT_TCP, port)
            syscall("landlock_add_rule", ruleset, _RULE_NET_PORT, ctypes.byref(rule), 0)
        syscall("landlock_restrict_self", ruleset, _UNLOGGED if abi >= 7 else 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str | int, rights: int) -> None:
    if isinstance(path, int):
        fd = path
    else:
        try:
            fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return
    try:
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            rights &= _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
        rule = _PathBeneath(rights, fd)
        syscall("landlock_add_rule", ruleset, _RULE_PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        if not isinstance(path, int):
            os.close(fd)
