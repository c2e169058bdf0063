"""Hostile programs, each by name: what they try, and that it comes to nothing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import tempfile
import textwrap
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from polycall.sandbox.job import Ending
from polycall.sandbox.sandbox import Sandbox
from polycall.sandbox.syscalls import MACHINE, numbers
from tests.sandbox.conftest import Run
from tests.sandbox.programs import MIB, eventually, job, limits, tree, value

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.levels(3, 2)]

CALL = """
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    arguments = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = libc.syscall(ctypes.c_long(number), *arguments)
    return errno.errorcode[ctypes.get_errno()] if result < 0 else 'done'
"""


def code(body: str, prelude: str = CALL) -> str:
    return prelude + textwrap.dedent(body)


def _names(sandbox: Sandbox) -> set[str]:
    names = set()
    for process in tree(sandbox):
        with contextlib.suppress(psutil.NoSuchProcess):
            names.add(process.name())
    return names


# processes


async def test_a_fork_bomb_is_bounded_and_swept_away(sandbox: Sandbox, run: Run) -> None:
    outcome = await run("""
        import os, time
        def execute(input):
            made = 0
            try:
                while True:
                    if os.fork() == 0:
                        time.sleep(60)
                    made += 1
            except OSError as error:
                return [made < 32, type(error).__name__]
    """)
    assert value(outcome) == [True, "BlockingIOError" if sandbox.isolation == 3 else "PermissionError"]
    # two zygote processes, two waiting children and what warm workers there are
    await eventually(lambda: len(tree(sandbox)) <= 10)


async def test_a_fork_bomb_that_never_stops_is_ended_in_time(run: Run) -> None:
    bomb = """
        import os
        def execute(input):
            while True:
                try: os.fork()
                except OSError: pass
    """
    # whichever limit it meets first: its time, or the memory of the whole tree
    assert (await run(bomb, limits=limits(timeout_ms=500))).ending in (Ending.TIMED_OUT, Ending.OUT_OF_MEMORY)


@pytest.mark.levels(3, 2, 1)
async def test_a_thread_bomb_is_bounded(run: Run) -> None:
    outcome = await run("""
        import threading, time
        def execute(input):
            made = 0
            try:
                while made < 2000:
                    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
                    made += 1
            except RuntimeError as error:
                return str(error)
    """)
    assert value(outcome) == "can't start new thread"


@pytest.mark.levels(3)
async def test_a_daemon_does_not_outlive_its_run(sandbox: Sandbox, run: Run) -> None:
    outcome = await run("""
        import subprocess
        def execute(input):
            command = 'trap "" TERM HUP; sleep 613 & sleep 613'
            subprocess.Popen(['sh', '-c', command], start_new_session=True)
            return 1
    """)
    assert value(outcome) == 1
    await eventually(lambda: not any(name in _names(sandbox) for name in ("sh", "sleep")))


@pytest.mark.levels(3, 2, 1)
async def test_ignoring_every_signal_does_not_help(run: Run) -> None:
    outcome = await run(
        """
        import signal, time
        def execute(input):
            for number in range(1, 65):
                try: signal.signal(number, signal.SIG_IGN)
                except (OSError, ValueError): pass
            while True:
                time.sleep(1)
        """,
        limits=limits(timeout_ms=400),
    )
    assert outcome.ending is Ending.TIMED_OUT


async def test_stopping_itself_does_not_help(run: Run) -> None:
    stop = "import os, signal, time\ndef execute(input):\n    os.kill(os.getpid(), signal.SIGSTOP)\n    time.sleep(60)"
    assert (await run(stop, limits=limits(timeout_ms=400))).ending is Ending.TIMED_OUT


async def test_no_other_process_is_in_sight(run: Run) -> None:
    outcome = await run("""
        import os
        def execute(input):
            return [[name for name in os.listdir('/proc') if name.isdigit()], os.getpid(), os.getppid()]
    """)
    assert value(outcome) == [["1"], 1, 0]


@pytest.mark.levels(3, 2, 1)
async def test_signals_reach_nobody_else(run: Run) -> None:
    outcome = await run(f"""
        import os
        def attempt(pid):
            if pid == os.getpid():
                return 'self'
            try: os.kill(pid, 0)
            except OSError as error: return type(error).__name__
            return 'reached'
        def execute(input):
            pids = (-1, 1, 2, {os.getpid()}, {os.getppid()}, -{os.getpgrp()})
            return sorted({{attempt(pid) for pid in pids}} - {{'self'}})
    """)
    assert "reached" not in value(outcome)


CALLS = {
    "ptrace": (0, 0, 0, 0),
    "process_vm_readv": (1, 0, 0, 0, 0, 0),
    "process_vm_writev": (1, 0, 0, 0, 0, 0),
    "kcmp": (1, 1, 0, 0, 0),
    "pidfd_getfd": (0, 0, 0),
    "unshare": (0x10000000,),
    "setns": (0, 0),
    "mount": (0, 0, 0, 0, 0),
    "umount2": (0, 0),
    "pivot_root": (0, 0),
    "chroot": (0,),
    "fsopen": (0, 0),
    "open_tree": (-100, 0, 0),
    "move_mount": (0, 0, 0, 0, 0),
    "mount_setattr": (0, 0, 0, 0, 0),
    "bpf": (0, 0, 0),
    "perf_event_open": (0, 0, 0, 0, 0),
    "userfaultfd": (0,),
    "io_uring_setup": (8, 0),
    "io_uring_enter": (0, 0, 0, 0, 0, 0),
    "io_uring_register": (0, 0, 0, 0),
    "keyctl": (0, -3, 1),
    "add_key": (0, 0, 0, 0, 0),
    "request_key": (0, 0, 0, 0),
    "init_module": (0, 0, 0),
    "finit_module": (0, 0, 0),
    "kexec_load": (0, 0, 0, 0),
    "reboot": (0, 0, 0, 0),
    "swapon": (0, 0),
    "acct": (0,),
    "open_by_handle_at": (0, 0, 0),
    "name_to_handle_at": (0, 0, 0, 0, 0),
    "fanotify_init": (0, 0),
    "settimeofday": (0, 0),
    "clock_settime": (0, 0),
    "sethostname": (0, 0),
    "setuid": (0,),
    "setresuid": (0, 0, 0),
    "setgroups": (0, 0),
    "capset": (0, 0),
    "mknodat": (-100, 0, 0o60666, 0),
    "shmget": (0, 4096, 0o1666),
    "semget": (0, 1, 0o1666),
    "msgget": (0, 0o1666),
    "mq_open": (0, 0, 0, 0),
    "seccomp": (1, 0, 0),
    "landlock_create_ruleset": (0, 0, 1),
    "memfd_secret": (0,),
    "mbind": (0, 0, 0, 0, 0, 0),
    "vmsplice": (0, 0, 0, 0),
    "quotactl": (0, 0, 0, 0),
    "syslog": (0, 0, 0),
}


@pytest.mark.levels(3, 2, 1)
async def test_system_calls_that_reach_out_are_refused(run: Run) -> None:
    outcome = await run(
        code("""
        def execute(calls):
            return {name: call(number, *arguments) for name, (number, arguments) in calls.items()}
        """),
        {name: [numbers()[name], arguments] for name, arguments in CALLS.items()},
    )
    assert value(outcome) == dict.fromkeys(CALLS, "EPERM")


@pytest.mark.levels(3, 2, 1)
async def test_new_namespaces_cannot_come_by_clone(run: Run) -> None:
    outcome = await run(
        code("def execute(nr): return [call(nr[0], flag | 17, 0, 0, 0, 0) for flag in nr[2:]] + [call(nr[1], 0, 0)]"),
        [numbers()["clone"], numbers()["clone3"], 0x20000, 0x10000000, 0x20000000, 0x40000000, 0x02000000, 0x80],
    )
    assert value(outcome) == ["EPERM"] * 6 + ["ENOSYS"]


@pytest.mark.levels(3, 2, 1)
async def test_unknown_system_calls_do_not_exist(run: Run) -> None:
    unknown = [max(numbers().values()) + 1, 1000, 100_000]
    outcome = await run(code("def execute(nr): return [call(number) for number in nr]"), unknown)
    assert value(outcome) == ["ENOSYS"] * 3


@pytest.mark.skipif(MACHINE != "x86_64", reason="the other system call tables exist on x86-64 alone")
async def test_the_other_system_call_tables_are_closed(run: Run) -> None:
    x32_getpid = 0x40000000 | 39
    assert value(await run(code("def execute(number): return call(number)"), x32_getpid)) == "ENOSYS"
    # mov eax, 20 (getpid of i386); int 0x80; ret
    outcome = await run("""
        import ctypes, mmap
        def execute(input):
            page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
            page.write(bytes.fromhex('b814000000cd80c3'))
            address = ctypes.addressof(ctypes.c_char.from_buffer(page))
            return ctypes.CFUNCTYPE(ctypes.c_int)(address)()
    """)
    assert (outcome.ending, outcome.signal) == (Ending.SIGNALLED, 31)  # SIGSYS


@pytest.mark.levels(3, 2, 1)
async def test_privileges_are_gone(run: Run) -> None:
    outcome = await run(
        code("""
        PR_GET_NO_NEW_PRIVS, PR_GET_SECCOMP, PR_CAPBSET_READ = 39, 21, 23
        def execute(capget):
            header = (ctypes.c_uint32 * 2)(0x20080522, 0)
            data = (ctypes.c_uint32 * 6)()
            libc.syscall(ctypes.c_long(capget), header, data)
            bounding = [libc.prctl(PR_CAPBSET_READ, n, 0, 0, 0) for n in range(41)]
            return [list(data), sum(bounding), libc.prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0),
                    libc.prctl(PR_GET_SECCOMP, 0, 0, 0, 0), os.getgroups()]
        """),
        numbers()["capget"],
    )
    assert value(outcome) == [[0] * 6, 0, 1, 2, []]


async def test_setuid_programs_give_nothing(run: Run) -> None:
    outcome = await run("""
        import os
        def execute(input):
            flags = os.statvfs('/usr').f_flag
            return [bool(flags & os.ST_NOSUID), bool(flags & os.ST_RDONLY), os.getuid() != 0]
    """)
    assert value(outcome) == [True, True, True]


# files


async def test_host_files_do_not_exist(run: Run) -> None:
    with tempfile.NamedTemporaryFile("w", prefix="polycall-secret-") as secret:
        secret.write("secret")
        secret.flush()
        os.chmod(secret.name, 0o644)
        outcome = await run(
            """
            import os
            def execute(paths):
                found = []
                for path in paths:
                    for prefix in ('', '/proc/1/root', '/proc/self/root', '/proc/self/cwd/../..', '/mnt/..'):
                        try: found.append([prefix + path, open(prefix + path).read(20)])
                        except OSError: pass
                return [found, sorted(os.listdir('/'))]
            """,
            [secret.name, "/etc/shadow", "/etc/hostname.real", __file__, "/var/log/dpkg.log"],
        )
    found, root = value(outcome)
    assert found == []
    assert set(root) - {"bin", "lib", "lib32", "lib64", "libx32", "sbin", "usr"} >= {"dev", "etc", "mnt", "proc", "tmp"}
    assert not {"home", "var", "run", "sys", "boot", "work", "srv"} & set(root)


@pytest.mark.levels(1)
async def test_host_files_cannot_be_read_without_namespaces_either(run: Run) -> None:
    with tempfile.NamedTemporaryFile("w", prefix="polycall-secret-") as secret:
        os.chmod(secret.name, 0o666)
        outcome = await run(
            """
            import os
            def execute(paths):
                done = []
                for path in paths:
                    for action in (lambda: open(path).read(1), lambda: open(path, 'a'), lambda: os.listdir(path)):
                        try: action(); done.append(path)
                        except OSError: pass
                return done
            """,
            [
                secret.name,
                "/etc/passwd",
                "/root",
                "/",
                "/proc/1/environ",
                f"/proc/{os.getpid()}/environ",
                "/tmp",
                "/dev",
            ],
        )
    assert value(outcome) == []


@pytest.mark.levels(3, 2, 1)
async def test_nothing_of_the_system_can_be_written(run: Run) -> None:
    outcome = await run("""
        import os, sys
        def execute(input):
            done = []
            library = os.path.dirname(os.__file__)
            paths = ['/x', '/etc/passwd', '/usr/x', '/usr/bin/x', sys.executable, os.__file__, library + '/x',
                     '/proc/sys/kernel/core_pattern', '/proc/sysrq-trigger', '/proc/self/oom_score', '/dev/x']
            for path in paths:
                try: open(path, 'a').close(); done.append(path)
                except OSError: pass
            return done
    """)
    assert value(outcome) == []


@pytest.mark.levels(3, 2, 1)
async def test_files_of_the_host_cannot_be_changed_in_any_other_way(run: Run) -> None:
    with tempfile.NamedTemporaryFile(prefix="polycall-target-") as target:
        target.write(b"content")
        target.flush()
        os.chmod(target.name, 0o666)
        before = os.stat(target.name)
        outcome = await run(
            """
            import os
            def execute(paths):
                done = []
                for path in paths:
                    for name, action in {
                        'chmod': lambda: os.chmod(path, 0o777),
                        'utime': lambda: os.utime(path, (1, 1)),
                        'chown': lambda: os.chown(path, os.getuid(), os.getgid()),
                        'setxattr': lambda: os.setxattr(path, 'user.x', b'x'),
                        'truncate': lambda: os.truncate(path, 0),
                        'open': lambda: os.open(path, os.O_RDONLY | os.O_TRUNC),
                        'unlink': lambda: os.unlink(path),
                        'rename': lambda: os.rename(path, path + '.x'),
                        'link': lambda: os.link(path, 'linked'),
                        'fchmod': lambda: os.fchmod(os.open(path, os.O_RDONLY), 0o777),
                    }.items():
                        try: action(); done.append([name, path])
                        except OSError: pass
                return done
            """,
            [target.name, os.__file__, "/usr/bin/env"],
        )
        assert value(outcome) == []
        after = os.stat(target.name)
        assert (after.st_mode, after.st_size, after.st_mtime_ns) == (before.st_mode, 7, before.st_mtime_ns)


async def test_the_disk_has_a_size(run: Run) -> None:
    outcome = await run(
        """
        import errno
        def execute(input):
            written = 0
            try:
                for number in range(100):
                    with open(f'/tmp/{number}' if number % 2 else f'{number}', 'wb') as stream:
                        written += stream.write(b'x' * (1 << 20))
            except OSError as error:
                return [written >> 20, errno.errorcode[error.errno]]
        """,
        limits=limits(memory_bytes=128 * MIB),
    )
    written, error = value(outcome)
    assert error == "ENOSPC"
    assert 14 <= written <= 16


@pytest.mark.levels(3, 2, 1)
async def test_one_file_is_no_larger_than_the_disk(run: Run) -> None:
    outcome = await run("""
        import os, signal
        def execute(input):
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            with open('sparse', 'wb') as stream:
                try: os.posix_fallocate(stream.fileno(), 0, 1 << 30)
                except OSError as error: return error.strerror
    """)
    assert value(outcome) in ("File too large", "No space left on device")


async def test_inodes_are_counted(run: Run) -> None:
    outcome = await run("""
        import errno, os
        def execute(input):
            made = 0
            try:
                while made < 100_000:
                    os.close(os.open(f'{made}', os.O_CREAT | os.O_WRONLY))
                    made += 1
            except OSError as error:
                return [made < 5000, errno.errorcode[error.errno]]
    """)
    assert value(outcome) == [True, "ENOSPC"]


@pytest.mark.levels(3, 2, 1)
async def test_open_files_are_counted(run: Run) -> None:
    outcome = await run("""
        import errno, os
        def execute(input):
            held = []
            try:
                while len(held) < 5000:
                    held.append(os.dup(1))
            except OSError as error:
                return [len(held) < 128, errno.errorcode[error.errno]]
    """)
    assert value(outcome) == [True, "EMFILE"]


@pytest.mark.levels(3, 2, 1)
async def test_limits_cannot_be_raised_again(run: Run) -> None:
    outcome = await run("""
        import resource
        def execute(input):
            raised = []
            for name in ('NOFILE', 'DATA', 'CORE', 'FSIZE', 'MEMLOCK'):
                kind = getattr(resource, 'RLIMIT_' + name)
                try: resource.setrlimit(kind, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)); raised.append(name)
                except (OSError, ValueError): pass
            return raised
    """)
    assert value(outcome) == []


# memory

GRAB = {
    "shared mapping": "import mmap\ndef grab(n): return mmap.mmap(-1, n)",
    "private mapping": "import mmap\ndef grab(n): return mmap.mmap(-1, n, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)",
    "heap": "def grab(n): return bytearray(n)",
}


@pytest.mark.parametrize("kind", list(GRAB))
async def test_memory_of_every_kind_is_bounded(run: Run, kind: str) -> None:
    outcome = await run(f"""
{GRAB[kind]}
def execute(input):
    held = []
    for _ in range(40):
        piece = grab(8 << 20)
        piece[::4096] = b'x' * 2048
        held.append(piece)
    return len(held)
