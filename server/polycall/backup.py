"""Backups of a data directory: one file with everything that a server needs to go on elsewhere.

A backup is a tar archive. Its first member, ``manifest.json``, says what else is in it; the database is a copy that
SQLite makes while the server runs, checked before it is kept. What is restored is treated as hostile all the same: a
backup has lain somewhere.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import sqlite3
import tarfile
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import IO
from urllib.parse import quote

from polycall import __version__
from polycall.acts import SYSTEM, AuditOutcome
from polycall.datadir import BOOTSTRAP_KEY_FILE, ENCRYPTION_KEY_FILE, LOCK_FILE, make_data_dir
from polycall.domain import Reason
from polycall.errors import FailedPrecondition
from polycall.ids import new_id
from polycall.quick import dataclass
from polycall.store.directory import DirectoryLock
from polycall.store.home import NAMED
from polycall.store.schema import HEAD
from polycall.store.sql import DATABASE_FILE

__all__ = ["Manifest", "back_up", "restore"]

FORMAT = 1
KEYS = (BOOTSTRAP_KEY_FILE, ENCRYPTION_KEY_FILE)
_MANIFEST = "manifest.json"
_RUNTIMES = "runtimes"
_CHUNK = 1 << 20
_MOST_MANIFEST = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What is in a backup."""

    format: int
    version: str  # of polycall
    schema: str  # of the database
    time_ms: int
    database_bytes: int
    database_sha256: str
    keys: bool
    runtimes: int  # environments


def back_up(data_dir: Path, target: Path, *, keys: bool, runtimes: bool) -> Manifest:
    """Write a backup of a data directory, whose server may be running. The target appears whole, or not at all.

    Raises FailedPrecondition: there is no database, it is damaged, the target exists; OSError.
    """
    database = data_dir / DATABASE_FILE
    if not database.is_file():
        raise _refused(f"There is no database in {data_dir}. Set POLYCALL_DATA_DIR to the directory of a server.")
    if target.exists():
        raise _refused(f"{target} exists; a backup replaces nothing.")
    target = target.absolute()
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as scratch:
        copy = Path(scratch) / DATABASE_FILE
        schema = _copy(database, copy)
        environments = sorted(_environments(data_dir)) if runtimes else []
        manifest = Manifest(
            format=FORMAT,
            version=__version__,
            schema=schema,
            time_ms=time.time_ns() // 1_000_000,
            database_bytes=copy.stat().st_size,
            database_sha256=_sha256(copy),
            keys=keys,
            runtimes=len(environments),
        )
        packed = Path(scratch) / "backup"
        with tarfile.open(packed, "x", format=tarfile.PAX_FORMAT) as archive:
            _add_bytes(archive, _MANIFEST, json.dumps(asdict(manifest), indent=2).encode())
            archive.add(copy, DATABASE_FILE, filter=_anonymous)
            for name in KEYS if keys else ():
                with contextlib.suppress(FileNotFoundError):  # set by the operator, who keeps it
                    archive.add(data_dir / name, name, filter=_anonymous)
            for environment in environments:
                archive.add(environment, f"{_RUNTIMES}/{environment.name}", filter=_anonymous)
        packed.chmod(0o600)
        _sync(packed)
        try:
            os.link(packed, target)  # unlike a rename, it replaces nothing
        except FileExistsError:
            raise _refused(f"{target} exists; a backup replaces nothing.") from None
        _sync(target.parent)
    return manifest


def restore(source: Path, data_dir: Path, *, replace: bool) -> Manifest:
    """Put a backup into a data directory that no server uses. With ``replace``, a database that is there is set aside.

    Raises FailedPrecondition: not a backup, damaged, of a newer release, the directory is in use or has a database;
    OSError.
    """
    if not hasattr(tarfile, "data_filter"):
        raise _refused("Backups are restored with Python 3.11.4 or newer only: older ones unpack what they should not.")
    data_dir = make_data_dir(data_dir)
    lock = DirectoryLock(data_dir / LOCK_FILE)
    lock.acquire()
    try:
        database = data_dir / DATABASE_FILE
        if database.exists() and not replace:
            raise _refused(f"{data_dir} has a database already. Restore into another directory, or use --replace.")
        with tempfile.TemporaryDirectory(prefix=".restore.", dir=data_dir) as scratch:
            unpacked = Path(scratch)
            manifest = _unpack(source, unpacked)
            _check(unpacked / DATABASE_FILE, manifest)
            _note(unpacked / DATABASE_FILE, manifest)
            _set_aside(data_dir)
            for name in KEYS:
                if (unpacked / name).exists():
                    (unpacked / name).chmod(0o600)
                    (unpacked / name).replace(data_dir / name)
            (data_dir / _RUNTIMES).mkdir(mode=0o755, exist_ok=True)
            for environment in (unpacked / _RUNTIMES).glob("*"):
                kept = data_dir / _RUNTIMES / environment.name
                if not kept.exists():  # named by what it was built from: what is there is the same
                    environment.rename(kept)
            os.sync()
            # last: a directory without a database is a new one, never half of an old one
            (unpacked / DATABASE_FILE).rename(database)
            _sync(data_dir)
        return manifest
    finally:
        lock.release()


