"""Bodies of executions, to and from an object store: around the statements, which see only where they lie."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from polycall.domain import Execution
from polycall.store.blobs import Blob, Elsewhere
from polycall.store.outside import Outside
from polycall.store.rows import BODIES, Placed

__all__ = ["Bodies"]


class Bodies:
    """Takes large bodies out of executions, and puts them back."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside

    @property
    def elsewhere(self) -> bool:
        """Whether any bodies are to be in an object store."""
        return self._outside.some

    async def placed(self, execution: Execution) -> Execution:
        """Return an execution as it is to be written: large bodies are in the object store. Raises Unavailable."""
        if not self._outside.some:
            return execution
        changes: dict[str, Placed] = {}
        for name in BODIES:
            body: bytes | None = getattr(execution, name)
            if body is not None and self._outside.takes(len(body)):
                blob = await self._outside.place(await asyncio.to_thread(Blob.of, execution.project_id, body))
                if blob.place is not None:
                    changes[name] = Placed.of(blob)
        return replace(execution, **changes) if changes else execution  # type: ignore[arg-type]

    @staticmethod
    def are_here(execution: Execution) -> bool:
        """Whether an execution that was read has its bodies."""
        return not any(isinstance(getattr(execution, name), Placed) for name in BODIES)

    async def whole(self, execution: Execution) -> Execution:
        """Return an execution that was read with its bodies. Raises Damaged, Unavailable."""
        changes: dict[str, bytes] = {}
        for name in BODIES:
            body = getattr(execution, name)
            if isinstance(body, Placed) and isinstance(body.where, Elsewhere):
                changes[name] = await self._outside.value(body.where)
        return replace(execution, **changes) if changes else execution  # type: ignore[arg-type]
