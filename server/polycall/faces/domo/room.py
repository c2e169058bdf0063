"""How much one answer may hold: counted while it is gathered, not when it is there."""

from __future__ import annotations

from polycall.errors import PayloadTooLarge

__all__ = ["Room"]

_MOST = 48 << 20  # bytes of code and manifests: escaped, they stay below what the gateway takes as a rule (64 MiB)


class Room:
    """What is left of one answer's room."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = self._left = most

    def take(self, size: int) -> None:
        """Take some of it. Raises PayloadTooLarge if there is no more."""
        self._left -= size
        if self._left < 0:
            most = f"{self._most >> 20} MiB"
            raise PayloadTooLarge(f"The answer is larger than {most}; ask for fewer, with skip and limit, or for one.")
