"""What the engine needs of the store; a module a noun, and all of them here.

Every call that a caller can reach names the project. Values go in and come out by value: what is returned shares
nothing with what was put in. One conformance suite (``tests/store``) runs over every implementation.
"""

from __future__ import annotations

from polycall.store.protocol.audit import AuditStore
from polycall.store.protocol.deliveries import Attempted, DeliveryStore, Lane, PendingLanes
from polycall.store.protocol.entries import EntryStore
from polycall.store.protocol.environments import EnvironmentStore
from polycall.store.protocol.executions import Accepted, Claimed, ExecutionStore, Read
from polycall.store.protocol.nodes import Beat, NodeStore
from polycall.store.protocol.objects import FaceStore
from polycall.store.protocol.pages import Page
from polycall.store.protocol.policies import PolicyChange, PolicyStore, ProjectChange
from polycall.store.protocol.registry import RegistryStore
from polycall.store.protocol.retention import RetentionStore
from polycall.store.protocol.runtimes import RuntimeStore
from polycall.store.protocol.schedules import DueSchedules, Fired, Firing, ScheduleFilter, ScheduleStore
from polycall.store.protocol.secrets import (
    Sealed,
    SealedRequest,
    SealedSecret,
    SealedSigning,
    SealedStore,
    SealedVersion,
    SecretStore,
)
from polycall.store.protocol.store import Store
from polycall.store.protocol.tenancy import SessionStore, TenancyStore

__all__ = [
    "Accepted",
    "Attempted",
    "AuditStore",
    "Beat",
    "Claimed",
    "DeliveryStore",
    "DueSchedules",
    "EntryStore",
    "EnvironmentStore",
    "ExecutionStore",
    "FaceStore",
    "Fired",
    "Firing",
    "Lane",
    "NodeStore",
    "Page",
    "PendingLanes",
    "PolicyChange",
    "PolicyStore",
    "ProjectChange",
    "Read",
    "RegistryStore",
    "RetentionStore",
    "RuntimeStore",
    "ScheduleFilter",
    "ScheduleStore",
    "Sealed",
    "SealedRequest",
    "SealedSecret",
    "SealedSigning",
    "SealedStore",
    "SealedVersion",
    "SecretStore",
    "SessionStore",
    "Store",
    "TenancyStore",
]
