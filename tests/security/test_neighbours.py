"""What a hostile run can learn of its neighbours, take from them, or do to the machine that all of them share."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from pathlib import Path

import psutil
import pytest

from polycall.domain import OutputChunk
from polycall.sandbox.sandbox import Sandbox
from tests.sandbox.conftest import Run
from tests.sandbox.programs import eventually, job, key, tree, value

pytestmark = pytest.mark.asyncio(loop_scope="session")

ENOSYS, EPERM = 38, 1


async def test_each_run_has_a_share_of_the_processors_of_its_own(run: Run) -> None:
    """Otherwise sixty processes of one run get sixty times what another run's one process gets, or the server's."""
    outcomes = await asyncio.gather(*(run("def execute(input): return open('/proc/self/cgroup').read()") for _ in "12"))
    groups: list[str] = []
    for outcome in outcomes:
        lines = [line.split(":", 2) for line in value(outcome).splitlines()]
        mine = {path for _, controllers, path in lines if {"memory", "pids", "cpu"} & set(controllers.split(","))}
        mine = mine or {lines[0][2]}  # version 2: one line, all controllers
        assert len(mine) == 1, lines
        groups += mine
    assert groups[0] != groups[1]
    assert all("/slot-" in group for group in groups)


@pytest.mark.levels(3, 1)
async def test_writing_byte_by_byte_costs_the_server_no_more_than_writing_at_once(run: Run) -> None:
    """Each piece that is read costs a turn of the event loop and is kept as an object a hundred times its size."""
    chunks: list[OutputChunk] = []
    code = """
        import fcntl, os, termios
        def execute(input):
            waiting = bytearray(4)
            for _ in range(1000):
                os.write(1, b'x')
                for _ in range(1000):  # until it has been read, or for so long that the server must be asleep
                    fcntl.ioctl(1, termios.FIONREAD, waiting)
                    if not any(waiting):
                        break
            return 1
    """
    outcome = await run(code, output=chunks.append)
    assert outcome.value == b"1"
    assert outcome.stdout == b"x" * 1000 == b"".join(chunk.data for chunk in chunks)
    assert len(chunks) < 400


@pytest.mark.levels(3, 2, 1)
async def test_nobody_is_told_what_others_open(run: Run) -> None:
    """The system's files in a sandbox are the host's inodes: a watch on /usr/bin would tell what everybody starts."""
    code = """
        import ctypes, fcntl, os
        libc = ctypes.CDLL(None, use_errno=True)
        def execute(input):
            answer = [libc.inotify_init(), ctypes.get_errno(), libc.inotify_init1(0), ctypes.get_errno()]
            try:
                fcntl.fcntl(os.open('/usr/bin', os.O_RDONLY), fcntl.F_NOTIFY, fcntl.DN_ACCESS)
            except OSError as error:
                answer.append(error.errno)
            return answer
    """
    assert value(await run(code)) == [-1, ENOSYS, -1, ENOSYS, EPERM]


@pytest.mark.levels(3, 2, 1)
async def test_what_the_machine_has_only_once_cannot_be_used_up(run: Run) -> None:
    """fs.aio-max-nr is one number for all users, database servers among them."""
    before = int(Path("/proc/sys/fs/aio-nr").read_text())
    code = """
        import ctypes
        libc = ctypes.CDLL(None, use_errno=True)
        def execute(number):
            context = ctypes.c_ulong(0)
            return [libc.syscall(number, 60000, ctypes.byref(context)), ctypes.get_errno()]
    """
    number = {"x86_64": 206, "aarch64": 0}[os.uname().machine]
    assert value(await run(code, number)) == [-1, ENOSYS]
    assert int(Path("/proc/sys/fs/aio-nr").read_text()) < before + 60_000  # others of this machine may have some


@pytest.mark.levels(3, 2, 1)
async def test_the_hosts_system_log_cannot_be_written(run: Run, tmp_path: Path) -> None:
    """One half of a pair of datagram sockets can send to any path: /dev/log, the journal, the service manager."""
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(0o755)
    path = str(tmp_path / "log")
    code = """
        import socket
        def execute(path):
            for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET, socket.SOCK_STREAM):
                try:
                    one, _ = socket.socketpair(socket.AF_UNIX, kind)
                    one.sendto(b'forged', path)
                    one.connect(path)
                    one.send(b'forged')
                except OSError:
                    pass
            return 'tried'
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(path)
        Path(path).chmod(0o777)
        log.setblocking(False)
        assert value(await run(code, path)) == "tried"
        with pytest.raises(BlockingIOError):
            log.recv(100)


