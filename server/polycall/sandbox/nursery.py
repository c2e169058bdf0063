"""What a zygote does once it is in its namespaces: it forks children that lock themselves in, and reaps them.

Standard library only. It never sees the data of a run: that goes from the server to the child over a socket of their
own. The control socket (SOCK_SEQPACKET) carries one JSON object a packet:

server -> zygote
    the configuration, first and once
    ``{"op": "spawn", "id", "uid", "disk", "egress"}`` with descriptors: job socket, stdout, stderr, and
    ``cgroup.procs`` files
    ``{"op": "kill", "id"}``
zygote -> server
    ``{"op": "ready"}``, once
    ``{"op": "spawned", "id"}`` with the child's pid as credentials: the kernel translates it to the server's namespace;
    without namespaces there is nothing to translate, and ``"pid"`` is a member
    ``{"op": "exited", "id", "status", "cpu_us", "peak_kib"}``
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # what is below signal
import contextlib
import gc
import importlib
import json
import os
import resource
import select
import signal
import socket
import struct
import sys
import threading
import traceback
from typing import Any, NoReturn

from polycall.sandbox import confine, kernel, lodging, userns
from polycall.sandbox.deno import Deno
from polycall.sandbox.disk import Disk
from polycall.sandbox.forking import Fork
from polycall.sandbox.inside import serve
from polycall.sandbox.layout import PACKAGES
from polycall.sandbox.rootfs import Sources, build_root
from polycall.sandbox.trees import remove_tree

__all__ = ["Nursery"]

# Enough for a spawn message; configurations are the longest.
_PACKET = 1 << 16
_DESCRIPTORS = 12
# Above what a run may open (4096, limits.open_files), so that a program that closes all its files keeps its connection.
_JOB_FD = 4200
# Python threads get 2 MiB of stack, not glibc's 8: their stacks count against the memory limit of a run.
_THREAD_STACK = 2 << 20
_BROKEN = 111
_SIGCHLD = int(signal.SIGCHLD)
_HOSTNAME = "sandbox"
# Ours, whatever a run puts in its place: a child that did not end would go on as the zygote that it was forked from.
_exit = os._exit


class Nursery:
    """Forks children on the server's word."""

    def __init__(self, control_fd: int) -> None:
        self._control = socket.socket(fileno=control_fd)
        packet, groups, _, _ = socket.recv_fds(self._control, _PACKET, _DESCRIPTORS)
        if not packet:
            os._exit(0)  # the server is gone already
        for fd in groups:
            os.write(fd, b"0")  # "me": the cgroup of a zygote that has one
            os.close(fd)
        config = json.loads(packet)
        self._confinement = confine.Confinement(**config["confinement"])
        self._slots = range(*config["slots"])
        self._preload: list[str] = config["preload"]
        self._guests: list[str] = config["guests"]
        self._environment: dict[str, str] = config["environment"]
        self._packages: str = config["path"]
        self._trusted: list[str] = config["trusted"]
        self._certificate: str = config["certificate"]
        self._deno = Deno(**config["deno"]) if config["deno"] is not None else None
        self._proc: int | None = None
        self._has_proc = False
        self._filters = confine.Filters(None, None)
        self._pid_namespace = -1
        self._fork = Fork()
        self._children: dict[int, int | None] = {}  # pid -> id; None: a helper of our own
        self._job_fd = _raise_open_files()
        self._baseline = serve.Baseline(0, 0)

    def move_in(self, uids: bool) -> None:
        """Leave the host's file system and, if there is a range of them, its uids. PID 1 of the namespaces calls it."""
        binds = self._deno.binds if self._deno is not None else {}
        sources = Sources(self._packages, self._trusted, self._certificate, binds)
        if uids:
            userns.become_root()
            kernel.die_with_parent()
        # anew: by now this process is where it stays, and whoever may mount cgroups sees what is below its own
        kernel.unshare(kernel.CLONE_NEWCGROUP)
        self._has_proc = build_root(sources, self._slots)
        sources.close()
        if self._deno is not None:
            self._deno = self._deno.inside()
        self._proc = sources.proc
        with contextlib.suppress(PermissionError):  # Podman's filter refuses it: runs see the container's name then
            socket.sethostname(_HOSTNAME)
        self._pid_namespace = os.open("self/ns/pid", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._proc)

    def prepare(self) -> None:
        """Do once what every child would do."""
        # The server hands over a call and goes on with the next one: who is woken must not take its processor from it
        # (sched(7): batch processes do not preempt others when they wake). Where there is a filter, no run can undo it.
        with contextlib.suppress(OSError):  # a container's filter may refuse it, and it is a matter of speed only
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        with self._fork.watching():
            for name in self._preload if self._deno is None else ():
                with contextlib.suppress(ImportError):
                    importlib.import_module(name)
        threading.stack_size(_THREAD_STACK)
        self._filters = confine.prepare(self._confinement)
        serve.prepare()
        os.environ.update(self._environment)
        if self._guests:
            lodging.leave_keeper()
        memory = _open_memory(self._proc)
        if self._guests:
            self._take_in_guests()
        self._baseline = _memory_in_use(memory)
        os.close(memory)
        if not self._confinement.namespaces:
            kernel.adopt_orphans()
        gc.collect()
        gc.freeze()

    def _take_in_guests(self) -> None:
        """Import what others wrote, once this process has nothing left that they could use."""
        if self._proc is not None:
            # it shows the host's processes; only namespaces of a single uid need it, which have no guests
            os.close(self._proc)
            self._proc = None
        confine.lock_zygote(self._confinement)
        self._find_packages()
        # the server reads what is said on stderr once this process has ended: a talkative module would wait for that
        stderr, null = os.dup(2), os.open("/dev/null", os.O_WRONLY)
        os.dup2(null, 2)
        with self._fork.watching():
            for name in self._guests:
                # all of it was tried before, in a process that was watched
                with contextlib.suppress(BaseException):
                    importlib.import_module(name)
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(null)

    def _find_packages(self) -> None:
        """Have imports find the packages. Only in a process that has locked itself in, one way or the other.

        The standard library itself looks for modules that are nowhere here, such as ``nt``: of packages that name one
        so it would get that.
        """
        if self._packages and self._deno is None:
            path = PACKAGES if self._confinement.namespaces else self._packages
            if path not in sys.path:
                sys.path.append(path)

    def run(self) -> NoReturn:
        """Serve until the server closes the control socket."""
        try:
            self._serve()
        except BaseException:
            traceback.print_exc()  # the server reads the last line
        finally:
            self._end()

    def _serve(self) -> None:
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_write, False)
        os.set_blocking(wake_read, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(wake_read, select.POLLIN)
        self._send({"op": "ready"})
        while True:
            for fd, _ in poll.poll():
                if fd == wake_read:
                    with contextlib.suppress(BlockingIOError):
                        os.read(wake_read, 4096)
                    self._reap()
                elif not self._obey():
                    return

    def _end(self) -> NoReturn:
        """End with all children: as PID 1 of a namespace by exiting, otherwise one by one."""
        if not self._confinement.namespaces:
            signal.set_wakeup_fd(-1)
            for pid in self._children:
                os.kill(pid, signal.SIGKILL)
            self._children.clear()
            with contextlib.suppress(ChildProcessError):
                while True:
                    self._kill_orphans()
                    os.wait()
        os._exit(0)

    def _send(self, message: dict[str, object], pid: int | None = None) -> None:
        ancillary = []
        if pid is not None:
            credentials = struct.pack("3i", pid, os.getuid(), os.getgid())
            ancillary = [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, credentials)]
        self._control.sendmsg([json.dumps(message).encode()], ancillary)

    def _obey(self) -> bool:
        try:
            packet, fds, _, _ = socket.recv_fds(self._control, _PACKET, _DESCRIPTORS)
        except ConnectionResetError:  # the server died with words of ours unread
            return False
        if not packet:
            return False
        message = json.loads(packet)
        if message["op"] == "spawn":
            self._spawn(message, fds)
            for fd in fds:
                os.close(fd)
        elif message["op"] == "kill":
            # not reaped yet, or not in the table: the pid cannot be another's
            for pid, number in self._children.items():
                if number == message["id"]:
                    os.kill(pid, signal.SIGKILL)
        return True

    def _spawn(self, message: dict[str, Any], fds: list[int]) -> None:
        try:
            if self._confinement.namespaces:
                # unshare(CLONE_NEWPID) works once in a process; entering one's own namespace again resets that
                kernel.setns(self._pid_namespace, kernel.CLONE_NEWPID)
                kernel.unshare(kernel.CLONE_NEWPID)
            pid = self._fork()
        except OSError as error:
            # the host is out of processes or namespaces; the children that there are need not suffer
            os.write(fds[2], f"fork: {error.strerror}".encode())
            self._send({"op": "exited", "id": message["id"], "status": _BROKEN << 8, "cpu_us": 0, "peak_kib": 0})
            return
        if pid == 0:
            self._child(message, fds)
        self._children[pid] = message["id"]
        if self._confinement.namespaces:
            self._send({"op": "spawned", "id": message["id"]}, pid)
        else:
            self._send({"op": "spawned", "id": message["id"], "pid": pid})

    def _reap(self) -> None:
        while True:
            try:
                pid, status, used = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            number = self._children.pop(pid, None)
            if not self._confinement.namespaces:
                self._kill_orphans()
            if number is None:
                continue
            if not self._confinement.namespaces:
                self._remove(os.path.join(self._confinement.work_root, str(number)))
            cpu_us = round((used.ru_utime + used.ru_stime) * 1e6)
            self._send({"op": "exited", "id": number, "status": status, "cpu_us": cpu_us, "peak_kib": used.ru_maxrss})

    def _kill_orphans(self) -> None:
        """Kill what a run left behind. Only where there is no pid namespace whose end does it."""
        with contextlib.suppress(OSError), open("/proc/thread-self/children", encoding="ascii") as stream:
            for pid in stream.read().split():
                if int(pid) not in self._children:
                    os.kill(int(pid), signal.SIGKILL)

    def _remove(self, path: str) -> None:
        """Remove a directory in a process of its own: a run may have left a million files, and others wait for us."""
        helper = os.fork()
        if helper == 0:
            try:
                remove_tree(path)
            finally:
                os._exit(0)
        self._children[helper] = None

    def _child(self, message: dict[str, Any], fds: list[int]) -> NoReturn:
        try:
            # signal's own functions make enums of what they return, which takes 50 pages
            _signal.set_wakeup_fd(-1)
            _signal.signal(_SIGCHLD, _signal.SIG_DFL)
            job, stdout, stderr, *cgroups = fds
            for fd in cgroups:
                os.write(fd, b"0")  # "me"; who opened the file counts, so it works from inside the user namespace
            null = os.open("/dev/null", os.O_RDONLY)
            for source, target in ((null, 0), (stdout, 1), (stderr, 2)):
                os.dup2(source, target)
            os.dup2(job, self._job_fd, inheritable=False)
            if self._proc is not None:
                os.dup2(self._proc, 3, inheritable=False)
                self._proc = 3
            os.closerange(4 if self._proc is not None else 3, self._job_fd)
            box = confine.confine(
                self._confinement,
                name=str(message["id"]),
                uid=message["uid"],
                disk=Disk(*message["disk"]),
                proc=self._proc,
                has_proc=self._has_proc,
                filters=self._filters,
                connection=self._job_fd if message["egress"] else None,
                furnish=self._deno.furnish if self._deno is not None else None,
                readable=self._deno.readable if self._deno is not None else (),
            )
            if self._deno is not None:
                self._deno.become(self._job_fd, box.layout, egress=message["egress"])
            self._find_packages()
            serve.main(self._job_fd, box.layout, self._baseline, box.laps)
        except BaseException as error:
            with contextlib.suppress(OSError):
                os.write(2, f"{type(error).__name__}: {error}\n".encode())
        finally:
            _exit(_BROKEN)


def _raise_open_files() -> int:
    """Open as many files as may be, and return the number that a child's job socket is to have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    number = _JOB_FD if most == resource.RLIM_INFINITY else min(_JOB_FD, most - 1)
    resource.setrlimit(resource.RLIMIT_NOFILE, (number + 1, most))
    return number


def _open_memory(proc: int | None) -> int:
    return os.open("/proc/self/statm" if proc is None else "self/statm", os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc)


def _memory_in_use(statm: int) -> serve.Baseline:
    # proc(5): size resident shared text lib data dt, in pages
    pages = [int(word) for word in os.pread(statm, 256, 0).split()]
    return serve.Baseline(data=pages[5] * resource.getpagesize(), address_space=pages[0] * resource.getpagesize())
