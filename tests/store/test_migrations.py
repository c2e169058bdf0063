"""A database that was migrated and one that was made today have the same schema."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.ext.asyncio import create_async_engine

import polycall.store
from polycall.errors import FailedPrecondition
from polycall.ids import new_id
from polycall.store import schema
from polycall.store.executor_sqlite import SqliteExecutor
from polycall.store.quota import stored_bytes
from polycall.store.rows import row_of
from polycall.store.sql import StoreConfig, open_store
from polycall.store.tables import METADATA, counters, executions
from tests.store.examples import ended, queued

STARTS = """
import asyncio, json, sys
from pathlib import Path
from polycall.store.sql import StoreConfig, open_store

async def main():
    store = open_store(StoreConfig(data_dir=Path(sys.argv[1])))
    await store.start()
    await store.stop()
    print(json.dumps([name for name in ("alembic", "asyncpg", "sqlalchemy.orm") if name in sys.modules]))

asyncio.run(main())
"""


def _schema(conn: sa.Connection) -> dict[str, Any]:
    """Return everything a database says of its tables."""
    inspector = sa.inspect(conn)
    found: dict[str, Any] = {}
    for table in sorted(inspector.get_table_names()):
        found[table] = {
            "columns": [{**column, "type": repr(column["type"])} for column in inspector.get_columns(table)],
            "primary key": inspector.get_pk_constraint(table),
            "foreign keys": inspector.get_foreign_keys(table),
            "unique": sorted(inspector.get_unique_constraints(table), key=str),
            "indexes": sorted(
                str([index["name"], index["column_names"], index["unique"]]) for index in inspector.get_indexes(table)
            ),
        }
    if conn.dialect.name == "sqlite":
        statement = (
            "SELECT name, sql FROM sqlite_master WHERE type IN ('index', 'trigger') AND sql IS NOT NULL ORDER BY name"
        )
    else:
        statement = (
            "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' "
            "UNION ALL SELECT relname, array_to_string(reloptions, ',') FROM pg_class WHERE relname = 'executions' "
            "UNION ALL SELECT attname, attstorage::text FROM pg_attribute "
            "WHERE attrelid IN ('blobs'::regclass, 'environment_pieces'::regclass) "
            "UNION ALL SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal "
            "UNION ALL SELECT proname, prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace "
            "UNION ALL SELECT table_name || column_name, collation_name FROM information_schema.columns "
            "WHERE table_schema = 'public' "
            "UNION ALL SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal "
            "UNION ALL SELECT proname, prosrc FROM pg_proc WHERE proname = 'executions_ended' ORDER BY 1, 2"
        )
    found["more"] = [tuple(row) for row in conn.execute(sa.text(statement))]
    return found


def _differences(conn: sa.Connection) -> list[Any]:
    context = MigrationContext.configure(conn, opts={"compare_type": True, "compare_server_default": True})
    return list(compare_metadata(context, METADATA))


def test_the_last_revision_is_the_one_that_new_databases_get() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(polycall.store.__path__[0]) / "migrations"))
    scripts = ScriptDirectory.from_config(config)
    assert scripts.get_heads() == [schema.HEAD]
    revisions = [script.revision for script in scripts.walk_revisions()][::-1]
    # some numbers may be missing: those who work side by side each have theirs
    assert revisions == sorted(set(revisions))
    assert {len(revision) for revision in revisions} == {4}


async def test_on_sqlite_migrated_and_new_are_the_same(tmp_path: Path) -> None:
    schemas = {}
    for name, make in (("new", schema.prepare), ("migrated", schema.upgrade)):
        executor = SqliteExecutor(tmp_path / f"{name}.db", readers=1, waiting=8)
        await executor.start(make)
        schemas[name] = await executor.read(_schema)
        assert await executor.read(_differences) == []
        await executor.stop()
    assert schemas["migrated"] == schemas["new"]
    assert len(schemas["new"]) == len(METADATA.tables) + 2  # alembic_version, "more"


async def test_on_postgres_migrated_and_new_are_the_same(postgres: str) -> None:
    engine = create_async_engine(sa.make_url(postgres).set(drivername="postgresql+asyncpg"))
    schemas = {}
    for name, make in (("new", schema.prepare), ("migrated", schema.upgrade)):
        async with engine.begin() as conn:
            await conn.run_sync(make)
            schemas[name] = await conn.run_sync(_schema)
            assert await conn.run_sync(_differences) == []
            await conn.rollback()
    await engine.dispose()
    assert schemas["migrated"] == schemas["new"]
    assert len(schemas["new"]) == len(METADATA.tables) + 2


async def test_a_migrated_database_starts_with_its_default_project(tmp_path: Path) -> None:
    executor = SqliteExecutor(tmp_path / "polycall.db", readers=1, waiting=8)
    await executor.start(schema.upgrade)
    await executor.stop()
    store = open_store(StoreConfig(data_dir=tmp_path))
    await store.start()
    assert [project.id for project in await store.list_projects()] == ["default"]
    await store.stop()


async def test_an_older_database_is_migrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    executor = SqliteExecutor(tmp_path / "polycall.db", readers=1, waiting=8)
    await executor.start(schema.prepare)
    await executor.stop()
    asked: list[str] = []
    monkeypatch.setattr(schema, "HEAD", "9999")
    monkeypatch.setattr(schema, "upgrade", lambda conn: asked.append("upgrade"))
    await executor_again(tmp_path)
    assert asked == ["upgrade"]


async def test_what_an_older_database_holds_is_told_from_then_on(tmp_path: Path) -> None:
    def before(conn: sa.Connection) -> None:
        schema.upgrade(conn, "0017")
        conn.execute(
            sa.text(
                "INSERT INTO projects (id, created_at, display_name) VALUES ('default', 1, '') ON CONFLICT DO NOTHING"
            )
        )
        columns = [c.name for c in executions.c if c.name not in ("completion_url", "completion_host")]
        known = {c["name"] for c in sa.inspect(conn).get_columns("executions")}
        row, _ = row_of(queued(), 1024)
        kept = {name: row.get(name, 0) for name in columns if name in known}
        names = ", ".join(kept)
        places = ", ".join(f":{name}" for name in kept)
        conn.execute(sa.text(f"INSERT INTO executions ({names}) VALUES ({places})"), kept | {"id": row["id"].hex})

    executor = SqliteExecutor(tmp_path / "polycall.db", readers=1, waiting=8)
    await executor.start(before)
    await executor.stop()
    store = open_store(StoreConfig(data_dir=tmp_path))
    await store.start()
    told = await store.enqueue(queued(completion_url="https://hooks.example/"))
    await store.change_project("default", {"max_running": 1})
    (old,) = await store.claim("node", {"default": 2})  # what waited before there were limits is under one as well
    assert (old.priority, old.retry, old.attempts) == (0, None, ())
    await store.change_project("default", {"max_running": None})
    (new,) = await store.claim("node", {"default": 2})
    assert (old.completion_url, new.completion_url) == (None, "https://hooks.example/")
    for claimed in (old, new):
        assert await store.finish(ended(claimed), owner="node")
    assert [one.execution_id for one in (await store.list_deliveries("default", None, 9)).items] == [told.id]
    await store.stop()


def _filled_before_sealed_had_a_column(conn: sa.Connection) -> None:
    schema.upgrade(conn, "0020")
    own = {"project_id": "default", "kind": "sync", "state": 2, "queued_at": 1, "language": "python", "attempt": 1}
    own |= {"max_attempts": 1, "usage": "{}"}
    flags = dict.fromkeys(("cancel_requested", "stdout_truncated", "stderr_truncated", "bodies_dropped"), False)
    texts = (
        *(("riza", f'{{"type":"script","sealed":"1.k.{number}"}}') for number in range(501)),
        ("riza", '{"type":"script","request":{}}'),
        ("riza", "nonsense"),
        ("domo", '{"sealed":"a word of somebody"}'),
    )
    rows = [{"id": new_id(), "face": face, "face_data": text.encode(), **own, **flags} for face, text in texts]
    columns = [sa.column(name, sa.Uuid if name == "id" else None) for name in rows[0]]
    conn.execute(sa.insert(sa.table("executions", *columns)), rows)
    schema.upgrade(conn)


def _kept(conn: sa.Connection) -> list[tuple[object, ...]]:
    statement = "SELECT face, face_data, sealed, sealed_by FROM executions"
    return [tuple(row) for row in conn.execute(sa.text(statement))]


def _check_what_was_sealed(kept: list[tuple[object, ...]]) -> None:
    moved = [row for row in kept if row[2] is not None]
    assert {row[2] for row in moved} == {f"1.k.{number}" for number in range(501)}
    assert {(row[0], row[1], row[3]) for row in moved} == {("riza", b'{"type":"script"}', "1.k")}
    assert {(row[0], row[1]) for row in kept if row[2] is None} == {
        ("riza", b'{"type":"script","request":{}}'),
        ("riza", b"nonsense"),
        ("domo", b'{"sealed":"a word of somebody"}'),
    }


async def test_what_was_sealed_within_other_data_gets_its_column_on_sqlite(tmp_path: Path) -> None:
    executor = SqliteExecutor(tmp_path / "polycall.db", readers=1, waiting=8)
    await executor.start(_filled_before_sealed_had_a_column)
    _check_what_was_sealed(await executor.read(_kept))
    await executor.stop()


async def test_what_was_sealed_within_other_data_gets_its_column_on_postgres(postgres: str) -> None:
    engine = create_async_engine(sa.make_url(postgres).set(drivername="postgresql+asyncpg"))
    async with engine.begin() as conn:
        await conn.run_sync(_filled_before_sealed_had_a_column)
        _check_what_was_sealed(await conn.run_sync(_kept))
        await conn.rollback()
    await engine.dispose()


def _filled_before_storage_was_counted(conn: sa.Connection) -> None:
    schema.upgrade(conn, "0016")

    def put(table: str, **values: object) -> None:
        columns: list[sa.ColumnClause[Any]] = [sa.column(name) for name in values]
        conn.execute(sa.insert(sa.table(table, *columns)), values)

    own = {"project_id": "p", "created_at": 1}
    put("projects", id="p", created_at=1, display_name="")
    put("packages", id="a", display_name="é", description="", labels="{}", updated_at=1, **own)
    texts = {"functions": "[]", "limits": "{}", "env": '{"A":"b"}', "runtime": ""}
    put("versions", package_id="a", id="1", state="ready", language="python", bundle="s", reuse=True, **texts, **own)
    put("face_objects", face="cognite", kind="file", id="1", updated_at=1, revision=1, data=b"{}", blob="f", **own)
    put("runtimes", id="r", language="python", display_name="é", **own)
    built = {
        "manifest": "numpy",
        "additional_imports": "",
        "preload": "[]",
        "log": "Collecting é",
        "log_truncated": False,
    }
    put(
        "runtime_revisions",
        id="1",
        runtime_id="r",
        language="python",
        manifest_kind="requirements",
        state="ready",
        **{"digest": "d", "size_bytes": 1 << 30, "file_count": 9, **built, **own},
    )
    for digest, size in (("s", 10), ("f", 200), ("of an execution", 3000)):
        put("blobs", project_id="p", sha256=digest, size=size, data=b"", touched_at=1)
    schema.upgrade(conn)


def _check_what_is_counted(conn: sa.Connection) -> None:
    counted = conn.execute(sa.text("SELECT sha256 FROM blobs WHERE counted ORDER BY sha256")).scalars().all()
    assert counted == ["f", "s"]
    sizes = [conn.execute(sa.text(f"SELECT size FROM {name}")).scalar_one() for name in ("packages", "versions")]
    assert sizes == [len("é".encode()) + len("{}"), len('[]{}{"A":"b"}')]
    assert conn.execute(sa.text("SELECT request_id FROM versions")).scalars().all() == [None]
    sizes += [
        conn.execute(sa.text(f"SELECT size FROM {name}")).scalar_one() for name in ("runtimes", "runtime_revisions")
    ]
    assert sizes[2:] == [len("ré".encode()), len("1numpy[]Collecting é".encode())]
    assert stored_bytes(conn, "p") == 10 + 200 + sum(sizes) + len(b"{}")


async def test_what_an_older_database_stores_is_counted_on_sqlite(tmp_path: Path) -> None:
    executor = SqliteExecutor(tmp_path / "polycall.db", readers=1, waiting=8)
    await executor.start(_filled_before_storage_was_counted)
    await executor.read(_check_what_is_counted)
    await executor.stop()


async def test_what_an_older_database_stores_is_counted_on_postgres(postgres: str) -> None:
    engine = create_async_engine(sa.make_url(postgres).set(drivername="postgresql+asyncpg"))
    async with engine.begin() as conn:
        await conn.run_sync(_filled_before_storage_was_counted)
        await conn.run_sync(_check_what_is_counted)
        await conn.rollback()
    await engine.dispose()


async def test_the_database_of_the_next_release_is_left_as_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def from_the_future(conn: sa.Connection) -> None:
        schema.prepare(conn)
        conn.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))

    executor = SqliteExecutor(tmp_path / "polycall.db", readers=1, waiting=8)
    await executor.start(from_the_future)
    await executor.stop()
    await executor_again(tmp_path)
    assert "9999, newer than this release's" in caplog.text


async def test_a_database_on_which_this_release_cannot_run_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    def far_from_the_future(conn: sa.Connection) -> None:
        schema.prepare(conn)
        assert (
            conn.execute(sa.select(counters.c.next).where(counters.c.name == "schema floor")).scalar_one()
            == schema.FLOOR
        )
        conn.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
        conn.execute(sa.text("UPDATE counters SET next = 9000 WHERE name = 'schema floor'"))

    executor = SqliteExecutor(tmp_path / "polycall.db", readers=1, waiting=8)
    await executor.start(far_from_the_future)
    await executor.stop()
    before = (tmp_path / "polycall.db").read_bytes()
    with pytest.raises(FailedPrecondition) as refused:
        await executor_again(tmp_path)
    assert refused.value.message == (
        f"The database is of a newer release: its schema is 9999, this release knows {schema.HEAD}, and 9000 is the "
        "least that runs on it. Start the newer release again, or restore a backup from before it."
    )
    assert (tmp_path / "polycall.db").read_bytes() == before


async def test_tables_of_another_program_are_refused(tmp_path: Path) -> None:
    def another(conn: sa.Connection) -> None:
        conn.execute(sa.text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"))
        conn.execute(sa.text("INSERT INTO alembic_version VALUES ('a1b2c3d4e5f6')"))

    executor = SqliteExecutor(tmp_path / "polycall.db", readers=1, waiting=8)
    await executor.start(another)
    await executor.stop()
    with pytest.raises(FailedPrecondition, match=r"another program.*revision is a1b2c3d4e5f6"):
        await executor_again(tmp_path)


def test_the_floor_is_a_schema_that_was() -> None:
    assert 1 <= schema.FLOOR <= int(schema.HEAD)


async def executor_again(directory: Path) -> None:
    store = open_store(StoreConfig(data_dir=directory))
    await store.start()
    await store.stop()


def test_no_start_loads_what_it_does_not_need(tmp_path: Path) -> None:
    for _ in ("new", "existing"):
        done = subprocess.run(
            [sys.executable, "-c", STARTS, str(tmp_path)], capture_output=True, check=True, timeout=60
        )
        assert json.loads(done.stdout) == []
