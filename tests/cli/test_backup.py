"""polycall backup and restore: of a server that runs, into a directory that has none."""

from __future__ import annotations

import io
import json
import sqlite3
import tarfile
import threading
from pathlib import Path

import pytest

from polycall.store.schema import HEAD
from polycall.v1 import audit_service_pb2, execution_pb2, execution_service_pb2
from tests.cli.conftest import Cli
from tests.harness import Server, running_server, until

DOUBLE = "def double(n):\n    return n * 2\n"


@pytest.fixture(scope="module")
def backed_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a backup, with keys, of a server that was recording executions all the while."""
    directory = tmp_path_factory.mktemp("backup")
    with running_server(directory / "data") as server:
        server.deploy("double", {"main.py": DOUBLE})
        stop = threading.Event()

        def work() -> None:
            number = 0
            while not stop.is_set():
                number += 1
                assert _doubled(server, number) == number * 2

        worker = threading.Thread(target=work)
        worker.start()
        try:
            until(lambda: len(_listed(server)) > 5, what="records in the database")
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("POLYCALL_DATA_DIR", str(server.data_dir))
                done = Cli(patch)("backup", str(directory / "first.tar"), "--with-keys")
                again = Cli(patch)("backup", str(directory / "first.tar"))
        finally:
            stop.set()
            worker.join()
    assert (done.code, done.err) == (0, "")
    assert done.text.endswith(" MiB, 0 runtimes, with keys.\n")
    assert (again.code, again.err) == (
        *(2, f"polycall: {directory / 'first.tar'} exists; a backup replaces nothing.\n"),
    )
    return directory / "first.tar"


def _listed(server: Server) -> list[str]:
    request = execution_service_pb2.ListExecutionsRequest(page_size=1000)
    found = server.executions.ListExecutions(request, metadata=server.metadata).executions
    return [execution.name for execution in found]


def _doubled(server: Server, number: int) -> int:
    request = execution_service_pb2.RunFunctionRequest(
        function="packages/double/functions/double", input_json=json.dumps({"n": number})
    )
    execution: execution_pb2.Execution = server.executions.RunFunction(request, metadata=server.metadata)
    return int(execution.output_json)


def test_a_restored_server_goes_on_with_what_was_there(alone: Cli, backed_up: Path, tmp_path: Path) -> None:
    assert backed_up.stat().st_mode & 0o777 == 0o600
    alone.monkeypatch.setenv("POLYCALL_DATA_DIR", str(tmp_path / "data"))
    done = alone("restore", str(backed_up))
    assert (done.code, done.err) == (0, "")
    with running_server(tmp_path / "data") as server:
        assert _doubled(server, 21) == 42
        assert len(_listed(server)) > 5
        where = audit_service_pb2.AuditFilter(action="backup.restore")
        request = audit_service_pb2.ListAuditEventsRequest(project="projects/-", filter=where)
        (noted,) = server.audit.ListAuditEvents(request, metadata=server.metadata).events
        assert (noted.actor, noted.project, set(noted.detail)) == ("system", "", {"backup_ms", "version"})
        refused = alone("restore", str(backed_up), "--replace")
        assert refused.code == 2
        assert "is in use by another polycall server" in refused.err


def test_a_database_that_is_there_is_set_aside_and_only_when_asked(alone: Cli, backed_up: Path, tmp_path: Path) -> None:
    alone.monkeypatch.setenv("POLYCALL_DATA_DIR", str(tmp_path))
    (tmp_path / "polycall.db").write_bytes(b"old")
    (tmp_path / "encryption.key").write_text("old key")
    refused = alone("restore", str(backed_up))
    assert (refused.code, refused.err) == (
        2,
        f"polycall: {tmp_path} has a database already. Restore into another directory, or use --replace.\n",
    )
    assert (tmp_path / "polycall.db").read_bytes() == b"old"
    assert alone("restore", str(backed_up), "--replace").code == 0
    (aside,) = tmp_path.glob("polycall.db.replaced-*")
    (key,) = tmp_path.glob("encryption.key.replaced-*")
    assert (aside.read_bytes(), key.read_text()) == (b"old", "old key")
    assert (tmp_path / "encryption.key").stat().st_mode & 0o777 == 0o600


def test_without_keys_it_is_said_where_they_belong(alone: Cli, backed_up: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    alone.monkeypatch.setenv("POLYCALL_DATA_DIR", str(data))
    assert alone("restore", str(backed_up)).code == 0
    done = alone("backup", str(tmp_path / "second.tar"))
    assert (done.code, done.err) == (
        0,
        f"Keep a copy of {data / 'encryption.key'} elsewhere: secrets cannot be opened without it.\n",
    )
    alone.monkeypatch.setenv("POLYCALL_DATA_DIR", str(tmp_path / "other"))
    done = alone("restore", str(tmp_path / "second.tar"))
    assert (done.code, done.err) == (
        0,
        f"The backup has no keys: put the encryption key to {tmp_path / 'other' / 'encryption.key'} before you "
        "start the server.\n",
    )


def test_built_runtimes_come_along(alone: Cli, backed_up: Path, tmp_path: Path) -> None:
    data, name = tmp_path / "data", "ab" * 32
    alone.monkeypatch.setenv("POLYCALL_DATA_DIR", str(data))
    assert alone("restore", str(backed_up)).code == 0
    (data / "runtimes" / name).mkdir()
    (data / "runtimes" / name / "module.py").write_text("x = 1")
    (data / "runtimes" / name / "link.py").symlink_to("module.py")
    assert alone("backup", str(tmp_path / "with.tar")).text.endswith(" MiB, 1 runtimes, without keys.\n")
    assert alone("backup", str(tmp_path / "without.tar"), "--without-runtimes").code == 0
    for archive, there in (("with.tar", True), ("without.tar", False)):
        alone.monkeypatch.setenv("POLYCALL_DATA_DIR", str(tmp_path / archive[:-4]))
        assert alone("restore", str(tmp_path / archive)).code == 0
        link = tmp_path / archive[:-4] / "runtimes" / name / "link.py"
        assert (link.is_symlink() and link.read_text() == "x = 1") is there


def _repacked(source: Path, target: Path, changes: dict[str, bytes | tarfile.TarInfo]) -> Path:
    """Copy a backup with other contents of members, or more members."""
    with tarfile.open(source) as old, tarfile.open(target, "w") as new:
        for member in old:
            stream = old.extractfile(member)
            content = changes.pop(member.name, None) or (stream.read() if stream is not None else b"")
            assert isinstance(content, bytes)
            member.size = len(content)
            new.addfile(member, io.BytesIO(content))
        for name, content in changes.items():
            member = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name)
            data = content if isinstance(content, bytes) else b""
            member.size = len(data)
            new.addfile(member, io.BytesIO(data))
    return target


def _link(name: str, to: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, to
    return member


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("../outside", b"x", "has a member '../outside'"),
        ("runtimes/../../outside", b"x", "has a member"),
        ("/outside", b"x", "has a member"),
        ("polycall.lock", b"x", "has a member 'polycall.lock'"),
        ("runtimes/a/link", _link("runtimes/a/link", "/etc/passwd"), "is not a whole backup"),
        ("runtimes/a/out", _link("runtimes/a/out", "../../../outside"), "is not a whole backup"),
        ("polycall.db", b"x" * 4096, "its database is not the one that was backed up"),
        ("manifest.json", b"{}", "its manifest cannot be read"),
        ("manifest.json", b'{"format": 2}', "has the format 2; this release reads 1"),
    ],
)
def test_what_is_no_backup_of_ours_is_refused_and_leaves_nothing(
    alone: Cli, backed_up: Path, tmp_path: Path, name: str, content: bytes | tarfile.TarInfo, words: str
) -> None:
    alone.monkeypatch.setenv("POLYCALL_DATA_DIR", str(tmp_path / "data"))
    refused = alone("restore", str(_repacked(backed_up, tmp_path / "bad.tar", {name: content})))
    assert refused.code == 2
    assert words in refused.err
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["polycall.lock"]
    assert not (tmp_path / "outside").exists()


def test_a_truncated_backup_and_a_newer_one_are_refused(alone: Cli, backed_up: Path, tmp_path: Path) -> None:
    alone.monkeypatch.setenv("POLYCALL_DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "cut.tar").write_bytes(backed_up.read_bytes()[:-60_000])
    assert alone("restore", str(tmp_path / "cut.tar")).code == 2
    with tarfile.open(backed_up) as archive:
        stream = archive.extractfile("manifest.json")
        assert stream is not None
        manifest = json.load(stream)
    assert manifest["schema"] == HEAD
    newer = json.dumps(manifest | {"schema": "9999", "version": "9.0"}).encode()
    refused = alone("restore", str(_repacked(backed_up, tmp_path / "new.tar", {"manifest.json": newer})))
    assert refused.code == 2
    assert "was made by polycall 9.0, whose database (revision 9999) is newer" in refused.err


def test_a_damaged_database_is_not_backed_up(alone: Cli, tmp_path: Path) -> None:
    alone.monkeypatch.setenv("POLYCALL_DATA_DIR", str(tmp_path))
    refused = alone("backup", str(tmp_path / "b.tar"))
    assert (refused.code, refused.err) == (
        2,
        f"polycall: There is no database in {tmp_path}. Set POLYCALL_DATA_DIR to the directory of a server.\n",
    )
    with sqlite3.connect(tmp_path / "polycall.db") as conn:
        conn.execute("CREATE TABLE alembic_version (version_num TEXT)")
        conn.executemany("INSERT INTO alembic_version VALUES (?)", [("x" * 3000,)] * 20)
    conn.close()
    data = bytearray((tmp_path / "polycall.db").read_bytes())
    data[4096:8192] = b"\xff" * 4096
    (tmp_path / "polycall.db").write_bytes(data)
    refused = alone("backup", str(tmp_path / "b.tar"))
    assert refused.code == 2
    assert not (tmp_path / "b.tar").exists()
    assert list(tmp_path.glob(".b.tar*")) == []


def test_another_database_has_its_own_tools(alone: Cli, tmp_path: Path) -> None:
    alone.monkeypatch.setenv("POLYCALL_DATABASE_URL", "postgresql://nobody@localhost/nothing")
    refused = alone("backup", str(tmp_path / "b.tar"))
    assert refused.code == 2
    assert "docs/operations.md" in refused.err
