"""What sandboxed processes are made of: the things that are fixed before a process locks itself in."""

from __future__ import annotations

import enum
from typing import NamedTuple

from polycall.domain import Language
from polycall.quick import dataclass

__all__ = ["DEFAULT_IMAGE", "Image", "Kind", "Platform", "image_of"]


class Platform(enum.StrEnum):
    """What interprets the code."""

    PYTHON = "python"
    DENO = "deno"


class Image(NamedTuple):
    """What a zygote has, and with it all that it forks.

    ``revision`` is the id of a runtime revision, "" the server's default of the platform. ``path`` is the host's
    directory of the built environment, read-only inside; "" for none. ``preload`` names modules that its children
    find imported, beside those of every child. ``passing``: nothing of it is kept ready for another run.
    """

    platform: Platform = Platform.PYTHON
    revision: str = ""
    path: str = ""
    preload: tuple[str, ...] = ()
    passing: bool = False


DEFAULT_IMAGE = Image()
_DENO_IMAGE = Image(platform=Platform.DENO)


def image_of(language: Language) -> Image:
    """Return the server's default image for a language."""
    return DEFAULT_IMAGE if language is Language.PYTHON else _DENO_IMAGE


@dataclass(frozen=True, slots=True)
class Kind:
    """What two waiting children must share to be as good as each other; their disk is the pool's default."""

    image: Image = DEFAULT_IMAGE
    egress: bool = False  # it can reach the server's proxy
