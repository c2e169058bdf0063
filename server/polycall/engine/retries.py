"""Trying a Call again whose attempt failed, as its policy or its function's has it."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from polycall.domain import Attempt, Execution, ExecutionError, RetryPolicy, is_retryable
from polycall.engine.complaints import complain
from polycall.engine.finishing import RETRY_S, Finishing
from polycall.engine.live import LiveRun
from polycall.errors import Unavailable
from polycall.store.protocol import ExecutionStore, PolicyStore

__all__ = ["Retries", "RetryStore"]

_EXACT_MS = 10_000  # a wait of at most that is timed, others are up to a look at the queue longer

log = logging.getLogger(__name__)


class RetryStore(ExecutionStore, PolicyStore, Protocol):
    """What trying again needs of the store."""


class Retries:
    """Queues Calls of ``node`` again; ``enqueued`` is told whose, once they may start."""

    def __init__(self, store: RetryStore, node: str, finishing: Finishing, enqueued: Callable[[str], None]) -> None:
        self._store = store
        self._node = node
        self._finishing = finishing
        self._enqueued = enqueued
        self.count = 0  # failures that are tried again

    async def again(self, live: LiveRun, final: Execution, error: ExecutionError) -> bool:
        """Queue a Call again if its attempt failed and its policy, or its function's, lets it be tried again."""
        if live.stopped is not None or not is_retryable(error.reason):
            return False
        earlier = Attempt(
            number=final.attempt,
            started_at=final.started_at,
            ended_at=final.ended_at,
            error=replace(error, traceback=""),
        )
        again = replace(final, attempts=(*final.attempts, earlier))
        while True:
            try:
                policy = await self._policy(final)
                if policy is None or final.attempt >= policy.max_attempts or error.reason not in policy.reasons:
                    return False
                # an attempt that ends has all of its output; this one's is kept here
                await self._finishing.append(live)
                wait_ms = policy.wait_ms(final.attempt, random.random())  # noqa: S311  no secret depends on it
                if not await self._store.retry(again, owner=self._node, wait_ms=wait_ms):
                    return False
            except Unavailable as unavailable:
                log.warning("cannot try execution %s again: %s", final.id, unavailable)
                if self._finishing.closed:
                    return True
                await asyncio.sleep(RETRY_S)
            except Exception as problem:  # what cannot be kept of an attempt: it ends with what can be
                complain(log, f"execution {final.id} cannot be tried again", problem)
                return False
            else:
                self.count += 1
                # a longer wait is seen to by the look at the queue: there may be a million of them, a day each
                if wait_ms <= _EXACT_MS:
                    asyncio.get_running_loop().call_later(wait_ms / 1000, self._enqueued, final.project_id)
                return True

    async def _policy(self, final: Execution) -> RetryPolicy | None:
        """Return what says how a Call is tried again. Raises Unavailable."""
        if final.retry is not None or final.face is not None:  # the vendors' contracts know no second run
            return final.retry
        return await self._store.find_retry(final.project_id, final.package_id or "", final.function or "")
