"""What is said of the limits: how far each holds, by what, and what would better it."""

from __future__ import annotations

import pytest

from polycall.domain import IsolationLevel
from polycall.sandbox.cgroup import CgroupError
from polycall.sandbox.enforcement import Enforcement, Hold, enforcements
from polycall.sandbox.isolation import at_most, findings_of
from polycall.sandbox.sandbox import Sandbox
from tests.sandbox.test_levels import machine

NONE = CgroupError("not asked for", "run as root")


def told(level: int, *, own_uid: bool = True, counts_cpu: bool = True, landlock: int = 7) -> dict[str, Enforcement]:
    found = at_most(machine(landlock=landlock), IsolationLevel(level))
    cgroup = "cgroup v2" if level == 3 else NONE
    said = enforcements(
        found, cgroup, own_uid=own_uid, counts_cpu=counts_cpu and level == 3, findings=findings_of(found, cgroup)
    )
    return {one.limit: one for one in said}


def holds(said: dict[str, Enforcement], hold: Hold) -> set[str]:
    return {name for name, one in said.items() if one.hold is hold}


def test_everything_is_enforced_where_there_is_everything() -> None:
    said = told(3)
    assert holds(said, Hold.ENFORCED) == set(said)
    assert all(one.how and not one.remedy for one in said.values())
    assert said["memory_mib"].how == "cgroup v2 for all processes together; RLIMIT_DATA for each"


def test_without_a_cgroup_one_process_is_held_by_rlimits() -> None:
    said = told(2)
    assert holds(said, Hold.ENFORCED) == set(said)
    assert said["processes"].how.startswith("one process, no more by seccomp; threads by RLIMIT_NPROC")
    assert said["memory_mib"].remedy == said["processes"].remedy == "run as root"


def test_without_namespaces_the_disk_is_watched() -> None:
    assert holds(told(1), Hold.WATCHED) == {"disk_mib", "files on disk"}
    assert holds(told(1, own_uid=False), Hold.WATCHED) == {"disk_mib", "files on disk", "processes"}
    assert told(1)["disk_mib"].remedy


def test_where_nothing_stops_writing_elsewhere_the_disk_has_no_limit() -> None:
    said = told(0)
    assert holds(said, Hold.NOT_ENFORCED) == {"disk_mib", "files on disk"}
    assert holds(said, Hold.WATCHED) == {"cpu_time", "memory_mib"}
    assert said["disk_mib"].how.endswith("what it writes elsewhere is not seen")


def test_a_cgroup_that_does_not_count_cpu_time_is_told() -> None:
    said = told(3, counts_cpu=False)
    assert holds(said, Hold.WATCHED) == {"cpu_time"}
    assert said["cpu_time"].remedy == "mount the cgroup controller cpuacct"


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.levels(3, 2, 1, 0)
async def test_a_sandbox_tells_of_every_limit(sandbox: Sandbox) -> None:
    assert [one.limit for one in sandbox.enforcements] == [
        *("timeout", "cpu_time", "memory_mib", "processes", "open_files", "disk_mib", "files on disk"),
        *("result_kib", "stdout_kib and stderr_kib", "max_output_mib"),
    ]
