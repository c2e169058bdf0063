"""Packages that are imported ahead of runs, in a process that makes children: what a hostile one reaches."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import textwrap
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio

from polycall.domain import IsolationLevel
from polycall.sandbox.image import Image
from polycall.sandbox.job import Ending
from polycall.sandbox.sandbox import Sandbox
from tests.sandbox.conftest import config
from tests.sandbox.programs import end_of, eventually, job, limits, tree, value

pytestmark = pytest.mark.asyncio(loop_scope="session")

ECHO = "def execute(input): return input"
HANG = "import time\ndef execute(input): time.sleep(600)"
LOADED = "import sys\ndef execute(input): return 'guest' in sys.modules"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def host() -> AsyncIterator[Sandbox]:
    sandbox = Sandbox(config(waiting=1, warm=2, processes=8, preload_bytes=96 << 20, kind_idle_s=1, image_idle_s=1))
    await sandbox.start()
    yield sandbox
    processes = tree(sandbox)
    await sandbox.stop()
    await end_of(processes)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may take longer than a run waits for a zygote, where the first of two does not get ready."""
    monkeypatch.setattr("polycall.sandbox.pool._ZYGOTE_S", 60.0)
    monkeypatch.setattr("polycall.sandbox.spawner._START_S", 60.0)


async def heard(words: str, caplog: pytest.LogCaptureFixture, host: Sandbox, image: Image) -> None:
    """Wait for words in the log, and use the image meanwhile: an idle zygote would be ended before it is found out."""
    async with asyncio.timeout(60):
        while words not in caplog.text:
            await host.get_ready(job(ECHO, image=image))
            await asyncio.sleep(0.05)


@pytest.fixture
def image(tmp_path: Path) -> Callable[[str], Image]:
    """Make an image that preloads a module ``guest`` with this source."""

    def make(source: str) -> Image:
        packages = tmp_path / "packages"
        packages.mkdir(mode=0o755)
        (packages / "guest.py").write_text(textwrap.dedent(source))
        return Image(revision=str(tmp_path), path=str(packages), preload=("guest",))

    return make


ATTACKS = """
import ctypes, os, socket

libc = ctypes.CDLL(None, use_errno=True)
done = []


def attempt(name, act):
    try:
        if act():
            done.append(name)
    except OSError:
        pass


def call(name, *arguments):
    return getattr(libc, name)(*arguments) == 0


def read(path):
    with open(path, "rb") as stream:
        return bool(stream.read(1))


def host_proc():
    # a descriptor of the host's /proc would show its processes
    return any(os.path.isdir(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if fd.isdigit()
               and os.path.isdir(f"/proc/self/fd/{fd}/1") and fd != "3")


def cgroups_of_others():
    # as many as its own children join; the server's, and those of its other runs, lie beside
    for kind, data in ((b"cgroup2", None), (b"cgroup", b"memory"), (b"cgroup", b"pids"), (b"cgroup", b"cpu")):
        if call("mount", b"x", b"/mnt", kind, 6, data) and any("slot-" in name or "polycall" in name
                                                              for _, names, _ in os.walk("/mnt") for name in names):
            return True


attempt("trace PID 1", lambda: libc.ptrace(16, 1, 0, 0) == 0)
attempt("write the memory of PID 1", lambda: os.open("/proc/1/mem", os.O_RDWR))
attempt("read the environment of PID 1", lambda: os.open("/proc/1/environ", os.O_RDONLY))
attempt("see the files of PID 1", lambda: os.listdir("/proc/1/fd"))
attempt("end PID 1", lambda: os.kill(1, 9) or not os.path.exists("/proc/1"))
attempt("bind a directory", lambda: call("mount", b"/usr", b"/mnt", None, 4096, None))
attempt("remount the root", lambda: call("mount", None, b"/", None, 32 | 4096, None))
attempt("cgroups of others", cgroups_of_others)
attempt("unmount", lambda: call("umount2", b"/proc", 2))
attempt("a network namespace by itself", lambda: call("unshare", 0x40000000))
attempt("all namespaces", lambda: call("unshare", 0x7E020000))
attempt("a keyring", lambda: libc.syscall(250, 0, -3, 0) >= 0)
attempt("io_uring", lambda: libc.syscall(425, 8, ctypes.create_string_buffer(120)) >= 0)
attempt("bpf", lambda: libc.syscall(321, 0, ctypes.create_string_buffer(120), 120) >= 0)
attempt("userfaultfd", lambda: libc.syscall(323, 0) >= 0)
attempt("a kernel module", lambda: libc.syscall(313, -1, b"", 0) == 0)
attempt("vsock", lambda: socket.socket(40, socket.SOCK_STREAM))
attempt("netlink", lambda: socket.socket(16, socket.SOCK_RAW))
attempt("raw sockets", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))
attempt("the host's loopback", lambda: socket.create_connection(("127.0.0.1", PORT), timeout=1))
attempt("a file of the host", lambda: read("FILE"))
attempt("a device", lambda: os.mknod("/mnt/x", 0o20600, os.makedev(1, 1)) is None)
attempt("a file on the root", lambda: open("/planted", "w"))
attempt("a file among its packages", lambda: open("/packages/planted", "w"))
attempt("host proc", host_proc)
with open("/proc/self/status") as status:
    fields = dict(line.split(":", 1) for line in status)
capabilities = int(fields["CapEff"], 16), int(fields["CapBnd"], 16)
"""
REPORT = "import guest\ndef execute(input): return [guest.done, guest.capabilities]"