""")
    assert outcome.ending in (Ending.OUT_OF_MEMORY, Ending.RAISED), outcome
    if outcome.ending is Ending.RAISED:
        # an anonymous shared mapping is refused by mmap with an OSError
        assert outcome.error is not None
        assert outcome.error.message == "[Errno 12] Cannot allocate memory"


async def test_anonymous_files_are_bounded(run: Run) -> None:
    outcome = await run("""
        import os
        def execute(input):
            try:
                for number in range(100):
                    fd = os.memfd_create('x')
                    os.write(fd, b'x' * (8 << 20))
            except OSError as error:
                return type(error).__name__
    """)
    assert outcome.ending is Ending.OUT_OF_MEMORY or value(outcome) == "PermissionError"


@pytest.mark.levels(3)
async def test_a_tree_of_processes_has_one_memory(run: Run) -> None:
    outcome = await run("""
        import os, time
        def execute(input):
            for _ in range(8):
                if os.fork() == 0:
                    held = bytearray(20 << 20)
                    held[::4096] = b'x' * len(held[::4096])
                    time.sleep(30)
            time.sleep(2)
            return 'all lived'
    """)
    assert outcome.ending is Ending.OUT_OF_MEMORY


@pytest.mark.levels(3)
async def test_memory_that_killed_a_child_process_is_told_even_if_the_parent_goes_on(run: Run) -> None:
    outcome = await run("""
        import subprocess, sys
        def execute(input):
            eat = "import mmap\\nheld = []\\nwhile True:\\n  m = mmap.mmap(-1, 8 << 20)\\n  m[::4096] = b'x' * 2048"
            eat += "\\n  held.append(m)"
            return subprocess.run([sys.executable, '-c', eat]).returncode
    """)
    assert (outcome.ending, outcome.value) == (Ending.OUT_OF_MEMORY, None)


@pytest.mark.levels(3)
async def test_files_count_as_memory(run: Run) -> None:
    outcome = await run(
        "def execute(n):\n    open('big', 'wb').write(b'x' * n)\n    return 1",
        12 * MIB,
        limits=limits(memory_bytes=16 * MIB),
    )
    assert outcome.ending in (Ending.OUT_OF_MEMORY, Ending.RETURNED)


# network and sockets

FAMILIES = {"UNSPEC": 0, "INET": 2, "INET6": 10, "NETLINK": 16, "PACKET": 17, "ALG": 38, "VSOCK": 40, "XDP": 44}


@pytest.mark.levels(3, 2, 1)
async def test_no_family_of_sockets_leads_out(run: Run) -> None:
    outcome = await run(
        code("""
        def execute(given):
            socket, families = given
            return {name: [call(socket, number, kind, 0) for kind in (1, 2, 3)] for name, number in families.items()}
        """),
        [numbers()["socket"], FAMILIES],
    )
    assert value(outcome) == {family: ["EAFNOSUPPORT"] * 3 for family in FAMILIES}


@pytest.mark.levels(3, 2, 1)
async def test_unix_sockets_reach_nobody(run: Run, tmp_path: Path) -> None:
    abstract = f"\0polycall-test-{os.getpid()}"
    pathname = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as first, socket.socket(socket.AF_UNIX) as second:
        first.bind(abstract)
        second.bind(pathname)
        os.chmod(pathname, 0o777)
        for listener in (first, second):
            listener.listen()
        outcome = await run(
            """
            import socket
            def execute(addresses):
                reached = []
                for address in addresses:
                    try:
                        with socket.socket(socket.AF_UNIX) as client:
                            client.connect(address)
                            reached.append(address)
                    except OSError: pass
                return reached
            """,
            [abstract, pathname, "/run/dbus/system_bus_socket", "/var/run/docker.sock"],
        )
    assert value(outcome) == []


@pytest.mark.levels(3, 2, 1)
async def test_event_loops_and_pipes_still_work(run: Run) -> None:
    outcome = await run("""
        import asyncio, socket
        async def execute(input):
            left, right = socket.socketpair()
            left.send(b'x')
            received = await asyncio.get_running_loop().run_in_executor(None, right.recv, 9)
            return [received.decode(), await asyncio.sleep(0, 2)]
    """)
    assert value(outcome) == ["x", 2]


# nothing stays


@pytest.mark.levels(3, 2, 1)
async def test_nothing_is_left_for_the_next_run(run: Run) -> None:
    await run("""
        import os, tempfile, builtins
        def execute(input):
            builtins.leaked = 1
            os.environ['LEAKED'] = '1'
            for directory in ('.', tempfile.gettempdir()):
                open(os.path.join(directory, 'leaked'), 'w').close()
    """)
    look = """
        import os, tempfile, builtins
        def execute(input):
            folders = [os.listdir('.'), os.listdir(tempfile.gettempdir())]
            return [*folders, 'LEAKED' in os.environ, hasattr(builtins, 'leaked')]
    """
    for _ in range(4):
        assert value(await run(look)) == [[], [], False, False]


@pytest.mark.levels(3, 2, 1)
async def test_every_run_has_its_own_chance(run: Run) -> None:
    dice = (
        "import random, secrets, uuid\ndef execute(i): return [random.random(), secrets.token_hex(4), uuid.uuid4().hex]"
    )
    seen: list[Any] = [value(await run(dice)) for _ in range(6)]
    for column in range(3):
        assert len({row[column] for row in seen}) == 6


@pytest.mark.levels(3, 2)
async def test_runs_that_are_ended_together_leave_no_process(sandbox: Sandbox) -> None:
    hang = job("import time\ndef execute(input): time.sleep(60)", limits=limits(timeout_ms=700))
    began = time.monotonic()
    outcomes = await asyncio.gather(*(sandbox.run(hang) for _ in range(8)))
    assert {outcome.ending for outcome in outcomes} == {Ending.TIMED_OUT}
    assert time.monotonic() - began < 30
