"""The container's filter, put around the real sandbox: it must cost no level, and keep what it is there to keep."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.harness import Server

PROFILE = Path(__file__).resolve().parents[2] / "deploy" / "seccomp" / "polycall.json"

# What a container engine does: refuse these calls in this process and all that come of it, then run the program.
_WITHIN = """
import errno, os, sys
from polycall.sandbox import bpf, kernel
from polycall.sandbox.syscalls import MACHINE, numbers

refused = {numbers()[name]: bpf.errno_action(errno.EPERM) for name in sys.argv[1].split(",") if name in numbers()}
assert len(refused) > 30
kernel.forbid_new_privileges()
kernel.set_seccomp_filter(bpf.compile_filter(MACHINE, refused, bpf.ALLOW))
os.execv(sys.argv[2], sys.argv[2:])
"""


def within(*command: str) -> subprocess.CompletedProcess[str]:
    (rule,) = json.loads(PROFILE.read_text())["syscalls"]
    return subprocess.run(
        [sys.executable, "-c", _WITHIN, ",".join(rule["names"]), *command],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_the_sandbox_reaches_the_same_level_within_the_filter(polycall: Server) -> None:
    done = within(str(Path(sys.executable).with_name("polycall")), "doctor", "--json")
    assert json.loads(done.stdout)["isolation_level"] == polycall.ready["isolation_level"], done.stdout + done.stderr


def test_the_filter_refuses_what_is_the_kernels() -> None:
    program = (
        "import ctypes; from polycall.sandbox.syscalls import numbers; "
        "print(ctypes.CDLL(None, use_errno=True).syscall(numbers()['keyctl'], 0, 0), ctypes.get_errno())"
    )
    done = within(sys.executable, "-c", program)
    assert done.stdout == "-1 1\n", done.stderr
