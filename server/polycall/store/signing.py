"""Secrets that sign notifications, sealed: functions of a connection."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from polycall.domain import Reason, SigningSecret
from polycall.errors import NotFound, QuotaExceeded
from polycall.store.tables import db_now, projects, signing_secrets

__all__ = ["list_signing", "rotate", "signing_now"]

_s = signing_secrets.c
_signs = sa.or_(_s.expires_at.is_(None), _s.expires_at > db_now())
_newest_first = (_s.expires_at.is_not(None), _s.created_at.desc(), _s.id.desc())  # the newest has no end


def rotate(conn: sa.Connection, secret: SigningSecret, sealed: str, overlap_ms: int, most: int) -> int:
    """Insert the newest secret; return when those before it end. Raises NotFound (project), QuotaExceeded."""
    project_id = secret.project_id
    locked = sa.select(projects.c.id).where(projects.c.id == project_id).with_for_update(key_share=True)
    if conn.execute(locked).first() is None:
        name = f"projects/{project_id}"
        raise NotFound(Reason.PROJECT_NOT_FOUND, "polycall.v1.Project", name, f"{name} does not exist.")
    until: int = conn.execute(sa.select(db_now() + overlap_ms)).scalar_one()
    own = _s.project_id == project_id
    later = sa.or_(_s.expires_at.is_(None), _s.expires_at > until)
    conn.execute(sa.update(signing_secrets).where(own, later).values(expires_at=until))
    conn.execute(sa.delete(signing_secrets).where(own, ~_signs))
    sign = conn.execute(sa.select(sa.func.count()).select_from(signing_secrets).where(own)).scalar_one()
    if sign >= most:
        raise QuotaExceeded(
            f"{most} signing secrets of this project sign already, as many as may; wait until the first of them ends, "
            "or rotate with an overlap of 0, which ends all of them now.",
            subject="signing_secrets",
            metadata={"most": str(most)},
        )
    row = {"project_id": project_id, "id": secret.id, "sealed": sealed, "created_at": secret.created_at}
    conn.execute(sa.insert(signing_secrets), row)
    return until


def list_signing(conn: sa.Connection, project_id: str) -> Sequence[SigningSecret]:
    """Return those that sign, newest first."""
    found = sa.select(_s.id, _s.created_at, _s.expires_at).where(_s.project_id == project_id, _signs)
    return [
        SigningSecret(project_id=project_id, id=row.id, created_at=row.created_at, expires_at=row.expires_at)
        for row in conn.execute(found.order_by(*_newest_first))
    ]


def signing_now(conn: sa.Connection, project_id: str) -> tuple[tuple[str, str], ...]:
    """Return ids and sealed texts of those that sign, newest first."""
    found = sa.select(_s.id, _s.sealed).where(_s.project_id == project_id, _signs)
    return tuple((row.id, row.sealed) for row in conn.execute(found.order_by(*_newest_first)))
