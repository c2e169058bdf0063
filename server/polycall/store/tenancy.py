"""Projects, API keys, counters."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
import sqlalchemy as sa

from polycall.domain import ApiKey, Project, Reason, Scope
from polycall.errors import AlreadyExists, NotFound
from polycall.store.dialects import insert
from polycall.store.executor import Executor
from polycall.store.rows import json_text
from polycall.store.tables import api_keys, counters, policies, projects

__all__ = ["SqlTenancy", "create_key", "create_project", "get_project", "revoke_key"]

_BLOCK = 1000  # numbers taken from a counter at once; a restart wastes what is left of them
_k = api_keys.c
_decode_scopes = msgspec.json.Decoder(frozenset[Scope]).decode


class SqlTenancy:
    """Who there is; see ``polycall.store.protocol.TenancyStore``."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._numbers: dict[str, range] = {}  # what is left of the blocks
        self._one_block = asyncio.Lock()

    async def create_project(self, project: Project) -> Project:
        """Insert; raise AlreadyExists, Unavailable."""
        await self._executor.write(create_project, project)
        return project

    async def get_project(self, project_id: str) -> Project:
        """Return; raise NotFound, Unavailable."""
        return await self._executor.read(get_project, project_id)

    async def list_projects(self) -> tuple[Project, ...]:
        """Return all, by id; raise Unavailable."""
        return await self._executor.read(_all_projects)

    async def create_key(self, key: ApiKey, secret_hash: bytes) -> ApiKey:
        """Insert with the sha256 of the key; raise AlreadyExists (id or hash), NotFound (project), Unavailable."""
        await self._executor.write(create_key, key, secret_hash)
        return key

    async def find_key(self, secret_hash: bytes) -> ApiKey | None:
        """Return the key of a hash, also one that is revoked or expired; raise Unavailable."""
        return await self._executor.read(_find_key, secret_hash)

    async def get_key(self, project_id: str, key_id: str) -> ApiKey:
        """Return, also one that is revoked; raise NotFound, Unavailable."""
        return await self._executor.read(_key, project_id, key_id)

    async def list_keys(self, project_id: str) -> tuple[ApiKey, ...]:
        """Return all keys of a project, by creation; raise Unavailable."""
        return await self._executor.read(_keys, project_id)

    async def revoke_key(self, project_id: str, key_id: str, now_ms: int) -> ApiKey:
        """Set ``revoked_at``, unless it is set; raise NotFound, Unavailable."""
        return await self._executor.write(revoke_key, project_id, key_id, now_ms)

    async def touch_keys(self, used: Mapping[str, int]) -> None:
        """Set ``last_used_at`` of several keys, never backwards; raise Unavailable."""
        if used:
            await self._executor.relaxed(_touch_keys, dict(used))

    async def next_number(self, name: str) -> int:
        """Return the next number of a counter: from 1, rising, never twice, with gaps. Raises Unavailable."""
        async with self._one_block:
            left = self._numbers.get(name)
            if not left:
                first = await self._executor.write(_next_block, name)
                left = range(first, first + _BLOCK)
            self._numbers[name] = left[1:]
            return left[0]


def create_project(conn: sa.Connection, project: Project) -> None:
    """Insert; raise AlreadyExists."""
    values = {"id": project.id, "created_at": project.created_at, "display_name": project.display_name}
    if conn.execute(insert(conn.dialect.name, projects).on_conflict_do_nothing(), values).rowcount != 1:
        raise AlreadyExists("polycall.v1.Project", f"projects/{project.id}")


_own_limit = sa.and_(policies.c.project_id == projects.c.id, policies.c.package_id == "", policies.c.function == "")
_PROJECTS = sa.select(projects, policies.c.max_running).select_from(projects.outerjoin(policies, _own_limit))


