"""What is deployed: a file, a directory, an archive, or standard input."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import field
from pathlib import Path

from polycall.cli.failures import Failure
from polycall.cli.manifest import MANIFEST, Manifest, parse_manifest
from polycall.cli.options import read_bytes
from polycall.cli.suffixes import SUFFIXES, language_of, suffix_of
from polycall.domain import Language
from polycall.quick import dataclass

__all__ = ["Source", "read_source"]

# What the server takes (SourceFiles); noticed here before gigabytes are read.
_MAX_FILES, _MAX_BYTES = 10_000, 64 * 1024 * 1024
_MAX_MANIFEST_BYTES = 1024 * 1024
_ZIP_MAGIC = b"PK\x03\x04"
_BUILT = ("__pycache__", "node_modules")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Files by relative path, or one archive as it is; ``name`` is what a package is called that has no other name."""

    name: str = ""
    files: Mapping[str, bytes] = field(default_factory=dict)
    archive: bytes | None = None
    manifest: Manifest = field(default_factory=Manifest)
    language: Language = Language.PYTHON  # by the names of the files


def read_source(path: str, language: Language = Language.PYTHON) -> Source:
    """Read a file, a directory with or without a manifest, a zip archive, or standard input. Raises Failure.

    ``language`` is that of a text that comes without a name.
    """
    if path == "-":
        data = read_bytes("-")
        if data.startswith(_ZIP_MAGIC):
            return _archive("", data)
        return Source(files={f"main{suffix_of(language)}": data}, language=language)
    place = Path(path)
    if place.is_dir():
        return _directory(place)
    data = read_bytes(path)
    if data.startswith(_ZIP_MAGIC) or place.suffix == ".zip":
        return _archive(place.stem, data)
    # Python's modules need a name that can be imported; tracebacks show it, so the user's own is kept where it can be.
    scripts = SUFFIXES.get(place.suffix, Language.PYTHON) is not Language.PYTHON
    file = place.name if scripts or (place.stem.isidentifier() and place.suffix) else "main.py"
    return Source(name=place.stem, files={file: data}, language=language_of([file]))


def _archive(name: str, data: bytes) -> Source:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            language = language_of(archive.namelist())
            if MANIFEST not in archive.namelist():
                return Source(name=name, archive=data, language=language)
            with archive.open(MANIFEST) as stream:
                text = stream.read(_MAX_MANIFEST_BYTES)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise Failure(f"{name or 'standard input'} is not a zip archive that can be read: {error}.") from None
    manifest = parse_manifest(text, f"{MANIFEST} in the archive")
    return Source(name=name, archive=data, manifest=manifest, language=language)


def _directory(place: Path) -> Source:
    files: dict[str, bytes] = {}
    size = 0
    for file in _walk(place):
        data = read_bytes(str(file))
        size += len(data)
        if size > _MAX_BYTES or len(files) >= _MAX_FILES:
            raise Failure(
                f"{place} holds more than {_MAX_FILES} files or {_MAX_BYTES >> 20} MiB, which no version may have."
                " Is it the directory you meant?"
            )
        files[file.relative_to(place).as_posix()] = data
    text = files.pop(MANIFEST, b"")
    if not files:
        raise Failure(f"{place} has no files to deploy; hidden ones do not count.")
    manifest = parse_manifest(text, str(place / MANIFEST))
    return Source(name=place.resolve().name, files=files, manifest=manifest, language=language_of(files))


def _walk(place: Path) -> Iterator[Path]:
    """Yield the files to deploy in a stable order: no hidden ones, nothing built, and never what a link points to."""
    for directory, names, files in os.walk(place, onerror=_cannot_read):
        names[:] = sorted(name for name in names if not name.startswith(".") and name not in _BUILT)
        here = Path(directory)
        for name in [*names, *sorted(files)]:
            if (here / name).is_symlink():
                raise Failure(
                    f"{here / name} is a symbolic link. polycall deploys plain files only: a link could bring along"
                    " what was never meant to leave this machine."
                )
        for name in sorted(files):
            if not name.startswith(".") and not name.endswith(".pyc"):
                yield here / name


def _cannot_read(error: OSError) -> None:
    raise Failure(f"cannot read {error.filename}: {error.strerror}.")
