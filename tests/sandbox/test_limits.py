"""Limits that hold: each by a program that goes beyond it, at every level, and told as what it was."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from unittest.mock import Mock

import pytest
import pytest_asyncio

from polycall.domain import IsolationLevel, Reason
from polycall.sandbox import guard
from polycall.sandbox.disk import Disk
from polycall.sandbox.job import Ending, Outcome
from polycall.sandbox.sandbox import Sandbox
from tests.sandbox.conftest import Run, config
from tests.sandbox.javascript import js
from tests.sandbox.ordinary import as_ordinary_user
from tests.sandbox.programs import MIB, job, key, limits, script, value

pytestmark = pytest.mark.asyncio(loop_scope="session")
everywhere = pytest.mark.levels(3, 2, 1, 0)

SPIN = "while True: pass"
SPIN_JS = "while (true);"
SPIN_IN_THREADS = """
    import threading, time
    def spin():
        while True: pass
    def execute(input):
        for _ in range(4): threading.Thread(target=spin, daemon=True).start()
        time.sleep(60)
"""
SPIN_IN_CHILDREN = """
    import os, time
    def execute(input):
        for _ in range(3):
            if os.fork() == 0:
                while True: pass
        time.sleep(60)
"""
SPIN_IN_SHORT_CHILDREN = """
    import os, signal, time
    def execute(input):
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them, so no process has their time
        while True:
            if os.fork() == 0:
                until = time.process_time() + 0.05
                while time.process_time() < until: pass
                os._exit(0)
            time.sleep(0.05)
"""


def ending(outcome: Outcome) -> tuple[Ending, Reason | None, int | None]:
    return outcome.ending, outcome.error.reason if outcome.error else None, outcome.signal


OUT_OF_CPU_TIME = (Ending.OUT_OF_CPU_TIME, Reason.CPU_TIME_EXCEEDED, 9)
OUT_OF_MEMORY = (Ending.OUT_OF_MEMORY, Reason.OUT_OF_MEMORY)


@everywhere
@pytest.mark.parametrize("code", [f"def execute(input):\n    {SPIN}", SPIN_IN_THREADS], ids=["loop", "threads"])
async def test_cpu_time_has_a_limit_of_its_own(run: Run, code: str) -> None:
    outcome = await run(code, limits=limits(cpu_ms=300))
    assert ending(outcome) == OUT_OF_CPU_TIME
    assert outcome.error is not None
    assert outcome.error.message == "Stopped after 0.3 s of CPU time (its limit)."
    assert outcome.usage.cpu_us is not None
    assert outcome.usage.cpu_us >= 300_000


@pytest.mark.levels(3, 0)
async def test_cpu_time_is_that_of_all_processes_together(run: Run) -> None:
    assert ending(await run(SPIN_IN_CHILDREN, limits=limits(cpu_ms=300))) == OUT_OF_CPU_TIME


async def test_cpu_time_of_processes_that_have_ended_counts(run: Run) -> None:
    outcome = await run(SPIN_IN_SHORT_CHILDREN, limits=limits(cpu_ms=300))
    assert ending(outcome) == OUT_OF_CPU_TIME
    assert outcome.usage.cpu_us is not None
    assert outcome.usage.cpu_us >= 300_000


async def test_cpu_time_that_nobody_limits_is_bounded_by_the_timeout_alone(run: Run) -> None:
    code = """
        import time
        def execute(input):
            while time.process_time() < 1.2: pass
            return 'done'
    """
    assert value(await run(code, limits=limits(cpu_ms=0, timeout_ms=60_000))) == "done"


async def test_cpu_time_that_is_waited_in_is_not_used(run: Run) -> None:
    outcome = await run("import time\ndef execute(input): time.sleep(0.5); return 1", limits=limits(cpu_ms=250))
    assert value(outcome) == 1


async def test_the_calls_of_a_warm_worker_have_their_cpu_time_each(sandbox: Sandbox) -> None:
    code = """
        import time
        def execute(seconds):
            until = time.process_time() + seconds
            while time.process_time() < until: pass
            return seconds
    """
    shared = {"key": key("cpu"), "limits": limits(cpu_ms=400, timeout_ms=60_000)}
    for _ in range(3):
        assert value(await sandbox.run(job(code, 0.2, **shared))) == 0.2
    assert ending(await sandbox.run(job(code, 60, **shared))) == OUT_OF_CPU_TIME
    assert value(await sandbox.run(job(code, 0, **shared))) == 0


@pytest.mark.levels(3, 1)
async def test_the_kernel_ends_what_the_server_does_not_look_after(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    # as process 1 a run dies of the hard limit's SIGKILL, otherwise of the soft one's SIGXCPU
    monkeypatch.setattr(guard.Guard, "start", lambda *_: None)
    monkeypatch.setattr(guard, "_KERNEL_SLACK_S", 0)
    outcome = await run(f"def execute(input):\n    {SPIN}", limits=limits(cpu_ms=900, timeout_ms=60_000))
    assert ending(outcome) == OUT_OF_CPU_TIME
    assert outcome.error is not None
    assert outcome.error.message == "Stopped after 0.9 s of CPU time (its limit)."


@everywhere
async def test_a_script_has_the_same_limits(sandbox: Sandbox) -> None:
    assert ending(await sandbox.run(script(SPIN, limits=limits(cpu_ms=200)))) == OUT_OF_CPU_TIME
    assert ending(await sandbox.run(script("bytearray(500 << 20)")))[:2] == OUT_OF_MEMORY


@everywhere
async def test_memory_that_is_mapped_counts_as_memory(run: Run) -> None:
    code = """
        import mmap
        def execute(input):
            memory = mmap.mmap(-1, 300 << 20)
            for at in range(0, len(memory), 4096): memory[at] = 1
            return len(memory)
    """
    assert ending(await run(code))[:2] == OUT_OF_MEMORY


# Below: what nobody but the guard holds. Memory by tricks that rlimits do not see is for levels that lack them.

SHARED = """
    import mmap, resource, time
    def execute(input):
        memory = mmap.mmap(-1, 200 << 20)
        for at in range(0, len(memory), 4096): memory[at] = 1
        time.sleep(60)
