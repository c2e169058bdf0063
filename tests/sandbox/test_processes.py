"""What is seen of processes from outside."""

from __future__ import annotations

import mmap
import os

from polycall.sandbox import processes
from tests.sandbox.programs import MIB


def test_a_process_is_seen_with_its_threads_and_memory() -> None:
    seen = processes.taken(os.getpid())
    assert seen is not None
    assert seen.threads >= 1
    before = seen.memory_bytes
    # pages of its own: an allocator may have some left from earlier
    held = mmap.mmap(-1, 32 * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    held.write(b"x" * (32 * MIB))
    seen = processes.taken(os.getpid())
    assert seen is not None
    assert seen.memory_bytes - before > 24 * MIB
    assert processes.shared_out([os.getpid()]) > 24 * MIB
    del held


def test_what_is_gone_has_nothing() -> None:
    gone = 2**22 + 1  # above PID_MAX_LIMIT
    assert processes.taken(gone) is None
    assert processes.tree(gone, 10) == [gone]
    assert processes.cpu_us(gone) == processes.shared_out([gone]) == 0
