"""Nodes: who takes part, told by heartbeats on the database's clock. Functions of a connection; all cross projects."""

from __future__ import annotations

import uuid

import sqlalchemy as sa

from polycall.store.dialects import insert
from polycall.store.protocol import Beat
from polycall.store.tables import db_now, executions, nodes

__all__ = ["beat", "join", "leave", "living"]

_e, _n = executions.c, nodes.c
_IS_RUNNING = sa.text("executions.state = 1")
# Long after whatever a node had was taken over, its row is of no use to anybody.
_FORGOTTEN_MS = 86_400_000


def join(conn: sa.Connection, node: str, replica: str) -> None:
    """Take part. An earlier node of the same replica is known to be dead: what it had is to be taken over at once."""
    conn.execute(sa.delete(nodes).where(_n.replica == replica, _n.id != node))
    conn.execute(sa.delete(nodes).where(_n.heartbeat < db_now() - _FORGOTTEN_MS))
    _put(conn, node, replica)


def beat(conn: sa.Connection, node: str, replica: str, lease_ms: int) -> Beat:
    """Say that a node lives; return who else does, and what it owns."""
    _put(conn, node, replica)
    others = conn.execute(sa.select(_n.id).where(living(lease_ms), _n.id != node)).scalars()
    owned: list[uuid.UUID] = list(conn.execute(sa.select(_e.id).where(_IS_RUNNING, _e.owner == node)).scalars())
    return Beat(others=frozenset(others), owned=frozenset(owned))


def leave(conn: sa.Connection, node: str) -> None:
    """Take part no more: what the node still has is taken over at once."""
    conn.execute(sa.delete(nodes).where(_n.id == node))


def living(lease_ms: int) -> sa.ColumnElement[bool]:
    """Return the condition that a node's last heartbeat is not older than its lease."""
    return _n.heartbeat > db_now() - lease_ms


def _put(conn: sa.Connection, node: str, replica: str) -> None:
    statement = insert(conn.dialect.name, nodes).values(id=node, replica=replica, heartbeat=db_now())
    conn.execute(
        statement.on_conflict_do_update(index_elements=["id"], set_={"heartbeat": statement.excluded.heartbeat})
    )
