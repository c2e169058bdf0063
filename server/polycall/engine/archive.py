"""Source files as they arrive, one by one or as a zip archive: checked before anything of them is kept."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from itertools import pairwise

from polycall.errors import FieldViolation, InvalidArgument
from polycall.sandbox.files import check_path

__all__ = ["MOST_BYTES", "MOST_FILES", "read_zip", "source_files"]

MOST_FILES = 10_000
MOST_BYTES = 64 * 1024 * 1024  # a message can hold no more, so that both forms hold the same

_ENTRY = b"PK\x01\x02"  # begins every entry of a central directory (APPNOTE 4.3.12)
_MOST_ENTRIES = 2 * MOST_FILES  # with the entries of folders
_CHUNK = 1024 * 1024
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # the others take memory as the archive says
_ENCRYPTED = 0x1  # general purpose bit 0
_BROKEN = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, OverflowError, OSError, RuntimeError)


def source_files(files: Iterable[tuple[str, bytes]], field: str = "files.files") -> dict[str, bytes]:
    """Return files by path. Raises InvalidArgument naming every wrong ``field[i].path``."""
    kept: dict[str, bytes] = {}
    wrong: list[FieldViolation] = []
    for index, (path, data) in enumerate(files):
        problem = check_path(path) or ("is given twice" if path in kept else None)
        if problem:
            wrong.append(FieldViolation(f"{field}[{index}].path", problem))
        else:
            kept[path] = data
    wrong += (FieldViolation(field, problem) for problem in _clashes(kept))
    if wrong:
        raise InvalidArgument(wrong)
    return kept


def read_zip(archive: bytes, field: str = "zip") -> dict[str, bytes]:
    """Return the files of a zip archive by path; entries of folders are left out, a leading ``./`` is taken off.

    At most 64 MiB are unpacked, whatever the archive says of its sizes. Raises InvalidArgument naming ``field`` and the
    entry: paths that are absolute or lead out, links and devices, duplicates, encryption, broken archives.
    """
    if archive.count(_ENTRY) > _MOST_ENTRIES:  # counted before zipfile makes an object of each
        raise InvalidArgument.of(field, f"has more than {_MOST_ENTRIES} entries")
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as opened:
            return _unpacked(opened, field)
    except NotImplementedError:
        raise InvalidArgument.of(field, "uses a feature of zip that is not supported") from None
    except _BROKEN:
        raise InvalidArgument.of(field, "is not a readable zip archive") from None


def _unpacked(archive: zipfile.ZipFile, field: str) -> dict[str, bytes]:
    entries: dict[str, zipfile.ZipInfo] = {}
    wrong: list[FieldViolation] = []
    for entry in archive.infolist():
        path = entry.orig_filename.removeprefix("./")
        folder = path.rstrip("/")
        if (folder != path and not check_path(folder)) or entry.orig_filename == "./":
            continue
        problem = check_path(path) or _entry_problem(entry) or ("is there twice" if path in entries else None)
        if problem:
            wrong.append(FieldViolation(field, f"{path[:100]!r} {problem}"))
        entries[path] = entry
    wrong += (FieldViolation(field, problem) for problem in _clashes(entries))
    if len(entries) > MOST_FILES:
        wrong.append(FieldViolation(field, f"has {len(entries)} files; at most {MOST_FILES}"))
    if wrong:
        raise InvalidArgument(wrong[:100])
    files: dict[str, bytes] = {}
    left = MOST_BYTES
    for path, entry in entries.items():
        files[path] = data = _read(archive, entry, left)
        left -= len(data)
        if left < 0:
            raise InvalidArgument.of(field, f"unpacks to more than {MOST_BYTES} bytes")
    return files


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, most: int) -> bytes:
    """Return the contents, or the first ``most`` + 1 bytes of them."""
    with archive.open(entry) as stream:
        pieces = bytearray()
        while len(pieces) <= most and (piece := stream.read(min(_CHUNK, most + 1 - len(pieces)))):
            pieces += piece
        return bytes(pieces)


def _entry_problem(entry: zipfile.ZipInfo) -> str | None:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind == stat.S_IFLNK:
        return "is a link"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is not a regular file"
    if entry.flag_bits & _ENCRYPTED:
        return "is encrypted"
    if entry.compress_type not in _METHODS:
        return "is compressed by another method than deflate"
    return None


def _clashes(paths: Iterable[str]) -> Iterator[str]:
    """Say which files are folders of others."""
    # In this order a folder stands right before what is in it. A set of all folders of hostile paths takes gigabytes.
    ordered = sorted(paths, key=lambda path: path.replace("/", "\0"))
    for path, following in pairwise(ordered):
        if following.startswith(f"{path}/"):
            yield f"{path[:100]!r} is both a file and a folder"
