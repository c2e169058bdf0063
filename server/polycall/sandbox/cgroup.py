"""Memory and process limits of whole process trees: cgroups, version 1 or 2.

The server makes one group of its own below the one it runs in, and in it a group for each process tree. A child joins
its slot when it is forked, long before its run: joining after a quiet time waits for an RCU grace period (8 to 15 ms);
the limits are written for each run. A group is held by a lock on its directory, so that the next server can tell the
groups of the dead from those of the living.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from polycall.domain import Limits
from polycall.sandbox.lock import hold
from polycall.structs import cstruct

__all__ = ["HEADROOM", "CgroupError", "Cgroups", "Group", "Memory", "open_cgroups", "sweep_cgroups"]

_PREFIX = "polycall-"
# Pages that a child shares with its zygote are charged to the zygote; what it needs beside the run's own memory (page
# tables, pipes, the interpreter's own growth) fits in this.
HEADROOM = 16 << 20
_NEEDED = ("memory", "pids")
# Where it can be had, every run gets an equal share of the processors, however many processes it has, and all runs
# together no more than the server beside them: the default weights do that, nothing has to be written.
_SHARES = "cpu"
# In version 1 what counts a tree's CPU time; often one with the controller above. Version 2 counts in every group.
_COUNTS = "cpuacct"


class CgroupError(Exception):
    """Raised when no cgroup can be had; says what is missing and how to get it."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what)
        self.remedy = remedy


@cstruct(frozen=True, slots=True)
class Memory:
    """What a group counted since its limits were set: kills for want of memory, and the peak in bytes."""

    killed: bool
    peak: int | None


def _read(directory: int, name: str) -> str:
    fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
    try:
        return os.read(fd, 1 << 16).decode()
    finally:
        os.close(fd)


def _write(directory: int, name: str, value: int | str) -> None:
    fd = os.open(name, os.O_WRONLY | os.O_CLOEXEC, dir_fd=directory)
    try:
        os.write(fd, str(value).encode())
    finally:
        os.close(fd)


def _enable(directory: int) -> None:
    """Let the children of a group of version 2 have limits. Raises OSError if they cannot have those they need."""
    with contextlib.suppress(OSError):  # not delegated, or a real-time process is in the way
        _write(directory, "cgroup.subtree_control", f"+{_SHARES}")
    _write(directory, "cgroup.subtree_control", " ".join(f"+{name}" for name in _NEEDED))


def _has(directory: int, name: str) -> bool:
    return os.access(name, os.F_OK, dir_fd=directory)


class _Version(Protocol):
    """What differs between the two versions; ``dirs`` are descriptors of a group's directories by controller."""

    @property
    def unified(self) -> bool:
        """Whether one hierarchy has all controllers."""

    @property
    def memory(self) -> tuple[str, str, str]:
        """The controller of memory, its file with the ``oom_kill`` counter, its file with the peak."""

    @property
    def usage(self) -> tuple[str, str]:
        """The controller of memory, and its file with what is used now."""

    def limit(self, dirs: Mapping[str, int], before: Limits | None, limits: Limits) -> None:
        """Write the limits of a run."""

    def open_cpu(self, dirs: Mapping[str, int]) -> int | None:
        """Open the file that counts CPU time; None where nothing does."""

    @property
    def cpu(self) -> tuple[Callable[[bytes], int], int]:
        """What reads that file, and how many of its units are a microsecond."""