@pytest.mark.levels(3, 2, 1)
async def test_pairs_of_sockets_still_serve_event_loops(run: Run) -> None:
    code = """
        import asyncio, multiprocessing, socket
        async def main():
            left, right = socket.socketpair()
            left.sendall(b'x')
            return right.recv(1).decode()
        def execute(input): return asyncio.run(main())
    """
    assert value(await run(code)) == "x"


LEAVES = """
    import ctypes, os, threading, time
    def spin():
        while True: pass
    def execute(how):
        ctypes.CDLL(None).prctl(15, how.encode())  # PR_SET_NAME
        if how == 'thread':
            threading.Thread(target=spin, daemon=True).start()
        if how == 'process' and os.fork() == 0:
            time.sleep(600)
        return how
"""


async def _outlasts(sandbox: Sandbox, how: str) -> None:
    for name in ("quiet", how):
        assert value(await sandbox.run(job(LEAVES, name, key=key(name)))) == name
    await eventually(lambda: how not in names(sandbox))
    assert "quiet" in names(sandbox)


def names(sandbox: Sandbox) -> set[str]:
    found = set()
    for process in tree(sandbox):
        with contextlib.suppress(psutil.NoSuchProcess):
            found.add(process.name())
    return found


@pytest.mark.levels(3, 1)
async def test_no_thread_goes_on_working_when_its_run_is_over(sandbox: Sandbox) -> None:
    """A worker that is kept is nobody's run: no time limit ends what a call has left behind in it."""
    await _outlasts(sandbox, "thread")


async def test_no_process_stays_when_its_run_is_over(sandbox: Sandbox) -> None:
    await _outlasts(sandbox, "process")


@pytest.mark.levels(1)
async def test_no_signal_comes_by_way_of_a_descriptor(run: Run) -> None:
    """Whoever owns a descriptor gets a signal of the setter's choice; who owns it is the setter's choice too."""
    code = """
        import errno, fcntl, os, socket, struct
        def execute(pid):
            one, other = socket.socketpair()
            refused = []
            for attempt in (
                lambda: fcntl.fcntl(one, fcntl.F_SETOWN, pid),
                lambda: fcntl.fcntl(one, fcntl.F_SETOWN, -pid),
                lambda: fcntl.fcntl(one, 15, struct.pack('ii', 1, pid)),  # F_SETOWN_EX
                lambda: fcntl.ioctl(one, 0x8901, struct.pack('i', pid)),  # FIOSETOWN
                lambda: fcntl.ioctl(one, 0x8902, struct.pack('i', pid)),  # SIOCSPGRP
            ):
                try:
                    attempt()
                except OSError as error:
                    refused.append(error.errno in (errno.EPERM, errno.ENOTTY))
            fcntl.fcntl(one, fcntl.F_SETOWN, os.getpid())
            return refused
    """
    assert value(await run(code, os.getpid())) == [True] * 5


@pytest.mark.levels(3, 2, 1)
async def test_private_keys_of_the_host_cannot_be_read(run: Run) -> None:
    code = """
        import os, ssl
        def execute(input):
            ssl.create_default_context()
            found = []
            for path in ('/etc/ssl', '/etc/ssl/private', '/etc/ssh', '/etc/pki', '/root', '/var/lib'):
                try:
                    found += [name for name in os.listdir(path) if name in ('private', 'id_rsa') or 'key' in name]
                except OSError:
                    pass
            return found
    """
    assert value(await run(code)) == []
