"""Packages say which face made them; faces keep objects of their own; blobs that nothing refers to are found.

Revision: 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_HAS_ALIAS = sa.text("alias IS NOT NULL")


def upgrade() -> None:
    """Add both; what is there was made natively, whoever calls it."""
    op.add_column("packages", sa.Column("face", _TEXT, nullable=True))
    op.add_column("packages", sa.Column("alias", _TEXT, nullable=True))
    op.add_column("packages", sa.Column("face_data", sa.LargeBinary, nullable=True))
    op.create_index("ix_packages_face", "packages", ["project_id", "face", "created_at", "id"])
    op.create_index(
        "uq_packages_alias",
        "packages",
        ["project_id", "face", "alias"],
        unique=True,
        sqlite_where=_HAS_ALIAS,
        postgresql_where=_HAS_ALIAS,
    )
    op.create_table(
        "face_objects",
        sa.Column("project_id", _TEXT, nullable=False),
        sa.Column("face", _TEXT, nullable=False),
        sa.Column("kind", _TEXT, nullable=False),
        sa.Column("id", _TEXT, nullable=False),
        sa.Column("alias", _TEXT, nullable=True),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.Column("blob", _TEXT, nullable=True),
        sa.PrimaryKeyConstraint("project_id", "face", "kind", "id", name="pk_face_objects"),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="fk_face_objects_projects"),
    )
    op.create_index("ix_face_objects_kind", "face_objects", ["project_id", "face", "kind", "created_at", "id"])
    op.create_index(
        "uq_face_objects_alias",
        "face_objects",
        ["project_id", "face", "kind", "alias"],
        unique=True,
        sqlite_where=_HAS_ALIAS,
        postgresql_where=_HAS_ALIAS,
    )
    op.create_index("ix_versions_bundle", "versions", ["project_id", "bundle"])
    for table, column in (
        ("face_objects", "blob"),
        ("executions", "input_blob"),
        ("executions", "result_blob"),
        ("executions", "stdout_blob"),
        ("executions", "stderr_blob"),
    ):
        there = sa.text(f"{column} IS NOT NULL")
        op.create_index(
            f"ix_{table}_{column}", table, ["project_id", column], sqlite_where=there, postgresql_where=there
        )
