"""Blocks of a large message are kept for the next one."""

from __future__ import annotations

import subprocess
import sys

# Page faults of twenty blocks of a MiB, each freed before the next one: 256 each if every one is the kernel's again.
PROGRAM = """
import resource, sys
from polycall.allocator import keep_large_blocks
if sys.argv[1] == "kept":
    keep_large_blocks()
def block():
    bytes(bytearray(1 << 20))
block()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    block()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_what_was_freed_is_there_for_the_next_block() -> None:
    assert faults("kept") < 20 * 256 // 10
