"""The one process that owns an embedded database."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from polycall.domain import Reason
from polycall.errors import FailedPrecondition

__all__ = ["DirectoryLock", "refuse_network_file_system"]

# WAL needs memory that all openers share, and locks that hold; file systems of several machines promise neither
# (https://www.sqlite.org/wal.html, "do not work over a network filesystem").
_NETWORK = frozenset(
    (
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "coda",
        "davfs",
        "fuse.ceph",
        "fuse.cephfs",
        "fuse.davfs2",
        "fuse.gcsfuse",
        "fuse.glusterfs",
        "fuse.rclone",
        "fuse.s3fs",
        "fuse.sshfs",
        "gfs2",
        "glusterfs",
        "gpfs",
        "lustre",
        "nfs",
        "nfs4",
        "ocfs2",
        "orangefs",
        "smb3",
        "smbfs",
    )
)
_ESCAPES = {"\\040": " ", "\\011": "\t", "\\012": "\n", "\\134": "\\"}


class DirectoryLock:
    """A lock file that names its holder. The kernel lets go of it when the process ends, however it ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def acquire(self) -> None:
        """Take the lock for life; raise FailedPrecondition naming the pid of who has it, OSError."""
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(file, 32, 0).decode("ascii", "replace").strip()
            os.close(file)
            raise FailedPrecondition(
                f"The data directory {self._path.parent} is in use by another polycall server"
                f"{f' (pid {holder})' if holder else ''}. Stop it, set POLYCALL_DATA_DIR to another directory, or set "
                "POLYCALL_DATABASE_URL to a PostgreSQL database, which servers can share.",
                subject=str(self._path.parent),
                reason=Reason.STORE_UNAVAILABLE,
                metadata={"pid": holder},
            ) from None
        except BaseException:
            os.close(file)
            raise
        os.ftruncate(file, 0)
        os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
        self._file = file

    def release(self) -> None:
        """Let go; harmless without the lock. The file stays: removing it would let two processes lock two files."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def refuse_network_file_system(directory: Path, mounts: str | None = None) -> None:
    """Raise FailedPrecondition if a directory is not on a file system of this machine.

    ``mounts`` is the text of ``/proc/self/mountinfo`` (proc(5)); where there is none, nothing is refused.
    """
    if mounts is None:
        try:
            mounts = Path("/proc/self/mountinfo").read_text(errors="surrogateescape")
        except OSError:
            return
    kind = _file_system(directory.resolve(), mounts)
    if kind in _NETWORK:
        raise FailedPrecondition(
            f"The data directory {directory} is on a network file system ({kind}), which cannot hold the embedded "
            "database. Set POLYCALL_DATA_DIR to a local directory, or POLYCALL_DATABASE_URL to a PostgreSQL database.",
            subject=str(directory),
            reason=Reason.STORE_UNAVAILABLE,
            metadata={"file_system": kind},
        )


def _file_system(path: Path, mounts: str) -> str:
    """Return the type of the file system a path is on: of the innermost mount, and of those the last."""
    found, depth = "", -1
    for line in mounts.splitlines():
        fields, _, rest = line.partition(" - ")
        point = fields.split(" ")[4]
        for escape, char in _ESCAPES.items():
            point = point.replace(escape, char)
        inner = Path(point)
        if len(inner.parts) >= depth and path.is_relative_to(inner):
            found, depth = rest.split(" ")[0], len(inner.parts)
    return found
