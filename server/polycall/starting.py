"""How a server starts: what it takes of the system, its store and its sandbox, its addresses."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from pathlib import Path

import grpc.aio

from polycall.addresses import not_ours, probe
from polycall.cluster import in_cluster
from polycall.config import Settings
from polycall.datadir import LOCK_FILE
from polycall.domain import ExecutionError, ExecutionState, Reason
from polycall.engine.limits import KIB, MIB
from polycall.engine.tasks import through
from polycall.errors import PolycallError
from polycall.member import Member
from polycall.runtimes.distributions import is_current
from polycall.runtimes.environments import Environments
from polycall.sandbox.sandbox import Sandbox
from polycall.sandboxing import sandbox_ended
from polycall.store.directory import DirectoryLock
from polycall.store.sql import SqlStore, StoreConfig, open_store

__all__ = ["bind", "started", "sweep"]

# What the object store's client takes from the environment and others must not see.
_CREDENTIALS = (
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_ACCESS_KEY",
    "AZURE_STORAGE_MASTER_KEY",
    "AZURE_STORAGE_CLIENT_SECRET",
    "AZURE_CLIENT_SECRET",
    "AZURE_STORAGE_SAS_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_STORAGE_TOKEN",
    "GOOGLE_SERVICE_ACCOUNT_KEY",
)

log = logging.getLogger(__name__)


async def started(
    stack: contextlib.AsyncExitStack,
    settings: Settings,
    data_dir: Path,
    place: Member,
    sandbox: asyncio.Task[Sandbox],
) -> tuple[SqlStore, Sandbox]:
    """Start the store while the sandbox starts; return both."""
    if settings.database_url and place.count == 1:
        # the embedded store locks the directory itself; its sockets and key are one server's in any case
        lock = DirectoryLock(data_dir / LOCK_FILE)
        lock.acquire()
        stack.callback(lock.release)
    store = open_store(
        StoreConfig(
            data_dir=data_dir,
            database_url=settings.database_url,
            flush_ms=settings.records_flush_ms,
            project_bytes=settings.project_storage_mib * MIB,
            shared=place.count > 1,
            object_store_url=settings.object_store_url,
            object_threshold=settings.object_threshold_kib * KIB,
            cache_bytes=settings.cache_mib * MIB,
        )
    )
    for name in _CREDENTIALS:
        os.environ.pop(name, None)  # the object store's client has them now, and no other process shall
    stack.push_async_callback(store.stop)
    stack.push_async_callback(sandbox_ended, sandbox)  # before the store, which keeps how its runs end
    try:
        async with asyncio.TaskGroup() as group:
            # opened in a thread, which goes on whatever becomes of us
            group.create_task(_opened(store))
            ready = await sandbox
    except* (PolycallError, OSError) as errors:
        raise errors.exceptions[0] from None
    lost = ExecutionError(
        reason=Reason.WORKER_LOST, message="The server that ran this was lost; what the code did is not known."
    )
    if in_cluster(settings.database_url):
        return store, ready  # others may run what is RUNNING there; leases tell
    recovered = await store.recover(lost, place.living)
    if any(recovered.values()):
        log.warning(
            "recovered executions of an earlier start: %s",
            ", ".join(f"{count} {ExecutionState(state).name}" for state, count in recovered.items()),
        )
    return store, ready


async def _opened(store: SqlStore) -> None:
    # called by the task itself: that of a start which fails at once does not even begin
    await through(store.start())


async def sweep(environments: Environments, store: SqlStore, packages: str) -> None:
    """Remove environments that no revision has any more, and what an earlier server had not finished.

    ``packages``: what sandboxes have of it now.
    """
    digests = await store.digests()
    used = {*digests, Path(packages).name}
    await asyncio.to_thread(environments.sweep, lambda name: name in used or is_current(name))


def bind(server: grpc.aio.Server, address: str, setting: str = "POLYCALL_GRPC_ADDRESS", *, shared: bool = False) -> str:
    """Bind and return the address with its real port. Raises ServeError.

    ``shared``: other processes of ours listen there, and whose it is is known.
    """
    if not shared and not address.startswith("unix:"):
        probe(address, setting)
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as error:
        raise not_ours(address, setting, OSError("the line before this one says why")) from error
    if address.startswith("unix:"):
        return address
    return f"{address.rpartition(':')[0]}:{port}"
