"""How a forked child locks itself in, before it is given anything. Standard library only: zygotes load it.

The order is what makes the steps work; each says why it stands where it stands.
"""

from __future__ import annotations

import contextlib
import os
import resource
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from polycall.sandbox import doorway, kernel, landlock, policy, userns
from polycall.sandbox.disk import Disk
from polycall.sandbox.layout import NAMESPACED, SHARED_MEMORY, Layout
from polycall.sandbox.lodging import CAPABILITIES
from polycall.sandbox.rootfs import DEVICES, system_paths

__all__ = ["NOBODY", "Box", "Confinement", "Filters", "confine", "lock_zygote", "prepare"]

# The uid inside the sandbox where there is only one to give.
NOBODY = 1000

# Of /etc/ssl what is public: beside it lie private keys, and without namespaces a run may be the user who owns them.
_TRUST = ("/etc/ssl/certs", "/etc/ssl/openssl.cnf")

_PAGE = 4096

# Never needed by a function, and each a way to hold on to something of the host (getrlimit(2)).
_NEVER = (
    resource.RLIMIT_MEMLOCK,
    resource.RLIMIT_MSGQUEUE,
    resource.RLIMIT_NICE,
    resource.RLIMIT_RTPRIO,
)
_PENDING_SIGNALS = 256
# Not 0: where crashes are piped to a program of the host (core(5)), as root and outside of everything, the kernel heeds
# no limit but this one. It is too little for a file as well.
_NO_CORE = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Confinement:
    """What the machine allows and the server wants; the same for every child of a zygote."""

    namespaces: bool
    landlock: int  # ABI; 0: none
    seccomp: bool
    cgroup: bool  # memory and processes of the whole tree are bounded
    single_uid: bool  # every child has the server's own uid on the host
    work_root: str = ""  # without namespaces: a directory for the children's own
    packages: str = ""  # without namespaces: a directory of the host that they read, "" for none
    executes: bool = False  # children go on as another program, which is to start none


@dataclass(slots=True, kw_only=True)
class Box:
    """Where a child is once it is locked in."""

    layout: Layout
    laps: dict[str, int] = field(default_factory=dict)  # µs a step took: the first thing to look at when latency moves


class _Laps:
    def __init__(self, into: dict[str, int]) -> None:
        self._into = into
        self._last = time.perf_counter_ns()

    def __call__(self, name: str) -> None:
        now = time.perf_counter_ns()
        self._into[name] = (now - self._last) // 1000
        self._last = now


@dataclass(frozen=True, slots=True)
class Filters:
    """The system call filters that the children of a zygote share; None where each has its own."""

    plain: bytes | None
    egress: bytes | None


def prepare(wanted: Confinement) -> Filters:
    """Do, in the zygote, what holds for all of its children."""
    if wanted.namespaces or os.geteuid() == 0:
        # a container's root may lack CAP_SETPCAP; without new privileges the set has no use in a child anyway
        with contextlib.suppress(PermissionError):
            kernel.drop_bounding_set()
    if not (wanted.seccomp and wanted.namespaces):
        return Filters(None, None)
    return Filters(policy.build(_grants(wanted)), policy.build(_grants(wanted, egress=True)))


def lock_zygote(wanted: Confinement) -> None:
    """Leave this process, which was prepared, no more than making children takes. See ``lodging``."""
    kernel.drop_capabilities(but=CAPABILITIES)
    kernel.forbid_new_privileges()
    kernel.set_seccomp_filter(policy.build(replace(_grants(wanted, egress=True), children=True)))


