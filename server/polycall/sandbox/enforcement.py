"""Which limit holds here, by what, and what would make it hold better. For people: ``polycall doctor``."""

from __future__ import annotations

import enum
from collections.abc import Iterator

from polycall.quick import dataclass
from polycall.sandbox.cgroup import CgroupError
from polycall.sandbox.isolation import Finding, Machine

__all__ = ["Enforcement", "Hold", "enforcements"]


class Hold(enum.StrEnum):
    """How far a limit holds."""

    ENFORCED = "enforced"  # nothing beyond it ever happens
    WATCHED = "watched"  # looked at from outside: for a moment more may be taken, then the run is killed
    NOT_ENFORCED = "not_enforced"


@dataclass(frozen=True, slots=True)
class Enforcement:
    """One limit, by its name in the contract: how far it holds, by what, and what would make it hold better."""

    limit: str
    hold: Hold
    how: str
    remedy: str = ""


def enforcements(
    machine: Machine,
    cgroup: str | CgroupError,
    *,
    own_uid: bool,
    counts_cpu: bool,
    findings: tuple[Finding, ...],
) -> tuple[Enforcement, ...]:
    """Return every limit.

    ``cgroup`` is the title of what was made, or why nothing was; ``counts_cpu``: it counts CPU time; ``own_uid``: every
    run has one.
    """
    title = cgroup if isinstance(cgroup, str) else ""
    remedies = {finding.feature: finding.remedy for finding in findings if not finding.ok}
    return tuple(_all(machine, title, own_uid, counts_cpu, remedies))


def _all(
    machine: Machine, cgroup: str, own_uid: bool, counts_cpu: bool, remedies: dict[str, str]
) -> Iterator[Enforcement]:
    forks = not machine.seccomp
    yield Enforcement("timeout", Hold.ENFORCED, "the server's timer; all processes of the run are killed")
    yield _cpu_time(cgroup if counts_cpu else "", forks or bool(cgroup), remedies)
    yield _memory(cgroup, forks, remedies)
    yield _processes(cgroup, own_uid, forks, remedies)
    yield Enforcement("open_files", Hold.ENFORCED, "RLIMIT_NOFILE, for each process: opening one more fails")
    yield from _disk(machine, remedies)
    for name in ("result_kib", "stdout_kib and stderr_kib"):
        how = "counted before it is read" if name == "result_kib" else "counted as it is read; the rest is dropped"
        yield Enforcement(name, Hold.ENFORCED, f"{how}, by the server")
    yield Enforcement("max_output_mib", Hold.ENFORCED, "counted as it is read, by the server; the run is killed")


def _cpu_time(cgroup: str, forks: bool, remedies: dict[str, str]) -> Enforcement:
    backed = "killed at the limit; RLIMIT_CPU ends each process a second later if the server cannot"
    if cgroup:
        return Enforcement("cpu_time", Hold.ENFORCED, f"{cgroup} counts all processes; {backed}")
    if not forks:
        return Enforcement("cpu_time", Hold.ENFORCED, f"the run's one process has a clock; {backed}")
    how = f"the processes that descend from the run are looked at; {backed}"
    return Enforcement("cpu_time", Hold.WATCHED, how, remedies.get("cgroup", "mount the cgroup controller cpuacct"))


def _memory(cgroup: str, forks: bool, remedies: dict[str, str]) -> Enforcement:
    if cgroup:
        return Enforcement("memory_mib", Hold.ENFORCED, f"{cgroup} for all processes together; RLIMIT_DATA for each")
    if not forks:
        how = "RLIMIT_AS and RLIMIT_DATA of the one process (JavaScript: RLIMIT_DATA), its pages looked at every 50 ms"
        return Enforcement("memory_mib", Hold.ENFORCED, how, remedies.get("cgroup", ""))
    how = "RLIMIT_AS and RLIMIT_DATA for each process, the pages of all that descend looked at every 50 ms"
    return Enforcement("memory_mib", Hold.WATCHED, how, remedies.get("cgroup", ""))


def _processes(cgroup: str, own_uid: bool, forks: bool, remedies: dict[str, str]) -> Enforcement:
    if cgroup:
        return Enforcement("processes", Hold.ENFORCED, f"{cgroup} (pids.max): making one more fails")
    only = "" if forks else "one process, no more by seccomp; "
    remedy = remedies.get("cgroup", "")
    if own_uid:
        return Enforcement("processes", Hold.ENFORCED, f"{only}threads by RLIMIT_NPROC: making one more fails", remedy)
    remedy = remedies.get("uids", "") or remedies.get("namespaces", "") or remedy
    return Enforcement("processes", Hold.WATCHED, f"{only}threads counted every 50 ms; the run is killed", remedy)


def _disk(machine: Machine, remedies: dict[str, str]) -> Iterator[Enforcement]:
    if machine.namespaces:
        yield Enforcement("disk_mib", Hold.ENFORCED, "size of the run's own tmpfs: writing more fails")
        yield Enforcement("files on disk", Hold.ENFORCED, "nr_inodes of the run's own tmpfs: making one more fails")
        return
    remedy = remedies.get("namespaces", "")
    how = "the run's directories are measured every 250 ms, and the run killed"
    elsewhere = "; what it writes elsewhere is not seen" if not machine.landlock else ""
    hold = Hold.NOT_ENFORCED if elsewhere else Hold.WATCHED
    yield Enforcement("disk_mib", hold, f"RLIMIT_FSIZE for each file; {how}{elsewhere}", remedy)
    yield Enforcement("files on disk", hold, how + elsewhere, remedy)
