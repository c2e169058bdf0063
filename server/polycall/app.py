"""The composition root: builds everything from the settings and wires it; starts, drains and stops it.

Reads top to bottom. Nothing else knows more than its own floor.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import secrets
import shutil
import signal
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

import grpc.aio

from polycall import __version__
from polycall.config import Settings
from polycall.domain import ExecutionError, ExecutionState, IsolationLevel, Reason
from polycall.engine.admission import Admission
from polycall.engine.dispatcher import Dispatcher
from polycall.engine.engine import Engine, EngineSettings
from polycall.engine.keys import KeyRing, new_key_text
from polycall.engine.limits import MAXIMUMS, MIB, LimitPolicy
from polycall.engine.preparation import Preparation
from polycall.engine.registry import Registry
from polycall.errors import PolycallError
from polycall.faces.adapter import mount
from polycall.faces.cognite.face import CogniteFace
from polycall.faces.cognite.v1 import cognite_pb2
from polycall.faces.domo.face import DomoFace
from polycall.faces.domo.v1 import domo_pb2
from polycall.faces.guance.face import GuanceFace
from polycall.faces.guance.v1 import guance_pb2
from polycall.faces.riza.face import RizaFace
from polycall.faces.riza.v1 import riza_pb2
from polycall.faces.xpander.face import XpanderFace
from polycall.faces.xpander.v1 import xpander_pb2
from polycall.gateway import gateway_config, upstream_socket
from polycall.sandbox.sandbox import Sandbox, SandboxConfig
from polycall.services.native import HealthHandle, NativeInfo, add_native, interceptors, server_options
from polycall.store.directory import DirectoryLock
from polycall.store.sql import DATABASE_FILE, SqlStore, StoreConfig, open_store
from polycall_gateway.config import GatewayConfig
from polycall_gateway.errors import GatewayError
from polycall_gateway.launcher import Launcher

__all__ = ["BOOTSTRAP_KEY_FILE", "Ready", "ServeError", "serve"]

BOOTSTRAP_KEY_FILE = "bootstrap.key"
# Envoy probes twice, 2 s apart, before it believes that a server is gone; a server alone behind its own Envoy drains
# that Envoy first and need not wait for its probes.
_LONGEST_SOCKET_DIRECTORY = 80  # sun_path holds 107 bytes; the rest is for the names of the sockets
_ENVOY_RESTART_S = 0.5
_ENVOY_RESTARTS = 5  # within a minute; a gateway that cannot stay up is for the operator to see
# Connections, and some six for every process of a sandbox; 1024, the usual soft limit, is not enough for both.
_OPEN_FILES = 65_536
_SECRETS = ("POLYCALL_BOOTSTRAP_KEY", "POLYCALL_DATABASE_URL")

log = logging.getLogger(__name__)


class ServeError(Exception):
    """Raised when the server cannot start; says what, why, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """What is told once calls are served."""

    rest_address: str  # "" without the gateway
    grpc_address: str
    isolation: IsolationLevel
    key: str  # the bootstrap key
    key_file: Path | None  # where it is kept, if the server made it
    seconds: float  # from the start of `serve`


async def serve(settings: Settings, *, ready: Callable[[Ready], Awaitable[None]] | None = None) -> None:
    """Serve until SIGTERM or SIGINT, then drain; leaves no process behind. Raises ServeError."""
    begun = time.monotonic()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    for name in _SECRETS:
        os.environ.pop(name, None)  # no other process shall inherit them
    _raise_open_files()
    async with contextlib.AsyncExitStack() as stack:
        try:
            app = await stack.enter_async_context(_running(settings))
        except (PolycallError, GatewayError, OSError) as error:
            raise ServeError(str(error)) from error
        if ready is not None:
            await ready(replace(app.ready, seconds=time.monotonic() - begun))
        failed = await app.until(stop)
    if failed:
        raise ServeError(failed)


