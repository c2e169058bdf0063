"""What a face has sealed beside an execution has a column, and what it was sealed with an index.

Revision: 0021
"""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_ROWS = 500
_WHERE = "sealed_by IS NOT NULL"
_executions = sa.table(
    "executions",
    sa.column("id", sa.Uuid),
    sa.column("face", sa.Text),
    sa.column("face_data", sa.LargeBinary),
    sa.column("sealed", sa.Text),
    sa.column("sealed_by", sa.Text),
)


def upgrade() -> None:
    """Add the columns, and move there what Riza's face kept within its own data."""
    for name in ("sealed", "sealed_by"):
        op.add_column("executions", sa.Column(name, _TEXT, nullable=True))
    conn, e, after = op.get_bind(), _executions.c, None
    while True:
        found = sa.select(e.id, e.face_data).where(e.face == "riza", e.face_data.is_not(None))
        if after is not None:
            found = found.where(e.id > after)
        rows = conn.execute(found.order_by(e.id).limit(_ROWS)).all()
        for row in rows:
            if (moved := _moved(row.face_data)) is not None:
                conn.execute(sa.update(_executions).where(e.id == row.id).values(moved))
        if len(rows) < _ROWS:
            break
        after = rows[-1].id
    op.create_index(
        "ix_executions_sealed",
        "executions",
        ["sealed_by", "id"],
        sqlite_where=sa.text(_WHERE),
        postgresql_where=sa.text(_WHERE),
    )


def _moved(face_data: bytes) -> dict[str, Any] | None:
    try:
        data = json.loads(face_data)
        sealed = data.pop("sealed")
        mark = ".".join(sealed.split(".", 2)[:2])
        kept = json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode()
    except (ValueError, LookupError, AttributeError, TypeError):  # older still, or damaged: it is shown without it
        return None
    return {"face_data": kept, "sealed": sealed, "sealed_by": mark}
