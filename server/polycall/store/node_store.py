"""Which servers take part."""

from __future__ import annotations

from collections.abc import Mapping

from polycall.domain import ExecutionError, ExecutionState
from polycall.store import nodes, queue
from polycall.store.executor import Executor
from polycall.store.protocol import Beat

__all__ = ["SqlNodes"]


class SqlNodes:
    """See ``polycall.store.protocol.NodeStore``."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def join(self, node: str, replica: str) -> None:
        """Take part; an earlier node of the replica is dead. Raises Unavailable."""
        await self._executor.write(nodes.join, node, replica)

    async def beat(self, node: str, replica: str, lease_ms: int) -> Beat:
        """Say that a node lives; return who else does, and what it owns. Raises Unavailable."""
        return await self._executor.write(nodes.beat, node, replica, lease_ms)

    async def leave(self, node: str) -> None:
        """Take part no more. Raises Unavailable."""
        await self._executor.write(nodes.leave, node)

    async def reap(self, error: ExecutionError, lease_ms: int) -> Mapping[ExecutionState, int]:
        """Queue again, or end, what nodes without a lease left RUNNING; return counts. Raises Unavailable."""
        return await self._executor.single(queue.reap, error, lease_ms)