class _One:
    unified = False
    memory = ("memory", "memory.oom_control", "memory.max_usage_in_bytes")
    usage = ("memory", "memory.usage_in_bytes")
    cpu = (int, 1000)

    def limit(self, dirs: Mapping[str, int], before: Limits | None, limits: Limits) -> None:
        memory, value = dirs["memory"], limits.memory_bytes + HEADROOM
        if before is None or before.memory_bytes != limits.memory_bytes:
            # memory+swap must never be below memory: lower memory first, raise it last
            names = ["memory.limit_in_bytes"]
            if _has(memory, "memory.memsw.limit_in_bytes"):
                names.append("memory.memsw.limit_in_bytes")
            if before is not None and before.memory_bytes < limits.memory_bytes:
                names.reverse()
            for name in names:
                _write(memory, name, value)
        if before is None or before.processes != limits.processes:
            _write(dirs["pids"], "pids.max", limits.processes)

    def open_cpu(self, dirs: Mapping[str, int]) -> int | None:
        for name in (_COUNTS, _SHARES):
            with contextlib.suppress(KeyError, OSError):
                return os.open("cpuacct.usage", os.O_RDONLY | os.O_CLOEXEC, dir_fd=dirs[name])
        return None


def _used(told: bytes) -> int:
    # the first line: `usage_usec 4711`
    return int(told.partition(b"usage_usec ")[2].partition(b"\n")[0] or 0)


class _Two:
    unified = True
    memory = ("", "memory.events", "memory.peak")
    usage = ("", "memory.current")
    cpu = (_used, 1)

    def limit(self, dirs: Mapping[str, int], before: Limits | None, limits: Limits) -> None:
        group = dirs[""]
        if before is None:
            _write(group, "memory.oom.group", 1)
            if _has(group, "memory.swap.max"):
                _write(group, "memory.swap.max", 0)
        if before is None or before.memory_bytes != limits.memory_bytes:
            _write(group, "memory.max", limits.memory_bytes + HEADROOM)
        if before is None or before.processes != limits.processes:
            _write(group, "pids.max", limits.processes)

    def open_cpu(self, dirs: Mapping[str, int]) -> int | None:
        with contextlib.suppress(OSError):
            return os.open("cpu.stat", os.O_RDONLY | os.O_CLOEXEC, dir_fd=dirs[""])
        return None


def _kills(told: bytes) -> int:
    # a line `oom_kill 0`, which is never the first
    return int(told.partition(b"\noom_kill ")[2].partition(b"\n")[0] or 0)


class Group:
    """The group of one process tree at a time."""

    def __init__(self, version: _Version, dirs: Mapping[str, int]) -> None:
        self._version = version
        self._dirs = dirs
        self._limits: Limits | None = None
        self._told = b""
        controller, events, peak = version.memory
        self._events = os.open(events, os.O_RDONLY | os.O_CLOEXEC, dir_fd=dirs[controller])
        self._peak: int | None = None
        # Version 2 has it since Linux 5.19, and can reset it, for one descriptor, since 6.12: before that root may open
        # it for writing too, and every write fails. What cannot be reset is not one run's.
        with contextlib.suppress(OSError):
            fd = os.open(peak, os.O_RDWR | os.O_CLOEXEC, dir_fd=dirs[controller])
            try:
                os.pwrite(fd, b"0", 0)
            except OSError:
                os.close(fd)
            else:
                self._peak = fd
        self._cpu = version.open_cpu(dirs)

    def open_procs(self) -> list[int]:
        """Open the files through which a process joins. The credentials of who opens count, so the server does."""
        return [os.open("cgroup.procs", os.O_WRONLY | os.O_CLOEXEC, dir_fd=fd) for fd in self._dirs.values()]

    def limit(self, limits: Limits, *, fresh: bool) -> None:
        """Set the limits of the next run; ``fresh``: of the first one of whoever is in it now. Raises OSError."""
        if limits is not self._limits:
            self._version.limit(self._dirs, self._limits, limits)
            self._limits = limits
        if self._peak is not None:
            os.pwrite(self._peak, b"0", 0)
        if fresh:
            self._told = os.pread(self._events, 4096, 0)

    def memory(self) -> Memory:
        """Return what was counted since ``limit``. Raises OSError."""
        before, self._told = self._told, os.pread(self._events, 4096, 0)
        peak = int(os.pread(self._peak, 64, 0)) if self._peak is not None else None
        return Memory(self._told != before and _kills(self._told) > _kills(before), peak)

    @property
    def counts_cpu(self) -> bool:
        """Whether it counts CPU time."""
        return self._cpu is not None

    def cpu_us(self) -> int | None:
        """Return the CPU time of all who ever were in it, µs; None where nothing counts it. Raises OSError."""
        if self._cpu is None:
            return None
        read, in_a_us = self._version.cpu
        return read(os.pread(self._cpu, 4096, 0)) // in_a_us

    @property
    def usage(self) -> int:
        """How much memory it holds now, bytes. Raises OSError."""
        controller, name = self._version.usage
        return int(_read(self._dirs[controller], name))

    @property
    def processes(self) -> int:
        """How many are in it. Raises OSError."""
        return len(_read(next(iter(self._dirs.values())), "cgroup.procs").split())

    def holds(self, pid: int) -> bool:
        """Whether a process is in it. Raises OSError."""
        return str(pid) in _read(next(iter(self._dirs.values())), "cgroup.procs").split()

    @property
    def empty(self) -> bool:
        """Whether nobody is in it."""
        return not any(_read(fd, "cgroup.procs").strip() for fd in self._dirs.values())

    def close(self) -> None:
        """Close its files."""
        for fd in (*self._dirs.values(), self._events, self._peak, self._cpu):
            if fd is not None:
                os.close(fd)


