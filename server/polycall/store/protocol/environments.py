"""What is needed of the store by servers that keep environments for each other."""

from __future__ import annotations

from typing import Protocol

from polycall.domain import PackedEnvironment

__all__ = ["EnvironmentStore"]


class EnvironmentStore(Protocol):
    """Built environments, by the digest of what they were built from; they are of no project.

    What is kept has an archive in pieces. An upload is a UUIDv7 in hex, minted by who packs.
    """

    async def find_environment(self, name: str) -> PackedEnvironment | None:
        """Return what is kept of that name; None if nothing is."""

    async def kept_environments(self) -> frozenset[str]:
        """Return the names of all that is kept."""

    async def kept_environment_bytes(self) -> int:
        """Return how much all that is kept has, packed."""

    async def claim_environment(self, name: str, owner: str, lease_ms: int) -> bool:
        """Make a node the only one that builds it. False: it is kept, or is being built by a node with a lease."""

    async def touch_environment(self, name: str) -> bool:
        """Keep a sweep away for a day from what is kept, for a revision that will have it; False: nothing is kept."""

    async def let_environment_go(self, name: str, owner: str) -> None:
        """Give a claim back; harmless if the node has none."""

    async def add_environment_piece(self, upload: str, seq: int, data: bytes) -> None:
        """Write a piece, counted from 0, of an archive that is not named yet."""

    async def environment_piece(self, upload: str, seq: int) -> bytes | None:
        """Return a piece; None if there is none."""

    async def keep_environment(self, packed: PackedEnvironment) -> bool:
        """Name the archive of an environment that is claimed. False: it is not, or has one."""

    async def forget_environment(self, name: str, upload: str) -> None:
        """Drop an archive that turned out to be damaged, if it is still the one of that name."""

    async def drop_environment_pieces(self, upload: str, pieces: int) -> None:
        """Delete the pieces, so many at most, of an upload that is not going to be named."""

    async def sweep_environments(self, most: int) -> int:
        """Delete what no revision has any more, and pieces of no archive, if it is a day old.

        Returns how many pieces were deleted, ``most`` at most: if so many, there may be more.
        """
