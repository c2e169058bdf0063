"""Whose packages are imported ahead: not those of an image that it went wrong with, for a while."""

from __future__ import annotations

import time
from collections.abc import Callable

from polycall.sandbox.image import Image

__all__ = ["Trust"]

# What went wrong may have been a machine that stood still; what is hostile costs its own runs one more failure then.
_WITHDRAWN_S = 3600.0
# Beyond so many the oldest is forgotten: an image is some hundred bytes.
_MOST = 1024


class Trust:
    """Remembers of which images a zygote with guests did not get ready, or did what no zygote of ours does.

    By image and by time, not by its last zygote: the one that takes the place of such a one imports nothing ahead, so
    that it does no harm says nothing of the packages.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._withdrawn: dict[Image, tuple[float, str]] = {}  # until when, and why; the oldest first

    def withdraw(self, image: Image, why: str) -> None:
        """Trust an image no more for an hour from now."""
        self._withdrawn.pop(image, None)
        self._withdrawn[image] = self._clock() + _WITHDRAWN_S, why
        if len(self._withdrawn) > _MOST:
            del self._withdrawn[next(iter(self._withdrawn))]

    def doubt(self, image: Image) -> str:
        """Return why an image is not trusted; "" if it is."""
        until, why = self._withdrawn.get(image, (0.0, ""))
        return why if self._clock() < until else ""