async def test_a_hostile_package_has_what_making_children_takes_and_no_more(
    host: Sandbox, image: Callable[[str], Image], tmp_path: Path
) -> None:
    secret = tmp_path.parent / "secret"
    secret.write_text("x")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        source = ATTACKS.replace("PORT", str(listener.getsockname()[1])).replace("FILE", str(secret))
        done, (effective, bounding) = value(await host.run(job(REPORT, image=image(source))))
    assert done == []
    assert effective == sum(1 << number for number in (5, 6, 7, 8, 12, 21))
    assert bounding == 0


async def test_what_it_leaves_unconfined_is_still_held(
    host: Sandbox, image: Callable[[str], Image], tmp_path: Path
) -> None:
    """A package that makes its zygote's children forget to lock themselves in gets the zygote's walls."""
    secret = tmp_path.parent / "secret"
    secret.write_text("x")
    taken = image("""
        import gc
        for found in gc.get_objects():
            if isinstance(found, type) and found.__name__ == "Nursery":
                import sys
                sys.modules["nursery_globals"] = scope = found._child.__globals__
                kernel = scope["kernel"]
                kernel.drop_capabilities = kernel.set_seccomp_filter = lambda *a, **k: None
                scope["confine"].landlock.restrict = lambda *a, **k: None
    """)
    attacks = ATTACKS.replace("PORT", "1").replace("FILE", str(secret))
    code = attacks + "\ndef execute(input): return [fields['Seccomp_filters'].strip(), done]"
    filters, done = value(await host.run(job(code, image=taken)))
    assert filters == "1"  # the zygote's; other children have two
    assert [name for name in done if "PID 1" not in name] == []  # PID 1 is the run itself


async def test_it_cannot_stay(host: Sandbox, image: Callable[[str], Image]) -> None:
    """It forks, forgets its parent, takes another uid and cuts the wire: it ends with its zygote all the same."""
    stays = image("""
        import ctypes, os, signal, time
        libc = ctypes.CDLL(None)
        for number in range(3):
            if os.fork() == 0:
                libc.prctl(1, 0)
                os.setsid()
                os.setresuid(7, 7, 7)
                while True:
                    time.sleep(1)
        libc.prctl(1, 0)
    """)
    before = set(host.zygotes)
    assert value(await host.run(job(LOADED, image=stays))) is True
    (zygote,) = (psutil.Process(pid) for pid in set(host.zygotes) - before)
    ours = {zygote, *zygote.children(recursive=True)}
    assert len(ours) >= 6  # what was started, its keeper, the zygote, and three that it left
    zygote.kill()  # as when the server dies
    await end_of(ours)