class Cgroups:
    """The server's own group."""

    def __init__(self, version: _Version, parents: Mapping[str, str], title: str) -> None:
        self._version = version
        self.title = title  # for people: "cgroup v1"
        self._parents = parents
        self.name = _PREFIX + secrets.token_hex(8)
        self._locks: list[int] = []
        self._groups: list[Group] = []
        try:
            for parent in parents.values():
                self._locks.append(_make_held(os.path.join(parent, self.name)))
                if version.unified:
                    _enable(self._locks[-1])
            self.make_group()
        except OSError as error:
            self.close()
            raise CgroupError(
                f"cgroups can be seen but not be made ({error.strerror})",
                "run as root, or under a delegated cgroup: systemd-run --user --scope -p Delegate=yes polycall serve",
            ) from None

    @property
    def counts_cpu(self) -> bool:
        """Whether its groups count CPU time."""
        return all(group.counts_cpu for group in self._groups)

    def make_group(self) -> Group:
        """Make one more group. Raises OSError."""
        dirs = {}
        for controller, parent in self._parents.items():
            path = os.path.join(parent, self.name, f"slot-{len(self._groups)}")
            os.mkdir(path)
            dirs[controller] = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        group = Group(self._version, dirs)
        self._groups.append(group)
        return group

    def close(self) -> None:
        """Remove everything. All processes must be gone, or be going."""
        for group in self._groups:
            group.close()
        for parent in self._parents.values():
            _remove(os.path.join(parent, self.name))
        for fd in self._locks:
            os.close(fd)
        self._groups.clear()
        self._locks.clear()


# Another server that starts may take a group for a dead one's between its making and its locking.
_ATTEMPTS = 5


def _make_held(path: str) -> int:
    for attempt in range(_ATTEMPTS):
        try:
            os.mkdir(path)
            return hold(path)
        except (FileExistsError, FileNotFoundError, BlockingIOError):
            if attempt == _ATTEMPTS - 1:
                raise
            time.sleep(_EMPTYING_STEP_S)
    raise AssertionError


# How long a group may stay busy after the last process in it was killed; some milliseconds are usual.
_EMPTYING_S = 1.0
_EMPTYING_STEP_S = 0.005


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        slots = [entry.path for entry in os.scandir(path) if entry.is_dir(follow_symlinks=False)]
        deadline = time.monotonic() + _EMPTYING_S
        for directory in [*slots, path]:
            while True:
                try:
                    os.rmdir(directory)
                except FileNotFoundError:
                    pass
                except OSError as error:
                    if error.errno == errno.EBUSY and time.monotonic() < deadline:
                        time.sleep(_EMPTYING_STEP_S)
                        continue
                break


