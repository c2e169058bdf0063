"""What this process does when another one of the machine has changed something."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from polycall.domain import ExecutionKind, ExecutionState
from polycall.engine.ends import Ends
from polycall.engine.keys import KeyRing
from polycall.engine.live import LiveRuns
from polycall.engine.registry import Registry
from polycall.engine.running import CANCELLED
from polycall.engine.runtimes import Runtimes
from polycall.engine.secrets import Secrets
from polycall.engine.siblings import (
    BuildAsked,
    CallAccepted,
    CancelAsked,
    EndsAwaited,
    ExecutionsEnded,
    KeyRevoked,
    News,
    NodeJoined,
    PackageChanged,
    RecordAsked,
    RuntimeDeleted,
    SecretChanged,
)
from polycall.store.protocol import ExecutionStore

__all__ = ["Hearing"]


class Hearing:
    """Takes the news of other processes; ``enqueued`` is told whose Calls wait."""

    def __init__(
        self,
        keys: KeyRing,
        registry: Registry,
        runtimes: Runtimes,
        secrets: Secrets,
        store: ExecutionStore,
        live: LiveRuns,
        ends: Ends,
        enqueued: Callable[[str], None],
    ) -> None:
        self._keys = keys
        self._registry = registry
        self._runtimes = runtimes
        self._secrets = secrets
        self._store = store
        self._live = live
        self._ends = ends
        self._enqueued = enqueued
        self.joined: Callable[[str], None] = lambda node: None

    async def __call__(self, news: News) -> bool:
        """Take a piece; return whether it meant something here."""
        match news:
            case KeyRevoked(key_id):
                self._keys.forget(key_id)
            case PackageChanged(project_id, package_id, gone):
                await self._registry.heard(project_id, package_id, gone)
            case RuntimeDeleted(project_id, runtime_id):
                self._runtimes.forget(project_id, runtime_id)
            case SecretChanged(project_id):
                self._secrets.heard(project_id)
            case BuildAsked(project_id, revision_id):
                return self._runtimes.builds(project_id, revision_id)
            case RecordAsked():
                return await self._written(news)
            case NodeJoined(node):
                self.joined(node)
            case CallAccepted(project_id):
                self._enqueued(project_id)
            case CancelAsked(project_id, execution_id):
                live = self._live.get(project_id, uuid.UUID(execution_id))
                if live is None:
                    return False
                self._ends.asked((live.execution.id,))  # whoever asks for it waits for that
                live.stop(ExecutionState.CANCELLED, CANCELLED)
            case EndsAwaited(ids):
                self._ends.asked(ids)
            case ExecutionsEnded(ids):
                self._ends.heard(ids)
        return True

    def gap(self) -> None:
        """Keep nothing in memory that others could have changed: something they said may have been lost."""
        self._keys.forget_all()
        self._registry.forget_all()
        self._runtimes.forget_all()
        self._secrets.forget_all()
        self._ends.look()

    async def _written(self, asked: RecordAsked) -> bool:
        """Write an execution that another process looks for, if it is one of ours. Raises Unavailable."""
        if asked.execution_id:
            execution_id = uuid.UUID(asked.execution_id)
            live = self._live.get(asked.project_id, execution_id)
            if live is not None and live.execution.kind is ExecutionKind.SYNC:
                live.shown = True
                self._store.record(live.execution)
            return await self._store.settle(asked.project_id, execution_id)
        return await self._store.settle_alias(asked.project_id, asked.face, asked.alias)
