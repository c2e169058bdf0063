"""How a server starts: what it takes of the system, its store and its sandbox, its addresses."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
from pathlib import Path

import grpc.aio

from polycall.cluster import in_cluster
from polycall.config import Settings
from polycall.datadir import LOCK_FILE
from polycall.domain import ExecutionError, ExecutionState, Reason
from polycall.engine.limits import KIB, MIB
from polycall.engine.tasks import through
from polycall.errors import PolycallError
from polycall.member import Member
from polycall.runtimes.distributions import default_packages, is_current
from polycall.runtimes.environments import Environments
from polycall.sandbox.egress.addresses import parse_networks
from polycall.sandbox.egress.proxy import EgressConfig
from polycall.sandbox.sandbox import UID_BASE, UIDS, Sandbox, SandboxConfig
from polycall.serving import ServeError
from polycall.store.directory import DirectoryLock
from polycall.store.sql import SqlStore, StoreConfig, open_store

__all__ = ["bind", "raise_open_files", "started", "sweep"]

# Connections, and some six for every process of a sandbox; 1024, the usual soft limit, is not enough for both.
_OPEN_FILES = 65_536

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
    environments: Environments,
    place: Member,
) -> tuple[SqlStore, Sandbox]:
    """Start the two slow parts side by side."""
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
    try:
        async with asyncio.TaskGroup() as group:
            # opened in a thread, which goes on whatever becomes of us
            group.create_task(through(store.start()))
            starting = group.create_task(_started_sandbox(stack, settings, environments, place))
    except* (PolycallError, OSError) as errors:
        raise errors.exceptions[0] from None
    sandbox = starting.result()
    lost = ExecutionError(
        reason=Reason.WORKER_LOST, message="The server that ran this was lost; what the code did is not known."
    )
    if in_cluster(settings.database_url):
        return store, sandbox  # others may run what is RUNNING there; leases tell
    recovered = await store.recover(lost, place.living)
    if any(recovered.values()):
        log.warning(
            "recovered executions of an earlier start: %s",
            ", ".join(f"{count} {ExecutionState(state).name}" for state, count in recovered.items()),
        )
    return store, sandbox


async def _started_sandbox(
    stack: contextlib.AsyncExitStack, settings: Settings, environments: Environments, place: Member
) -> Sandbox:
    packages = await asyncio.to_thread(default_packages, environments)
    sandbox = Sandbox(
        SandboxConfig(
            waiting=settings.waiting_children,
            warm=settings.warm_workers,
            processes=settings.slots + settings.waiting_children + settings.warm_workers + settings.builds,
            warm_of_version=settings.warm_of_version,
            warm_memory_bytes=settings.warm_memory_mib * MIB,
            warm_idle_s=settings.warm_idle_s,
            warm_calls=settings.warm_calls,
            warm_age_s=settings.warm_age_s,
            warm_growth_bytes=settings.warm_growth_mib * MIB,
            hard_output_bytes=settings.max_output_mib * MIB,
            images=settings.runtime_zygotes,
            preload_bytes=settings.runtime_preload_mib * MIB,
            image_idle_s=settings.runtime_idle_s,
            uid_base=UID_BASE + place.index * UIDS,
            packages=str(packages),
            egress=EgressConfig(
                networks=parse_networks(filter(None, settings.egress_networks.split(","))),
                anywhere=settings.egress_anywhere,
                trusted=settings.egress_ca_file,
                connections=settings.egress_connections,
            ),
        )
    )
    stack.push_async_callback(sandbox.stop)
    await sandbox.start()
    return sandbox


def raise_open_files() -> None:
    """Take as many open files as the system lets us: what strangers connect with must not be missing for runs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


async def sweep(environments: Environments, store: SqlStore, packages: str) -> None:
    """Remove environments that no revision has any more, and what an earlier server had not finished.

    ``packages``: what sandboxes have of it now.
    """
    digests = await store.digests()
    used = {*digests, Path(packages).name}
    await asyncio.to_thread(environments.sweep, lambda name: name in used or is_current(name))


def bind(server: grpc.aio.Server, address: str, setting: str = "POLYCALL_GRPC_ADDRESS") -> str:
    """Bind and return the address with its real port."""
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as error:
        raise ServeError(
            f"Cannot listen on {address} for gRPC: the address is taken or not ours. "
            f"Stop what uses it, or set {setting}."
        ) from error
    if address.startswith("unix:"):
        return address
    return f"{address.rpartition(':')[0]}:{port}"
