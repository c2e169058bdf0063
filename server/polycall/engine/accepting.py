"""Calls that are claimed as they are accepted, because they can start at once: one write, and no look at the queue."""

from __future__ import annotations

import asyncio
import contextvars
import time
import uuid
from collections.abc import Callable

from polycall.domain import Execution
from polycall.engine.admission import Slot
from polycall.engine.calls import Calls
from polycall.engine.live import LiveRun
from polycall.errors import PolycallError, Unavailable
from polycall.store.protocol import ExecutionStore

__all__ = ["Accepting"]


class Accepting:
    """Accepts Calls for ``node``, and runs those that it got with that.

    ``unclear``: what is done if a Call may be claimed without our knowledge; ``queued``: if it was accepted only;
    ``freed``: if its slot is for others.
    """

    def __init__(
        self,
        store: ExecutionStore,
        calls: Calls,
        node: str,
        *,
        unclear: Callable[[], None],
        queued: Callable[[str], None],
        freed: Callable[[], None],
    ) -> None:
        self._store = store
        self._calls = calls
        self._node = node
        self._unclear = unclear
        self._queued = queued
        self._freed = freed
        self._ids: set[uuid.UUID] = set()
        self._none = asyncio.Event()
        self._none.set()
        self._context = contextvars.copy_context()

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def ids(self) -> frozenset[uuid.UUID]:
        """What is being accepted with a slot, and may be claimed by now."""
        return frozenset(self._ids)

    async def heard_of_all(self) -> None:
        """Wait until nothing is being accepted."""
        await self._none.wait()

    def begin(self, group: asyncio.TaskGroup, execution: Execution, slot: Slot) -> asyncio.Future[Execution]:
        """Accept a Call that has a slot; what is returned has it as ``Engine.accept`` returns it.

        It goes on if nobody waits for that.
        """
        told = asyncio.get_running_loop().create_future()
        self._ids.add(execution.id)
        self._none.clear()
        # a task of the dispatcher's, which its run goes on in: the request it comes from may go away, and is no context
        group.create_task(self._accept(execution, slot, told), context=self._context.copy())
        return told

    async def _accept(self, execution: Execution, slot: Slot, told: asyncio.Future[Execution]) -> None:
        """Accept a Call, tell so, and run it if it was claimed."""
        live: LiveRun | None = None
        asked_at = time.monotonic()
        try:
            accepted = await self._store.accept(execution, owner=self._node)
            if accepted.claimed:
                live = self._calls.open(accepted.execution)
                task = asyncio.current_task()
                assert task is not None  # noqa: S101  coroutines run in tasks
                self._calls.keep(live, task)
        except BaseException as error:
            if isinstance(error, Unavailable) or not isinstance(error, PolycallError):
                self._unclear()
            if isinstance(error, Exception):
                _tell(told, error)
                return
            told.cancel()  # this server ends
            raise
        finally:
            self._ids.discard(execution.id)
            if not self._ids:
                self._none.set()
            if live is None:
                slot.release()
                self._freed()
        if live is None:
            _tell(told, accepted.execution)
            self._queued(execution.project_id)
        else:
            _tell(told, execution)  # as it was accepted
            await self._calls.run(live, slot, asked_at)


def _tell(told: asyncio.Future[Execution], what: Execution | Exception) -> None:
    if told.done():  # whoever asked has gone away
        return
    if isinstance(what, Exception):
        told.set_exception(what)
    else:
        told.set_result(what)
