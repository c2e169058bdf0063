"""A store with an object store: all that every store does, wherever its large values lie; and what goes wrong there."""

from __future__ import annotations

import asyncio
import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import sqlalchemy as sa

from polycall.backup import back_up, restore
from polycall.domain import ExecutionFilter, ExecutionState, Reason
from polycall.engine.retention import Retention
from polycall.errors import FailedPrecondition, NotFound, Unavailable
from polycall.ids import new_id
from polycall.store import bucket_obstore, outside, schema
from polycall.store.blobs import Blob, write_blobs
from polycall.store.bucket import BucketAway, Listed
from polycall.store.bucket_obstore import ObstoreBucket
from polycall.store.executor_sqlite import SqliteExecutor
from polycall.store.outside import Damaged
from polycall.store.sql import DATABASE_FILE, SqlStore, StoreConfig, open_store
from polycall.store.tables import blobs
from tests.contracts.clients import python_client
from tests.harness import free_port, until
from tests.store.conformance import ExecutionConformance
from tests.store.environment_conformance import kept, packed
from tests.store.examples import ended, face_object, package, queued, recorded, version

ANY = ExecutionFilter()
LARGE = os.urandom(300)
THRESHOLD = 256


@asynccontextmanager
async def _started(directory: Path, **changes: Any) -> AsyncIterator[SqlStore]:
    config = StoreConfig(
        data_dir=directory,
        flush_ms=20,
        inline_bytes=64,
        object_store_url=f"file://{directory}/objects",
        object_threshold=THRESHOLD,
    )
    store = open_store(replace(config, **changes))
    try:
        await store.start()
        yield store
    finally:
        await store.stop()


class TestBodiesOutside:
    """What every store does where it writes and reads executions, with every body of them in the object store."""

    other_project = ExecutionConformance.other_project
    test_a_record_can_be_read_at_once_and_after_its_flush = (
        ExecutionConformance.test_a_record_can_be_read_at_once_and_after_its_flush
    )
    test_the_end_takes_the_place_of_running_and_stands = (
        ExecutionConformance.test_the_end_takes_the_place_of_running_and_stands
    )
    test_a_record_that_no_database_takes_does_not_hold_up_others = (
        ExecutionConformance.test_a_record_that_no_database_takes_does_not_hold_up_others
    )
    test_bodies_of_any_size_come_back = ExecutionConformance.test_bodies_of_any_size_come_back
    test_an_accepted_call_comes_back_as_it_was = ExecutionConformance.test_an_accepted_call_comes_back_as_it_was
    test_a_repeated_request_id_returns_the_first_call = (
        ExecutionConformance.test_a_repeated_request_id_returns_the_first_call
    )
    test_a_request_id_that_a_record_has_returns_the_record = (
        ExecutionConformance.test_a_request_id_that_a_record_has_returns_the_record
    )
    test_the_longest_waiting_of_each_project_are_claimed_first = (
        ExecutionConformance.test_the_longest_waiting_of_each_project_are_claimed_first
    )
    test_an_end_is_written_once = ExecutionConformance.test_an_end_is_written_once
    test_what_is_queued_is_cancelled_at_once = ExecutionConformance.test_what_is_queued_is_cancelled_at_once
    test_what_has_ended_is_left_as_it_is = ExecutionConformance.test_what_has_ended_is_left_as_it_is
    test_a_request_id_is_reserved_by_one_and_let_go_without_an_answer = (
        ExecutionConformance.test_a_request_id_is_reserved_by_one_and_let_go_without_an_answer
    )

    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[SqlStore]:
        async with _started(tmp_path, inline_bytes=0, object_threshold=0) as store:
            yield store


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlStore]:
    async with _started(tmp_path) as store:
        yield store


async def keep(store: SqlStore, data: bytes) -> str:
    """Keep a value that nothing refers to, and return its digest."""
    blob = Blob.of("default", data)
    await store._executor.write(write_blobs, [await store.outside.place(blob)])
    return blob.digest


def objects(directory: Path, part: str = "blobs") -> list[Path]:
    return sorted(path for path in directory.glob(f"objects/polycall-*/{part}/**/*") if path.is_file())


async def rows(store: SqlStore) -> list[tuple[int, int, bool]]:
    """Size, bytes in the database and whether there is an object, of every blob."""

    def look(conn: sa.Connection) -> list[tuple[int, int, bool]]:
        found = conn.execute(sa.select(blobs.c.size, blobs.c.data, blobs.c.place))
        return sorted((row.size, len(row.data), row.place is not None) for row in found)

    return await store._executor.read(look)


