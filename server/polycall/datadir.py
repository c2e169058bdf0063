"""The data directory beside the database: the bootstrap key, and the sockets of one running server."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from polycall.domain import Reason
from polycall.errors import FailedPrecondition
from polycall.sealing import new_encryption_key

__all__ = [
    "BOOTSTRAP_KEY_FILE",
    "ENCRYPTION_KEY_FILE",
    "LOCK_FILE",
    "kept_bootstrap_key",
    "kept_encryption_key",
    "make_data_dir",
    "socket_directory",
]

BOOTSTRAP_KEY_FILE = "bootstrap.key"
ENCRYPTION_KEY_FILE = "encryption.key"
LOCK_FILE = "polycall.lock"  # of the embedded store, and of the directory if there is none
_LONGEST_SOCKET_DIRECTORY = 80  # sun_path holds 107 bytes; the rest is for the names of the sockets
_OTHERS = 0o077


def make_data_dir(path: Path) -> Path:
    """Return the directory as an absolute path, made if need be. Raises FailedPrecondition."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise FailedPrecondition(
            f"Cannot make the data directory {path}: {error.strerror}. Set POLYCALL_DATA_DIR to one that is writable.",
            subject=str(path),
            reason=Reason.STORE_UNAVAILABLE,
        ) from error
    return path.resolve()


@contextlib.contextmanager
def socket_directory(data_dir: Path) -> Iterator[Path]:
    """Make the closed directory of the sockets, anew: in the data directory, or in /tmp if that path is too long.

    Only for the server that holds the data directory's lock.
    """
    inside = data_dir / "run"
    if len(str(inside).encode()) <= _LONGEST_SOCKET_DIRECTORY:
        shutil.rmtree(inside, ignore_errors=True)
        inside.mkdir(mode=0o700)
        directory = inside
    else:
        directory = Path(tempfile.mkdtemp(prefix="polycall-"))  # mode 0700
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def kept_bootstrap_key(data_dir: Path) -> tuple[str, Path]:
    """Return the bootstrap key that nobody has set, made at the first start, and the file it is kept in.

    Raises FailedPrecondition if others can read the file: whoever has the key may do everything.
    """
    remedy = "Delete the file to get a new key"
    return _kept(data_dir / BOOTSTRAP_KEY_FILE, "bootstrap key", _new_bootstrap_key, remedy)


def _new_bootstrap_key() -> str:
    from polycall.engine.keys import new_key_text  # few starts make one, and it brings the whole store

    return new_key_text(secrets.token_hex(8))


def kept_encryption_key(data_dir: Path) -> tuple[str, Path]:
    """Return the key for secrets at rest that nobody has set, made at the first start, and the file it is kept in.

    Raises FailedPrecondition if others can read the file. Without the file what was sealed cannot be opened any more.
    """
    # not as lightly as the other: what it has sealed is lost with it
    remedy = (
        "Put the right one back; or delete the file to get a new key, and give the credentials of all versions anew: "
        "they cannot be opened without the old one"
    )
    return _kept(data_dir / ENCRYPTION_KEY_FILE, "encryption key", new_encryption_key, remedy)


def _kept(path: Path, what: str, new: Callable[[], str], remedy: str) -> tuple[str, Path]:
    try:
        mode = path.stat().st_mode
        key = path.read_bytes().strip()
    except FileNotFoundError:
        _make(path, new())
        return _kept(path, what, new, remedy)
    if mode & _OTHERS:
        raise FailedPrecondition(
            f"The {what} in {path} can be read or changed by other users (mode {mode & 0o777:03o}). "
            f"Run `chmod 600 {path}` if nobody has seen it. {remedy}.",
            subject=str(path),
        )
    if not key or not key.isascii():
        raise FailedPrecondition(
            f"There is no {what} in {path}. {remedy}.",
            subject=str(path),
        )
    return key.decode(), path


def _make(path: Path, key: str) -> None:
    """Make the file of a key: all of it, or nothing; nothing too if another process was quicker."""
    file, temporary = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)  # mode 0600
    with os.fdopen(file, "w") as stream:
        stream.write(f"{key}\n")
        stream.flush()
        os.fsync(stream.fileno())
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        Path(temporary).unlink()
