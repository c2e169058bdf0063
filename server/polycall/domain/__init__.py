"""The nouns of polycall, as frozen values; a module a noun, and all of them here.

Nothing here knows protobuf, gRPC, SQL or processes; every other module may import it. One word has one
meaning: see ``docs/words.md``. Times are integer milliseconds since the epoch (UTC); durations carry
their unit in the name; JSON text is ``bytes`` (UTF-8), checked but never rebuilt.
"""

from __future__ import annotations

from polycall.domain.deliveries import Delivery, DeliveryState, DueDelivery, SigningSecret
from polycall.domain.egress import Credential, CredentialKind, EgressPolicy, EgressRule, OutboundRequest
from polycall.domain.entries import Entry, EntryQuota
from polycall.domain.executions import (
    Attempt,
    Execution,
    ExecutionError,
    ExecutionFilter,
    ExecutionKind,
    ExecutionState,
    IsolationLevel,
    OutputChunk,
    StartKind,
    Stream,
    Usage,
)
from polycall.domain.functions import Convention, DeclaredType, Function, InputFile, Language, Parameter, SchemaOrigin
from polycall.domain.limits import DEFAULT_WARM, NO_OVERRIDES, LimitOverrides, Limits, WarmPolicy
from polycall.domain.objects import FaceObject
from polycall.domain.packages import Package, Version, VersionState
from polycall.domain.policies import PRIORITIES, RETRIED, FunctionPolicy, RetryPolicy, is_retryable
from polycall.domain.reasons import Reason
from polycall.domain.runtimes import ManifestKind, PackedEnvironment, RevisionState, Runtime, RuntimeRevision
from polycall.domain.schedules import MissedTicks, Overlap, Schedule
from polycall.domain.secrets import Secret
from polycall.domain.tenancy import DEFAULT_PROJECT, ApiKey, Principal, Project, Scope, Session

__all__ = [
    "DEFAULT_PROJECT",
    "DEFAULT_WARM",
    "NO_OVERRIDES",
    "PRIORITIES",
    "RETRIED",
    "ApiKey",
    "Attempt",
    "Convention",
    "Credential",
    "CredentialKind",
    "DeclaredType",
    "Delivery",
    "DeliveryState",
    "DueDelivery",
    "EgressPolicy",
    "EgressRule",
    "Entry",
    "EntryQuota",
    "Execution",
    "ExecutionError",
    "ExecutionFilter",
    "ExecutionKind",
    "ExecutionState",
    "FaceObject",
    "Function",
    "FunctionPolicy",
    "InputFile",
    "IsolationLevel",
    "Language",
    "LimitOverrides",
    "Limits",
    "ManifestKind",
    "MissedTicks",
    "OutboundRequest",
    "OutputChunk",
    "Overlap",
    "Package",
    "PackedEnvironment",
    "Parameter",
    "Principal",
    "Project",
    "Reason",
    "RetryPolicy",
    "RevisionState",
    "Runtime",
    "RuntimeRevision",
    "Schedule",
    "SchemaOrigin",
    "Scope",
    "Secret",
    "Session",
    "SigningSecret",
    "StartKind",
    "Stream",
    "Usage",
    "Version",
    "VersionState",
    "WarmPolicy",
    "is_retryable",
]
