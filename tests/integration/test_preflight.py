"""A server that cannot start says what, why and what to do; by exit code 3, and never with a traceback."""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
from pathlib import Path

import pytest

from polycall.engine.backlog import Backlog
from polycall.errors import QueueFull
from polycall.serving import ServeError
from polycall.store.sql import StoreConfig, open_store
from tests.cli.conftest import Cli
from tests.cli.conftest import alone as alone  # a fixture
from tests.harness import free_port


@pytest.fixture
def serve(alone: Cli, tmp_path: Path) -> Cli:
    alone.monkeypatch.setenv("POLYCALL_DATA_DIR", str(tmp_path / "data"))
    alone.monkeypatch.setenv("POLYCALL_GRPC_ADDRESS", f"127.0.0.1:{free_port()}")
    alone.monkeypatch.setenv("POLYCALL_GATEWAY", "false")
    return alone


def said(serve: Cli) -> str:
    """Return the last words of a server that does not start."""
    done = serve("serve")
    assert (done.code, done.out) == (3, b"")
    assert "Traceback" not in done.err
    return done.err.splitlines()[-1]


def test_a_database_that_cannot_be_reached_is_named_without_its_password(serve: Cli) -> None:
    serve.monkeypatch.setenv("POLYCALL_DATABASE_URL", f"postgresql://u:hush@127.0.0.1:{free_port()}/calls")
    assert said(serve) == (
        "polycall: The database calls at 127.0.0.1 cannot be reached. Check POLYCALL_DATABASE_URL, and that the "
        "database runs and lets this server in."
    )


async def _make(directory: Path) -> None:
    store = open_store(StoreConfig(data_dir=directory))
    await store.start()
    await store.stop()


def test_a_database_of_a_release_too_new_is_named_with_both_schemas(serve: Cli, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    asyncio.run(_make(tmp_path / "data"))
    with sqlite3.connect(tmp_path / "data" / "polycall.db") as raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
        raw.execute("UPDATE counters SET next = 9999 WHERE name = 'schema floor'")
    assert said(serve).startswith(
        "polycall: The database is of a newer release: its schema is 9999, this release knows "
    )


def test_a_file_that_is_no_database_is_named(serve: Cli, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "polycall.db").write_bytes(os.urandom(8192))
    assert said(serve) == (
        f"polycall: The database {tmp_path}/data/polycall.db cannot be opened: file is not a database. Restore it from "
        "a backup, or set POLYCALL_DATA_DIR to another directory."
    )


def test_a_full_disk_is_said_in_words(tmp_path: Path) -> None:
    for number in (errno.ENOSPC, errno.EDQUOT):
        error = OSError(number, os.strerror(number), "/somewhere/a", None, "/somewhere/b")
        assert str(ServeError.of(error, tmp_path)) == (
            f"The disk of {tmp_path} is full. Make room there, or set POLYCALL_DATA_DIR to another disk."
        )
    assert str(ServeError.of(OSError(errno.EACCES, "Permission denied", "x"), tmp_path)) == (
        "[Errno 13] Permission denied: 'x'"
    )


async def test_a_server_that_accepts_no_calls_says_so(tmp_path: Path) -> None:
    store = open_store(StoreConfig(data_dir=tmp_path))
    await store.start()
    try:
        with pytest.raises(QueueFull) as refused:
            await Backlog(store, 0).admit("default")
    finally:
        await store.stop()
    assert refused.value.message == (
        "This server accepts no Calls: its `call_queue` is 0. RunFunction waits for the result."
    )
