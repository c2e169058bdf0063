"""What a Call wrote and how it ended, stored however long the database is away."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from dataclasses import replace

from polycall.domain import Execution, ExecutionState
from polycall.engine.complaints import complain
from polycall.engine.live import LiveRun
from polycall.engine.running import FAULT
from polycall.errors import PolycallError, Unavailable
from polycall.store.protocol import ExecutionStore

__all__ = ["RETRY_S", "Finishing"]

RETRY_S = 0.2  # between attempts while the database is away

log = logging.getLogger(__name__)


class Finishing:
    """Stores the output and the ends of Calls that ``node`` runs. Ends are fenced on owner and attempt."""

    def __init__(self, store: ExecutionStore, node: str) -> None:
        self._store = store
        self._node = node
        self.closed = False  # set at the end of the drain: nothing is tried again while the database is away
        self.fenced = 0  # ends that were dropped: others had taken the executions over
        self.refused: set[uuid.UUID] = set()  # ran here, and the store took no end of them

    async def append_if_possible(self, live: LiveRun) -> None:
        """Store output while the run goes on, so that it can be read from anywhere."""
        with contextlib.suppress(Unavailable):
            await self.append(live)

    async def append(self, live: LiveRun) -> None:
        """Store the output that is not stored yet. Raises Unavailable."""
        pieces = live.output[live.stored :]
        if not pieces:
            return
        try:
            await self._store.append_output(live.execution.id, live.execution.attempt, pieces)
        except Unavailable:
            raise
        except PolycallError as error:  # the end has the output as well
            log.error("output of execution %s is refused: %s", live.execution.id, error)
        live.stored += len(pieces)

    async def finish(self, live: LiveRun, final: Execution) -> Execution | None:
        """Store an end and return it; None if it is not this server's any more, or cannot be stored."""
        bare = replace(final, state=ExecutionState.FAILED, error=FAULT, result=None, stdout=b"", stderr=b"")
        for execution in (final, bare):
            try:
                return execution if await self._finish(live, execution) else None
            except Exception as error:
                complain(log, f"the end of execution {final.id} is refused", error)
        self.refused.add(final.id)
        return None

    async def _finish(self, live: LiveRun, execution: Execution) -> bool:
        """Write an end, however long the database is away; only the end of the drain stops the attempts."""
        while True:
            try:
                await self.append(live)
                if await self._store.finish(execution, owner=self._node):
                    return True
                self.fenced += 1
                log.warning("execution %s was finished by another server; this end is dropped", execution.id)
                return False
            except Unavailable as error:
                log.warning("cannot finish execution %s: %s", execution.id, error)
                if self.closed:
                    return False
                await asyncio.sleep(RETRY_S)
