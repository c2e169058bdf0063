"""A zygote's fork: everything that hooks of os.fork do in a child, or the hooks themselves."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

PROGRAM = """
import json, os, sys
from polycall.sandbox.forking import Fork
fork = Fork()
with fork.watching():
    import random, threading
    import {module}
random.seed(1)
random.random()
told = []
for _ in range(2):
    read, write = os.pipe()
    pid = fork()
    if pid == 0:
        started = threading.Thread(target=lambda: None)
        started.start()
        started.join()
        tid = threading.main_thread().native_id
        facts = {{"random": random.random(), "own": tid == os.getpid(), "hook": getattr({module}, "hooked", None)}}
        facts["threads"] = threading.active_count()
        os.write(write, json.dumps(facts).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    told.append(json.loads(os.read(read, 1000)))
print(json.dumps({{"children": told, "parent": random.random(), "plain": fork._plain}}))
"""

THREADS = """
import threading
threading.Thread(target=threading.Event().wait, daemon=True).start()
"""
PACKAGE = """
import os
hooked = 0
def hook():
    global hooked
    hooked += 1
os.register_at_fork(after_in_child=hook)
"""


def run(module: str, path: str = "") -> Any:
    program = PROGRAM.format(module=module)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={"PYTHONPATH": path}
    )
    return json.loads(done.stdout)


def test_children_have_random_numbers_of_their_own_and_know_their_thread() -> None:
    told = run("logging")
    numbers = [child["random"] for child in told["children"]]
    assert len({*numbers, told["parent"]}) == 3
    assert [child["own"] for child in told["children"]] == [True, True]
    assert told["plain"]


def test_a_hook_of_a_package_is_run(tmp_path: Any) -> None:
    (tmp_path / "package.py").write_text(PACKAGE)
    told = run("package", str(tmp_path))
    assert [child["hook"] for child in told["children"]] == [1, 1]
    assert len({child["random"] for child in told["children"]}) == 2
    assert not told["plain"]


def test_threads_of_a_package_are_not_waited_for_in_children(tmp_path: Any) -> None:
    (tmp_path / "package.py").write_text(THREADS)
    told = run("package", str(tmp_path))
    assert [child["threads"] for child in told["children"]] == [1, 1]
