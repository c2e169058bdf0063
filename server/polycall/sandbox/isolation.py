"""Which isolation level this machine gives, why not a higher one, and how to get it.

Nothing is guessed from versions or files: ``probe`` tries, in child processes, what a zygote will do.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

import msgspec

from polycall.domain import IsolationLevel
from polycall.quick import dataclass
from polycall.sandbox.cgroup import CgroupError

__all__ = ["Finding", "Machine", "ProbeError", "at_most", "findings_of", "level_of", "probe"]

_TRUNCATION_ABI = 3
# 0.06 s on an idle machine.
_PROBE_S = 10.0


class ProbeError(Exception):
    """Raised when the machine cannot even be probed: the interpreter does not run."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One feature of isolation: whether it is there, what was seen, and the command or setting that would get it."""

    feature: str
    ok: bool
    detail: str
    remedy: str = ""


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What the probe found; the error texts are the kernel's. ``single_uid``: only the server's own can be mapped."""

    namespaces: bool
    single_uid: bool
    has_proc: bool
    missing: dict[str, str]
    landlock: int
    no_landlock: str | None
    seccomp: bool
    no_seccomp: str | None
    other_uid: bool
    no_other_uid: str | None


async def probe(executable: str, uids: range) -> Machine:
    """Find out what this machine allows. Raises ProbeError."""
    script = Path(__file__).with_name("probe.py")
    command = [executable, "-I", "-S", str(script), str(uids.start), str(len(uids))]
    process = await asyncio.create_subprocess_exec(
        *command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/", env={}
    )
    try:
        async with asyncio.timeout(_PROBE_S):
            answer, words = await process.communicate()
    except BaseException as error:
        process.kill()
        await process.wait()
        if isinstance(error, TimeoutError):
            raise ProbeError(f"{executable} did not answer within {_PROBE_S:g} s") from None
        raise
    try:
        return msgspec.json.decode(answer, type=Machine)
    except msgspec.DecodeError:
        last = words.decode(errors="replace").strip().rpartition("\n")[2]
        raise ProbeError(f"{executable} cannot be used to run code: {last or 'it said nothing'}") from None


def at_most(machine: Machine, level: IsolationLevel) -> Machine:
    """Return the machine without what only a level above ``level`` has."""
    return msgspec.structs.replace(
        machine,
        namespaces=machine.namespaces and level >= IsolationLevel.NAMESPACED,
        landlock=machine.landlock if level >= IsolationLevel.CONFINED else 0,
        seccomp=machine.seccomp and level >= IsolationLevel.CONFINED,
    )


def level_of(machine: Machine, *, cgroup: bool) -> IsolationLevel:
    """Return the level that the features add up to."""
    if machine.namespaces and machine.seccomp:
        return IsolationLevel.CONTAINED if cgroup else IsolationLevel.NAMESPACED
    # Before ABI 3 (Linux 6.2) Landlock does not keep files from being truncated that their owner may only read.
    if machine.seccomp and (machine.landlock >= _TRUNCATION_ABI or (machine.landlock and machine.other_uid)):
        return IsolationLevel.CONFINED
    return IsolationLevel.PROCESS


def findings_of(machine: Machine, cgroup: str | CgroupError) -> tuple[Finding, ...]:
    """Explain every feature; ``cgroup`` is the title of what was made, or why nothing was."""
    return (
        *_namespaces(machine),
        Finding("seccomp", True, "filters system calls")
        if machine.seccomp
        else Finding("seccomp", False, machine.no_seccomp or "not asked for", _SECCOMP),
        Finding("landlock", True, f"ABI {machine.landlock}")
        if machine.landlock
        else Finding("landlock", False, machine.no_landlock or "not asked for", _LANDLOCK),
        Finding("cgroup", True, f"{cgroup}: memory and processes of the whole tree")
        if isinstance(cgroup, str)
        else Finding("cgroup", False, str(cgroup), cgroup.remedy),
    )


_SECCOMP = "use a kernel with CONFIG_SECCOMP_FILTER=y"
_LANDLOCK = "use Linux 5.13 or newer with CONFIG_SECURITY_LANDLOCK=y and landlock in the kernel's lsm= list"
_PROC = "docker run --security-opt systempaths=unconfined; Kubernetes: procMount: Unmasked with hostUsers: false"
_INTERPRETER = "use a Python that other users may read, such as /usr/bin/python3, not one below a private home"
_CONTAINER = (
    "in a container, allow user namespaces: docker run --security-opt seccomp=deploy/seccomp/polycall.json "
    "--security-opt apparmor=unconfined; Kubernetes: that profile as seccompProfile of type Localhost (docs/deploy.md)"
)
# setting, value that forbids, remedy
_SETTINGS = (
    (
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "sysctl kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile with userns for the interpreter",
    ),
    ("/proc/sys/kernel/unprivileged_userns_clone", "0", "sysctl kernel.unprivileged_userns_clone=1"),
    ("/proc/sys/user/max_user_namespaces", "0", "sysctl user.max_user_namespaces=15000"),
)


def _namespaces(machine: Machine) -> Iterable[Finding]:
    if machine.namespaces:
        uids = "one uid for all runs, each in a nested user namespace" if machine.single_uid else "a uid for each run"
        yield Finding("namespaces", True, f"user, mount, pid, network, ipc, uts, cgroup; {uids}")
        if not machine.has_proc:
            yield Finding("proc", False, "runs have no /proc: it is masked here", _PROC)
        return
    detail = "; ".join(f"{name}: {error}" for name, error in machine.missing.items())
    yield Finding("namespaces", False, detail or "not asked for", _namespace_remedy())
    if os.geteuid() == 0 and not machine.other_uid:
        yield Finding("uids", False, f"runs keep the server's uid: {machine.no_other_uid}", _INTERPRETER)


def _namespace_remedy() -> str:
    for path, forbidding, remedy in _SETTINGS:
        try:
            if Path(path).read_text(encoding="ascii").strip() == forbidding:
                return remedy
        except OSError:
            continue
    return _CONTAINER