@dataclass(slots=True, kw_only=True)
class _App:
    """What runs."""

    settings: Settings
    engine: Engine
    dispatcher: Dispatcher
    work: asyncio.Task[None]
    servers: tuple[grpc.aio.Server, ...]
    health: HealthHandle
    launcher: Launcher | None
    gateway: GatewayConfig | None
    ready: Ready

    async def until(self, stop: asyncio.Event) -> str:
        """Wait for the signal. Returns why, if it is something else that ended."""
        waiting = asyncio.create_task(stop.wait())
        watch = asyncio.create_task(self._watch_gateway())
        done, pending = await asyncio.wait([waiting, watch, self.work], return_when=asyncio.FIRST_COMPLETED)
        for task in pending - {self.work}:
            task.cancel()
        await asyncio.wait([waiting, watch])
        if self.work in done:
            return "the dispatcher of calls ended; see the log"
        return watch.result() if watch in done else ""

    async def _watch_gateway(self) -> str:
        """Start Envoy again if it dies; give up when it keeps dying."""
        if self.launcher is None or self.gateway is None:
            await asyncio.Event().wait()
            return ""
        deaths: list[float] = []
        while True:
            status = await self.launcher.wait_exited()
            deaths = [at for at in deaths if at > time.monotonic() - 60] + [time.monotonic()]
            log.error("envoy ended with status %s", status)
            if len(deaths) > _ENVOY_RESTARTS:
                return f"Envoy ended {len(deaths)} times within a minute, last with status {status}; see the log"
            await asyncio.sleep(_ENVOY_RESTART_S)
            self.launcher = Launcher(self.gateway)
            try:
                await self.launcher.start()
            except GatewayError as error:
                return str(error)

    async def drain(self) -> None:
        """Stop taking work, let work end, stop."""
        grace = self.settings.drain_grace_s
        await self.health.set_not_serving()
        if self.launcher is not None:
            with contextlib.suppress(GatewayError):
                await self.launcher.drain(0)
        async with asyncio.TaskGroup() as group:
            group.create_task(self.engine.drain(grace))
            group.create_task(self.dispatcher.stop(grace))
        # answers of runs that have ended still leave
        await asyncio.gather(*(server.stop(1.0) for server in self.servers))