@pytest.mark.parametrize(
    "words",
    [
        b"junk",
        b'{"op": "ready"}',
        b'{"op": "exited", "id": 999999, "status": 0, "cpu_us": 0, "peak_kib": 0}',
        b"[" * 60_000,
    ],
)
async def test_one_that_talks_nonsense_ends_its_zygote_and_harms_nobody(
    host: Sandbox, image: Callable[[str], Image], words: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """The one descriptor that it finds is the wire to the server, which believes nothing of it."""
    talks = image(f"""
        import os, socket, threading
        wires = []
        for fd in range(3, 4096):
            try:
                found = socket.socket(fileno=os.dup(fd))
                if found.type == socket.SOCK_SEQPACKET:
                    wires.append(found)
            except OSError:
                pass
        def talk():
            import time
            time.sleep(0.2)
            for _ in range(1000):
                wires[0].send({words!r})
        import _thread
        _thread.start_new_thread(talk, ())
    """)
    outcomes = [await host.run(job(ECHO, number, image=talks)) for number in range(2)]
    assert {outcome.ending for outcome in outcomes} <= {Ending.RETURNED, Ending.LOST}
    await heard("what it says makes no sense", caplog, host, talks)
    assert value(await host.run(job(ECHO, 7))) == 7


async def test_one_that_needs_too_much_memory_costs_its_preloading_and_nothing_else(
    host: Sandbox, image: Callable[[str], Image]
) -> None:
    heavy = image("held = [bytearray(1 << 20) for _ in range(400)]")
    outcome = await host.run(job(LOADED, image=heavy, limits=limits(timeout_ms=10_000)))
    assert value(outcome) is False
    assert value(await host.run(job(ECHO, 1))) == 1


async def test_one_that_ends_its_process_costs_its_preloading(host: Sandbox, image: Callable[[str], Image]) -> None:
    assert value(await host.run(job(LOADED, image=image("import os; os._exit(0)")))) is False


async def test_a_child_that_is_said_to_have_ended_keeps_its_slot_until_it_has(
    host: Sandbox, image: Callable[[str], Image]
) -> None:
    lies = image("""
        import gc
        for found in gc.get_objects():
            if isinstance(found, type) and found.__name__ == "Nursery":
                spawn = found._spawn
                def lie(self, message, fds):
                    spawn(self, message, fds)
                    self._send({"op": "exited", "id": message["id"], "status": 0, "cpu_us": 0, "peak_kib": 0})
                found._spawn = lie
    """)
    outcome: Any = await host.run(job(ECHO, 1, image=lies))
    assert outcome.ending in (Ending.LOST, Ending.RETURNED, Ending.EXITED)
    assert [value(await host.run(job(ECHO, number))) for number in range(12)] == list(range(12))


async def test_one_that_keeps_children_that_it_says_have_ended_ends_with_them_and_costs_nobody_a_place(
    host: Sandbox, image: Callable[[str], Image], caplog: pytest.LogCaptureFixture
) -> None:
    """What it keeps would run on beyond all limits, and each would take one of the server's places for good."""
    hoards = image("""
        import gc, os, time
        for found in gc.get_objects():
            if isinstance(found, type) and found.__name__ == "Nursery":
                def stay(self, message, fds):
                    for fd in fds[3:]:
                        os.write(fd, b"0")
                    while True:
                        time.sleep(1)
                spawn = found._spawn
                def lie(self, message, fds):
                    spawn(self, message, fds)
                    self._send({"op": "exited", "id": message["id"], "status": 0, "cpu_us": 0, "peak_kib": 0})
                found._spawn, found._child = lie, stay
    """)
    at_first = await host.run(job(LOADED, image=hoards))
    assert at_first.ending is Ending.LOST or value(at_first) is False
    await heard("says that a child has ended which has not", caplog, host, hoards)
    # all places at once, and longer than a liar may keep any
    outcomes = await asyncio.gather(*(host.run(job(ECHO, number)) for number in range(16)))
    assert [value(outcome) for outcome in outcomes] == list(range(16))
    assert "is not used again" not in caplog.text
    # and it is not trusted with a zygote again, nor when the one that took its place has come to an end
    assert value(await host.run(job(LOADED, image=hoards))) is False
    await eventually(lambda: len(host.zygotes) == 1)  # the default's
    assert value(await host.run(job(LOADED, image=hoards))) is False


async def test_the_cgroups_that_its_children_joined_are_nobody_elses_while_it_lives(
    host: Sandbox, image: Callable[[str], Image]
) -> None:
    """It was given descriptors through which one joins them, and may have kept these."""
    slow = "import time\ndef execute(input): time.sleep(1)"

    def groups(zygotes: set[int]) -> set[str]:
        found = set()
        for process in (child for pid in zygotes for child in psutil.Process(pid).children(recursive=True)):
            with contextlib.suppress(OSError, psutil.Error):
                found.add(Path(f"/proc/{process.pid}/cgroup").read_text())
        return {text for text in found if "slot-" in text}

    before = set(host.zygotes)
    (default,) = before & set(host.zygotes[-1:])
    kept = image("import os")
    begun = asyncio.Semaphore(0)
    runs = [asyncio.create_task(host.run(job(HANG, image=kept), begun=begun.release)) for _ in range(2)]
    # it lives until the end: one that idles for a second is ended, and its cgroups are anybody's then
    hang = job(HANG, image=kept, limits=limits(timeout_ms=300_000))
    stays = asyncio.create_task(host.run(hang, begun=begun.release))
    async with asyncio.timeout(60):
        for _ in range(3):
            await begun.acquire()
    theirs = groups(set(host.zygotes) - before)
    assert len(theirs) >= 4  # the zygote's own, and those of three runs
    for run in runs:
        run.cancel()
    await asyncio.wait(runs)
    # in all places of the server at once
    runs = [asyncio.create_task(host.run(job(slow))) for _ in range(8)]
    others: set[str] = set()
    while not all(run.done() for run in runs):
        others |= groups({default})
        await asyncio.sleep(0.05)
    assert len(others) >= 5
    assert not stays.done()
    stays.cancel()
    await asyncio.wait([stays])
    assert not theirs & others


async def test_what_it_says_at_its_end_is_one_line_of_the_log(
    host: Sandbox, image: Callable[[str], Image], caplog: pytest.LogCaptureFixture
) -> None:
    """Neither it nor what it forks can write lines that pass for the server's, or steer the terminal of who reads."""
    forges = image("""
        import gc, os
        for found in gc.get_objects():
            if isinstance(found, type) and found.__name__ == "Nursery":
                def forge(self, message, fds):
                    os.write(fds[2], b"x\\n2026-01-01 CRITICAL polycall: forged \\x1b[2J\\r\\xe2\\x80\\xaehidden")
                    os._exit(1)
                found._child = forge
    """)
    outcome = await host.run(job(ECHO, 1, image=forges))
    assert outcome.error is not None
    assert outcome.error.message.startswith("Nothing ran, because x 2026-01-01 CRITICAL polycall: forged ?[2J ?hidden")
    lines = [record.getMessage() for record in caplog.records if "forged" in record.getMessage()]
    assert lines
    assert all(line.isprintable() for line in lines)


async def test_no_limits_are_set_for_a_process_that_it_names_in_place_of_its_child(
    host: Sandbox, image: Callable[[str], Image]
) -> None:
    """It keeps the end of a child to itself until the host gives its number to somebody: here it names a keeper."""
    names = image("""
        import gc
        for found in gc.get_objects():
            if isinstance(found, type) and found.__name__ == "Nursery":
                send = found._send
                found._send = lambda self, message, pid=None: send(self, message, pid and 1)
    """)
    before = set(host.zygotes)
    outcome = await host.run(job(LOADED, image=names, limits=limits(cpu_ms=5000)))
    assert value(outcome) is True
    (zygote,) = (psutil.Process(pid) for pid in set(host.zygotes) - before)
    for process in (zygote, *zygote.children(recursive=True)):
        assert resource.prlimit(process.pid, resource.RLIMIT_CPU)[0] == resource.RLIM_INFINITY, process


async def test_where_nothing_bounds_it_nothing_is_preloaded(image: Callable[[str], Image]) -> None:
    sandbox = Sandbox(config(IsolationLevel.NAMESPACED, waiting=1, processes=4))
    await sandbox.start()
    try:
        loaded = image("X = 1")
        assert value(await sandbox.run(job(LOADED, image=loaded))) is False
        assert value(await sandbox.run(job("import guest\ndef execute(input): return guest.X", image=loaded))) == 1
    finally:
        await sandbox.stop()
