"""Groups of the living are kept, groups of the dead removed; version 2 as far as files can show it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import pytest

from polycall.sandbox import cgroup
from polycall.sandbox.cgroup import CgroupError, Cgroups, Memory, open_cgroups
from tests.sandbox.programs import MIB, cgroups, gone, limits


@pytest.fixture
def groups() -> Cgroups:
    try:
        return open_cgroups()
    except CgroupError as error:
        pytest.skip(f"this machine gives no cgroup: {error}")


def test_a_group_counts_who_joined_and_is_removed(groups: Cgroups) -> None:
    made = {path for path in cgroups() if path.endswith(groups.name)}
    group = groups.make_group()
    fds = group.open_procs()
    child = subprocess.Popen(["sleep", "60"])
    try:
        for fd in fds:
            os.write(fd, str(child.pid).encode())
            os.close(fd)
        assert not group.empty
    finally:
        child.kill()
        child.wait()
    assert group.empty
    groups.close()
    assert made
    assert gone(made)


def test_limits_can_go_up_and_down(groups: Cgroups) -> None:
    group = groups.make_group()
    for memory, processes in ((64, 10), (32, 20), (128, 5), (128, 5)):
        group.limit(limits(memory_bytes=memory * MIB, processes=processes), fresh=False)
    counted = group.memory()
    assert not counted.killed
    assert counted.peak is not None
    groups.close()


def test_what_a_dead_server_left_is_removed_and_the_livings_kept(groups: Cgroups) -> None:
    left = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "from polycall.sandbox.cgroup import *\nopen_cgroups()\nprint('made', flush=True)\ninput()",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert left.stdout is not None
    assert left.stdin is not None
    assert left.stdout.readline() == b"made\n"
    theirs = cgroups(left.pid)
    assert theirs
    open_cgroups().close()
    assert not gone(theirs)
    left.kill()
    left.wait()
    left.stdout.close()
    left.stdin.close()
    open_cgroups().close()
    assert gone(theirs)
    groups.close()


def files(directory: Path, **contents: str) -> None:
    directory.mkdir(exist_ok=True)
    for name, text in contents.items():
        (directory / name.replace("__", ".")).write_text(text)


def test_version_two_writes_its_own_files(tmp_path: Path) -> None:
    files(tmp_path, memory__max="", memory__swap__max="", memory__oom__group="", pids__max="", cgroup__procs="12\n")
    (tmp_path / "memory.events").write_text("low 0\noom 2\noom_kill 3\n")
    group = cgroup.Group(cgroup._Two(), {"": os.open(tmp_path, os.O_RDONLY)})
    group.limit(limits(memory_bytes=64 * MIB, processes=9), fresh=True)
    assert (tmp_path / "memory.max").read_text() == str(80 * MIB)
    assert (tmp_path / "pids.max").read_text() == "9"
    assert (tmp_path / "memory.swap.max").read_text() == "0"
    assert (tmp_path / "memory.oom.group").read_text() == "1"
    assert group.memory() == Memory(False, None)
    (tmp_path / "memory.events").write_text("low 0\noom 3\noom_kill 4\n")
    assert group.memory() == Memory(True, None)
    assert group.memory() == Memory(False, None)
    assert not group.empty
    group.close()


def test_version_two_counts_cpu_time_in_every_group(tmp_path: Path) -> None:
    files(tmp_path, memory__events="oom_kill 0\n", cgroup__procs="")
    (tmp_path / "cpu.stat").write_text("usage_usec 4711\nuser_usec 4000\nsystem_usec 711\n")
    group = cgroup.Group(cgroup._Two(), {"": os.open(tmp_path, os.O_RDONLY)})
    assert group.cpu_us() == 4711
    group.close()


@pytest.fixture
def unified() -> Iterator[Path]:
    """A group in the real hierarchy of version 2, which may have no controllers that limit anything."""
    with open("/proc/self/mountinfo", encoding="utf-8") as stream:
        mounts = [line.split() for line in stream]
    points = [Path(fields[4]) for fields in mounts if "cgroup2" in fields[fields.index("-") :]]
    if not points or not os.access(points[0], os.W_OK):
        pytest.skip("no cgroup2 that may be written is mounted here")
    group = points[0] / f"polycall-test-{os.getpid()}"
    group.mkdir()
    yield group
    group.rmdir()


def test_version_two_counts_who_has_joined_and_ended(unified: Path) -> None:
    directory = os.open(unified, os.O_RDONLY)
    counter = cgroup._Two().open_cpu({"": directory})
    assert counter is not None
    joined = os.open("cgroup.procs", os.O_WRONLY, dir_fd=directory)
    spin = "import os, sys, time\nos.write(int(sys.argv[1]), b'0')\nwhile time.process_time() < 0.1: pass"
    subprocess.run([sys.executable, "-c", spin, str(joined)], pass_fds=[joined], check=True)
    read, in_a_us = cgroup._Two.cpu
    assert read(os.pread(counter, 4096, 0)) // in_a_us > 50_000
    for fd in (directory, counter, joined):
        os.close(fd)


def test_version_one_counts_cpu_time_where_it_has_the_controller(tmp_path: Path) -> None:
    for controller, shown in (("cpuacct", 5), ("cpu", 5), ("pids", None)):
        place = tmp_path / controller
        files(place, memory__oom_control="oom_kill 0\n", cpuacct__usage="5678\n")
        opened = {name: os.open(place, os.O_RDONLY) for name in ("memory", controller)}
        group = cgroup.Group(cgroup._One(), opened)
        assert group.cpu_us() == shown
        group.close()


def test_a_peak_that_cannot_be_reset_is_not_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Linux 5.19 to 6.11: root may open memory.peak for writing, and no write succeeds
    files(tmp_path, memory__max="", memory__oom__group="", pids__max="", memory__events="", cgroup__procs="")
    files(tmp_path, memory__peak="4096\n")
    monkeypatch.setattr(os, "pwrite", Mock(side_effect=OSError(errno.EINVAL, "Invalid argument")))
    group = cgroup.Group(cgroup._Two(), {"": os.open(tmp_path, os.O_RDONLY)})
    group.limit(limits(), fresh=True)
    assert group.memory() == Memory(False, None)
    group.close()


def test_version_two_needs_its_controllers(tmp_path: Path) -> None:
    files(tmp_path, cgroup__controllers="cpu pids\n", cgroup__subtree_control="", cgroup__procs="")
    with pytest.raises(CgroupError, match="lacks the controllers memory") as caught:
        cgroup._prepare_v2(str(tmp_path))
    assert "Delegate=yes" in caught.value.remedy


def test_version_two_moves_the_server_out_of_the_way(tmp_path: Path) -> None:
    files(tmp_path, cgroup__controllers="cpu memory pids\n", cgroup__subtree_control="", cgroup__procs="")
    files(tmp_path / "server", cgroup__procs="")
    cgroup._prepare_v2(str(tmp_path))
    assert (tmp_path / "server" / "cgroup.procs").read_text() == str(os.getpid())
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+memory +pids"


def test_closing_twice_is_no_error(groups: Cgroups) -> None:
    began = time.monotonic()
    groups.close()
    groups.close()
    assert time.monotonic() - began < 10
