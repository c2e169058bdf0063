"""All that is needed of the store."""

from __future__ import annotations

from typing import Protocol

from polycall.store.protocol.audit import AuditStore
from polycall.store.protocol.deliveries import DeliveryStore
from polycall.store.protocol.entries import EntryStore
from polycall.store.protocol.environments import EnvironmentStore
from polycall.store.protocol.executions import ExecutionStore
from polycall.store.protocol.nodes import NodeStore
from polycall.store.protocol.objects import FaceStore
from polycall.store.protocol.policies import PolicyStore
from polycall.store.protocol.registry import RegistryStore
from polycall.store.protocol.retention import RetentionStore
from polycall.store.protocol.runtimes import RuntimeStore
from polycall.store.protocol.schedules import ScheduleStore
from polycall.store.protocol.secrets import SealedStore, SecretStore
from polycall.store.protocol.tenancy import SessionStore, TenancyStore

__all__ = ["Store"]


class Store(
    TenancyStore,
    SessionStore,
    SecretStore,
    SealedStore,
    RegistryStore,
    FaceStore,
    EntryStore,
    RuntimeStore,
    EnvironmentStore,
    ScheduleStore,
    ExecutionStore,
    DeliveryStore,
    PolicyStore,
    NodeStore,
    RetentionStore,
    AuditStore,
    Protocol,
):
    """Everything, with a life of its own."""

    async def start(self) -> None:
        """Migrate, open, start the writer."""

    async def stop(self) -> None:
        """Flush, close."""

    async def ping(self) -> None:
        """Raise Unavailable if the database is away."""
