"""Environments of several servers over one store: built by one, fetched by the others, whatever is in between."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import sqlalchemy as sa

from polycall.domain import PackedEnvironment
from polycall.engine.buildlog import BuildLog
from polycall.engine.sharing import NoRoom, Sharing, SharingSettings, TakesTooLong
from polycall.errors import Unavailable
from polycall.runtimes.environments import Environments
from polycall.runtimes.packing import archive_digest
from polycall.store.sql import SqlStore, StoreConfig, open_store
from polycall.store.tables import environment_pieces
from tests.engine.house import until

MIB = 1 << 20
NAME = "ab" * 32
NOISE = os.urandom(3 * MIB)  # what nothing makes smaller


class Machine:
    """A server's part of it, with a directory of its own."""

    def __init__(self, store: SqlStore, root: Path, *, lease_s: float = 60, **settings: float) -> None:
        self.root = root
        self.store = store
        self.environments = Environments(root)
        given = {"wait_s": 30.0, "packed_bytes": 64 * MIB, "disk_bytes": 64 * MIB, **settings}
        self.sharing = Sharing(
            store,
            self.environments,
            SharingSettings(
                node=root.name,
                lease_s=lease_s,
                wait_s=given["wait_s"],
                packed_bytes=int(given["packed_bytes"]),
                disk_bytes=int(given["disk_bytes"]),
            ),
            lambda: (),
        )
        self.noise = NOISE
        self.builds = 0
        self.go = asyncio.Event()
        self.go.set()
        self.log = BuildLog()

    async def build(self) -> None:
        self.builds += 1
        await self.go.wait()
        self.environments.add(NAME, self.fill)

    def fill(self, path: Path) -> None:
        path.mkdir()
        (path / "noise.bin").write_bytes(self.noise)
        (path / "package").mkdir()
        (path / "package" / "__init__.py").write_text("X = 1\n")

    async def make(self) -> None:
        await self.sharing.make(NAME, self.build, self.log)

    def names(self) -> list[str]:
        return sorted(path.name for path in self.root.iterdir()) if self.root.exists() else []

    def whole(self) -> bool:
        return (self.root / NAME / "noise.bin").read_bytes() == NOISE


async def pieces(store: SqlStore) -> int:
    counted = sa.select(sa.func.count()).select_from(environment_pieces)
    return int(await store._executor.read(lambda conn: conn.execute(counted).scalar_one()))


@pytest_asyncio.fixture(loop_scope="session")
async def store(tmp_path: Path) -> AsyncIterator[SqlStore]:
    store = open_store(StoreConfig(data_dir=tmp_path / "store"))
    await store.start()
    for node in ("first", "second"):
        await store.join(node, node)
    yield store
    await store.stop()


@pytest.fixture
def first(store: SqlStore, tmp_path: Path) -> Machine:
    return Machine(store, tmp_path / "first")


@pytest.fixture
def second(store: SqlStore, tmp_path: Path) -> Machine:
    return Machine(store, tmp_path / "second")


async def test_what_one_has_built_the_others_fetch(first: Machine, second: Machine) -> None:
    assert not await second.sharing.fetch(NAME)
    await first.make()
    assert not await second.sharing.use(NAME)
    assert await asyncio.gather(*(second.sharing.fetch(NAME) for _ in range(5))) == [True] * 5
    assert second.names() == [NAME]
    assert second.whole()
    assert await second.sharing.use(NAME)
    await second.make()
    assert (first.builds, second.builds) == (1, 0)
    assert "built before" in second.log.text()
    assert (first.sharing.counts, second.sharing.counts) == ({"built": 1, "kept": 1}, {"fetched": 1})


async def test_what_is_kept_for_all_has_a_bound(store: SqlStore, tmp_path: Path) -> None:
    there = PackedEnvironment(
        name="cd" * 32, archive="a", upload="u", pieces=1, size_bytes=256 * MIB, data_bytes=1, file_count=1
    )
    assert await store.claim_environment(there.name, "second", 60_000)
    assert await store.keep_environment(there)
    full = Machine(store, tmp_path / "first", disk_bytes=64 * MIB)
    await full.make()
    assert full.whole()
    assert "256 MiB, 4 times POLYCALL_RUNTIMES_MIB" in full.log.text()
    assert await store.kept_environments() == {there.name}
    assert await pieces(store) == 0
    # there is room again
    await store.forget_environment(there.name, there.upload)
    await full.make()
    assert await store.kept_environments() == {NAME}


