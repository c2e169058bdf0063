"""What can be seen of a server from outside, and must be the same before a hostile program and after it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Process", "Traces", "below", "processes", "strays", "traces"]

_IPC = ("shm", "sem", "msg")
_INIT = 1


@dataclass(frozen=True, slots=True)
class Process:
    """A row of the process table."""

    pid: int
    parent: int
    uid: int


@dataclass(frozen=True, slots=True)
class Traces:
    """Everything that a run could have left behind."""

    processes: int  # below the server
    threads: int  # of the server
    server_files: tuple[str, ...]  # that the server has open
    zygote_files: tuple[tuple[str, ...], ...]
    mounts: str
    files: frozenset[tuple[str, int, int]]  # beside the server: path, size, time of the last change
    work: int  # directories of children, where no mount namespace has them
    members: int  # of the server's cgroups


def processes() -> dict[int, Process]:
    """Return the process table."""
    table = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                uid = os.stat(f"/proc/{name}").st_uid
                stat = Path(f"/proc/{name}/stat").read_bytes()
                parent = int(stat.rpartition(b")")[2].split()[1])
                table[int(name)] = Process(int(name), parent, uid)
    return table


def below(root: int, table: Mapping[int, Process]) -> set[int]:
    """Return what descends from a process."""
    found, grown = {root}, True
    while grown:
        more = {process.pid for process in table.values() if process.parent in found} - found
        found |= more
        grown = bool(more)
    return found - {root}


def strays(uids: Iterable[range], table: Mapping[int, Process]) -> set[str]:
    """Return what some users have on this machine that belongs to no server: processes, memory and queues."""
    uids = list(uids)

    def theirs(uid: int) -> bool:
        return any(uid in some for some in uids)

    found = {f"process {row.pid}" for row in table.values() if row.parent == _INIT and theirs(row.uid)}
    for kind in _IPC:
        head, *rows = Path(f"/proc/sysvipc/{kind}").read_text().splitlines()
        column = head.split().index("uid")
        found |= {f"{kind}: {row}" for row in rows if theirs(int(row.split()[column]))}
    return found


def traces(
    server: int,
    table: Mapping[int, Process],
    *,
    namespaces: bool,
    folder: Path,
    work: Path | None,
    groups: Iterable[str],
) -> Traces:
    """Look at a server. ``folder``: what lies beside it, ``work``: its work root."""
    family = below(server, table)
    zygotes = {pid for pid in family if table[pid].parent == server}
    # where there are namespaces the process that was started only waits; its child forks
    makers = {pid for pid in family if namespaces and table[pid].parent in zygotes}
    return Traces(
        processes=len(family),
        threads=len(os.listdir(f"/proc/{server}/task")),
        server_files=tuple(sorted(_open_files(server))),
        zygote_files=tuple(tuple(sorted(_open_files(pid))) for pid in sorted(zygotes | makers)),
        mounts=Path(f"/proc/{server}/mountinfo").read_text(),
        files=frozenset(_files(folder)),
        work=len(list(work.iterdir())) if work is not None else 0,
        members=sum(len(_members(group)) for group in groups),
    )


def _open_files(pid: int) -> Iterator[str]:
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            name = os.readlink(f"/proc/{pid}/fd/{fd}")
            # of pipes and sockets the kind, of files the name: each child brings its own
            yield os.path.basename(name.removesuffix(" (deleted)")).partition(":")[0]


def _files(folder: Path) -> Iterator[tuple[str, int, int]]:
    for path in folder.rglob("*"):
        found = path.lstat()
        yield str(path), found.st_size, found.st_mtime_ns


def _members(group: str) -> list[str]:
    members = []
    for directory, _, names in os.walk(group):
        if "cgroup.procs" in names:
            members += Path(directory, "cgroup.procs").read_text().split()
    return members
