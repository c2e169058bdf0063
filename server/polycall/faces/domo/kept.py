"""What is kept beside packages, versions and executions: what the vendor's objects have and ours have not."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, TypeVar

import msgspec

from polycall.domain import Language, Package, Version
from polycall.faces.domo.manifest import Configuration, FunctionSpec

__all__ = ["FACE", "KeptPackage", "KeptVersion", "kept_package", "kept_version"]

T = TypeVar("T")

FACE = "domo"

_User = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,18}$")]  # an id
_Time = Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799_999)]  # up to the year 9999


class KeptPackage(msgspec.Struct, frozen=True, kw_only=True):
    """Beside a package.

    ``made`` is new with every package: what was granted for an earlier one of the same id does not hold for it.
    """

    owner: _User
    made: str
    language: Language


class KeptVersion(msgspec.Struct, frozen=True, kw_only=True):
    """Beside a version. ``derived``: nobody wrote its manifest; its functions are called by keyword."""

    created_on: _Time  # ms; that of the version itself is its last change
    created_by: str  # user id
    change: str  # new with every change
    description: str | None = None
    functions: tuple[FunctionSpec, ...] = ()
    configuration: Configuration = Configuration()
    aliases: tuple[msgspec.Raw, ...] = ()
    derived: bool = False


def kept_package(package: Package) -> KeptPackage | None:
    """Return what is kept beside a package; None if it was made natively, as an import does."""
    return _read(package.face_data, KeptPackage) if package.face == FACE else None


def kept_version(version: Version) -> KeptVersion | None:
    """Return what is kept beside a version; None if it was deployed natively."""
    return _read(version.face_data, KeptVersion) if version.adapter == FACE else None


def _read(data: bytes | None, shape: type[T]) -> T | None:
    """Return what is kept; None for what others put there: the native contract takes any JSON."""
    with suppress(msgspec.DecodeError, RecursionError):
        return None if data is None else msgspec.json.decode(data, type=shape)
    return None