async def test_two_that_want_the_same_at_once_build_it_once(first: Machine, second: Machine) -> None:
    first.go.clear()
    building = asyncio.create_task(first.make())
    await until(lambda: first.builds)
    waiting = asyncio.create_task(second.make())
    await until(lambda: "Another server is building the same" in second.log.text())
    first.go.set()
    await asyncio.gather(building, waiting)
    assert (first.builds, second.builds) == (1, 0)
    assert second.whole()


async def test_a_build_that_fails_or_is_given_up_is_for_the_next_one(first: Machine, second: Machine) -> None:
    first.go.clear()
    building = asyncio.create_task(first.make())
    await until(lambda: first.builds)
    building.cancel()
    with pytest.raises(asyncio.CancelledError):
        await building
    await second.make()
    assert second.builds == 1


async def test_a_build_of_a_server_that_was_lost_is_for_the_next_one(first: Machine, second: Machine) -> None:
    await first.store.claim_environment(NAME, "first", 60_000)
    with pytest.raises(TakesTooLong):
        await Machine(first.store, second.root, wait_s=0).make()
    await first.store.leave("first")
    await second.make()
    assert second.builds == 1


async def test_one_that_was_taken_for_lost_ends_up_with_what_its_successor_built(
    first: Machine, second: Machine
) -> None:
    first.go.clear()
    first.noise = NOISE[::-1]  # a release that came out meanwhile
    building = asyncio.create_task(first.make())
    await until(lambda: first.builds)
    await first.store.leave("first")
    await second.make()
    first.go.set()
    await building
    assert (first.builds, second.builds) == (1, 1)
    assert first.whole()
    assert first.names() == [NAME]
    assert await pieces(first.store) == 4  # of one archive


async def test_what_was_built_before_it_could_be_shared_is_shared_then(first: Machine, second: Machine) -> None:
    first.environments.add(NAME, first.fill)
    await first.make()
    assert await second.sharing.fetch(NAME)
    assert (first.builds, second.builds) == (0, 0)


async def test_what_is_too_large_to_be_kept_each_builds(store: SqlStore, first: Machine, tmp_path: Path) -> None:
    small = Machine(store, tmp_path / "small", packed_bytes=MIB)
    await small.make()
    assert "larger than 1 MiB packed (POLYCALL_SHARED_RUNTIME_MIB)" in small.log.text()
    assert await pieces(store) == 0
    assert not await first.sharing.fetch(NAME)
    await first.make()
    assert (small.builds, first.builds) == (1, 1)


async def test_an_environment_that_the_disk_has_spoiled_is_fetched_again(first: Machine, second: Machine) -> None:
    await first.make()
    await second.sharing.fetch(NAME)
    (second.root / NAME / "noise.bin").write_bytes(NOISE[:-1] + b"?")
    again = Machine(second.store, second.root)  # the next start
    assert not await again.sharing.use(NAME)
    assert again.names() == []
    assert await again.sharing.fetch(NAME)
    assert again.whole()


@pytest.mark.parametrize("how", ["changed", "missing"])
async def test_what_was_spoiled_while_it_was_kept_is_dropped_and_built_anew(
    first: Machine, second: Machine, how: str
) -> None:
    await first.make()
    spoiled = environment_pieces.c.seq == 1
    statement: sa.Executable = sa.delete(environment_pieces).where(spoiled)
    if how == "changed":
        statement = sa.update(environment_pieces).where(spoiled).values(data=os.urandom(MIB))
    await first.store._executor.write(lambda conn: conn.execute(statement))
    assert not await second.sharing.fetch(NAME)
    assert second.names() == []
    await second.make()
    assert second.builds == 1
    fresh = Machine(first.store, first.root.with_name("third"))
    assert await fresh.sharing.fetch(NAME)
    assert fresh.whole()


async def test_a_disk_without_room_takes_nothing_and_says_so(
    store: SqlStore, first: Machine, second: Machine, tmp_path: Path
) -> None:
    await first.make()
    digest = archive_digest(first.root / NAME)
    for machine in (Machine(store, tmp_path / "tight", disk_bytes=2 * MIB), full_disk(second)):
        for _ in range(2):  # at once, it is not even tried
            with pytest.raises(OSError, match=r"No space left|POLYCALL_RUNTIMES_MIB"):
                await machine.sharing.fetch(NAME)
        assert machine.names() == []
    assert archive_digest(first.root / NAME) == digest
    kept = await store.find_environment(NAME)
    assert kept is not None


async def test_a_file_that_the_system_does_not_let_grow_is_no_environment(first: Machine, second: Machine) -> None:
    await first.make()
    _, hard = limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * MIB, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            await second.sharing.fetch(NAME)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert second.names() == []
    again = Machine(first.store, second.root)
    assert await again.sharing.fetch(NAME)
    assert again.whole()