"""


@pytest_asyncio.fixture(loop_scope="session")
async def unbounded(request: pytest.FixtureRequest) -> AsyncIterator[Sandbox]:
    """A sandbox without cgroups whose address space is not bounded either: as that of a JavaScript engine cannot be."""
    sandbox = Sandbox(config(IsolationLevel(request.param), waiting=1))
    await sandbox.start()
    assert sandbox._options is not None
    object.__setattr__(sandbox._options, "bound_address_space", False)
    yield sandbox
    await sandbox.stop()


@pytest.mark.parametrize("unbounded", [2, 0], indirect=True)
async def test_without_a_cgroup_memory_is_watched(unbounded: Sandbox) -> None:
    outcome = await unbounded.run(job(SHARED))
    assert ending(outcome) == (*OUT_OF_MEMORY, 9)
    assert outcome.error is not None
    assert outcome.error.message == "Killed: out of memory (its limit is 64 MiB)."
    code = """
        import mmap, time
        def execute(input):
            memory = mmap.mmap(-1, 40 << 20)
            for at in range(0, len(memory), 4096): memory[at] = 1
            time.sleep(0.3)  # some looks
            return len(memory)
    """
    assert value(await unbounded.run(job(code))) == 40 * MIB


@pytest.mark.levels(0)
async def test_the_memory_of_a_tree_is_watched_and_shared_pages_count_once(run: Run) -> None:
    code = """
        import os, time
        def execute(each):
            mine = bytearray(b'x') * (30 << 20)
            for _ in range(4):
                if os.fork() == 0:
                    own = bytearray(b'y') * (each << 20)
                    time.sleep(60)
            time.sleep(0.5 if each == 1 else 60)
            return len(mine)
    """
    assert value(await run(code, 1)) == 30 * MIB
    assert ending(await run(code, 30)) == (*OUT_OF_MEMORY, 9)


@pytest.mark.levels(0)
async def test_processes_are_counted_where_the_kernel_does_not(run: Run) -> None:
    code = """
        import os, time
        def execute(input):
            while True:
                if os.fork() == 0: time.sleep(60)
                time.sleep(0.005)
    """
    outcome = await run(code, limits=limits(processes=8))
    if ending(outcome)[0] is not Ending.RAISED:  # runs have a uid of their own here
        assert ending(outcome) == (Ending.TOO_MANY_PROCESSES, Reason.PROCESSES_EXCEEDED, 9)


@everywhere
async def test_threads_count_as_processes(sandbox: Sandbox, run: Run) -> None:
    code = """
        import threading, time
        def execute(input):
            threading.stack_size(32 << 10)
            started = 0
            try:
                while started < 200:
                    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
                    started += 1
                    if started > 20: time.sleep(0.01)
            except RuntimeError:
                pass
            return started
    """
    outcome = await run(code, limits=limits(processes=16))
    if outcome.ending is Ending.RETURNED:
        assert value(outcome) < 16
    else:
        assert sandbox.isolation <= IsolationLevel.CONFINED
        assert ending(outcome) == (Ending.TOO_MANY_PROCESSES, Reason.PROCESSES_EXCEEDED, 9)


@pytest.mark.levels(1, 0)
@pytest.mark.parametrize("write", ["write(b'x' * (1 << 20))", "close()"], ids=["bytes", "files"])
async def test_the_disk_is_watched_where_it_has_no_quota(run: Run, write: str) -> None:
    code = f"""
        import itertools, os, tempfile, time
        def execute(input):
            place = tempfile.mkdtemp()
            for number in itertools.count():
                open(os.path.join(place, str(number)), 'wb').{write}
                if number % 500 == 20: time.sleep(0.1)
    """
    outcome = await run(code, limits=limits(disk_bytes=4 * MIB))
    assert ending(outcome) == (Ending.OUT_OF_DISK, Reason.DISK_EXCEEDED, 9)


@everywhere
@pytest.mark.parametrize(
    "code",
    [
        "function execute() { const held = []; while (true) held.push(new Array(1000).fill(held.length)) }",
        "function execute() { const held = []; while (true) held.push(new Uint8Array(8 << 20).fill(1)) }",
        """async function execute() {
            const held = [];
            while (true) {
                held.push(new Uint8Array(new SharedArrayBuffer(8 << 20)).fill(1));
                await new Promise(done => setTimeout(done, 1));
            }
        }""",
        "function execute() { new Uint8Array(new WebAssembly.Memory({initial: 9000}).buffer).fill(1) }",
    ],
    ids=["heap", "buffers", "shared", "wasm"],
)
async def test_the_memory_of_javascript_is_limited(sandbox: Sandbox, code: str) -> None:
    assert ending(await sandbox.run(js(code)))[:2] == OUT_OF_MEMORY


@everywhere
async def test_the_cpu_time_of_javascript_is_limited(sandbox: Sandbox) -> None:
    assert ending(await sandbox.run(js(f"function execute() {{ {SPIN_JS} }}", limits=limits(cpu_ms=300)))) == (
        OUT_OF_CPU_TIME
    )
    shared = {"key": key("js cpu"), "limits": limits(cpu_ms=300)}
    assert value(await sandbox.run(js(f"function execute(on) {{ if (on) {SPIN_JS} return 1 }}", False, **shared))) == 1
    assert ending(await sandbox.run(js(f"function execute(on) {{ if (on) {SPIN_JS} return 1 }}", True, **shared))) == (
        OUT_OF_CPU_TIME
    )


@pytest.mark.levels(1, 0)
async def test_the_disk_of_javascript_is_watched_where_it_has_no_quota(sandbox: Sandbox) -> None:
    code = """async function execute() {
        for (let n = 0; ; n++) {
            Deno.writeFileSync(`f${n}`, new Uint8Array(1 << 20));
            await new Promise(done => setTimeout(done, 5));
        }
    }"""
    outcome = await sandbox.run(js(code, limits=limits(disk_bytes=8 * MIB)))
    assert ending(outcome) == (Ending.OUT_OF_DISK, Reason.DISK_EXCEEDED, 9)


@pytest.mark.levels(1)
async def test_a_look_that_fails_is_not_the_last(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter([OSError("gone in this moment"), Disk(1, 1), Disk(1 << 40, 1)])
    monkeypatch.setattr(guard, "_WALK_S", 0.01)
    monkeypatch.setattr(guard, "measure", Mock(side_effect=looks))
    outcome = await run("import time\ndef execute(input): time.sleep(60)")
    assert ending(outcome) == (Ending.OUT_OF_DISK, Reason.DISK_EXCEEDED, 9)


ORDINARY = """
import asyncio, json, sys
from polycall.domain import Convention, IsolationLevel, Limits
from polycall.sandbox.job import Bundle, Job
from polycall.sandbox.sandbox import Sandbox, SandboxConfig