@contextlib.asynccontextmanager
async def _running(settings: Settings) -> AsyncIterator[_App]:
    """Build and start everything; at the end drain and stop it, in reverse order."""
    async with contextlib.AsyncExitStack() as stack:
        data_dir = _data_dir(settings.data_dir)
        store, sandbox = await _started(stack, settings, data_dir)
        # from here on the data directory is ours alone: the store holds its lock
        sockets = stack.enter_context(_socket_directory(data_dir))
        key, key_file = _bootstrap_key(settings, data_dir)

        limits = LimitPolicy(
            maximums=replace(
                MAXIMUMS,
                timeout_ms=int(settings.max_timeout_s * 1000),
                memory_bytes=settings.max_memory_mib * MIB,
            )
        )
        keys = KeyRing(store, key)
        stack.push_async_callback(keys.close)
        registry = Registry(store, sandbox, limits)
        preparation = Preparation(registry, limits, adapters={"guance": _source("polycall.faces.guance", "inside.py")})
        engine = Engine(
            EngineSettings(
                isolation_floor=settings.isolation_floor, missing=_missing(sandbox), call_queue=settings.call_queue
            ),
            runner=sandbox,
            store=store,
            registry=registry,
            keys=keys,
            limits=limits,
            preparation=preparation,
            admission=Admission(settings.slots, settings.queue, settings.queue_mib * MIB),
        )
        dispatcher = Dispatcher(
            engine,
            store,
            preparation,
            slots=settings.call_slots or max(1, settings.slots // 2),
            node=uuid.uuid4().hex,
        )

        # Two servers: the faces' services belong to the gateway, which says in headers what was asked of it, and to
        # nobody else. Who reaches the native address finds no faces there.
        native, behind = (
            grpc.aio.server(interceptors=interceptors(engine.keys), options=server_options()) for _ in range(2)
        )
        health = add_native((native, behind), engine, NativeInfo(findings=sandbox.findings, version=__version__))
        for service, face in (
            (
                riza_pb2.DESCRIPTOR.services_by_name["RizaService"],
                RizaFace(
                    engine, max_timeout_s=settings.riza_max_timeout_s, max_memory_mib=settings.riza_max_memory_mib
                ),
            ),
            (
                cognite_pb2.DESCRIPTOR.services_by_name["CogniteService"],
                CogniteFace(engine, store, lenient=settings.cognite_nonce == "lenient"),
            ),
            (
                guance_pb2.DESCRIPTOR.services_by_name["GuanceService"],
                GuanceFace(engine, auth_status=settings.guance_auth_status),
            ),
            (xpander_pb2.DESCRIPTOR.services_by_name["XpanderService"], XpanderFace(engine)),
            (domo_pb2.DESCRIPTOR.services_by_name["DomoService"], DomoFace(engine)),
        ):
            mount(behind, service, face)

        upstream = upstream_socket(sockets)
        grpc_address = _bind(native, settings.grpc_address)
        _bind(behind, f"unix:{upstream}")
        for server in (native, behind):
            await server.start()
            stack.push_async_callback(server.stop, None)
        await health.set_serving()
        work = asyncio.create_task(dispatcher.run())
        stack.push_async_callback(_ended, work)

        gateway = gateway_config(settings, sockets) if settings.gateway else None
        launcher = Launcher(gateway) if gateway is not None else None
        if launcher is not None:
            await launcher.start()
        app = _App(
            settings=settings,
            engine=engine,
            dispatcher=dispatcher,
            work=work,
            servers=(native, behind),
            health=health,
            launcher=launcher,
            gateway=gateway,
            ready=Ready(
                rest_address=launcher.addresses["rest"] if launcher is not None else "",
                grpc_address=grpc_address,
                isolation=sandbox.isolation,
                key=key,
                key_file=key_file,
                seconds=0.0,
            ),
        )
        try:
            yield app
            await app.drain()
        finally:
            if app.launcher is not None:
                await app.launcher.stop()


async def _started(stack: contextlib.AsyncExitStack, settings: Settings, data_dir: Path) -> tuple[SqlStore, Sandbox]:
    """Start the two slow parts side by side."""
    if settings.database_url:
        # the embedded store locks the directory itself; its sockets and key are one server's in any case
        lock = DirectoryLock((data_dir / DATABASE_FILE).with_suffix(".lock"))
        lock.acquire()
        stack.callback(lock.release)
    store = open_store(
        StoreConfig(
            data_dir=data_dir,
            database_url=settings.database_url,
            flush_ms=settings.records_flush_ms,
        )
    )
    sandbox = Sandbox(
        SandboxConfig(
            waiting=settings.waiting_children,
            warm=settings.warm_workers,
            processes=settings.slots + settings.waiting_children + settings.warm_workers,
            warm_idle_s=settings.warm_idle_s,
        )
    )
    stack.push_async_callback(store.stop)
    stack.push_async_callback(sandbox.stop)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(store.start())
            group.create_task(sandbox.start())
    except* (PolycallError, OSError) as errors:
        raise errors.exceptions[0] from None
    lost = ExecutionError(
        reason=Reason.WORKER_LOST, message="The server that ran this was lost; what the code did is not known."
    )
    recovered = await store.recover(lost)
    if any(recovered.values()):
        log.warning(
            "recovered executions of an earlier start: %s",
            ", ".join(f"{count} {ExecutionState(state).name}" for state, count in recovered.items()),
        )
    return store, sandbox


def _raise_open_files() -> None:
    """Take as many open files as the system lets us: what strangers connect with must not be missing for runs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _missing(sandbox: Sandbox) -> str:
    """Say what keeps this machine from a higher isolation level, and what would change that."""
    return "; ".join(f"{f.feature}: {f.detail} ({f.remedy})" for f in sandbox.findings if not f.ok)


def _source(package: str, name: str) -> str:
    """Return the text of a face's in-sandbox module."""
    return resources.files(package).joinpath(name).read_text()


def _bind(server: grpc.aio.Server, address: str) -> str:
    """Bind and return the address with its real port."""
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as error:
        raise ServeError(
            f"Cannot listen on {address} for gRPC: the address is taken or not ours. "
            "Stop what uses it, or set POLYCALL_GRPC_ADDRESS."
        ) from error
    if address.startswith("unix:"):
        return address
    return f"{address.rpartition(':')[0]}:{port}"


def _data_dir(path: Path) -> Path:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ServeError(
            f"Cannot make the data directory {path}: {error.strerror}. Set POLYCALL_DATA_DIR to one that is writable."
        ) from error
    return path.resolve()


@contextlib.contextmanager
def _socket_directory(data_dir: Path) -> Iterator[Path]:
    """Make the closed directory of the sockets: in the data directory, or in /tmp if that path is too long."""
    inside = data_dir / "run"
    if len(str(inside).encode()) <= _LONGEST_SOCKET_DIRECTORY:
        shutil.rmtree(inside, ignore_errors=True)
        inside.mkdir(mode=0o700)
        directory = inside
    else:
        directory = Path(tempfile.mkdtemp(prefix="polycall-"))  # mode 0700
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _bootstrap_key(settings: Settings, data_dir: Path) -> tuple[str, Path | None]:
    """Return the bootstrap key, and the file it is kept in if nobody has set one."""
    if settings.bootstrap_key:
        return settings.bootstrap_key, None
    path = data_dir / BOOTSTRAP_KEY_FILE
    with contextlib.suppress(FileExistsError):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(file, "w") as stream:
            stream.write(new_key_text(secrets.token_hex(8)) + "\n")
    return path.read_text().strip(), path


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("the dispatcher failed", exc_info=error)
