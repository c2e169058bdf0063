"""The first schema.

Revision: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _partial(name: str, *columns: str, where: str, unique: bool = False) -> None:
    predicate = sa.text(where)
    op.create_index(
        name, "executions", list(columns), unique=unique, sqlite_where=predicate, postgresql_where=predicate
    )


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "blobs",
        sa.Column("project_id", _TEXT, nullable=False),
        sa.Column("sha256", _TEXT, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("touched_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "sha256", name="pk_blobs"),
    )
    op.create_table(
        "counters",
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("next", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_counters"),
    )
    op.create_table(
        "executions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("project_id", _TEXT, nullable=False),
        sa.Column("kind", _TEXT, nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("queued_at", sa.BigInteger(), nullable=False),
        sa.Column("run_at", sa.BigInteger(), nullable=True),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("deadline", sa.BigInteger(), nullable=True),
        sa.Column("language", _TEXT, nullable=False),
        sa.Column("package_id", _TEXT, nullable=True),
        sa.Column("version_id", _TEXT, nullable=True),
        sa.Column("function", _TEXT, nullable=True),
        sa.Column("face", _TEXT, nullable=True),
        sa.Column("alias", _TEXT, nullable=True),
        sa.Column("request_id", _TEXT, nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("owner", _TEXT, nullable=True),
        sa.Column("created_by", _TEXT, nullable=True),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("signal", sa.Integer(), nullable=True),
        sa.Column("start_kind", _TEXT, nullable=True),
        sa.Column("isolation", sa.SmallInteger(), nullable=True),
        sa.Column("stdout_truncated", sa.Boolean(), nullable=False),
        sa.Column("stderr_truncated", sa.Boolean(), nullable=False),
        sa.Column("bodies_dropped", sa.Boolean(), nullable=False),
        sa.Column("error", _TEXT, nullable=True),
        sa.Column("usage", _TEXT, nullable=False),
        sa.Column("limits", _TEXT, nullable=True),
        sa.Column("spec", sa.LargeBinary(), nullable=True),
        sa.Column("face_data", sa.LargeBinary(), nullable=True),
        sa.Column("input", sa.LargeBinary(), nullable=True),
        sa.Column("input_blob", _TEXT, nullable=True),
        sa.Column("result", sa.LargeBinary(), nullable=True),
        sa.Column("result_blob", _TEXT, nullable=True),
        sa.Column("stdout", sa.LargeBinary(), nullable=True),
        sa.Column("stdout_blob", _TEXT, nullable=True),
        sa.Column("stderr", sa.LargeBinary(), nullable=True),
        sa.Column("stderr_blob", _TEXT, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_executions"),
        postgresql_with={"autovacuum_vacuum_scale_factor": "0.01"},
    )
    op.create_index("ix_executions_project", "executions", ["project_id", "id"])
    _partial("ix_executions_package", "project_id", "package_id", "id", where="package_id IS NOT NULL")
    _partial("ix_executions_active", "project_id", "id", where="state < 2 AND project_id <> ''")
    _partial("ix_executions_failed", "project_id", "id", where="state > 2")
    _partial("ix_executions_package_failed", "project_id", "package_id", "id", where="state > 2")
    _partial("ix_executions_ready", "run_at", "id", where="state = 0")
    _partial("ix_executions_due", "deadline", where="state = 0 AND deadline IS NOT NULL")
    _partial("ix_executions_owned", "owner", where="state = 1")
    _partial("uq_executions_alias", "project_id", "face", "alias", where="alias IS NOT NULL", unique=True)
    _partial("uq_executions_request", "project_id", "request_id", where="request_id IS NOT NULL", unique=True)
    op.create_table(
        "projects",
        sa.Column("id", _TEXT, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("display_name", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_projects"),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", _TEXT, nullable=False),
        sa.Column("project_id", _TEXT, nullable=False),
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("scopes", _TEXT, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.Column("last_used_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="fk_api_keys_projects"),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        sa.UniqueConstraint("hash", name="uq_api_keys_hash"),
    )
    op.create_index("ix_api_keys_project", "api_keys", ["project_id", "created_at", "id"])
    op.create_table(
        "output_chunks",
        sa.Column("execution_id", sa.Uuid(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["execution_id"], ["executions.id"], name="fk_output_chunks_executions", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("execution_id", "attempt", "seq", name="pk_output_chunks"),
    )
    op.create_table(
        "packages",
        sa.Column("project_id", _TEXT, nullable=False),
        sa.Column("id", _TEXT, nullable=False),
        sa.Column("display_name", _TEXT, nullable=False),
        sa.Column("description", _TEXT, nullable=False),
        sa.Column("labels", _TEXT, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="fk_packages_projects"),
        sa.PrimaryKeyConstraint("project_id", "id", name="pk_packages"),
    )
    op.create_index("ix_packages_project", "packages", ["project_id", "created_at", "id"])
    op.create_table(
        "sessions",
        sa.Column("project_id", _TEXT, nullable=False),
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("type", _TEXT, nullable=False),
        sa.Column("status", _TEXT, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("nonce_expires_at", sa.BigInteger(), nullable=False),
        sa.Column("client_id", _TEXT, nullable=True),
        sa.Column("nonce_hash", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="fk_sessions_projects"),
        sa.PrimaryKeyConstraint("project_id", "id", name="pk_sessions"),
        sa.UniqueConstraint("project_id", "nonce_hash", name="uq_sessions_project_id_nonce_hash"),
    )
    op.create_table(
        "versions",
        sa.Column("seq", _SERIAL, autoincrement=True, nullable=False),
        sa.Column("project_id", _TEXT, nullable=False),
        sa.Column("package_id", _TEXT, nullable=False),
        sa.Column("id", _TEXT, nullable=False),
        sa.Column("state", _TEXT, nullable=False),
        sa.Column("language", _TEXT, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("bundle", _TEXT, nullable=False),
        sa.Column("functions", _TEXT, nullable=False),
        sa.Column("limits", _TEXT, nullable=False),
        sa.Column("env", _TEXT, nullable=False),
        sa.Column("runtime", _TEXT, nullable=False),
        sa.Column("reuse", sa.Boolean(), nullable=False),
        sa.Column("released_at", sa.BigInteger(), nullable=True),
        sa.Column("created_by", _TEXT, nullable=True),
        sa.Column("error", _TEXT, nullable=True),
        sa.Column("face_data", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(
            ["project_id", "package_id"],
            ["packages.project_id", "packages.id"],
            name="fk_versions_packages",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("seq", name="pk_versions"),
        sa.UniqueConstraint("project_id", "package_id", "id", name="uq_versions_project_id_package_id_id"),
    )
    op.create_index("ix_versions_package", "versions", ["project_id", "package_id", "created_at", "seq"])
    if op.get_context().dialect.name == "postgresql":
        op.execute("ALTER TABLE blobs ALTER COLUMN data SET STORAGE EXTERNAL")
