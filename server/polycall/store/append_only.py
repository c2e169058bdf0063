"""Triggers that make the audit log one: no event is changed, and none deleted but by retention, and only old ones.

Retention says so in the table ``audit_pruning``, within its transaction: events older than ``before`` may go. Even then
nothing of the last day does. Whoever may drop triggers is not kept from anything: what must outlive the owner of the
database is exported.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["TRIGGERS"]

_SQLITE = (
    """
    CREATE TRIGGER audit_events_no_update BEFORE UPDATE ON audit_events
    BEGIN SELECT RAISE(ABORT, 'audit events are append-only'); END
    """,
    # INSERT OR REPLACE deletes without asking the trigger for DELETE
    """
    CREATE TRIGGER audit_events_no_replace BEFORE INSERT ON audit_events
    WHEN EXISTS (SELECT 1 FROM audit_events WHERE id = NEW.id)
    BEGIN SELECT RAISE(ABORT, 'audit events are append-only'); END
    """,
    """
    CREATE TRIGGER audit_events_no_delete BEFORE DELETE ON audit_events
    WHEN OLD.time >= CAST(ROUND((julianday('now') - 2440587.5) * 86400000.0) AS INTEGER) - 86400000
        OR NOT EXISTS (SELECT 1 FROM audit_pruning WHERE before > OLD.time)
    BEGIN SELECT RAISE(ABORT, 'audit events are append-only'); END
    """,
)
_POSTGRESQL = (
    """
    CREATE FUNCTION audit_events_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'DELETE' THEN
            IF OLD.time < CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT) - 86400000
                AND EXISTS (SELECT 1 FROM audit_pruning WHERE before > OLD.time) THEN
                RETURN OLD;
            END IF;
        END IF;
        RAISE EXCEPTION 'audit events are append-only' USING ERRCODE = 'restrict_violation';
    END
    $$
    """,
    """
    CREATE TRIGGER audit_events_append_only BEFORE UPDATE OR DELETE ON audit_events
    FOR EACH ROW EXECUTE FUNCTION audit_events_append_only()
    """,
    """
    CREATE TRIGGER audit_events_no_truncate BEFORE TRUNCATE ON audit_events
    FOR EACH STATEMENT EXECUTE FUNCTION audit_events_append_only()
    """,
)

TRIGGERS: Mapping[str, tuple[str, ...]] = {"sqlite": _SQLITE, "postgresql": _POSTGRESQL}
