"""Which level a machine gives, what is said of it, and that a broken sandbox does not serve."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from polycall.domain import IsolationLevel
from polycall.errors import Internal, IsolationUnavailable
from polycall.sandbox import canary
from polycall.sandbox.cgroup import CgroupError
from polycall.sandbox.isolation import Machine, at_most, findings_of, level_of
from polycall.sandbox.sandbox import Sandbox
from tests.sandbox.conftest import config
from tests.sandbox.ordinary import as_ordinary_user
from tests.sandbox.programs import cgroups, job, value

pytestmark = pytest.mark.filterwarnings("error")

EVERYTHING = Machine(
    namespaces=True,
    single_uid=False,
    has_proc=True,
    missing={},
    landlock=7,
    no_landlock=None,
    seccomp=True,
    no_seccomp=None,
    other_uid=True,
    no_other_uid=None,
)


def machine(**changes: Any) -> Machine:
    return msgspec.structs.replace(EVERYTHING, **changes)


@pytest.mark.parametrize(
    ("found", "cgroup", "level"),
    [
        (machine(), True, 3),
        (machine(), False, 2),
        (machine(landlock=0), True, 3),
        (machine(namespaces=False), True, 1),
        (machine(namespaces=False, landlock=0), True, 0),
        (machine(namespaces=False, landlock=1), True, 1),
        (machine(namespaces=False, landlock=2, other_uid=False), True, 0),
        (machine(namespaces=False, landlock=3, other_uid=False), True, 1),
        (machine(seccomp=False), True, 0),
    ],
)
def test_the_level_is_what_the_features_add_up_to(found: Machine, cgroup: bool, level: int) -> None:
    assert level_of(found, cgroup=cgroup) == level


@pytest.mark.parametrize("level", [3, 2, 1, 0])
def test_a_machine_can_be_made_worse_but_not_better(level: int) -> None:
    assert level_of(at_most(machine(), IsolationLevel(level)), cgroup=level == 3) == level
    assert level_of(at_most(machine(namespaces=False), IsolationLevel(3)), cgroup=True) == 1


def test_every_missing_feature_is_named_with_its_remedy() -> None:
    nothing = machine(
        namespaces=False,
        missing={"user namespace": "Operation not permitted"},
        landlock=0,
        no_landlock="Function not implemented",
        seccomp=False,
        no_seccomp="Invalid argument",
        other_uid=False,
        no_other_uid="Permission denied",
    )
    findings = {
        finding.feature: finding for finding in findings_of(nothing, CgroupError("read-only", "make it writable"))
    }
    assert not any(finding.ok for finding in findings.values())
    assert all(finding.remedy for finding in findings.values())
    assert findings["namespaces"].detail == "user namespace: Operation not permitted"
    assert findings["landlock"].detail == "Function not implemented"
    assert (findings["cgroup"].detail, findings["cgroup"].remedy) == ("read-only", "make it writable")


def test_what_is_there_needs_no_remedy() -> None:
    findings = findings_of(machine(), "cgroup v2")
    assert [finding.feature for finding in findings] == ["namespaces", "seccomp", "landlock", "cgroup"]
    assert all(finding.ok and not finding.remedy for finding in findings)


def test_a_masked_proc_is_a_finding_and_no_lower_level() -> None:
    found = machine(has_proc=False)
    assert level_of(found, cgroup=False) == 2
    assert [finding.feature for finding in findings_of(found, "cgroup v1") if not finding.ok] == ["proc"]


@pytest.mark.parametrize("level", [3, 2, 1])
async def test_a_sandbox_that_does_not_hold_does_not_serve(level: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # an "attack" that anyone can do stands for one that should have failed
    breach = canary._SOURCE.replace(b"def connect(target):", b"def connect(target):\n    return True\n")
    monkeypatch.setattr(canary, "_SOURCE", breach)
    groups = cgroups()
    sandbox = Sandbox(config(IsolationLevel(level)))
    with pytest.raises(IsolationUnavailable, match="code in the sandbox could connect"):
        await sandbox.start()
    assert sandbox.zygotes == ()
    assert cgroups() <= groups


async def test_the_attacks_of_the_self_test_succeed_where_nothing_stops_them() -> None:
    sandbox = Sandbox(config(IsolationLevel.PROCESS))
    await sandbox.start()
    try:
        with canary.bait(1 << 20) as attack:
            outcome = await sandbox.run(attack)
    finally:
        await sandbox.stop()
    assert {"read_file", "connect", "signal_server"} <= set(json.loads(outcome.value or b"[]"))


async def test_an_interpreter_that_does_not_run_is_told(tmp_path: Path) -> None:
    for text, words in (
        ("#!/bin/sh\necho broken >&2\nexit 3\n", "broken"),
        ("#!/bin/sh\necho '{}'\n", "cannot be used"),
    ):
        fake = tmp_path / "python"
        fake.write_text(text)
        fake.chmod(0o755)
        with pytest.raises(Internal, match=words):
            await Sandbox(config(interpreter=str(fake))).start()
    with pytest.raises(Internal, match="The sandbox cannot start"):
        await Sandbox(config(interpreter=str(tmp_path / "missing"))).start()


async def test_nothing_of_the_server_is_loaded_in_a_child() -> None:
    sandbox = Sandbox(config())
    await sandbox.start()
    try:
        code = """
            import sys
            def execute(names):
                return [name for name in sys.modules if name.partition('.')[0] in names]
        """
        assert value(await sandbox.run(job(code, ["polycall", "grpc", "msgspec", "sqlalchemy", "google"]))) == []
        code = "import sys\ndef execute(input): return [path for path in sys.path if 'site-packages' in path]"
        assert value(await sandbox.run(job(code))) == []
    finally:
        await sandbox.stop()


ORDINARY = """
import asyncio, json, os, sys
from polycall.domain import Convention, IsolationLevel, Limits
from polycall.sandbox.job import Bundle, Job, WorkerKey
from polycall.sandbox.sandbox import Sandbox, SandboxConfig

