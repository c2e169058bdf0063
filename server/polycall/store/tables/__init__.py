"""The tables, for both databases; a module a noun, and all of them here.

Times are milliseconds since the epoch. Ids of executions are UUIDv7, so the order of ids is the order of time. JSON
that polycall makes is text; JSON that callers made is bytes, never rebuilt. ``migrations`` says the same step by step;
a test compares the two.
"""

from __future__ import annotations

from polycall.store.tables.audit import audit_events, audit_pruning
from polycall.store.tables.blobs import blobs
from polycall.store.tables.columns import METADATA, db_now, storable
from polycall.store.tables.deliveries import deliveries, signing_secrets
from polycall.store.tables.entries import entries, entry_totals
from polycall.store.tables.environments import environment_pieces, environments
from polycall.store.tables.executions import executions, output_chunks
from polycall.store.tables.nodes import nodes
from polycall.store.tables.objects import face_objects
from polycall.store.tables.packages import packages, versions
from polycall.store.tables.policies import policies
from polycall.store.tables.runtimes import runtime_revisions, runtimes
from polycall.store.tables.schedules import schedules
from polycall.store.tables.secrets import secrets
from polycall.store.tables.tenancy import api_keys, counters, projects, sessions

__all__ = [
    "METADATA",
    "api_keys",
    "audit_events",
    "audit_pruning",
    "blobs",
    "counters",
    "db_now",
    "deliveries",
    "entries",
    "entry_totals",
    "environment_pieces",
    "environments",
    "executions",
    "face_objects",
    "nodes",
    "output_chunks",
    "packages",
    "policies",
    "projects",
    "runtime_revisions",
    "runtimes",
    "schedules",
    "secrets",
    "sessions",
    "signing_secrets",
    "storable",
    "versions",
]