async def old(store: SqlStore, directory: Path) -> None:
    """Make everything two days old."""
    await store._executor.write(lambda conn: conn.execute(sa.update(blobs).values(touched_at=1)))
    then = time.time() - 2 * 86_400
    for path in (*objects(directory), *objects(directory, "environments")):
        os.utime(path, (then, then))


async def test_values_go_by_their_size(store: SqlStore, tmp_path: Path) -> None:
    medium = LARGE[:THRESHOLD]
    made = await store.enqueue(queued(input=LARGE, result=None))
    await store.enqueue(queued(input=medium, alias=None, request_id=None))
    await store.enqueue(queued(input=medium[:64], alias=None, request_id=None))
    assert made.input == LARGE
    assert await rows(store) == [(256, 256, False), (300, 0, True)]
    assert [path.read_bytes() for path in objects(tmp_path)] == [LARGE]
    assert (await store.get("default", made.id)).input == LARGE
    # a value that is there is not written again, to neither place
    await store.enqueue(queued(input=LARGE, alias=None, request_id=None))
    assert len(objects(tmp_path)) == 1


async def test_what_no_row_names_is_swept_and_nothing_that_is_young(store: SqlStore, tmp_path: Path) -> None:
    made = await store.enqueue(queued(input=LARGE))
    await keep(store, LARGE[::-1])
    directory = objects(tmp_path)[0].parent
    (directory / "broken-off").write_bytes(b"x")
    strange = tmp_path / "objects" / "polycall-another" / "blobs" / "default" / "theirs"
    strange.parent.mkdir(parents=True)
    strange.write_bytes(b"another installation's")
    await store.add_environment_piece(new_id().hex, 0, b"x")
    assert await store.sweep_objects() == 0
    await old(store, tmp_path)
    assert await store.sweep_objects() == 2
    assert len(objects(tmp_path)) == 3
    assert await store.sweep_blobs(None, 100) == (None, 1)
    assert [path.read_bytes() for path in objects(tmp_path) if path != strange] == [LARGE]
    assert strange.exists()
    assert (await store.get("default", made.id)).input == LARGE


async def test_a_files_content_goes_there_too(store: SqlStore, tmp_path: Path) -> None:
    made = await store.create_object(face_object("a"))
    put = await store.put_object(made, LARGE)
    assert put is not None
    assert len(objects(tmp_path)) == 1
    assert await store.get_blob("default", put.blob or "") == LARGE
    assert await store.get_blob("other", put.blob or "") is None


async def test_sources_go_there_too(store: SqlStore, tmp_path: Path) -> None:
    await store.create_package(package())
    files = {"main.py": b"def function(n): ...\n", "noise": LARGE}
    made = await store.create_version(version(), files)
    assert len(objects(tmp_path)) == 1
    assert await store.get_bundle("default", made.bundle) == files


async def test_sources_are_read_again_from_this_servers_disk(tmp_path: Path) -> None:
    async with _started(tmp_path, cache_bytes=1000) as store:
        await store.create_package(package())
        files = {"noise": LARGE}
        made = await store.create_version(version(), files)
        for _ in range(2):
            assert await store.get_bundle("default", made.bundle) == files
        assert store.outside.counts == {"written": 1, "read": 1}
        (tmp_path / "cache" / made.bundle).write_bytes(LARGE)  # spoiled
        assert await store.get_bundle("default", made.bundle) == files
        assert store.outside.counts["read"] == 2
        with pytest.raises(NotFound):  # what is on the disk is still its project's alone
            await store.get_bundle("other", made.bundle)
        # what runs were given does not lie about on disks
        call = await store.enqueue(queued(input=LARGE))
        await store.get("default", call.id)
        assert [path.name for path in (tmp_path / "cache").iterdir()] == [made.bundle]


async def test_environments_go_there_too_and_are_read_from_wherever_they_are(store: SqlStore, tmp_path: Path) -> None:
    there = await kept(store, packed("ab" * 32))
    assert len(objects(tmp_path, "environments")) == there.pieces
    outside, store.outside._bucket = store.outside._bucket, None
    before = await kept(store, packed("cd" * 32))  # from before there was an object store
    assert await store.environment_piece(there.upload, 0) is None
    store.outside._bucket = outside
    for environment in (there, before):
        assert await store.environment_piece(environment.upload, 1) == b"\1\1\1"
    await old(store, tmp_path)
    assert await store.sweep_objects() == 0
    await store.forget_environment(there.name, there.upload)
    assert objects(tmp_path, "environments") == []