CODE = b'''
import os, sqlite3
def execute(input):
    try: forked = os.fork()
    except OSError as error: forked = type(error).__name__
    return [input, os.getuid(), os.getpid(), forked]
'''
LIMITS = Limits(timeout_ms=20_000, memory_bytes=64 << 20, processes=32, open_files=128, disk_bytes=16 << 20,
                result_bytes=1 << 20, stdout_bytes=1 << 20, stderr_bytes=1 << 20)

def job(payload, key=None):
    return Job(bundle=Bundle(digest='d', files={'main.py': CODE}), entrypoint='main:execute',
               convention=Convention.INPUT, limits=LIMITS, payload=payload, key=key)

async def main():
    sandbox = Sandbox(SandboxConfig(max_level=IsolationLevel(int(sys.argv[1])), waiting=1))
    await sandbox.start()
    try:
        fresh = await sandbox.run(job(b'1'))
        warm = [await sandbox.run(job(b'2', WorkerKey('p', 'k', 'v'))) for _ in range(2)][1]
        print(json.dumps({
            'uid': os.getuid(), 'level': sandbox.isolation, 'fresh': json.loads(fresh.value or b'null'),
            'error': str(fresh.error), 'warm': json.loads(warm.value or b'null'), 'start': warm.start_kind,
            'namespaces': next(f.detail for f in sandbox.findings if f.feature == 'namespaces')}))
    finally:
        await sandbox.stop()

asyncio.run(main())
"""


@pytest.mark.parametrize("level", [2, 1])
def test_an_ordinary_user_has_a_sandbox_too(level: int) -> None:
    told = as_ordinary_user(ORDINARY, str(level))
    uid = 1000 if level == 2 else 65534
    assert (told["uid"], told["level"], told["fresh"][0], told["warm"][0], told["start"]) == (
        65534,
        level,
        1,
        2,
        "warm",
    )
    assert (told["fresh"][1], told["fresh"][3]) == (uid, "PermissionError"), told
    if level == 2:
        assert told["fresh"][2] == 1
        assert told["namespaces"].endswith("one uid for all runs, each in a nested user namespace")
