"""One process owns an embedded database."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from polycall.errors import FailedPrecondition
from polycall.store.directory import DirectoryLock, refuse_network_file_system
from polycall.store.sql import StoreConfig, open_store

HOLDER = """
import sys
from pathlib import Path
from polycall.store.directory import DirectoryLock
DirectoryLock(Path(sys.argv[1])).acquire()
print("held", flush=True)
sys.stdin.read()
"""


async def test_a_second_store_is_refused_and_told_who_has_the_directory(tmp_path: Path) -> None:
    first, second = open_store(StoreConfig(data_dir=tmp_path)), open_store(StoreConfig(data_dir=tmp_path))
    await first.start()
    with pytest.raises(FailedPrecondition) as raised:
        await second.start()
    assert f"(pid {os.getpid()})" in raised.value.message
    assert raised.value.metadata == {"pid": str(os.getpid())}
    await second.stop()
    await first.ping()
    await first.stop()
    third = open_store(StoreConfig(data_dir=tmp_path))
    await third.start()
    await third.stop()


def test_a_lock_ends_with_its_process_however_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "polycall.lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        lock = DirectoryLock(path)
        with pytest.raises(FailedPrecondition) as raised:
            lock.acquire()
        assert raised.value.metadata == {"pid": str(holder.pid)}
        holder.kill()
    lock.acquire()
    assert path.read_text() == f"{os.getpid()}\n"
    lock.release()
    lock.release()


MOUNTS = r"""
22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/root rw
30 22 0:26 / /srv rw,relatime - nfs4 server:/export rw
31 30 8:1 / /srv/local\040disk rw - xfs /dev/sda1 rw
32 22 0:30 / /mnt rw - ext4 /dev/sdb1 rw
33 22 0:31 / /mnt rw - cifs //server/share rw
34 22 0:32 / /home/me rw - fuse.sshfs host:/ rw
""".strip()


@pytest.mark.parametrize(
    ("directory", "refused"),
    [
        ("/var/lib/polycall", None),
        ("/srv", "nfs4"),
        ("/srv/polycall", "nfs4"),
        ("/srvx/polycall", None),
        ("/srv/local disk/polycall", None),
        ("/mnt/polycall", "cifs"),  # the last mount on a point hides the others
        ("/home/me/polycall", "fuse.sshfs"),
        ("/home/you", None),
    ],
)
def test_network_file_systems_are_refused(directory: str, refused: str | None) -> None:
    if refused is None:
        refuse_network_file_system(Path(directory), MOUNTS)
        return
    with pytest.raises(FailedPrecondition) as raised:
        refuse_network_file_system(Path(directory), MOUNTS)
    assert raised.value.metadata == {"file_system": refused}


def test_this_machines_own_mounts_are_understood(tmp_path: Path) -> None:
    refuse_network_file_system(tmp_path)


async def test_only_the_owner_can_read_the_database(tmp_path: Path) -> None:
    store = open_store(StoreConfig(data_dir=tmp_path / "new" / "data"))
    await store.start()
    files = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "new" / "data").iterdir()}
    await store.stop()
    assert (tmp_path / "new" / "data").stat().st_mode & 0o777 == 0o700
    assert files == dict.fromkeys(("polycall.db", "polycall.db-wal", "polycall.db-shm", "polycall.lock"), 384)


async def test_a_damaged_database_stops_the_start_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "polycall.db").write_bytes(b"this is no database" * 1000)
    store = open_store(StoreConfig(data_dir=tmp_path))
    with pytest.raises(FailedPrecondition, match="file is not a database"):
        await store.start()
    await store.stop()
    (tmp_path / "polycall.db").unlink()
    again = open_store(StoreConfig(data_dir=tmp_path))  # the lock was given back
    await again.start()
    await again.stop()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (StoreConfig(), "The database URL is missing"),
        (StoreConfig(database_url="nonsense"), "The database URL is not a URL"),
        (StoreConfig(database_url="mysql://localhost/db"), "The database URL names mysql"),
        (StoreConfig(database_url="sqlite://"), "The database URL names sqlite"),
        (StoreConfig(database_url="sqlite:///:memory:"), "The database URL names sqlite"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_repeating_it(config: StoreConfig, message: str) -> None:
    with pytest.raises(FailedPrecondition, match=message):
        open_store(config)


async def test_a_sqlite_url_names_the_file(tmp_path: Path) -> None:
    store = open_store(StoreConfig(database_url=f"sqlite:///{tmp_path}/a.db"))
    await store.start()
    await store.ping()
    await store.stop()
    assert (tmp_path / "a.db").exists()


async def test_a_start_that_is_cancelled_gives_the_directory_back(tmp_path: Path) -> None:
    for pauses in range(6):  # cancelled at different moments
        store = open_store(StoreConfig(data_dir=tmp_path))
        starting = asyncio.ensure_future(store.start())
        for _ in range(pauses):
            await asyncio.sleep(0.001)
        starting.cancel()
        await asyncio.wait([starting])
        await store.stop()
    store = open_store(StoreConfig(data_dir=tmp_path))
    await store.start()
    await store.stop()
