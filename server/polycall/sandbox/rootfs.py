"""The root file system of a zygote: read-only, and empty but for what an interpreter needs.

Standard library only: zygotes load it. The order of the steps is what makes them work; see each one's reason.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping

from polycall.sandbox import kernel
from polycall.sandbox.layout import NAMESPACED, PACKAGES, SHARED_MEMORY, TRUSTED
from polycall.sandbox.syscalls import numbers

__all__ = ["DEVICES", "Sources", "build_root", "system_paths"]

# Any directory that exists will do as mount point: what it shadows is out of sight a moment later anyway.
_NEW_ROOT = "/tmp"  # noqa: S108
_NO_WRITES = kernel.MS_NOSUID | kernel.MS_NODEV
DEVICES = ("null", "zero", "full", "random", "urandom")
_MERGED_USR = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_COPIES = ("/etc/ld.so.cache", "/etc/localtime", "/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/openssl.cnf")
_HOSTNAME = "sandbox"


def system_paths() -> list[str]:
    """Return the host's paths that a sandbox sees: the system's programs and libraries, and this interpreter's.

    Of an interpreter outside /usr only its library directories and its binary, never the home it may live in.
    """
    # Debian's links from /usr/bin lead through /etc/alternatives
    paths = ["/usr", "/etc/alternatives", *(f"/{name}" for name in _MERGED_USR if not os.path.islink(f"/{name}"))]
    binary = os.path.realpath(sys.executable)
    for prefix in {sys.base_prefix, sys.base_exec_prefix}:
        paths += [os.path.join(prefix, name) for name in ("lib", "lib64")]
    paths.append(binary)
    chosen: list[str] = []
    for path in paths:
        below = any(path == other or path.startswith(other + "/") for other in chosen)
        if not below and os.path.exists(path):
            chosen.append(path)
    return chosen


def _synthetic(uids: range) -> Mapping[str, str]:
    home = NAMESPACED.temporary
    return {
        "/etc/passwd": "root:x:0:0::/:/usr/sbin/nologin\n"
        + "".join(f"sandbox:x:{uid}:{uid}::{home}:/bin/sh\n" for uid in uids),
        "/etc/group": "root:x:0:\n" + "".join(f"sandbox:x:{uid}:\n" for uid in uids),
        "/etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
        "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
        "/etc/hostname": _HOSTNAME + "\n",
    }


def _read(path: str) -> bytes | None:
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError:
        return None


def _write(path: str, data: bytes) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as stream:
        stream.write(data)


class Sources:
    """What is taken over from the host, opened while it can be.

    Open after the new mount namespace (a descriptor of the old one cannot be bound) and before any change of ids (an
    interpreter may live below a home with mode 0700). ``packages`` is a directory of the host, "" for none.
    ``trusted``: files with certificates (PEM) for runs with a way out; ``certificate``: one more, which is in no file.
    ``binds`` is what else there is to be: path inside -> path of the host.
    """

    def __init__(
        self,
        packages: str = "",
        trusted: Iterable[str] = (),
        certificate: str = "",
        binds: Mapping[str, str] | None = None,
    ) -> None:
        numbers()  # the table's file may be as private as the interpreter, or lie below what is about to be shadowed
        paths = {path: path for path in system_paths()} | dict(binds or {})
        self.trees = {target: os.open(path, os.O_PATH | os.O_CLOEXEC) for target, path in paths.items()}
        if packages:
            self.trees[PACKAGES] = os.open(packages, os.O_PATH | os.O_CLOEXEC | os.O_DIRECTORY)
        self.devices = {name: os.open(f"/dev/{name}", os.O_PATH | os.O_CLOEXEC) for name in DEVICES}
        self.copies = {path: data for path in _COPIES if (data := _read(path)) is not None}
        if certificate:
            found = (_read(path) for path in trusted)
            self.copies[TRUSTED] = b"\n".join([*filter(None, found), certificate.encode()])
        self.proc = os.open("/proc", os.O_PATH | os.O_CLOEXEC | os.O_DIRECTORY)

    def close(self) -> None:
        """Close all but ``proc``."""
        for fd in (*self.trees.values(), *self.devices.values()):
            os.close(fd)


def build_root(sources: Sources, uids: range) -> bool:
    """Build the new root and move into it. Return whether /proc could be mounted. Raises OSError."""
    kernel.mount(None, "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("tmpfs", _NEW_ROOT, "tmpfs", _NO_WRITES, "size=8m,mode=755")
    for directory in ("dev", "etc", "mnt", "proc"):
        os.mkdir(f"{_NEW_ROOT}/{directory}")
    for path, fd in sources.trees.items():
        target = _NEW_ROOT + path
        if os.path.isdir(f"/proc/self/fd/{fd}"):
            os.makedirs(target, exist_ok=True)
        else:
            _write(target, b"")
        kernel.bind(f"/proc/self/fd/{fd}", target)
        kernel.protect_tree(target)
    for name in _MERGED_USR:
        if os.path.islink(f"/{name}"):
            os.symlink(os.readlink(f"/{name}"), f"{_NEW_ROOT}/{name}")
    for name, fd in sources.devices.items():
        _write(f"{_NEW_ROOT}/dev/{name}", b"")
        kernel.bind(f"/proc/self/fd/{fd}", f"{_NEW_ROOT}/dev/{name}")
        kernel.protect_device(f"{_NEW_ROOT}/dev/{name}")
    for name, target in (
        ("dev/fd", "/proc/self/fd"),
        ("dev/stdin", "/proc/self/fd/0"),
        ("dev/stdout", "/proc/self/fd/1"),
        ("dev/stderr", "/proc/self/fd/2"),
        ("dev/shm", SHARED_MEMORY),
        ("tmp", NAMESPACED.temporary),
    ):
        os.symlink(target, f"{_NEW_ROOT}/{name}")
    for path, text in _synthetic(uids).items():
        _write(_NEW_ROOT + path, text.encode())
    for path, data in sources.copies.items():
        _write(_NEW_ROOT + path, data)
    has_proc = _mount_proc()
    os.chdir(_NEW_ROOT)
    kernel.pivot_root(".", ".")
    kernel.unmount(".")
    os.chdir("/")
    kernel.mount(None, "/", None, kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY | _NO_WRITES)
    return has_proc


def _mount_proc() -> bool:
    # Before pivot_root: once the host's proc is out of sight the kernel refuses a new one (mount_too_revealing).
    try:
        kernel.mount("proc", f"{_NEW_ROOT}/proc", "proc", _NO_WRITES | kernel.MS_NOEXEC)
    except PermissionError:
        # containers mask parts of /proc, which forbids a fresh one; programs that ask who they are still find out
        os.mkdir(f"{_NEW_ROOT}/proc/self")
        os.symlink(os.path.realpath(sys.executable), f"{_NEW_ROOT}/proc/self/exe")
        return False
    return True
