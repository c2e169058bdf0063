"""The table of what holds for the Calls of functions, and of whole projects."""

from __future__ import annotations

import sqlalchemy as sa

from polycall.store.tables.columns import METADATA, number, partial, text, time

__all__ = ["policies"]

# The row of a limit is its lane: whoever claims under the limit locks it, counts what runs, and takes no more.
policies = sa.Table(
    "policies",
    METADATA,
    text("project_id"),
    text("package_id"),  # "": the project itself
    text("function"),
    number("max_running", null=True),
    # when the limit was taken away: what waits under it is still claimed as if it were there, with room for all
    time("lifted_at", null=True),
    text("retry", null=True),  # JSON
    time("updated_at"),
    sa.PrimaryKeyConstraint("project_id", "package_id", "function"),
    sa.ForeignKeyConstraint(["project_id"], ["projects.id"]),
)
partial("ix_policies_lifted", policies.c.lifted_at, where="lifted_at IS NOT NULL")
