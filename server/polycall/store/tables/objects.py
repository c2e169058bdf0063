"""The table of what the vendors' contracts have beside packages and runs."""

from __future__ import annotations

import sqlalchemy as sa

from polycall.store.tables.columns import METADATA, number, octets, partial, size, text, time

__all__ = ["face_objects"]

face_objects = sa.Table(
    "face_objects",
    METADATA,
    text("project_id"),
    text("face"),
    text("kind"),
    text("id"),
    text("alias", null=True),
    time("created_at"),
    time("updated_at"),
    number("revision"),
    octets("data", null=False),  # JSON
    text("blob", null=True),  # sha256 (hex) of a blob of the project
    sa.PrimaryKeyConstraint("project_id", "face", "kind", "id"),
    sa.ForeignKeyConstraint(["project_id"], ["projects.id"]),
    size(),
    sa.Index("ix_face_objects_size", "project_id", "size"),
    sa.Index("ix_face_objects_kind", "project_id", "face", "kind", "created_at", "id"),
)
_o = face_objects.c
partial("ix_face_objects_blob", _o.project_id, _o.blob, where="blob IS NOT NULL")
partial("uq_face_objects_alias", _o.project_id, _o.face, _o.kind, _o.alias, where="alias IS NOT NULL", unique=True)
