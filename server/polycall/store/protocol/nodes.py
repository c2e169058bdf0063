"""What is needed of the store by servers that share it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Protocol

from polycall.domain import ExecutionError, ExecutionState
from polycall.quick import dataclass

__all__ = ["Beat", "NodeStore"]


@dataclass(frozen=True, slots=True)
class Beat:
    """What a node learns when it says that it lives."""

    others: frozenset[str]  # nodes that live as well
    owned: frozenset[uuid.UUID]  # executions that are RUNNING, and this node's


class NodeStore(Protocol):
    """Servers that share a database. A node is one boot of one of them; all times are of the database's clock."""

    async def join(self, node: str, replica: str) -> None:
        """Take part. An earlier node of the same replica is known to be dead."""

    async def beat(self, node: str, replica: str, lease_ms: int) -> Beat:
        """Say that a node lives; return who else does, by their last heartbeat, and what it owns."""

    async def leave(self, node: str) -> None:
        """Take part no more; harmless twice."""

    async def reap(self, error: ExecutionError, lease_ms: int) -> Mapping[ExecutionState, int]:
        """As ``recover``, for what belongs to nodes that have not said for ``lease_ms`` that they live."""
