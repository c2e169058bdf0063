"""Source bundles: files by relative path, as one run of bytes that has one digest.

The encoding is deterministic (files in the order of their paths' UTF-8, lengths before contents), so that the same
files have the same digest whoever packs them, and a digest names nothing else: every field has a length, so no two
sets of files share an encoding. It is stored as it is; changing it would orphan every stored bundle.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Mapping

__all__ = ["bundle_digest", "pack_bundle", "unpack_bundle"]

_MAGIC = b"polycall bundle 1\n"
_LENGTHS = struct.Struct(">IQ")  # bytes of the path, bytes of the contents


def bundle_digest(files: Mapping[str, bytes]) -> str:
    """Return the sha256 (hex) of the packed files; this is ``Version.bundle``."""
    digest = hashlib.sha256()
    for piece in _pieces(files):
        digest.update(piece)
    return digest.hexdigest()


def pack_bundle(files: Mapping[str, bytes]) -> bytes:
    """Return the files as one run of bytes. Raises UnicodeEncodeError for a path that is not valid Unicode."""
    return b"".join(_pieces(files))


def unpack_bundle(data: bytes) -> dict[str, bytes]:
    """Return the files of ``pack_bundle``; raise ValueError for anything else."""
    if not data.startswith(_MAGIC):
        raise ValueError("not a bundle")
    files: dict[str, bytes] = {}
    at = len(_MAGIC)
    while at < len(data):
        if at + _LENGTHS.size > len(data):
            raise ValueError("the bundle ends within a file")
        path_length, length = _LENGTHS.unpack_from(data, at)
        path_at = at + _LENGTHS.size
        at = path_at + path_length + length
        if at > len(data):
            raise ValueError("the bundle ends within a file")
        files[data[path_at : path_at + path_length].decode()] = data[path_at + path_length : at]
    return files


def _pieces(files: Mapping[str, bytes]) -> Iterator[bytes]:
    yield _MAGIC
    for path, contents in sorted((path.encode(), contents) for path, contents in files.items()):
        yield _LENGTHS.pack(len(path), len(contents))
        yield path
        yield contents