def _remove_stale(parents: Mapping[str, str]) -> None:
    for parent in parents.values():
        with contextlib.suppress(OSError):
            for entry in list(os.scandir(parent)):
                if not entry.name.startswith(_PREFIX) or not entry.is_dir(follow_symlinks=False):
                    continue
                try:
                    lock = hold(entry.path)
                except OSError:
                    continue  # a living server's, or gone
                _remove(entry.path)
                os.close(lock)


def sweep_cgroups() -> None:
    """Remove the groups of servers that died, of those that ran where this process does."""
    found = _find()
    if found is not None:
        _remove_stale(found[1])


def open_cgroups() -> Cgroups:
    """Make the server's group below the one it runs in, and remove those of servers that died. Raises CgroupError."""
    found = _find()
    if found is None:
        raise CgroupError(
            "no cgroup file system with the memory and pids controllers is mounted",
            "mount cgroup2 on /sys/fs/cgroup, or start the container with --cgroupns=private and a writable cgroup",
        )
    version, parents = found
    if isinstance(version, _Two):
        _prepare_v2(parents[""])
    _remove_stale(parents)
    return Cgroups(version, parents, "cgroup v1" if isinstance(version, _One) else "cgroup v2")


def _find() -> tuple[_Version, Mapping[str, str]] | None:
    """Return where this process's own groups are, by controller; "" is version 2."""
    own: dict[str, str] = {}
    mounts: dict[str, str] = {}
    try:
        with open("/proc/self/cgroup", encoding="utf-8") as stream:
            for line in stream:
                _, controllers, path = line.rstrip("\n").split(":", 2)
                own.update((name, path) for name in controllers.split(","))
        with open("/proc/self/mountinfo", encoding="utf-8") as stream:
            for line in stream:
                fields, _, rest = line.partition(" - ")
                root, point = fields.split()[3:5]
                kind, _, options = rest.split()[:3]
                names = [""] if kind == "cgroup2" else options.split(",") if kind == "cgroup" else []
                for name in names:
                    if name in own and name not in mounts:
                        relative = os.path.relpath(own[name], root)
                        if not relative.startswith(".."):
                            mounts[name] = os.path.normpath(os.path.join(point, relative))
    except OSError:
        return None
    if all(name in mounts for name in _NEEDED):
        chosen = {name: mounts[name] for name in _NEEDED}
        for name in (_SHARES, _COUNTS):
            path = mounts.get(name, "")
            if path not in chosen.values() and os.access(path, os.W_OK):
                chosen[name] = path
        return _One(), chosen
    if "" in mounts:
        return _Two(), {"": mounts[""]}
    return None


def _prepare_v2(group: str) -> None:
    """Let the group of this process have children with limits.

    A group with processes of its own cannot (the "no internal processes" rule of Documentation/admin-guide/
    cgroup-v2.rst), so the server moves to a leaf first.
    """
    try:
        directory = os.open(group, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise CgroupError(
            f"the server's cgroup cannot be opened ({error.strerror})", "mount cgroup2 writable"
        ) from None
    try:
        available = _read(directory, "cgroup.controllers").split()
        missing = [name for name in _NEEDED if name not in available]
        if missing:
            raise CgroupError(
                f"the server's cgroup lacks the controllers {', '.join(missing)}",
                "run under systemd-run --user --scope -p Delegate=yes, or enable them in cgroup.subtree_control above",
            )
        wanted = [*_NEEDED, *([_SHARES] if _SHARES in available else [])]
        if all(name in _read(directory, "cgroup.subtree_control").split() for name in wanted):
            return
        with contextlib.suppress(FileExistsError):
            os.mkdir("server", dir_fd=directory)
        _write(directory, "server/cgroup.procs", os.getpid())
        _enable(directory)
    except OSError as error:
        why = "other processes are in the server's cgroup" if error.errno == errno.EBUSY else error.strerror
        raise CgroupError(
            f"the server's cgroup cannot be divided ({why})",
            "give the server a cgroup of its own: systemd-run --user --scope -p Delegate=yes polycall serve",
        ) from None
    finally:
        os.close(directory)