async def test_no_link_is_followed_out_of_a_directory_and_no_name_stops_a_sweep(
    store: SqlStore, tmp_path: Path
) -> None:
    await keep(store, LARGE)
    whole = objects(tmp_path)[0]
    begun = whole.with_name(f"{whole.name}#1")  # by a server that was killed
    for path in (begun, whole.with_name("a\nb"), Path(os.fsdecode(os.fsencode(whole.parent) + b"/\xff"))):
        path.write_bytes(b"x")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / whole.name).write_bytes(b"somebody's")
    (whole.parent.parent / "link").symlink_to(elsewhere)
    whole.with_name("file").symlink_to(elsewhere / whole.name)
    await old(store, tmp_path)
    os.utime(elsewhere / whole.name, (1, 1))
    assert await store.sweep_objects() == 1
    assert not begun.exists()
    assert whole.exists()
    assert (elsewhere / whole.name).read_bytes() == b"somebody's"
    # nor is one followed that takes a directory's place after it was listed
    home = whole.parent.parent.parent.name
    with pytest.raises(BucketAway):
        await ObstoreBucket(f"file://{tmp_path}/objects").delete([f"{home}/blobs/link/{whole.name}"])
    assert (elsewhere / whole.name).exists()


async def test_an_object_store_that_cannot_be_listed_is_refused_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_obstore, "listed_files", unlistable)
    with pytest.raises(Unavailable, match="not permitted"):
        async with _started(tmp_path):
            pass


async def test_what_cannot_be_listed_keeps_nothing_in_the_database(
    store: SqlStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await keep(store, LARGE)
    await old(store, tmp_path)
    monkeypatch.setattr(bucket_obstore, "listed_files", unlistable)
    with pytest.raises(Unavailable):
        await Retention(store, days=0, executions=0).round()
    assert await rows(store) == []


def unlistable(top: Path, prefix: str) -> Iterator[Listed]:
    raise PermissionError("not permitted")
    yield


async def test_a_value_that_is_written_while_it_is_swept_is_kept(store: SqlStore, tmp_path: Path) -> None:
    digest = await keep(store, LARGE)
    await old(store, tmp_path)
    # whoever writes it again touches it before it counts on it
    assert await keep(store, LARGE) == digest
    assert await store.sweep_blobs(None, 100) == (None, 0)
    await old(store, tmp_path)
    assert await store.sweep_blobs(None, 100) == (None, 1)
    assert await keep(store, LARGE) == digest
    assert await store.get_blob("default", digest) == LARGE
    assert await store.get_blob("other", digest) is None


@pytest.mark.parametrize("how", ["changed", "longer", "gone"])
async def test_a_value_that_was_damaged_is_said_to_be(store: SqlStore, tmp_path: Path, how: str) -> None:
    finished = await store.enqueue(queued(input=LARGE, max_attempts=1))
    (path,) = objects(tmp_path)
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(LARGE[:-1] + bytes(1 if how == "changed" else 2))
    with pytest.raises(Damaged, match=r"A stored value \(sha256 .*\) was lost or damaged in the object store"):
        await store.get("default", finished.id)
    # whoever lists does not need it; a Call that it is the input of has ended, and nothing runs on half of it
    assert [one.id for one in (await store.list("default", ANY, 10)).items] == [finished.id]
    assert list(await store.claim("node", {"default": 5})) == []
    (listed,) = (await store.list("default", ANY, 10)).items
    assert listed.state is ExecutionState.FAILED
    assert listed.error is not None
    assert "lost or damaged in the object store" in listed.error.message


async def test_while_the_object_store_is_away_nothing_is_lost(
    store: SqlStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = store.outside._bucket
    assert isinstance(bucket, ObstoreBucket)
    before = await store.enqueue(queued(input=LARGE, max_attempts=1))

    async def away(*_: object) -> None:
        raise BucketAway("it went away")

    with monkeypatch.context() as patch:
        for name in ("put", "get", "delete"):
            patch.setattr(bucket, name, away)
        # what is there cannot be read, and a Call that needs it waits and has lost no attempt
        with pytest.raises(Unavailable, match="object store, where this value is, cannot be reached"):
            await store.get("default", before.id)
        assert list(await store.claim("node", {"default": 5})) == []
        (waits,) = (await store.list("default", ANY, 10)).items
        assert (waits.state, waits.attempt, waits.owner) == (ExecutionState.QUEUED, 0, None)
        # what is new stays in the database
        record = recorded(input=LARGE[::-1])
        store.record(record)
        await store.flush()
        assert await store.get("default", record.id) == record
        assert await rows(store) == [(300, 0, True), (300, 300, False)]
    store.outside._away.until = 0.0
    await store._executor.write(lambda conn: conn.exec_driver_sql("UPDATE executions SET run_at = 0 WHERE state = 0"))
    (claimed,) = await store.claim("node", {"default": 5})
    assert (claimed.id, claimed.attempt, claimed.input) == (before.id, 1, LARGE)
    end = ended(claimed, result=LARGE * 2)
    assert await store.finish(end, owner="node")
    assert (await store.get("default", before.id)).result == LARGE * 2
    assert len(objects(tmp_path)) == 2
    assert store.outside.counts == {"written": 2, "left": 1, "away": 2, "read": 3}


async def test_a_database_with_values_outside_does_not_start_without_them(tmp_path: Path) -> None:
    async with _started(tmp_path) as store:
        await keep(store, LARGE)
    with pytest.raises(FailedPrecondition, match="POLYCALL_OBJECT_STORE_URL names none") as raised:
        async with _started(tmp_path, object_store_url=""):
            pass
    assert raised.value.reason is Reason.STORE_UNAVAILABLE
    async with _started(tmp_path) as store:
        assert [row[1:] for row in await rows(store)] == [(0, True)]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("az://container", r"The object store az://container cannot be used: .*Account must be specified"),
        ("file:///proc/polycall", r"cannot be used"),
    ],
)
async def test_an_object_store_that_cannot_be_used_is_refused_at_the_start(
    tmp_path: Path, url: str, words: str
) -> None:
    with pytest.raises(FailedPrecondition, match=words):
        async with _started(tmp_path, object_store_url=url):
            pass


