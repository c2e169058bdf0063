"""Environments that servers keep for each other."""

from __future__ import annotations

from polycall.domain import PackedEnvironment
from polycall.store import environments
from polycall.store.executor import Executor
from polycall.store.outside import Outside

__all__ = ["SqlEnvironments"]


class SqlEnvironments:
    """See ``polycall.store.protocol.EnvironmentStore``."""

    def __init__(self, executor: Executor, outside: Outside) -> None:
        self._executor = executor
        self._outside = outside

    async def find_environment(self, name: str) -> PackedEnvironment | None:
        """Return what is kept of that name; None if nothing is. Raises Unavailable."""
        return await self._executor.read(environments.find, name)

    async def kept_environments(self) -> frozenset[str]:
        """Return the names of all that is kept. Raises Unavailable."""
        return await self._executor.read(environments.kept)

    async def kept_environment_bytes(self) -> int:
        """Return how much all that is kept has, packed. Raises Unavailable."""
        return await self._executor.read(environments.kept_bytes)

    async def claim_environment(self, name: str, owner: str, lease_ms: int) -> bool:
        """Make a node the one that builds it; see the protocol. Raises Unavailable."""
        return await self._executor.write(environments.claim, name, owner, lease_ms)

    async def touch_environment(self, name: str) -> bool:
        """Keep a sweep away from what is kept of that name; False: nothing is. Raises Unavailable."""
        return await self._executor.single(environments.touch, name)

    async def let_environment_go(self, name: str, owner: str) -> None:
        """Build it no more. Raises Unavailable."""
        await self._executor.write(environments.let_go, name, owner)

    async def add_environment_piece(self, upload: str, seq: int, data: bytes) -> None:
        """Write a piece of an archive that ``keep_environment`` will name. Raises Unavailable."""
        if not await self._outside.put_piece(upload, seq, data):
            await self._executor.relaxed(environments.add_piece, upload, seq, data)

    async def environment_piece(self, upload: str, seq: int) -> bytes | None:
        """Return a piece; None if there is none. Raises Unavailable."""
        found = await self._executor.read(environments.piece, upload, seq)
        return found if found is not None else await self._outside.piece(upload, seq, environments.LARGEST_PIECE)

    async def keep_environment(self, packed: PackedEnvironment) -> bool:
        """Name the archive of a claimed environment; see the protocol. Raises Unavailable."""
        return await self._executor.write(environments.keep, packed)

    async def forget_environment(self, name: str, upload: str) -> None:
        """Drop an archive that turned out to be damaged. Raises Unavailable."""
        pieces = await self._executor.write(environments.forget, name, upload)
        await self._outside.discard_pieces(upload, pieces)

    async def drop_environment_pieces(self, upload: str, pieces: int) -> None:
        """Delete the pieces, so many at most, of an upload that is not going to be named. Raises Unavailable."""
        await self._executor.write(environments.drop_pieces, upload)
        await self._outside.discard_pieces(upload, pieces)

    async def sweep_environments(self, most: int) -> int:
        """Delete what no revision has any more; return how many pieces of it, ``most`` at most. Raises Unavailable."""
        count, dropped = await self._executor.relaxed(environments.sweep, most)
        for upload, pieces in dropped:
            await self._outside.discard_pieces(upload, pieces)
        return count