LIMITS = Limits(timeout_ms=20_000, memory_bytes=64 << 20, processes=16, open_files=64, disk_bytes=4 << 20,
                result_bytes=1 << 20, stdout_bytes=1 << 20, stderr_bytes=1 << 20, cpu_ms=200)
PROGRAMS = {
    'cpu': "while True: pass",
    'memory': "bytearray(500 << 20)",
    'threads': "import threading, time\\n"
        "try:\\n    for n in range(100): threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\\n"
        "except RuntimeError: print('refused'); import os; os._exit(0)",
    'files': "held = [open('/dev/null') for _ in range(100)]",
    'disk': "import itertools, tempfile, time\\n"
        "for n in itertools.count():\\n"
        "    tempfile.NamedTemporaryFile(delete=False).write(b'x' * (1 << 20)); time.sleep(0.01)",
    'hidden': "import itertools, os, tempfile, time\\n"
        "place = os.path.join(tempfile.gettempdir(), 'hidden'); os.mkdir(place, 0o300)\\n"
        "for n in itertools.count():\\n"
        "    open(os.path.join(place, str(n)), 'wb').write(b'x' * (1 << 20)); time.sleep(0.01)",
}

async def main():
    sandbox = Sandbox(SandboxConfig(max_level=IsolationLevel(int(sys.argv[1])), waiting=1, disk_bytes=4 << 20))
    await sandbox.start()
    told = {}
    try:
        for name, code in PROGRAMS.items():
            outcome = await sandbox.run(Job(
                bundle=Bundle(digest=name, files={'main.py': code.encode()}), entrypoint='main.py',
                convention=Convention.SCRIPT, limits=LIMITS))
            told[name] = [outcome.ending, (outcome.stdout + outcome.stderr).decode().splitlines()[-1:]]
        print(json.dumps([sandbox.isolation, told]))
    finally:
        await sandbox.stop()

asyncio.run(main())
"""


@pytest.mark.parametrize("level", [2, 1])
async def test_the_limits_of_an_ordinary_users_sandbox_hold_too(level: int) -> None:
    seen, told = await asyncio.to_thread(as_ordinary_user, ORDINARY, str(level))
    assert seen == level
    assert told["cpu"] == ["out_of_cpu_time", []]
    assert told["memory"] == ["out_of_memory", ["MemoryError"]]
    assert told["files"] == ["exited", ["OSError: [Errno 24] Too many open files: '/dev/null'"]]
    if level == 2:
        assert told["threads"] == ["exited", ["refused"]]
        assert told["disk"] == told["hidden"] == ["exited", ["OSError: [Errno 28] No space left on device"]]
    else:
        assert told["threads"][0] in ("exited", "too_many_processes")
        assert told["disk"] == told["hidden"] == ["out_of_disk", []]
