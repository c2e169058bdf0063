"""What a run prints."""

from __future__ import annotations

import asyncio
import time

import pytest

from polycall.domain import OutputChunk, Reason, StartKind, Stream
from polycall.sandbox.job import Ending
from polycall.sandbox.sandbox import Sandbox
from tests.sandbox.conftest import Run
from tests.sandbox.programs import HELD, MIB, WAIT, eventually, go_on, job, key, limits, script, value, with_a_thread

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.levels(3, 1)
async def test_streams_are_kept_apart_and_whole(run: Run) -> None:
    outcome = await run("""
        import os, subprocess, sys
        print('module')
        def execute(input):
            print('printed')
            sys.stderr.write('complained')
            os.write(1, b'raw \\xff')
            return 1
    """)
    assert (outcome.stdout, outcome.stderr) == (b"module\nprinted\nraw \xff", b"complained")
    assert not outcome.stdout_truncated
    assert not outcome.stderr_truncated


async def test_the_result_is_not_printed_and_print_is_no_result(run: Run) -> None:
    outcome = await run("def execute(input):\n    print('{\"fake\": 1}')\n    return 'real'")
    assert (outcome.value, outcome.stdout) == (b'"real"', b'{"fake": 1}\n')


async def test_what_programs_print_is_captured_too(run: Run) -> None:
    outcome = await run("import subprocess\ndef execute(input): return subprocess.run(['echo', 'hi']).returncode")
    assert (outcome.value, outcome.stdout) == (b"0", b"hi\n")


async def test_processes_and_shared_memory_of_the_standard_library_work(run: Run) -> None:
    outcome = await run(
        """
        import multiprocessing, multiprocessing.shared_memory
        def square(number): return number * number
        def execute(input):
            with multiprocessing.get_context('fork').Pool(2) as pool:
                squares = pool.map(square, input)
            memory = multiprocessing.shared_memory.SharedMemory(create=True, size=4096)
            memory.buf[0] = 7
            first = memory.buf[0]
            memory.close()
            memory.unlink()
            return [squares, first]
    """,
        [1, 2, 3],
    )
    assert value(outcome) == [[1, 4, 9], 7]


async def test_the_devices_of_the_standard_streams_work(run: Run) -> None:
    outcome = await run("""
        import subprocess
        def execute(input):
            open('/dev/stdout', 'w').write('one ')
            return subprocess.run('echo two > /dev/stderr; echo three > /proc/self/fd/1', shell=True).returncode
    """)
    assert (outcome.value, outcome.stdout, outcome.stderr) == (b"0", b"one three\n", b"two\n")


async def test_output_is_told_as_it_comes(sandbox: Sandbox) -> None:
    chunks: list[OutputChunk] = []
    code = f"{HELD}\ndef execute(input):\n    print('early')\n    {WAIT}\n    print('late')\n    return 1"
    before = time.time_ns() // 1_000_000
    running = asyncio.create_task(sandbox.run(job(code), chunks.append))
    await eventually(lambda: bool(chunks))  # which waits to be told to go on
    between = time.time_ns() // 1_000_000
    go_on(sandbox)
    outcome = await running
    assert [chunk.data for chunk in chunks] == [b"early\n", b"late\n"]
    assert [chunk.stream for chunk in chunks] == [Stream.STDOUT, Stream.STDOUT]
    assert before <= chunks[0].time_ms <= between <= chunks[1].time_ms
    assert outcome.stdout == b"early\nlate\n"


async def test_what_is_beyond_the_limit_is_cut_and_the_exit_code_stays(sandbox: Sandbox) -> None:
    chunks: list[OutputChunk] = []
    outcome = await sandbox.run(
        script(
            "import sys\nsys.stdout.write('o' * 5_000_000)\nsys.stderr.write('e' * 10)\nsys.exit(3)",
            limits=limits(stdout_bytes=100_000, stderr_bytes=10),
        ),
        chunks.append,
    )
    assert (outcome.ending, outcome.exit_code) == (Ending.EXITED, 3)
    assert outcome.stdout == b"o" * 100_000
    assert outcome.stdout_truncated
    assert (outcome.stderr, outcome.stderr_truncated) == (b"e" * 10, False)
    assert sum(len(chunk.data) for chunk in chunks if chunk.stream is Stream.STDOUT) == 100_000


async def test_no_output_at_all_may_be_wanted(run: Run) -> None:
    outcome = await run("def execute(input): print('x')", limits=limits(stdout_bytes=0))
    assert (outcome.stdout, outcome.stdout_truncated) == (b"", True)


async def test_a_flood_is_ended(run: Run) -> None:
    outcome = await run("""
        import os
        def execute(input):
            data = b'f' * 65536
            while True:
                os.write(1, data)
    """)
    assert outcome.ending is Ending.OUTPUT_TOO_LARGE
    assert outcome.error is not None
    assert outcome.error.reason is Reason.OUTPUT_TOO_LARGE
    assert len(outcome.stdout) == 1 * MIB
    assert outcome.stdout_truncated


async def test_everything_printed_before_the_result_is_there(run: Run) -> None:
    code = "def execute(n):\n    for i in range(n): print(i)\n    return n"
    outcome = await run(code, 20_000)
    assert outcome.stdout == b"".join(b"%d\n" % number for number in range(20_000))


async def test_a_survivor_that_holds_the_pipe_delays_nothing(sandbox: Sandbox, run: Run) -> None:
    hold = """
        import os, time
        def execute(input):
            if os.fork() == 0:
                os.setsid()
                time.sleep(30)
            {ending}
    """
    for ending in ("return 1", "os._exit(4)"):
        began = time.monotonic()
        await run(hold.format(ending=ending))
        assert time.monotonic() - began < 10


async def test_what_a_warm_worker_prints_between_calls_is_nobodys(sandbox: Sandbox, run: Run) -> None:
    code = f"""
        {HELD}
        import os, threading
        def late():
            {WAIT}
            os.write(1, b'late')
        def execute(input):
            print(input)
            if input == 1: threading.Thread(target=late).start()
            return input
    """
    before = with_a_thread(sandbox)
    first = await run(code, 1, key=key("late"))
    workers = with_a_thread(sandbox) - before
    assert len(workers) == 1
    go_on(sandbox)
    await eventually(lambda: not workers & with_a_thread(sandbox))  # it has printed
    second = await run(code, 2, key=key("late"))
    assert second.start_kind is StartKind.WARM
    assert (value(first), first.stdout, value(second), second.stdout) == (1, b"1\n", 2, b"2\n")