async def test_what_is_fetched_at_the_same_time_counts_together(
    store: SqlStore, first: Machine, tmp_path: Path
) -> None:
    await first.make()
    tight = Machine(store, tmp_path / "tight", disk_bytes=4 * MIB)
    tight.sharing._coming = 2 * MIB
    with pytest.raises(NoRoom):
        await tight.sharing.fetch(NAME)
    assert tight.sharing._coming == 2 * MIB
    assert tight.names() == []


def full_disk(machine: Machine) -> Machine:
    """A machine whose disk is full after a MiB."""
    begin = machine.environments.begin

    class Full:
        def __init__(self) -> None:
            self._unfinished = begin()
            self.path, self.drop = self._unfinished.path, self._unfinished.drop

        def keep(self, name: str) -> Path:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    machine.environments.begin = Full  # type: ignore[method-assign,assignment]
    return machine


async def test_a_directory_that_cannot_be_written_is_named(store: SqlStore, first: Machine, tmp_path: Path) -> None:
    await first.make()
    (tmp_path / "file").write_text("no directory")
    blocked = Machine(store, tmp_path / "file" / "runtimes")
    with pytest.raises(OSError, match=r"Not a directory|File exists"):
        await blocked.sharing.fetch(NAME)


async def test_room_is_made_for_what_is_fetched(store: SqlStore, first: Machine, tmp_path: Path) -> None:
    await first.make()
    tight = Machine(store, tmp_path / "tight", disk_bytes=4 * MIB)
    old, mine = "01" * 32, "02" * 32

    def fill(path: Path) -> None:
        path.mkdir()
        (path / "x").write_bytes(bytes(MIB))

    for name in (old, mine):
        os.utime(tight.environments.add(name, fill), (1, 1))
    with pytest.raises(NoRoom):  # nobody else has them: they would have to be built again
        await tight.sharing.fetch(NAME)
    await store.claim_environment(old, "first", 60_000)
    value = {"name": old, "archive": "x", "upload": "x", "pieces": 0, "size_bytes": 0}
    assert await store.keep_environment(PackedEnvironment(**value, data_bytes=0, file_count=0))  # type: ignore[arg-type]
    again = Machine(store, tight.root, disk_bytes=4 * MIB + 4096)
    assert await again.sharing.fetch(NAME)
    assert again.names() == [mine, NAME]


async def test_while_the_database_is_away_nothing_is_fetched_and_what_is_here_is_used(
    first: Machine, second: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await first.make()

    async def away(*_: object) -> None:
        raise Unavailable("The database is away.")

    for name in ("find_environment", "environment_piece", "touch_environment"):
        monkeypatch.setattr(first.store, name, away)
    assert await first.sharing.use(NAME)
    with pytest.raises(Unavailable):
        await second.sharing.fetch(NAME)
    assert second.names() == []


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from polycall.engine.sharing import Sharing, SharingSettings
from polycall.runtimes.environments import Environments
from polycall.store.sql import StoreConfig, open_store

async def main():
    store = open_store(StoreConfig(database_url=sys.argv[1], shared=True))
    await store.start()
    take = store.environment_piece
    async def slowly(upload, seq):
        if seq == 2:
            print("half", flush=True)
            await asyncio.sleep(60)
        return await take(upload, seq)
    store.environment_piece = slowly
    settings = SharingSettings(node="k", lease_s=9, wait_s=9, packed_bytes=1 << 30, disk_bytes=1 << 30)
    await Sharing(store, Environments(Path(sys.argv[2])), settings, lambda: ()).fetch(sys.argv[3])

asyncio.run(main())
"""


async def test_a_fetch_that_is_killed_leaves_nothing_under_the_name(
    store: SqlStore, first: Machine, tmp_path: Path
) -> None:
    await first.make()
    root = tmp_path / "killed"
    await store.stop()
    url = f"sqlite:///{tmp_path / 'store' / 'polycall.db'}"
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, url, str(root), NAME], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert await asyncio.to_thread(process.stdout.readline) == "half\n"
        process.send_signal(signal.SIGKILL)
    names = [path.name for path in root.iterdir()]
    assert [name.startswith(".unfinished-") for name in names] == [True]
    Environments(root).sweep(lambda name: True)  # as the next start does
    assert list(root.iterdir()) == []
    reopened = open_store(StoreConfig(data_dir=tmp_path / "store"))
    await reopened.start()
    again = Machine(reopened, root)
    assert await again.sharing.fetch(NAME)
    assert again.whole()
    await reopened.stop()
