"""What this machine allows, found by doing it. Standard library only.

Run as ``python -I -S probe.py <first uid> <uids>``; prints one JSON object (see ``Machine`` in ``isolation``). Every
attempt is made in a child process of its own. The way a zygote enters its namespaces is tried whole, with the
zygote's own functions; only if that fails are its parts tried one by one, to name the one that is missing.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from polycall.sandbox import kernel, landlock, policy, userns
from polycall.sandbox.rootfs import Sources, build_root

__all__ = ["main"]

_ANSWER = 4096
_STRICT = policy.Grants(fork=False, execute=False, sockets=False, memfd=False, buffers=False, metadata=False)


def attempt(action: Callable[[], object]) -> tuple[object, str | None]:
    """Do something in a child process. Return its JSON-able result, and the error text if it failed."""
    read, write = os.pipe()
    process = os.fork()
    if process == 0:
        answer: tuple[object, str | None] = (None, "the process died")
        try:
            answer = (action(), None)
        except OSError as refusal:
            answer = (None, refusal.strerror or str(refusal))
        except Exception as bug:
            answer = (None, f"{type(bug).__name__}: {bug}")
        finally:
            os.write(write, json.dumps(answer).encode()[:_ANSWER])
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as stream:
        data = stream.read(_ANSWER)
    os.waitpid(process, 0)
    if not data:
        return None, "the process was killed"
    value, error = json.loads(data)
    return value, error


def _enter(uids: range | None, flags: int) -> None:
    if uids is None:
        userns.enter_single(0, flags | kernel.CLONE_NEWUSER)
    else:
        userns.enter_range(uids, flags | kernel.CLONE_NEWUSER)


def _in_new_process(action: Callable[[], object]) -> object:
    value, error = attempt(action)
    if error is not None:
        raise OSError(0, error)
    return value


def _namespaces(uids: range | None) -> object:
    """Do what a zygote does; return whether /proc could be mounted."""
    _enter(uids, userns.ALL_NAMESPACES)
    sources = Sources()
    if uids is not None:
        userns.become_root()

    def inside() -> bool:
        has_proc = build_root(sources, range(1))
        namespace = os.open("self/ns/pid", os.O_RDONLY | os.O_CLOEXEC, dir_fd=sources.proc)
        kernel.setns(namespace, kernel.CLONE_NEWPID)
        kernel.unshare(kernel.CLONE_NEWPID)
        kernel.unshare(kernel.CLONE_NEWNS | kernel.CLONE_NEWIPC | kernel.CLONE_NEWNET)
        kernel.mount("tmpfs", "/mnt", "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "size=1m")
        return has_proc

    return _in_new_process(inside)


def _parts(uids: range | None) -> dict[str, str]:
    """Try the namespaces one by one; return what failed, with the error."""

    def mounts() -> None:
        _enter(uids, kernel.CLONE_NEWNS)
        kernel.mount(None, "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
        kernel.mount("tmpfs", "/tmp", "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "size=1m")  # noqa: S108

    tries: dict[str, Callable[[], object]] = {
        "user namespace": lambda: _enter(uids, 0),
        "mount namespace": mounts,
        "pid namespace": lambda: _enter(uids, kernel.CLONE_NEWPID),
        "network namespace": lambda: _enter(uids, kernel.CLONE_NEWNET),
        "ipc namespace": lambda: _enter(uids, kernel.CLONE_NEWIPC),
        "uts namespace": lambda: _enter(uids, kernel.CLONE_NEWUTS),
        "cgroup namespace": lambda: _enter(uids, kernel.CLONE_NEWCGROUP),
    }
    failed = {}
    for name, action in tries.items():
        _, error = attempt(action)
        if error is not None:
            failed[name] = error
            if name == "user namespace":
                break
    return failed


def _landlock() -> int:
    abi = landlock.abi_version()
    if abi == 0:
        kernel.syscall("landlock_create_ruleset", None, 0, 1)  # raises what says why
    kernel.forbid_new_privileges()
    landlock.restrict(abi, ["/usr"], [])
    try:
        os.listdir("/")
    except PermissionError:
        return abi
    raise RuntimeError("it refuses nothing")


def _seccomp() -> None:
    kernel.forbid_new_privileges()
    kernel.set_seccomp_filter(policy.build(_STRICT))
    try:
        os.fork()
    except PermissionError:
        return
    os._exit(1)


def _other_uid(uids: range) -> None:
    os.setgroups([])
    os.setresgid(uids.start, uids.start, uids.start)
    os.setresuid(uids.start, uids.start, uids.start)
    # modules that are not preloaded are read with that uid
    os.listdir(os.path.dirname(os.__file__))
    with open(os.__file__, "rb"):
        pass


def main(uids: range) -> dict[str, object]:
    """Try everything and return what was found."""
    parts: dict[str, str] = {}
    has_proc, chosen = None, None
    error: str | None = "root may not be mapped"
    if os.geteuid() == 0:
        chosen = uids
        has_proc, error = attempt(lambda: _namespaces(uids))
    # Never the kernel's own root: it owns the host's files, and RLIMIT_NPROC does not hold for it.
    if error is not None and not userns.is_initial_root():
        chosen = None
        has_proc, error = attempt(lambda: _namespaces(None))
    if error is not None:
        parts = _parts(chosen) or {"root file system": error}
    abi, no_landlock = attempt(_landlock)
    _, no_seccomp = attempt(_seccomp)
    no_other_uid: str | None = "only root can"
    if os.geteuid() == 0:
        _, no_other_uid = attempt(lambda: _other_uid(uids))
    return {
        "namespaces": error is None,
        "single_uid": chosen is None,
        "has_proc": bool(has_proc),
        "missing": parts,
        "landlock": abi or 0,
        "no_landlock": no_landlock,
        "seccomp": no_seccomp is None,
        "no_seccomp": no_seccomp,
        "other_uid": no_other_uid is None,
        "no_other_uid": no_other_uid,
    }


if __name__ == "__main__":
    first, count = int(sys.argv[1]), int(sys.argv[2])
    sys.stdout.write(json.dumps(main(range(first, first + count))))