def _copy(database: Path, copy: Path) -> str:
    """Copy a database that may be written meanwhile; return its schema's revision."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{quote(str(database))}?mode=rw", uri=True)) as source:
            os.close(os.open(copy, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
            with contextlib.closing(sqlite3.connect(copy)) as target:
                source.backup(target)  # in one go, of one snapshot: step by step, every write begins it anew
                # one file, without a log beside it
                target.execute("PRAGMA journal_mode=DELETE")
        return _revision(copy)
    except sqlite3.Error as error:
        raise _refused(f"The database {database} cannot be backed up: {error}.") from None


def _revision(database: Path) -> str:
    """Return the schema's revision of a database that is whole. Raises sqlite3.Error, FailedPrecondition."""
    with contextlib.closing(sqlite3.connect(f"file:{quote(str(database))}?mode=ro", uri=True)) as conn:
        problems = [row[0] for row in conn.execute("PRAGMA integrity_check(3)")]
        if problems != ["ok"]:
            raise _refused(f"The database is damaged: {'; '.join(problems)}.")
        broken = conn.execute("PRAGMA foreign_key_check").fetchone()
        if broken is not None:
            raise _refused(f"The database is damaged: a row of {broken[0]} refers to nothing.")
        (revision,) = conn.execute("SELECT version_num FROM alembic_version").fetchone()
        return str(revision)


def _unpack(source: Path, directory: Path) -> Manifest:
    """Unpack the members that a backup may have, and nothing else."""
    try:
        with tarfile.open(source, "r:") as archive:
            first = archive.next()
            if first is None or first.name != _MANIFEST or not first.isreg() or first.size > _MOST_MANIFEST:
                raise _refused(f"{source} is not a backup of polycall.")
            manifest = _manifest(source, archive.extractfile(first))
            for member in _wanted(source, archive):
                archive.extract(member, directory, filter="data")
        return manifest
    except (tarfile.TarError, EOFError, UnicodeError) as error:
        raise _refused(f"{source} is not a whole backup of polycall: {error}.") from None


def _manifest(source: Path, stream: IO[bytes] | None) -> Manifest:
    try:
        fields = json.loads(stream.read() if stream is not None else b"")
        if fields["format"] != FORMAT:
            raise _refused(f"{source} has the format {fields['format']!r}; this release reads {FORMAT}.")
        manifest = Manifest(**fields)
    except (ValueError, TypeError, KeyError):
        raise _refused(f"{source} is not a backup of polycall: its manifest cannot be read.") from None
    if str(manifest.schema) > HEAD:
        raise _refused(
            f"{source} was made by polycall {manifest.version}, whose database (revision {manifest.schema}) is newer "
            f"than this release's ({HEAD}). Install that release, or a later one."
        )
    return manifest


def _wanted(source: Path, archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    while (member := archive.next()) is not None:
        parts = PurePosixPath(member.name).parts
        known = (len(parts) == 1 and parts[0] in (DATABASE_FILE, *KEYS) and member.isreg()) or (
            len(parts) >= 2 and parts[0] == _RUNTIMES and ".." not in parts
        )
        if not known:
            raise _refused(f"{source} is not a backup of polycall: it has a member {member.name!r}.")
        yield member


def _check(database: Path, manifest: Manifest) -> None:
    if not database.is_file():
        raise _refused("The backup has no database.")
    if _sha256(database) != manifest.database_sha256:
        raise _refused("The backup is damaged: its database is not the one that was backed up.")
    try:
        _revision(database)
    except sqlite3.Error as error:
        raise _refused(f"The backup is damaged: {error}.") from None


def _note(database: Path, manifest: Manifest) -> None:
    """Put into a database that it is a restored one.

    Into the audit log, for what was done after the backup is not in it; and its objects get a name of their own.
    """
    event = {
        "id": new_id().hex,
        "time": time.time_ns() // 1_000_000,
        **dict.fromkeys(("project_id", "face", "method", "client"), ""),
        "actor": SYSTEM,
        "action": "backup.restore",
        "resource": "backups",
        "outcome": AuditOutcome.DONE.value,
        "code": 0,
        "count": 1,
        "detail": json.dumps({"backup_ms": str(manifest.time_ms), "version": str(manifest.version)}),
    }
    names = ", ".join(event)
    places = ", ".join(f":{name}" for name in event)
    with contextlib.closing(sqlite3.connect(database)) as conn, conn:
        if conn.execute(
            "SELECT 1 FROM sqlite_master WHERE name = 'audit_events'"
        ).fetchone():  # else: of a release before
            conn.execute(f"INSERT INTO audit_events ({names}) VALUES ({places})", event)  # noqa: S608  own names
        # what is restored may live beside its original, whose objects it shall never delete
        conn.execute("DELETE FROM counters WHERE name = ?", (NAMED,))


def _set_aside(data_dir: Path) -> None:
    """Rename the database that is there, with its log: nothing that was stored is deleted."""
    suffix = f".replaced-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}"
    for name in (f"{DATABASE_FILE}-wal", f"{DATABASE_FILE}-shm", DATABASE_FILE, *KEYS):
        old = data_dir / name
        if old.exists():
            shutil.copy2(old, f"{old}{suffix}") if name in KEYS else old.rename(f"{old}{suffix}")


def _environments(data_dir: Path) -> Iterator[Path]:
    yield from (data_dir / _RUNTIMES).glob("?" * 64)


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    # whose the files were here means nothing elsewhere
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def _add_bytes(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = len(data), 0o600, int(time.time())
    archive.addfile(member, io.BytesIO(data))


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _refused(why: str) -> FailedPrecondition:
    return FailedPrecondition(why, reason=Reason.STORE_UNAVAILABLE)
