"""Tables of packages and versions."""

from __future__ import annotations

import sqlalchemy as sa

from polycall.store.tables.columns import METADATA, flag, octets, partial, size, text, time

__all__ = ["packages", "versions"]

packages = sa.Table(
    "packages",
    METADATA,
    text("project_id"),
    text("id"),
    text("display_name"),
    text("description"),
    text("labels"),  # JSON object
    time("created_at"),
    time("updated_at"),
    sa.PrimaryKeyConstraint("project_id", "id"),
    sa.ForeignKeyConstraint(["project_id"], ["projects.id"]),
    text("face", null=True),
    text("alias", null=True),  # the id as the face also spells it
    octets("face_data"),  # JSON
    size(),
    sa.Index("ix_packages_size", "project_id", "size"),
    sa.Index("ix_packages_project", "project_id", "created_at", "id"),
    sa.Index("ix_packages_face", "project_id", "face", "created_at", "id"),
)

partial(
    *("uq_packages_alias", packages.c.project_id, packages.c.face, packages.c.alias),
    where="alias IS NOT NULL",
    unique=True,
)

versions = sa.Table(
    "versions",
    METADATA,
    # the order of insertion, which parts versions of the same millisecond
    sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False, autoincrement=True),
    text("project_id"),
    text("package_id"),
    text("id"),
    text("state"),
    text("language"),
    time("created_at"),
    text("bundle"),  # sha256 (hex) of a blob of the project
    text("functions"),  # JSON
    text("limits"),  # JSON
    text("env"),  # JSON
    text("runtime"),
    flag("reuse"),
    time("released_at", null=True),
    text("created_by", null=True),
    text("error", null=True),
    octets("face_data"),
    text("egress", null=True),  # JSON, its secrets sealed
    text("warm", null=True),  # JSON; null: all of it is the server's
    text("secret_env", null=True),  # JSON: variable -> secret id
    text("secrets", null=True),  # JSON: name -> sealed value
    text("adapter", null=True),
    size(),
    text("request_id", null=True),
    sa.PrimaryKeyConstraint("seq"),
    sa.ForeignKeyConstraint(["project_id", "package_id"], ["packages.project_id", "packages.id"], ondelete="CASCADE"),
    sa.UniqueConstraint("project_id", "package_id", "id"),
    sa.Index("ix_versions_package", "project_id", "package_id", "created_at", "seq"),
    sa.Index("ix_versions_bundle", "project_id", "bundle"),
    sa.Index("ix_versions_size", "project_id", "size"),
)
partial(
    *("uq_versions_request", versions.c.project_id, versions.c.package_id, versions.c.request_id),
    where="request_id IS NOT NULL",
    unique=True,
)
