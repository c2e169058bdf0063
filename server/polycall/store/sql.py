"""The store: one implementation for SQLite and PostgreSQL."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import sqlalchemy as sa
import sqlalchemy.exc

from polycall.acts import AuditOutcome
from polycall.domain import Reason
from polycall.errors import FailedPrecondition
from polycall.store.audit_log import SqlAudit
from polycall.store.audited import AuditedExecutor
from polycall.store.bucket import Bucket
from polycall.store.config import StoreConfig
from polycall.store.delivery_store import SqlDeliveries
from polycall.store.disk_cache import DiskCache
from polycall.store.entry_store import SqlEntries
from polycall.store.environment_store import SqlEnvironments
from polycall.store.executions import SqlExecutions
from polycall.store.executor import Executor
from polycall.store.executor_sqlite import SqliteExecutor
from polycall.store.lanes import LimitedProjects
from polycall.store.measured import MeasuredExecutor
from polycall.store.node_store import SqlNodes
from polycall.store.object_store import SqlObjects
from polycall.store.outside import Outside
from polycall.store.policy_store import SqlPolicies
from polycall.store.quota import StorageQuota
from polycall.store.registry import SqlRegistry
from polycall.store.retention_store import SqlRetention
from polycall.store.runtime_store import SqlRuntimes
from polycall.store.schedule_store import SqlSchedules
from polycall.store.schema import prepare
from polycall.store.sealed import SqlSealed
from polycall.store.secrets import SqlSecrets
from polycall.store.sessions import SqlSessions
from polycall.store.tenancy import SqlTenancy

__all__ = ["DATABASE_FILE", "SqlStore", "StoreConfig", "open_store"]

DATABASE_FILE = "polycall.db"
CACHE_DIRECTORY = "cache"


class SqlStore(
    SqlTenancy,
    SqlSessions,
    SqlSecrets,
    SqlSealed,
    SqlRegistry,
    SqlObjects,
    SqlEntries,
    SqlRuntimes,
    SqlEnvironments,
    SqlSchedules,
    SqlNodes,
    SqlPolicies,
    SqlRetention,
    SqlDeliveries,
    SqlAudit,
    SqlExecutions,
):
    """The parts over one executor, and their life; see ``polycall.store.protocol.Store``."""

    def __init__(
        self,
        executor: Executor,
        config: StoreConfig,
        bucket: Bucket | None = None,
        written: Counter[AuditOutcome] | None = None,
    ) -> None:
        """``written``: where the ``executor`` counts the events of the audit log that it writes."""
        self.audit_written = Counter[AuditOutcome]() if written is None else written
        self.measured = executor = MeasuredExecutor(executor)
        quota = StorageQuota(config.project_bytes)
        outside = self.outside = Outside(executor, bucket, threshold=config.object_threshold, cache=_cache(config))
        limited = LimitedProjects(executor)
        SqlTenancy.__init__(self, executor)
        SqlSessions.__init__(self, executor)
        SqlSecrets.__init__(self, executor)
        SqlSealed.__init__(self, executor)
        SqlRegistry.__init__(self, executor, quota, outside)
        SqlObjects.__init__(self, executor, quota, outside)
        SqlEntries.__init__(self, executor, quota)
        SqlRuntimes.__init__(self, executor, quota)
        SqlEnvironments.__init__(self, executor, outside)
        SqlNodes.__init__(self, executor)
        SqlRetention.__init__(self, executor, outside)
        SqlDeliveries.__init__(self, executor)
        SqlSchedules.__init__(self, executor, config, quota)
        SqlAudit.__init__(self, executor, self.audit_written)
        SqlPolicies.__init__(self, executor, limited)
        SqlExecutions.__init__(self, executor, config, outside, limited)
        self._executor = executor

    async def start(self) -> None:
        """Open, migrate, begin to write records.

        Raises FailedPrecondition for a database that cannot be used (in use by another process, on a network file
        system, damaged), Unavailable for one that cannot be reached; the same of an object store.
        """
        await self._executor.start(prepare)
        await self.outside.start()
        self._records.start()

    async def stop(self) -> None:
        """Flush, close. Stopping twice, or before the start, is harmless."""
        await self._records.stop()
        await self._executor.stop()

    def end_in(self, seconds: float) -> None:
        """Wait so long for a database elsewhere, and no longer: what is not done by then raises Unavailable."""
        self._executor.end_in(seconds)

    @property
    def lost_records(self) -> int:
        """How many records of synchronous executions ``stop`` could not write."""
        return self._records.lost

    async def ping(self) -> None:
        """Raise Unavailable if the database is away."""
        await self._executor.read(_ping)


def open_store(config: StoreConfig) -> SqlStore:
    """Return the store of a configuration, not started. Raises FailedPrecondition for a URL that cannot be used."""
    written = Counter[AuditOutcome]()
    return SqlStore(AuditedExecutor(_executor(config), written), config, _bucket(config), written)


def _executor(config: StoreConfig) -> Executor:
    if not config.database_url:
        if config.data_dir is None:
            raise _unusable("is missing; set POLYCALL_DATA_DIR or POLYCALL_DATABASE_URL")
        path = config.data_dir / DATABASE_FILE
        return SqliteExecutor(path, readers=config.readers, waiting=config.waiting, shared=config.shared)
    try:
        url = sa.make_url(config.database_url)
    except sqlalchemy.exc.ArgumentError:
        raise _unusable("is not a URL; it looks like postgresql://user:password@host/database") from None
    match url.get_backend_name():
        case "sqlite" if url.database and url.database != ":memory:":
            path = Path(url.database).resolve()
            return SqliteExecutor(path, readers=config.readers, waiting=config.waiting, shared=config.shared)
        case "postgresql" | "postgres":
            from polycall.store.executor_postgres import PostgresExecutor  # an embedded server never loads it

            return PostgresExecutor(url, config)
        case backend:
            raise _unusable(f"names {backend}; polycall knows postgresql, and sqlite with a file")


def _bucket(config: StoreConfig) -> Bucket | None:
    if not config.object_store_url:
        return None
    from polycall.store.bucket_obstore import ObstoreBucket  # an extra, which few servers need

    return ObstoreBucket(config.object_store_url)


def _cache(config: StoreConfig) -> DiskCache | None:
    if not config.cache_bytes or config.data_dir is None:
        return None
    return DiskCache(config.data_dir / CACHE_DIRECTORY, config.cache_bytes)


def _unusable(what: str) -> FailedPrecondition:
    return FailedPrecondition(f"The database URL {what}.", subject="database_url", reason=Reason.STORE_UNAVAILABLE)


def _ping(conn: sa.Connection) -> None:
    conn.execute(sa.select(1))
