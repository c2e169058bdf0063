"""A server's sandbox in a process of its own, to be attacked: ``python -m tests.sandbox.hostile.agent FD LEVEL UID DENO``.

It becomes an ordinary user if told to, starts the sandbox and runs what comes over the socket: a list of jobs at a time,
all at once, pickled (both ends are the test's own).
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import pickle
import socket
import struct
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from polycall.domain import IsolationLevel
from polycall.sandbox.egress import resolver
from polycall.sandbox.sandbox import Sandbox, SandboxConfig

__all__ = ["PROCESSES", "receive", "send"]

_LENGTH = struct.Struct("<I")
_PR_SET_DUMPABLE = 4
_THREADS = 2
# Few, so that all that a sandbox makes once for each (cgroups, uids) is made at the start.
PROCESSES = 8
DISK = 16 << 20
HARD_OUTPUT = 16 << 20
# Not the default: other servers on this machine have that, and what has got away from whom must be told.
UID_BASE = 0x7100_0000


def send(connection: socket.socket, message: Any) -> None:
    """Send an object whole."""
    data = pickle.dumps(message)
    connection.sendall(_LENGTH.pack(len(data)) + data)


def receive(connection: socket.socket) -> Any:
    """Wait for an object. Raises EOFError."""
    return pickle.loads(_read(connection, *_LENGTH.unpack(_read(connection, _LENGTH.size))))


def _read(connection: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        piece = connection.recv(length - len(data))
        if not piece:
            raise EOFError("the other end has gone")
        data += piece
    return data


def _become(uid: int) -> None:
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    # as any server that was started by this user: readable by the user's other processes
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)


async def _main(connection: socket.socket, level: IsolationLevel, deno: str) -> None:
    resolver._THREADS = 1
    # zygotes that never grow old: how many processes there are is compared
    sandbox = Sandbox(
        SandboxConfig(
            max_level=level,
            deno=deno,
            uid_base=UID_BASE,
            waiting=1,
            disk_bytes=DISK,
            processes=PROCESSES,
            hard_output_bytes=HARD_OUTPUT,
            zygote_forks=1 << 30,
            zygote_age_s=1e9,
            warm_idle_s=1e9,
            kind_idle_s=1e9,
        )
    )
    await sandbox.start()
    send(connection, sandbox.isolation)
    loop, thread = asyncio.get_running_loop(), ThreadPoolExecutor(1)
    # how many threads there are is compared: all that there may be are made now
    loop.set_default_executor(threads := ThreadPoolExecutor(_THREADS))
    gate = threading.Barrier(_THREADS)
    await asyncio.gather(*(loop.run_in_executor(threads, gate.wait) for _ in range(_THREADS)))
    while True:
        try:
            jobs, retired = await loop.run_in_executor(thread, receive, connection)
        except (EOFError, ConnectionResetError):
            break
        outcomes = await asyncio.gather(*(sandbox.run(job) for job in jobs), return_exceptions=True)
        for project, package in retired:
            await sandbox.retire(project, package)
        send(connection, outcomes)
    await sandbox.stop()


if __name__ == "__main__":
    fd, wanted, uid = map(int, sys.argv[1:4])
    if uid:
        _become(uid)
    with socket.socket(fileno=fd) as server:
        asyncio.run(_main(server, IsolationLevel(wanted), sys.argv[4]))
