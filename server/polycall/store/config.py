"""What the store is told; every default with its origin."""

from __future__ import annotations

from pathlib import Path

from polycall.quick import dataclass

__all__ = ["StoreConfig"]

_KIB = 1024
_MIB = 1024 * _KIB


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreConfig:
    """Where the database is and how records get into it.

    With an empty ``database_url`` the store is SQLite in ``data_dir``; one of the two must be set. A server of its own
    is a URL away: ``postgresql://user:password@host/database``.
    """

    data_dir: Path | None = None
    database_url: str = ""
    # one of several processes that share an embedded database: whoever started them holds the directory's lock
    shared: bool = False
    # records of synchronous executions, see polycall.store.records
    flush_ms: int = 100  # a record is written within that: a crash of the server loses at most what came in since
    flush_rows: int = 500  # rows in one statement; more gained nothing measurable
    buffer_rows: int = 50_000  # while the database is away: about a minute at 800 executions a second
    buffer_bytes: int = 64 * _MIB
    # larger inputs, results and outputs go to the blobs table: rows that lists pass over stay small
    inline_bytes: int = 32 * _KIB
    # sources, files and values that a project may store; 0: any number. Each server says so for itself
    project_bytes: int = 0
    # larger ones go to an object store, if there is one: s3://bucket/prefix, gs://, az://, file://
    object_store_url: str = ""
    object_threshold: int = 1 * _MIB
    cache_bytes: int = 0  # of sources that were there, on the disk of the data directory
    # reads and writes that may wait; beyond it the database is taken to be away
    waiting: int = 4096
    # SQLite: threads that read, each with its connection
    readers: int = 2
    # PostgreSQL: connections; what waits longer for one gets Unavailable
    pool_size: int = 10
    pool_wait_s: float = 5.0
    connect_s: float = 10.0
    statement_s: float = 30.0
