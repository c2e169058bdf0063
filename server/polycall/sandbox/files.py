"""Rules for the paths of files that go into a sandbox."""

from __future__ import annotations

from collections.abc import Iterable

from polycall.domain import InputFile
from polycall.errors import FieldViolation, InvalidArgument

__all__ = ["check_files", "check_path"]

# <linux/limits.h>: NAME_MAX, and PATH_MAX less room for the directory above
_MOST_NAME = 255
_MOST_PATH = 3072
# Each is made before the code starts.
_MOST_FILES = 1000
# Deeper than people nest folders. Every folder of a path is remembered while paths are compared: without a bound, a
# request of 1 MB with paths of 1500 segments takes 700 MiB and seconds.
_MOST_DEPTH = 64


def check_path(path: str) -> str | None:
    """Return what is wrong with a relative path, None if nothing is."""
    if not path:
        return "must not be empty"
    if "\0" in path:
        return "must not contain NUL"
    if "\\" in path:
        return "must separate folders by `/`"
    if path.startswith("/"):
        return "must be relative"
    parts = path.split("/")
    if ".." in parts:
        return "must not contain '..'"
    if "" in parts or "." in parts:
        return "must not contain empty or '.' segments"
    if len(parts) > _MOST_DEPTH:
        return f"must not be nested deeper than {_MOST_DEPTH} segments"
    try:
        encoded = [part.encode() for part in parts]
    except UnicodeEncodeError:
        return "must be valid Unicode"
    if any(len(part) > _MOST_NAME for part in encoded):
        return f"must not have a segment longer than {_MOST_NAME} bytes"
    if sum(map(len, encoded)) + len(encoded) > _MOST_PATH:
        return f"must not be longer than {_MOST_PATH} bytes"
    return None


def check_files(files: Iterable[InputFile], field: str = "files") -> None:
    """Check what is to be put into the work directory. Raises InvalidArgument naming every wrong ``files[i].path``."""
    files = tuple(files)
    if len(files) > _MOST_FILES:
        raise InvalidArgument.of(field, f"has {len(files)} files; at most {_MOST_FILES}")
    wrong: list[FieldViolation] = []
    kinds: dict[str, str] = {}  # path -> "file" or "folder"
    for index, file in enumerate(files):
        problem = check_path(file.path) or _clash(file.path, kinds)
        if problem:
            wrong.append(FieldViolation(f"{field}[{index}].path", problem))
    if wrong:
        raise InvalidArgument(wrong)


def _clash(path: str, kinds: dict[str, str]) -> str | None:
    if path in kinds:
        return "is given twice" if kinds[path] == "file" else "is also a folder of another file"
    parts = path.split("/")
    folders = ["/".join(parts[:count]) for count in range(1, len(parts))]
    if any(kinds.get(folder) == "file" for folder in folders):
        return "lies below what is also a file"
    kinds[path] = "file"
    kinds.update((folder, "folder") for folder in folders)
    return None