def confine(
    wanted: Confinement,
    *,
    name: str,
    uid: int | None,
    disk: Disk,
    proc: int | None,
    has_proc: bool,
    filters: Filters,
    connection: int | None = None,
    furnish: Callable[[Layout], None] | None = None,
    readable: Iterable[str] = (),
) -> Box:
    """Lock this process in, whose zygote was prepared.

    ``uid`` is its own (None: keep), ``disk`` what its file system may hold, ``proc`` a descriptor of the outer /proc.
    ``connection``: the socket over which the server gets the doorway of an egress child; None for other children.
    ``furnish`` puts into the directories what cannot be made any more afterwards; ``readable`` are paths that it is to
    read and execute beside the system's. Raises OSError if any step is refused: the caller must end the process then.
    """
    egress = connection is not None
    if egress and not wanted.namespaces:
        raise OSError("there is no way out without a network namespace")
    box = Box(layout=NAMESPACED if wanted.namespaces else Layout.below(os.path.join(wanted.work_root, name)))
    lap = _Laps(box.laps)
    if wanted.namespaces:
        kernel.unshare(kernel.CLONE_NEWNS | kernel.CLONE_NEWIPC | kernel.CLONE_NEWNET)
        lap("unshare")
        if connection is not None:
            doorway.make_doorway(connection)  # needs the capabilities
            if not wanted.cgroup:
                doorway.bound_buffers(proc)
            lap("doorway")
        _mount_disk(disk, uid or 0)
        if has_proc:
            # subset=pid: processes and nothing of the host. A nested user namespace could not write its maps otherwise.
            flags = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
            kernel.mount(
                "proc", "/proc", "proc", flags if wanted.single_uid else flags | kernel.MS_RDONLY, "subset=pid"
            )
        lap("mounts")
        if wanted.single_uid:
            # gives RLIMIT_NPROC a counter of its own (Linux 5.14); through the outer /proc, as there may be no other
            userns.enter_single(NOBODY, kernel.CLONE_NEWUSER, proc)
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            kernel.drop_bounding_set()  # a new namespace came with a full one
            lap("user namespace")
    else:
        root = os.path.join(wanted.work_root, name)
        os.mkdir(root, 0o700)
        if uid is not None:
            os.chown(root, uid, uid)
    if proc is not None:
        os.close(proc)
    _limit(disk.bytes)
    if uid is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    if wanted.namespaces or os.geteuid() == 0:
        kernel.drop_capabilities()
    lap("ids")
    # the change of ids cleared the first and gave /proc/self to root
    kernel.die_with_parent()
    kernel.set_dumpable()
    kernel.forbid_new_privileges()
    os.umask(0o022)
    box.layout.create()
    if wanted.namespaces:
        os.mkdir(SHARED_MEMORY, 0o700)
    if furnish is not None:
        furnish(box.layout)
    os.chdir(box.layout.work)
    if wanted.landlock:
        _landlock(wanted, box.layout, readable, (doorway.PORT,) if egress else ())
        lap("landlock")
    if wanted.seccomp:
        # last: the filter forbids most of the above
        program = filters.egress if egress else filters.plain
        kernel.set_seccomp_filter(program or policy.build(_grants(wanted, egress=egress)))
        lap("seccomp")
    return box


def _mount_disk(disk: Disk, uid: int) -> None:
    size = -(-disk.bytes // _PAGE) * _PAGE
    options = f"size={size},nr_inodes={disk.files},mode=755,uid={uid},gid={uid}"
    kernel.mount("tmpfs", "/mnt", "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, options)


def _limit(disk: int) -> None:
    for kind in _NEVER:
        resource.setrlimit(kind, (0, 0))
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    core = 0 if most == 0 else _NO_CORE  # who started the server may have left less
    resource.setrlimit(resource.RLIMIT_CORE, (core, core))
    resource.setrlimit(resource.RLIMIT_SIGPENDING, (_PENDING_SIGNALS, _PENDING_SIGNALS))
    # bounds anonymous files too, which are on no file system
    resource.setrlimit(resource.RLIMIT_FSIZE, (disk, disk))


def _landlock(wanted: Confinement, layout: Layout, more: Iterable[str], ports: Iterable[int]) -> None:
    if wanted.namespaces:
        # all that there is in this mount namespace, and nothing of what is outside; /dev has five harmless nodes
        readable, writable = ["/"], ["/mnt", "/dev"]
    else:
        devices = [f"/dev/{name}" for name in DEVICES]
        readable = [*system_paths(), "/etc/ld.so.cache", "/etc/localtime", *_TRUST, *devices, *more]
        if wanted.packages:
            readable.append(wanted.packages)
        writable = [layout.code, layout.work, layout.temporary, "/dev/null"]
    landlock.restrict(wanted.landlock, readable, writable, ports)


def _grants(wanted: Confinement, *, egress: bool = False) -> policy.Grants:
    return policy.Grants(
        fork=wanted.cgroup and wanted.namespaces and not wanted.executes,
        execute=wanted.namespaces or wanted.executes,
        sockets=wanted.namespaces,
        internet=egress and wanted.namespaces,
        memfd=wanted.cgroup,
        buffers=wanted.cgroup,
        metadata=wanted.namespaces,
        only_pid=None if wanted.namespaces else os.getpid(),
    )
