"""How a child that has locked itself in becomes a Deno process. Standard library only: zygotes load it.

Deno can use no descriptor that it has not opened itself, but 0 to 2. So calls and answers go through two named pipes,
which the child makes while it may; their other ends go to the server over the job socket, before there is a Deno. What
a run reads from stdin is put, when its time has come, into the file that descriptor 0 was opened from.
"""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NoReturn

from polycall.sandbox import doorway
from polycall.sandbox.layout import PACKAGES, Layout

__all__ = ["MODULES", "Deno"]

CALLS, ANSWERS, STDIN = ".calls", ".answers", ".stdin"
# Where things are inside; /opt is nobody's there.
_BINARY, _SERVER = "/opt/deno/deno", "/opt/deno/serve"
MODULES = "node_modules"
_PATH = "/usr/local/bin:/usr/bin:/bin"
# Deno's own directory. What it transpiles it writes into one below; if it cannot, it tries for 0.15 s. The rest,
# databases of what it has seen, it keeps in memory if it may not make them: nothing outlives the process anyway.
_CACHE, _TRANSPILED = ".deno", "gen"
# V8 plans with the machine's memory, of which a run has a part that is not known yet. Small steps keep what it has not
# collected yet below a third of what lives; the ceiling is the largest limit there is (engine.limits).
_HEAP = ("--heap-growing-percent=30", "--max-semi-space-size=8", "--max-old-space-size=5120")
# Above what a run may open, as for Python; the server lowers it to the run's own.
_OPEN_FILES = 4096


@dataclass(frozen=True, slots=True)
class Deno:
    """The program that children become: host paths of its binary, of our scripts for it, of a built environment."""

    binary: str
    scripts: str
    environment: str = ""  # has node_modules
    zone: str = ""  # the time zone's name; without one V8 reads all there are to find the one that /etc/localtime is

    @property
    def binds(self) -> Mapping[str, str]:
        """What has to be in the root file system beside the environment: path inside -> path of the host."""
        return {_BINARY: self.binary, _SERVER: self.scripts}

    def inside(self) -> Deno:
        """Return the same for a process in a root file system that has ``binds``."""
        return replace(self, binary=_BINARY, scripts=_SERVER, environment=PACKAGES if self.environment else "")

    @property
    def readable(self) -> list[str]:
        """What a child must be able to read and execute beside the environment."""
        return [self.binary, self.scripts]

    def furnish(self, layout: Layout) -> None:
        """Make what the process will open. The system call filter forbids it later."""
        for name in (CALLS, ANSWERS):
            os.mkfifo(os.path.join(layout.temporary, name), 0o600)
        os.close(os.open(os.path.join(layout.temporary, STDIN), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        cache = os.path.join(layout.temporary, _CACHE)
        os.makedirs(os.path.join(cache, _TRANSPILED), 0o700)
        os.chmod(cache, 0o500)
        if self.environment:
            # bare names are looked for beside the code, and in its parents
            modules = os.path.join(os.path.dirname(layout.code), MODULES)
            os.symlink(os.path.join(self.environment, MODULES), modules)

    def become(self, job_fd: int, layout: Layout, *, egress: bool) -> NoReturn:
        """Hand the server its ends of the pipes and execute Deno. Raises OSError."""
        self._hand_out(job_fd, layout)
        stdin = os.open(os.path.join(layout.temporary, STDIN), os.O_RDONLY)
        os.dup2(stdin, 0)
        os.closerange(3, job_fd + 1)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(_OPEN_FILES, job_fd), min(_OPEN_FILES, job_fd)))
        os.execve(self.binary, self._command(layout, egress=egress), self._variables(layout, egress=egress))  # noqa: S606

    def _hand_out(self, job_fd: int, layout: Layout) -> None:
        calls, answers = (os.path.join(layout.temporary, name) for name in (CALLS, ANSWERS))
        # what has no reader cannot be opened for writing without waiting
        fds = [os.open(calls, os.O_RDONLY | os.O_NONBLOCK)]
        fds += [os.open(calls, os.O_WRONLY | os.O_NONBLOCK), os.open(answers, os.O_RDONLY | os.O_NONBLOCK)]
        with socket.socket(fileno=os.dup(job_fd)) as job:
            socket.send_fds(job, [b"P"], fds[1:])
        for fd in fds:
            os.close(fd)

    def _command(self, layout: Layout, *, egress: bool) -> list[str]:
        """Return the command line. Its permissions are a second wall, not the wall."""
        writable = [layout.code, layout.work, layout.temporary]
        readable = list(writable)
        if self.environment:
            readable += [self.environment, os.path.join(os.path.dirname(layout.code), MODULES)]
        return [
            "deno", "run", "--quiet", "--no-prompt", "--no-check", "--no-config", "--no-lock", "--no-code-cache",
            "--no-remote", "--deny-import",
            "--cached-only", "--node-modules-dir=manual",  # what is not here is not to be had
            f"--v8-flags={','.join(_HEAP)}",
            f"--allow-read={','.join(readable)}",
            f"--allow-write={','.join(writable)}",
            "--allow-env", "--allow-sys",
            *(["--allow-net"] if egress else []),
            os.path.join(self.scripts, "serve.js"),
            layout.code, layout.work, layout.temporary,
        ]  # fmt: skip

    def _variables(self, layout: Layout, *, egress: bool) -> dict[str, str]:
        home = layout.temporary
        return {
            **(doorway.ENVIRONMENT if egress else {}),  # Deno reads its part of it at the start
            "PATH": _PATH,
            "HOME": home,
            "TMPDIR": home,
            "LANG": "C.UTF-8",
            **({"TZ": self.zone} if self.zone else {}),
            "DENO_DIR": os.path.join(home, _CACHE),
            "DENO_NO_UPDATE_CHECK": "1",
            "NO_COLOR": "1",
        }
