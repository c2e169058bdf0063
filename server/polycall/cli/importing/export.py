"""An export: a vendor's answers as the files of a folder."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from polycall.cli.exits import Exit
from polycall.cli.failures import Failure
from polycall.cli.importing.web import MOST_ANSWER_BYTES

__all__ = ["Export", "parsed"]

_MOST_EXPORT_BYTES = 4 << 30  # of all answers together; kept on disk, read one by one

T = TypeVar("T")


class Export:
    """A folder of files, whose names we choose: nothing of a vendor's answer ever becomes a path."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._written = 0

    def write(self, name: str, data: bytes) -> None:
        """Keep a file; a vendor that sends more than 4 GiB in all is refused. Raises Failure."""
        self._written += len(data)
        if self._written > _MOST_EXPORT_BYTES:
            raise Failure(f"the vendor sends more than {_MOST_EXPORT_BYTES >> 30} GiB in all: too much.", Exit.LIMIT)
        path = self.folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as stream:
                stream.write(data)
        except OSError as error:
            raise Failure(f"cannot write {path}: {error.strerror}.") from None

    def write_list(self, name: str, key: str, items: Iterable[msgspec.Raw]) -> None:
        """Keep the items of all pages of a list as one answer: ``{key: [...]}``, byte for byte as they came."""
        body = b",\n".join(bytes(item) for item in items)
        self.write(name, b'{"%s":[\n%s\n]}\n' % (key.encode(), body))

    def has(self, name: str) -> bool:
        """Tell whether there is such a file."""
        return (self.folder / name).exists()

    def read(self, name: str, most: int = MOST_ANSWER_BYTES) -> bytes:
        """Return a file. Raises Failure for one that is missing, too large, or no plain file of the folder itself."""
        path = self.folder / name
        try:
            # a link could make a file of this machine look like part of an export
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as stream:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise Failure(f"{path} is not a plain file.")
                data = stream.read(most + 1)
        except FileNotFoundError:
            raise Failure(f"{self.folder} has no {name}: is it an export of this vendor?") from None
        except OSError as error:
            raise Failure(f"cannot read {path}: {error.strerror}.") from None
        if len(data) > most:
            raise Failure(f"{path} has more than {most >> 20} MiB: too much.", Exit.LIMIT)
        return data

    def decode(self, name: str, kind: type[T], default: T | None = None) -> T:
        """Return a JSON file as what it must be; ``default`` if it may be missing and is. Raises Failure."""
        if default is not None and not self.has(name):
            return default
        found: T = parsed(self.read(name), kind, str(self.folder / name))
        return found


def parsed(data: bytes | msgspec.Raw, kind: Any, where: str) -> Any:
    """Return JSON as what it must be. Raises Failure naming ``where`` and the place in it."""
    try:
        return msgspec.json.decode(data, type=kind)
    except RecursionError:
        raise Failure(f"{where} is nested too deeply.") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Failure(f"{where} is not what the vendor's contract says: {error}.") from None
