"""The self-test: real attacks from a real child, each of which must fail before the server serves."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from polycall.domain import Convention, Limits
from polycall.sandbox.job import Bundle, Ending, Job, Outcome

__all__ = ["bait", "breaches"]

_SOURCE = b"""
import ctypes, os, socket

CLONE_NEWUSER = 0x10000000
libc = ctypes.CDLL(None)


def read_file(target):
    with open(target["file"]) as stream:
        return stream.read() == target["content"]


def connect(target):
    socket.create_connection(("127.0.0.1", target["port"]), timeout=1).close()
    return True


def signal_server(target):
    if target["pid"] == os.getpid():
        return False  # the same number, in a namespace of our own
    os.kill(target["pid"], 0)
    return True


def unshare(target):
    return libc.unshare(CLONE_NEWUSER) == 0


def mount(target):
    return libc.mount(b"none", b"/mnt", b"tmpfs", 0, None) == 0


def execute(target):
    succeeded = []
    for attack in (read_file, connect, signal_server, unshare, mount):
        try:
            if attack(target):
                succeeded.append(attack.__name__)
        except OSError:
            pass
    return succeeded
"""

_LIMITS = Limits(
    timeout_ms=10_000,
    memory_bytes=64 << 20,
    processes=16,
    open_files=64,
    disk_bytes=0,  # the sandbox's own
    result_bytes=4096,
    stdout_bytes=4096,
    stderr_bytes=4096,
)


@contextmanager
def bait(disk_bytes: int) -> Iterator[Job]:
    """Lay out what must not be reached, and yield the job that tries to."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        file = stack.enter_context(tempfile.NamedTemporaryFile("w", prefix="polycall-canary-"))
        content = os.urandom(16).hex()
        file.write(content)
        file.flush()
        os.chmod(file.name, 0o644)
        target = {"file": file.name, "content": content, "port": listener.getsockname()[1], "pid": os.getpid()}
        yield Job(
            bundle=Bundle(digest=hashlib.sha256(_SOURCE).hexdigest(), files={"canary.py": _SOURCE}),
            entrypoint="canary:execute",
            convention=Convention.INPUT,
            limits=dataclasses.replace(_LIMITS, disk_bytes=disk_bytes),
            payload=json.dumps(target).encode(),
        )


def breaches(outcome: Outcome) -> str | None:
    """Return what is wrong with the sandbox, None if everything was refused."""
    if outcome.ending is not Ending.RETURNED or outcome.value is None:
        return f"the self-test did not run: {outcome.error.message if outcome.error else outcome.ending.value}"
    succeeded = msgspec.json.decode(outcome.value, type=list[str])
    return f"code in the sandbox could {', '.join(succeeded)}" if succeeded else None
