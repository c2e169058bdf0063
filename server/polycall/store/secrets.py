"""Secrets, their values sealed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa

from polycall.domain import Reason, Secret
from polycall.errors import AlreadyExists, NotFound, QuotaExceeded
from polycall.names import SecretName
from polycall.store.dialects import insert
from polycall.store.executor import Executor
from polycall.store.paging import page_of, place_number, read_token
from polycall.store.protocol import Page
from polycall.store.quota import lock_project
from polycall.store.tables import secrets

__all__ = ["SqlSecrets", "create_secret", "delete_secret", "update_secret"]

_s = secrets.c
_SHOWN = tuple(column for column in _s if column is not _s.sealed)  # all but the value


class _Place(NamedTuple):
    """Where a secret is in its list."""

    created_at: int
    id: str

    @classmethod
    def parse(cls, text: str) -> _Place:
        """Read what ``str`` wrote; raise ValueError."""
        created_at, _, text = text.partition(" ")
        return cls(place_number(created_at), text)

    def __str__(self) -> str:
        return f"{self.created_at} {self.id}"


class SqlSecrets:
    """See ``polycall.store.protocol.SecretStore``."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def create_secret(self, secret: Secret, sealed: str, *, most: int, unique_name: bool = False) -> Secret:
        """Insert; raise AlreadyExists (id, name), QuotaExceeded, NotFound (project), Unavailable."""
        await self._executor.write(create_secret, secret, sealed, most, unique_name)
        return secret

    async def get_secret(self, project_id: str, secret_id: str) -> Secret:
        """Return; raise NotFound, Unavailable."""
        return await self._executor.read(_get, project_id, secret_id)

    async def find_secret(self, project_id: str, name: str) -> Secret | None:
        """Return the newest of a name; None if there is none. Raises Unavailable."""
        return await self._executor.read(_find, project_id, name)

    async def list_secrets(
        self,
        project_id: str,
        page_size: int,
        page_token: str = "",
        *,
        face: str | None = None,
        after: tuple[int, str] | None = None,
    ) -> Page[Secret]:
        """Return a page, newest first; raise InvalidArgument (token), Unavailable."""
        scope = ("secrets", project_id, face)
        place = read_token(scope, page_token, _Place.parse) or after
        found = await self._executor.read(_list, project_id, face, place, page_size + 1)
        return page_of(scope, found, page_size)

    async def update_secret(
        self, project_id: str, secret_id: str, *, name: str | None = None, value: tuple[str, int] | None = None
    ) -> Secret:
        """Write a name, a value, or both; raise NotFound, Unavailable."""
        return await self._executor.write(update_secret, project_id, secret_id, name, value)

    async def delete_secret(self, project_id: str, secret_id: str) -> None:
        """Delete; raise NotFound, Unavailable."""
        await self._executor.write(delete_secret, project_id, secret_id)

    async def sealed_secrets(self, project_id: str, ids: Collection[str]) -> Mapping[str, str]:
        """Return the sealed values of those that exist, by their ids. Raises Unavailable."""
        return await self._executor.read(_sealed, project_id, frozenset(ids))


def create_secret(conn: sa.Connection, secret: Secret, sealed: str, most: int, unique_name: bool) -> None:
    """Insert; raise AlreadyExists, QuotaExceeded, NotFound (project)."""
    if not lock_project(conn, secret.project_id):
        name = f"projects/{secret.project_id}"
        raise NotFound(Reason.PROJECT_NOT_FOUND, "polycall.v1.Project", name, f"{name} does not exist.")
    if unique_name and (taken := _find(conn, secret.project_id, secret.name)) is not None:
        name = str(SecretName(taken.id))
        raise AlreadyExists("polycall.v1.Secret", name, f"{name} has this name already; update it, or delete it first.")
    values = {
        "project_id": secret.project_id,
        "id": secret.id,
        "name": secret.name,
        "face": secret.face,
        "sealed": sealed,
        "created_at": secret.created_at,
        "updated_at": secret.updated_at,
        "created_by": secret.created_by,
    }
    if conn.execute(insert(conn.dialect.name, secrets).on_conflict_do_nothing(), values).rowcount != 1:
        raise AlreadyExists("polycall.v1.Secret", str(SecretName(secret.id)))
    count = conn.execute(sa.select(sa.func.count()).where(_s.project_id == secret.project_id)).scalar_one()
    if count > most:
        raise QuotaExceeded(
            f"The project has {most} secrets, which is as many as it may have; delete one that is not needed.",
            subject="secrets",
            metadata={"secrets": str(most)},
        )


def _get(conn: sa.Connection, project_id: str, secret_id: str) -> Secret:
    row = conn.execute(sa.select(*_SHOWN).where(*_is_secret(project_id, secret_id))).first()
    if row is None:
        raise _no_secret(secret_id)
    return _secret_of(row)


def _find(conn: sa.Connection, project_id: str, name: str) -> Secret | None:
    row = conn.execute(
        sa.select(*_SHOWN)
        .where(_s.project_id == project_id, _s.name == name)
        .order_by(_s.created_at.desc(), _s.id.desc())
        .limit(1)
    ).first()
    return None if row is None else _secret_of(row)


def _list(
    conn: sa.Connection, project_id: str, face: str | None, after: tuple[int, str] | None, rows: int
) -> list[tuple[str, Secret]]:
    statement = sa.select(*_SHOWN).where(_s.project_id == project_id)
    if face is not None:
        statement = statement.where(_s.face == face)
    if after is not None:
        statement = statement.where(sa.tuple_(_s.created_at, _s.id) < sa.tuple_(*after))
    found = conn.execute(statement.order_by(_s.created_at.desc(), _s.id.desc()).limit(rows))
    return [(str(_Place(row.created_at, row.id)), _secret_of(row)) for row in found]


def update_secret(
    conn: sa.Connection, project_id: str, secret_id: str, name: str | None, value: tuple[str, int] | None
) -> Secret:
    """Write what is not None; raise NotFound."""
    changes: dict[str, Any] = {} if name is None else {"name": name}
    if value is not None:
        changes["sealed"], changes["updated_at"] = value
    if not changes:
        return _get(conn, project_id, secret_id)
    row = conn.execute(
        sa.update(secrets).where(*_is_secret(project_id, secret_id)).values(**changes).returning(*_SHOWN)
    ).first()
    if row is None:
        raise _no_secret(secret_id)
    return _secret_of(row)


def delete_secret(conn: sa.Connection, project_id: str, secret_id: str) -> None:
    """Delete; raise NotFound."""
    if conn.execute(sa.delete(secrets).where(*_is_secret(project_id, secret_id))).rowcount != 1:
        raise _no_secret(secret_id)


def _sealed(conn: sa.Connection, project_id: str, ids: frozenset[str]) -> dict[str, str]:
    found = conn.execute(sa.select(_s.id, _s.sealed).where(_s.project_id == project_id, _s.id.in_(sorted(ids))))
    return {row.id: row.sealed for row in found}


def _is_secret(project_id: str, secret_id: str) -> tuple[sa.ColumnElement[bool], ...]:
    return (_s.project_id == project_id, _s.id == secret_id)


def _no_secret(secret_id: str) -> NotFound:
    return NotFound(Reason.SECRET_NOT_FOUND, "polycall.v1.Secret", str(SecretName(secret_id)))


def _secret_of(row: sa.Row[Any]) -> Secret:
    return Secret(
        project_id=row.project_id,
        id=row.id,
        name=row.name,
        created_at=row.created_at,
        updated_at=row.updated_at,
        face=row.face,
        created_by=row.created_by,
    )