def get_project(conn: sa.Connection, project_id: str) -> Project:
    """Return; raise NotFound."""
    row = conn.execute(_PROJECTS.where(projects.c.id == project_id)).first()
    if row is None:
        raise NotFound(
            Reason.PROJECT_NOT_FOUND,
            "polycall.v1.Project",
            f"projects/{project_id}",
            f"projects/{project_id} does not exist.",
        )
    return _project_of(row)


def _all_projects(conn: sa.Connection) -> tuple[Project, ...]:
    return tuple(_project_of(row) for row in conn.execute(_PROJECTS.order_by(projects.c.id)))


def _project_of(row: sa.Row[Any]) -> Project:
    return Project(id=row.id, created_at=row.created_at, display_name=row.display_name, max_running=row.max_running)


def create_key(conn: sa.Connection, key: ApiKey, secret_hash: bytes) -> None:
    """Insert; raise AlreadyExists, NotFound (project)."""
    get_project(conn, key.project_id)
    values = {
        "id": key.id,
        "project_id": key.project_id,
        "name": key.name,
        "hash": secret_hash,
        "scopes": json_text(sorted(key.scopes)),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "last_used_at": key.last_used_at,
    }
    if conn.execute(insert(conn.dialect.name, api_keys).on_conflict_do_nothing(), values).rowcount != 1:
        raise AlreadyExists("polycall.v1.ApiKey", f"apiKeys/{key.id}")


def _find_key(conn: sa.Connection, secret_hash: bytes) -> ApiKey | None:
    row = conn.execute(sa.select(api_keys).where(_k.hash == secret_hash)).first()
    return None if row is None else _key_of(row)


def _key(conn: sa.Connection, project_id: str, key_id: str) -> ApiKey:
    row = conn.execute(sa.select(api_keys).where(_k.id == key_id, _k.project_id == project_id)).first()
    if row is None:
        raise _no_key(key_id)
    return _key_of(row)


def _keys(conn: sa.Connection, project_id: str) -> tuple[ApiKey, ...]:
    statement = sa.select(api_keys).where(_k.project_id == project_id).order_by(_k.created_at, _k.id)
    return tuple(_key_of(row) for row in conn.execute(statement))


def revoke_key(conn: sa.Connection, project_id: str, key_id: str, now_ms: int) -> ApiKey:
    """End a key; raise NotFound."""
    row = conn.execute(
        sa.update(api_keys)
        .where(_k.id == key_id, _k.project_id == project_id)
        .values(revoked_at=sa.func.coalesce(_k.revoked_at, now_ms))
        .returning(api_keys)
    ).first()
    if row is None:
        raise _no_key(key_id)
    return _key_of(row)


def _touch_keys(conn: sa.Connection, used: Mapping[str, int]) -> None:
    conn.execute(
        sa.update(api_keys)
        .where(
            _k.id == sa.bindparam("key"),
            sa.func.coalesce(_k.last_used_at, -1) < sa.bindparam("used", type_=sa.BigInteger),
        )
        .values(last_used_at=sa.bindparam("used")),
        # in one order whoever writes, so that two servers do not wait for each other
        [{"key": key, "used": at} for key, at in sorted(used.items())],
    )


def _no_key(key_id: str) -> NotFound:
    return NotFound(Reason.API_KEY_NOT_FOUND, "polycall.v1.ApiKey", f"apiKeys/{key_id}")


def _key_of(row: sa.Row[Any]) -> ApiKey:
    return ApiKey(
        id=row.id,
        project_id=row.project_id,
        name=row.name,
        scopes=_decode_scopes(row.scopes),
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
    )


def _next_block(conn: sa.Connection, name: str) -> int:
    """Take a block of numbers; return its first."""
    statement = insert(conn.dialect.name, counters).values(name=name, next=1 + _BLOCK)
    after: int = conn.execute(
        statement.on_conflict_do_update(index_elements=["name"], set_={"next": counters.c.next + _BLOCK}).returning(
            counters.c.next
        )
    ).scalar_one()
    return after - _BLOCK
