"""A child process that is watched without a thread and without SIGCHLD, and that dies with us."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

__all__ = ["Child"]

_STUB = Path(__file__).parent / "exec_envoy.py"
_CHUNK = 1 << 16


class Child:
    """One running program; its standard error goes line by line to a callback.

    It is killed when the thread that made it ends, however that comes about: make it in the main thread.
    """

    def __init__(self, command: Sequence[str], *, files: int, cwd: Path, on_line: Callable[[str], None]) -> None:
        """Start ``command``, allowing it ``files`` open files. Needs a running loop."""
        stub = [sys.executable, "-I", "-S", str(_STUB), str(os.getpid()), str(files)]
        # Without preexec_fn this is vfork and exec. The environment stays here: it has secrets in it. A session of its
        # own keeps Ctrl-C on the terminal away: who started it stops it, after the last request.
        self._log, log = os.pipe()
        try:
            self._process = subprocess.Popen(
                [*stub, *command], cwd=cwd, env={}, stdin=subprocess.DEVNULL, stderr=log, start_new_session=True
            )
        finally:
            os.close(log)
        self._loop = asyncio.get_running_loop()
        self._exited = asyncio.Event()
        self._on_line = on_line
        self._rest = b""
        self._pidfd = os.pidfd_open(self._process.pid)
        self._loop.add_reader(self._pidfd, self._reap)
        os.set_blocking(self._log, False)
        self._loop.add_reader(self._log, self._read)

    @property
    def pid(self) -> int:
        """Return the process id, the same before and after exec."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """Return the exit status, negative for a signal; None while it runs."""
        return self._process.returncode

    async def wait(self) -> int:
        """Wait for the end and return the exit status."""
        await self._exited.wait()
        return self._process.returncode

    async def stop(self, grace_s: float) -> int:
        """Send SIGTERM, after ``grace_s`` seconds SIGKILL, and return the exit status."""
        if self.returncode is None:
            signal.pidfd_send_signal(self._pidfd, signal.SIGTERM)
            try:
                await asyncio.wait_for(self._exited.wait(), grace_s)
            except TimeoutError:
                self.kill()
        return await self.wait()

    def kill(self) -> None:
        """Send SIGKILL; nothing if it has ended."""
        if self.returncode is None:
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def _reap(self) -> None:
        self._loop.remove_reader(self._pidfd)
        self._process.wait()
        os.close(self._pidfd)
        self._read()
        self._loop.remove_reader(self._log)
        os.close(self._log)
        self._exited.set()

    def _read(self) -> None:
        try:
            data = os.read(self._log, _CHUNK)
        except BlockingIOError:
            return
        if not data:
            self._loop.remove_reader(self._log)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._on_line(line.decode("utf-8", "replace"))