async def test_the_extra_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    monkeypatch.delitem(sys.modules, "polycall.store.bucket_obstore")
    with pytest.raises(FailedPrecondition, match=r"pip install 'polycall\[objects\]'"):
        open_store(StoreConfig(data_dir=tmp_path, object_store_url="s3://bucket"))


async def test_what_an_older_database_holds_stays_there_and_is_read(tmp_path: Path) -> None:
    before = Blob.of("default", LARGE)

    def made(conn: sa.Connection) -> None:
        schema.upgrade(conn, "0014")
        values = {"p": "default", "d": before.digest, "s": len(LARGE), "b": LARGE}
        columns = "project_id, sha256, size, data, touched_at"
        conn.execute(sa.text(f"INSERT INTO blobs ({columns}) VALUES (:p, :d, :s, :b, 1)"), values)

    executor = SqliteExecutor(tmp_path / DATABASE_FILE, readers=1, waiting=8)
    await executor.start(made)
    await executor.stop()
    async with _started(tmp_path) as store:
        assert await store.get_blob("default", before.digest) == LARGE
        await keep(store, LARGE)  # it stays where it is
        await keep(store, LARGE + b"new")
        assert await rows(store) == [(300, 300, False), (303, 0, True)]


async def test_a_restored_database_finds_its_values_in_the_bucket(tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    url = f"file://{tmp_path}/bucket"
    async with _started(tmp_path / "first", object_store_url=url) as store:
        made = await store.enqueue(queued(input=LARGE))
    await asyncio.to_thread(back_up, tmp_path / "first", tmp_path / "backup", keys=False, runtimes=False)
    await asyncio.to_thread(restore, tmp_path / "backup", tmp_path / "second", replace=False)
    async with _started(tmp_path / "second", object_store_url=url) as store:
        assert (await store.get("default", made.id)).input == LARGE
        assert await store.sweep_objects() == 0


async def test_a_restored_copy_beside_its_original_deletes_nothing_of_it(tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    url, bucket = f"file://{tmp_path}/objects", tmp_path
    async with _started(tmp_path / "first", object_store_url=url) as original:
        digest = await keep(original, LARGE)
        await asyncio.to_thread(back_up, tmp_path / "first", tmp_path / "backup", keys=False, runtimes=False)
        await asyncio.to_thread(restore, tmp_path / "backup", tmp_path / "second", replace=False)
        later = await original.enqueue(queued(input=LARGE + b"later"))
        async with _started(tmp_path / "second", object_store_url=url) as copy:
            # neither what it does not know, nor what its own row named
            await old(copy, bucket)
            assert await copy.sweep_objects() == 0
            assert await copy.sweep_blobs(None, 100) == (None, 1)
            # and what it writes itself is its own
            own = await copy.enqueue(queued(input=LARGE + b"own"))
            await keep(copy, LARGE[::-1])
            assert len({path.relative_to(bucket / "objects").parts[0] for path in objects(bucket)}) == 2
            await old(copy, bucket)
            assert await copy.sweep_blobs(None, 100) == (None, 1)
            assert (await copy.get("default", own.id)).input == LARGE + b"own"
        assert await original.get_blob("default", digest) == LARGE
        assert (await original.get("default", later.id)).input == LARGE + b"later"
        assert len(objects(bucket)) == 3
    # who goes on is who it was
    async with _started(tmp_path / "second", object_store_url=url) as copy:
        await old(copy, bucket)
        assert await copy.sweep_objects() == 0
        assert (await copy.get("default", own.id)).input == LARGE + b"own"


async def test_a_copied_database_on_postgres_gets_a_name_of_its_own(
    postgres: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = sa.make_url(postgres)
    second = first.set(database="copied")
    named = []
    server = await asyncpg.connect(first.set(database="template1").render_as_string(hide_password=False))
    try:
        for url, made in (
            (first, ""),
            (first, ""),
            (second, "CREATE DATABASE copied TEMPLATE"),
            (second, ""),
            (first, ""),
        ):
            if made:
                await server.execute(f'{made} "{first.database}"')
            async with _started(tmp_path, database_url=url.render_as_string(hide_password=False)) as store:
                await store.enqueue(queued(input=LARGE, alias=None, request_id=None))
                named.append(store.outside._home)
        assert named == [named[0], named[0], named[2], named[2], named[0]]
        assert named[0] != named[2]
        assert [record.message for record in caplog.records if "is a copy, or has moved" in record.message] == [
            f"this database is a copy, or has moved: its objects are called {named[2]} from now on, and those of "
            f"{named[0]} are read and never deleted (docs/operations.md, an object store)"
        ]
    finally:
        await server.execute("DROP DATABASE IF EXISTS copied")
        await server.close()


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """Return the address of a server that speaks S3 and has a bucket."""
    python = python_client("moto[server]==5.2.5")
    port = free_port()
    with subprocess.Popen(
        [python, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:

        def made() -> bool:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            try:
                connection.request("PUT", "/bucket")
                return connection.getresponse().status == 200
            except OSError:
                assert process.poll() is None
                return False
            finally:
                connection.close()

        try:
            until(made, seconds=60, what="the bucket")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


def credentials(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    for name, value in (
        ("AWS_ENDPOINT_URL", address),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_ACCESS_KEY_ID", "id"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_REGION", "eu-central-1"),
    ):
        monkeypatch.setenv(name, value)


async def test_on_s3_values_are_written_read_listed_and_swept(
    s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials(monkeypatch, s3)
    async with _started(tmp_path, object_store_url="s3://bucket/some/prefix") as store:
        body = os.urandom(3 << 20)
        made = await store.enqueue(queued(input=body))
        assert await rows(store) == [(len(body), 0, True)]
        assert (await store.get("default", made.id)).input == body
        digest = await keep(store, LARGE)
        upload = new_id().hex
        await store.add_environment_piece(upload, 0, LARGE)
        assert await store.environment_piece(upload, 0) == LARGE
        assert await store.environment_piece(upload, 1) is None
        await store._executor.write(lambda conn: conn.execute(sa.update(blobs).values(touched_at=1)))
        assert await store.sweep_objects() == 0  # all of it is young
        monkeypatch.setattr(outside, "_YOUNG_MS", -60_000)
        assert await store.sweep_objects() == 1  # the piece, which no environment names
        assert await store.environment_piece(upload, 0) is None
        assert await store.get_blob("default", digest) == LARGE
        assert await store.sweep_blobs(None, 100) == (None, 1)
        assert await store.get_blob("default", digest) is None
        assert (await store.get("default", made.id)).input == body


async def test_an_s3_that_is_not_there_or_has_no_such_bucket_is_refused_at_the_start(
    s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = "The object store of POLYCALL_OBJECT_STORE_URL cannot be used: "
    for address, bucket in ((s3, "another"), (f"http://127.0.0.1:{free_port()}", "bucket")):
        credentials(monkeypatch, address)
        with pytest.raises(Unavailable, match=words) as raised:
            async with _started(tmp_path, object_store_url=f"s3://{bucket}"):
                pass
        assert "secret" not in raised.value.message
        assert "\n" not in raised.value.message


async def test_an_s3_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket_obstore, "_PUT_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        credentials(monkeypatch, f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(Unavailable, match=r"cannot be used: it did not answer within 0\.5 s"):
            async with _started(tmp_path, object_store_url="s3://bucket"):
                pass
