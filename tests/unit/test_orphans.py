"""What a killed server process leaves behind is reaped by a supervisor that is process 1."""

from __future__ import annotations

import subprocess
import sys

# A subreaper is to its descendants what process 1 is to a container.
PROGRAM = """
import ctypes, os, subprocess, sys, time
from polycall.family.orphans import bury
assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0  # PR_SET_CHILD_SUBREAPER
ours = subprocess.Popen([sys.executable, "-c", "pass"])
parent = subprocess.run([sys.executable, "-c", "import subprocess; print(subprocess.Popen(['sleep', '0.5']).pid)"],
                        stdout=subprocess.PIPE, check=True)
orphan = int(parent.stdout)
end = time.monotonic() + 20
while (buried := bury({ours.pid})) == 0:
    assert time.monotonic() < end
    time.sleep(0.01)
assert buried == 1, buried
assert not os.path.exists(f"/proc/{orphan}")
assert bury({ours.pid}) == 0
assert ours.wait() == 0  # its end was left to whom it belongs
"""


def test_orphans_are_buried_and_children_are_left_alone() -> None:
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, timeout=60)
