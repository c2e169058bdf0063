"""Environments on their way from one server to another: an archive, packed in pieces, and back.

The archive has the format of ``polycall.runtimes.inside.build``. Nothing of it depends on where or when it was made, so
an environment has one digest on every server, and a directory can be compared with what it was unpacked from.
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from polycall.runtimes.unpacking import BadEnvironment, Unpacker

__all__ = ["PIECE_BYTES", "Packing", "Receiving", "archive_digest"]

# A row of PostgreSQL and its TOAST take a MiB at once; a server holds a few of them while it packs or unpacks.
PIECE_BYTES = 1 << 20
_CHUNK = 1 << 18
_LEVEL = 1  # numpy: 3 times smaller at 60 MB/s; level 6 saves a tenth more and takes three times as long
_ENTRY = struct.Struct("<BHQ")
_END, _FILE, _EXECUTABLE, _LINK = range(4)


class Packing:
    """Packs a directory. Blocking: not for an event loop. Once ``pieces`` has ended, the rest is known."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.archive = ""  # sha256 (hex)
        self.pieces_made = 0
        self.size_bytes = 0
        self.data_bytes = 0
        self.file_count = 0

    def pieces(self) -> Iterator[bytes]:
        """Yield the packed archive, all pieces but the last of the same length. Raises OSError."""
        digest, packer, held = hashlib.sha256(), zlib.compressobj(_LEVEL), bytearray()
        for part in _archive(self._root, self._count):
            digest.update(part)
            held += packer.compress(part)
            while len(held) >= PIECE_BYTES:
                yield self._made(bytes(held[:PIECE_BYTES]))
                del held[:PIECE_BYTES]
        held += packer.flush()
        while held:
            yield self._made(bytes(held[:PIECE_BYTES]))
            del held[:PIECE_BYTES]
        self.archive = digest.hexdigest()

    def _made(self, piece: bytes) -> bytes:
        self.pieces_made += 1
        self.size_bytes += len(piece)
        return piece

    def _count(self, files: int, size: int) -> None:
        self.file_count += files
        self.data_bytes += size


class Receiving:
    """Unpacks what ``Packing`` packed. Blocking: not for an event loop. Every byte may be hostile.

    ``root`` must not exist yet. More bytes or files than announced are refused before they are written.
    """

    def __init__(self, root: Path, *, data_bytes: int, file_count: int) -> None:
        self._unpacker = Unpacker(root, most_bytes=data_bytes, most_files=file_count)
        self._inflate = zlib.decompressobj()
        self._digest = hashlib.sha256()

    def feed(self, piece: bytes) -> None:
        """Take the next piece. Raises BadEnvironment, OSError; ``close`` is due then."""
        try:
            while piece:
                if self._inflate.eof:
                    raise BadEnvironment("something comes after its end")
                self._take(self._inflate.decompress(piece, _CHUNK))
                piece = self._inflate.unconsumed_tail
        except zlib.error:
            raise BadEnvironment("it cannot be decompressed") from None

    def finish(self, archive: str) -> None:
        """Take the end. Raises BadEnvironment if it is not whole, or not the archive of that digest; OSError."""
        while not self._inflate.eof and (part := self._inflate.decompress(b"", _CHUNK)):
            self._take(part)
        if not self._inflate.eof or self._inflate.unused_data:
            raise BadEnvironment("it ends in the middle, or something comes after its end")
        if self._digest.hexdigest() != archive:
            raise BadEnvironment("it is not what was packed")
        self._unpacker.finish()

    def close(self) -> None:
        """Close the file that is open, if any."""
        self._unpacker.close()

    def _take(self, part: bytes) -> None:
        self._digest.update(part)
        self._unpacker.feed(part)


def archive_digest(root: Path) -> str:
    """Return the digest (sha256, hex) of a directory's archive. Blocking. Raises OSError."""
    digest = hashlib.sha256()
    for part in _archive(root, lambda files, size: None):
        digest.update(part)
    return digest.hexdigest()


def _archive(root: Path, count: Callable[[int, int], None]) -> Iterator[bytes]:
    top = os.fspath(root)
    for directory, folders, files in os.walk(top, onerror=_raise):
        folders.sort()
        if directory != top:
            count(1, 0)
        links = [name for name in folders if os.path.islink(os.path.join(directory, name))]
        for name in sorted(files + links):
            path = os.path.join(directory, name)
            shown = os.fsencode(os.path.relpath(path, top))
            found = os.lstat(path)
            if stat.S_ISLNK(found.st_mode):
                target = os.fsencode(os.readlink(path))
                count(1, len(target))
                yield _ENTRY.pack(_LINK, len(shown), len(target)) + shown + target
            elif stat.S_ISREG(found.st_mode):
                count(1, found.st_size)
                kind = _EXECUTABLE if found.st_mode & 0o100 else _FILE
                yield _ENTRY.pack(kind, len(shown), found.st_size) + shown
                yield from _contents(path, found.st_size)
    yield _ENTRY.pack(_END, 0, 0)


def _contents(path: str, size: int) -> Iterator[bytes]:
    left = size
    with open(path, "rb") as source:
        while left:
            part = source.read(min(left, _CHUNK))
            if not part:
                raise OSError(f"{path} changed while it was read")
            left -= len(part)
            yield part


def _raise(error: OSError) -> None:
    raise error
