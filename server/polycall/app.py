"""The composition root: builds everything from the settings and wires it; starts, drains and stops it.

Reads top to bottom. Nothing else knows more than its own floor.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib import resources
from pathlib import Path

import grpc.aio

from polycall import __version__
from polycall.bus import Bus
from polycall.cluster import Cluster, in_cluster
from polycall.config import Settings
from polycall.datadir import LOCK_FILE, kept_bootstrap_key, kept_encryption_key, make_data_dir, socket_directory
from polycall.domain import EntryQuota, ExecutionError, ExecutionState, Reason
from polycall.engine.adapters import Adapter
from polycall.engine.admission import Admission
from polycall.engine.building import Builder, BuildSettings
from polycall.engine.builds import Builds
from polycall.engine.dispatcher import Dispatcher
from polycall.engine.engine import Engine, EngineSettings
from polycall.engine.entries import Entries, EntryLimits
from polycall.engine.hearing import Hearing
from polycall.engine.keys import KeyRing
from polycall.engine.limits import KIB, MAXIMUMS, MIB, LimitPolicy
from polycall.engine.membership import Membership
from polycall.engine.objects import Objects
from polycall.engine.plans import Plans
from polycall.engine.preparation import Preparation
from polycall.engine.readiness import Readiness
from polycall.engine.registry import Registry
from polycall.engine.resealing import Resealing
from polycall.engine.retention import Retention
from polycall.engine.runtimes import Runtimes
from polycall.engine.scheduler import Scheduler
from polycall.engine.schedules import Schedules
from polycall.engine.secrets import Secrets
from polycall.engine.siblings import ALONE, NodeJoined, Siblings
from polycall.engine.tasks import end, through
from polycall.engine.tokens import Signer
from polycall.engine.trial import Trial
from polycall.errors import PolycallError
from polycall.faces.adapter import mount
from polycall.faces.cognite.call_routes import CallRoutes
from polycall.faces.cognite.catalogue import Catalogue
from polycall.faces.cognite.companion import CogniteCompanion, client_address
from polycall.faces.cognite.deployer import Deployer
from polycall.faces.cognite.deployments import Deployments
from polycall.faces.cognite.doors import cognite_doors
from polycall.faces.cognite.face import CogniteFace
from polycall.faces.cognite.file_routes import FileRoutes
from polycall.faces.cognite.files import Files
from polycall.faces.cognite.function_form import Packages
from polycall.faces.cognite.function_routes import FunctionRoutes
from polycall.faces.cognite.login_routes import LoginRoutes
from polycall.faces.cognite.requests import FILE_BYTES
from polycall.faces.cognite.runtimes import FunctionRuntimes
from polycall.faces.cognite.schedule_routes import ScheduleRoutes
from polycall.faces.cognite.session_routes import SessionRoutes
from polycall.faces.cognite.sessions import Sessions
from polycall.faces.cognite.ticks import Ticks
from polycall.faces.cognite.v1 import (
    cognite_calls_pb2,
    cognite_files_pb2,
    cognite_functions_pb2,
    cognite_login_pb2,
    cognite_pb2,
    cognite_schedules_pb2,
    cognite_sessions_pb2,
)
from polycall.faces.domo.doors import domo_doors
from polycall.faces.domo.faces import domo_faces
from polycall.faces.domo.lending import adapter as domo_adapter
from polycall.faces.domo.operator import domo_settings
from polycall.faces.guance.faces import guance_doors, guance_faces
from polycall.faces.guance.inside import hooks_source
from polycall.faces.guance.services import ScriptServices
from polycall.faces.riza.faces import riza_faces
from polycall.faces.xpander.face import XpanderFace
from polycall.faces.xpander.rules import RULES as XPANDER_RULES
from polycall.faces.xpander.v1 import xpander_pb2
from polycall.gateway import NOTICED_S, gateway_config
from polycall.member import Member, bus_socket, replica_of, server_socket, share_of
from polycall.runtimes.distributions import current_copies, default_packages, parser_packages
from polycall.runtimes.environments import Environments
from polycall.sandbox.egress.addresses import parse_networks
from polycall.sandbox.egress.proxy import EgressConfig
from polycall.sandbox.sandbox import UID_BASE, UIDS, Sandbox, SandboxConfig
from polycall.sealing import Sealer, parse_encryption_keys
from polycall.services.native import HealthHandle, NativeInfo, add_native, interceptors, server_options
from polycall.serving import Ready, ServeError, Signals, listening, unless
from polycall.store.directory import DirectoryLock
from polycall.store.sql import SqlStore, StoreConfig, open_store
from polycall.supervision import SupervisedEnvoy
from polycall_gateway.errors import GatewayError

__all__ = ["Ready", "ServeError", "serve"]

_SECRETS = ("POLYCALL_BOOTSTRAP_KEY", "POLYCALL_DATABASE_URL", "POLYCALL_DOMO_APP_KEY", "POLYCALL_ENCRYPTION_KEY")
# Connections, and some six for every process of a sandbox; 1024, the usual soft limit, is not enough for both.
_OPEN_FILES = 65_536
_RUNTIMES = "runtimes"  # in the data directory
_LAST_ANSWERS_S = 1.0  # once every run has ended, how long its answer may take to leave

log = logging.getLogger(__name__)


async def serve(
    settings: Settings, *, ready: Callable[[Ready], Awaitable[None]] | None = None, member: Member | None = None
) -> None:
    """Serve until SIGTERM or SIGINT, then drain; a second one ends the grace. Leaves no process. Raises ServeError.

    ``member``: this process is one of several; who started them holds the data directory and runs the gateway.
    """
    begun = time.monotonic()
    for name in _SECRETS:
        os.environ.pop(name, None)  # no other process shall inherit them
    _raise_open_files()
    with listening(supervised=member is not None) as signals:
        async with contextlib.AsyncExitStack() as stack:
            try:
                app = await unless(signals.stop, stack.enter_async_context(_running(settings, signals, member)))
            except (PolycallError, GatewayError, OSError) as error:
                raise ServeError(str(error)) from error
            if app is None:
                return
            if ready is not None:
                await unless(signals.stop, _told(ready, replace(app.ready, seconds=time.monotonic() - begun)))
            failure = await app.until(signals.stop)
        if failure:
            raise ServeError(failure)


async def _told(ready: Callable[[Ready], Awaitable[None]], what: Ready) -> None:
    await ready(what)


@dataclass(slots=True, kw_only=True)
class _App:
    """What runs."""

    grace_s: float
    notice_s: float  # how long gateways elsewhere need to see that this server takes no more
    engine: Engine
    dispatcher: Dispatcher
    work: asyncio.Task[None]
    ticking: asyncio.Task[None]
    servers: tuple[grpc.aio.Server, ...]
    health: HealthHandle
    envoy: SupervisedEnvoy | None
    ready: Ready

    async def until(self, stop: asyncio.Event) -> str:
        """Wait for the signal. Returns why, if it is something else that ended."""
        waiting = asyncio.create_task(stop.wait())
        watch = asyncio.create_task(self._watch())
        try:
            await asyncio.wait((waiting, watch, self.work, self.ticking), return_when=asyncio.FIRST_COMPLETED)
            if self.work.done():
                return "The dispatcher of calls ended; see the log."
            if self.ticking.done():
                return "The scheduler ended; see the log."
            return watch.result() if watch.done() else ""
        finally:
            await end(waiting)
            await end(watch)

    async def _watch(self) -> str:
        if self.envoy is None:
            await asyncio.Event().wait()
            return ""
        return await self.envoy.watch()

    async def drain(self, now: asyncio.Event) -> None:
        """Stop taking work, let work end, stop; ``now`` ends the grace."""
        await self.health.set_not_serving()
        await end(self.ticking)  # what comes due now is for others, or for the next start
        if self.envoy is not None:
            # a server alone behind its own Envoy need not wait until that Envoy has probed its health
            await self.envoy.drain()
        if self.notice_s and not now.is_set():
            # what is sent here until they know is served
            await unless(now, asyncio.sleep(self.notice_s))
        if await unless(now, self._end_work(self.grace_s)) is None:
            await self._end_work(0)
        await asyncio.gather(*(server.stop(_LAST_ANSWERS_S) for server in self.servers))

    async def _end_work(self, grace_s: float) -> bool:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.engine.drain(grace_s))
            group.create_task(self.dispatcher.stop(grace_s))
        return True


@contextlib.asynccontextmanager
async def _running(settings: Settings, signals: Signals, member: Member | None) -> AsyncIterator[_App]:
    """Build and start everything; at the end drain and stop it, in reverse order."""
    place = member or Member(index=0, count=1, node=uuid.uuid4().hex, living=(), first=True, sockets=Path(), key="")
    settings = share_of(settings, place.count)
    async with contextlib.AsyncExitStack() as stack:
        data_dir = make_data_dir(settings.data_dir)
        environments = Environments(data_dir / _RUNTIMES)
        store, sandbox = await _started(stack, settings, data_dir, environments, place)
        # from here on the data directory is ours alone: its lock is held
        if member is None:
            sockets = stack.enter_context(socket_directory(data_dir))
            key, key_file = (settings.bootstrap_key, None) if settings.bootstrap_key else kept_bootstrap_key(data_dir)
        else:
            sockets, key, key_file = member.sockets, member.key, None
        others = [bus_socket(sockets, index) for index in range(place.count) if index != place.index]
        siblings: Siblings = ALONE
        bus = cluster = None
        if in_cluster(settings.database_url):
            siblings = cluster = Cluster(
                settings.database_url, place.node, lambda news: hearing(news), lambda: hearing.gap()
            )
            stack.push_async_callback(cluster.close)
        elif others:
            siblings = bus = Bus(bus_socket(sockets, place.index), others, lambda news: hearing(news))
            stack.push_async_callback(bus.close)

        limits = LimitPolicy.up_to(
            replace(
                MAXIMUMS,
                timeout_ms=int(settings.max_timeout_s * 1000),
                memory_bytes=settings.max_memory_mib * MIB,
            )
        )
        encryption_keys = _encryption_keys(settings, data_dir)
        keys = KeyRing(store, key, siblings, Signer(encryption_keys))
        stack.push_async_callback(keys.close)
        builds = Builds(
            store,
            Builder(sandbox, environments, _build_settings(settings)),
            most=settings.build_queue,
            at_once=settings.builds,
            siblings=siblings,
        )
        stack.push_async_callback(builds.stop)
        runtimes = Runtimes(store, builds, lambda: sandbox.isolation, siblings)
        parser = partial(parser_packages, environments)
        sealer = Sealer(encryption_keys)
        domo, domo_egress = domo_settings(settings.domo_file, settings.domo_hosts)
        entries = Entries(store, _entry_limits(settings))
        guance_services = ScriptServices(entries)
        adapters = {
            "guance": Adapter(hooks=hooks_source(), services=guance_services.of),
            "domo": domo_adapter(domo_egress),
        }
        rules = {"xpander": XPANDER_RULES}
        registry = Registry(store, sandbox, limits, runtimes, sealer, siblings, parser, adapters=adapters, rules=rules)
        secrets = Secrets(store, sealer, siblings)
        resealing = Resealing(store, sealer)
        if place.first:
            await resealing.check(settings.lost_encryption_keys.replace(",", " ").split())
        cognite_sessions = Sessions(store, keys, lenient=settings.cognite_nonce == "lenient")
        cognite_companion = CogniteCompanion(
            cognite_sessions,
            keys,
            client_address(
                settings.cognite_client_url,
                settings.cognite_address or settings.rest_address,
                gateway=settings.gateway,
            ),
            lambda: sandbox.isolation,
        )
        preparation = Preparation(
            registry,
            limits,
            secrets,
            adapters=adapters,
            languages=sandbox.languages,
            companions={"cognite": cognite_companion},
        )
        engine = Engine(
            EngineSettings(
                isolation_floor=settings.isolation_floor,
                missing=_missing(sandbox),
                call_queue=settings.call_queue,
                node=place.node,
            ),
            runner=sandbox,
            store=store,
            registry=registry,
            secrets=secrets,
            resealing=resealing,
            keys=keys,
            limits=limits,
            preparation=preparation,
            admission=Admission(
                settings.slots,
                settings.queue,
                settings.queue_mib * MIB,
                project_slots=settings.project_slots,
                project_queue=settings.project_queue,
            ),
            objects=Objects(store),
            schedules=Schedules(store, registry, limits, most=settings.project_schedules),
            siblings=siblings,
        )
        readiness = Readiness(store, registry, secrets, preparation, sandbox, share=place.count)
        membership = Membership(
            store,
            engine.live,
            node=place.node,
            replica=replica_of(data_dir, place.index),
            heartbeat_s=settings.heartbeat_s,
            lease_s=settings.lease_s,
        )
        dispatcher = Dispatcher(
            engine,
            store,
            preparation,
            slots=settings.call_slots or max(1, settings.slots // 2),
            node=place.node,
            siblings=siblings,
            entitled=(lambda: membership.holds) if cluster is not None else (lambda: True),
        )
        cognite_ticks = Ticks(engine, store, cognite_sessions)
        plans = Plans(engine, {"cognite": cognite_ticks})
        scheduler = Scheduler(engine, store, plans, grace_s=settings.schedule_grace_s, node=place.node)
        hearing = Hearing(keys, registry, runtimes, secrets, store, engine.live, dispatcher.enqueued)
        # before anything is kept in memory
        if bus is not None:
            bus.start()
        if cluster is not None:
            cluster.others = lambda: membership.others
            membership.on_reap = dispatcher.look
            await cluster.start()
            stack.push_async_callback(membership.leave)
            hearing.joined = membership.joined
            await membership.join()
            await cluster.tell(NodeJoined(place.node))  # from here on nothing changes without our knowledge
            saying = asyncio.create_task(membership.run())
            stack.push_async_callback(end, saying)

        cognite_files = Files(engine.objects, store, keys)
        # Two servers: the faces' services belong to the gateway, which says in headers what was asked of it, and to
        # nobody else. Who reaches the native address finds no faces there.
        open_doors = {
            **cognite_doors(cognite_files),
            **domo_doors(keys, settings.domo_app_key),
            **guance_doors(),
        }
        native, behind = (
            grpc.aio.server(interceptors=interceptors(keys, doors), options=options)
            for doors, options in (
                (None, server_options(settings.max_timeout_s, shared=place.count > 1)),
                (open_doors, server_options(settings.max_timeout_s, largest=FILE_BYTES)),
            )
        )
        for server in (native, behind):
            stack.push_async_callback(server.stop, None)
        health = add_native(
            (native, behind),
            engine,
            plans,
            NativeInfo(
                findings=sandbox.findings,
                limits=sandbox.enforcements,
                interpreters=sandbox.interpreters,
                version=__version__,
                counts=lambda: sandbox.counts,
                processes=place.count,
            ),
        )
        cognite_catalogue = Catalogue(engine)
        cognite_deployments = Deployments(engine.objects, sealer, place.node)
        cognite_deployer = Deployer(
            engine,
            Trial(sandbox, runtimes, limits, settings.isolation_floor),
            cognite_deployments,
            FunctionRuntimes(runtimes, settings.cognite_requirements),
        )
        stack.push_async_callback(cognite_deployer.stop)
        for service, face in (
            *riza_faces(
                engine,
                sealer,
                max_timeout_s=settings.riza_max_timeout_s,
                max_memory_mib=settings.riza_max_memory_mib,
            ),
            (
                cognite_pb2.DESCRIPTOR.services_by_name["CogniteService"],
                CogniteFace(engine, store, cognite_sessions, cognite_catalogue),
            ),
            (
                cognite_functions_pb2.DESCRIPTOR.services_by_name["CogniteFunctionService"],
                FunctionRoutes(
                    engine,
                    store,
                    cognite_catalogue,
                    cognite_files,
                    cognite_deployments,
                    cognite_deployer,
                    Packages(settings.python_index_url),
                ),
            ),
            (cognite_calls_pb2.DESCRIPTOR.services_by_name["CogniteCallService"], CallRoutes(engine)),
            (
                cognite_files_pb2.DESCRIPTOR.services_by_name["CogniteFileService"],
                FileRoutes(engine, cognite_files),
            ),
            (cognite_login_pb2.DESCRIPTOR.services_by_name["CogniteLoginService"], LoginRoutes(engine)),
            (
                cognite_sessions_pb2.DESCRIPTOR.services_by_name["CogniteSessionService"],
                SessionRoutes(engine, store),
            ),
            (
                cognite_schedules_pb2.DESCRIPTOR.services_by_name["CogniteScheduleService"],
                ScheduleRoutes(engine, cognite_ticks, store, cognite_sessions),
            ),
            *guance_faces(engine, guance_services, auth_status=settings.guance_auth_status),
            (xpander_pb2.DESCRIPTOR.services_by_name["XpanderService"], XpanderFace(engine)),
        ):
            mount(behind, service, face)
        for service, part in domo_faces(engine, domo, settings.domo_app_key):
            mount(behind, service, part)

        envoy = SupervisedEnvoy(gateway_config(settings, sockets)) if settings.gateway and member is None else None
        if envoy is not None:
            stack.push_async_callback(envoy.stop)
        # however it ends: before anybody's connection is cut, every run has ended as what ended it
        stack.push_async_callback(engine.drain, 0)

        grpc_address = _bind(native, settings.grpc_address)
        _bind(behind, f"unix:{server_socket(sockets, place.index)}")
        if settings.internal_address:
            _bind(behind, settings.internal_address, "POLYCALL_INTERNAL_ADDRESS")
        for server in (native, behind):
            await server.start()
        await health.set_serving()  # before Envoy, which asks
        if envoy is not None:
            await envoy.start()

        getting_ready = asyncio.create_task(readiness.run())
        stack.push_async_callback(end, getting_ready)

        # what waits for its analysis, also from an earlier start
        analyses = asyncio.create_task(registry.analyses.run(takes_up=place.index == 0))
        stack.push_async_callback(_ended, analyses)

        if place.index == 0:
            keeping = Retention(store, days=settings.retention_days, executions=settings.retention_executions)
            forgetting = asyncio.create_task(keeping.run())
            stack.push_async_callback(end, forgetting)
            sweeping = asyncio.create_task(entries.sweep(store))
            stack.push_async_callback(end, sweeping)

        if place.first:  # nobody makes any yet
            await _sweep(environments, store)
        await builds.start()
        await cognite_deployer.start(membership.others if cluster is not None else place.living)
        if cluster is not None:
            watching = asyncio.create_task(cognite_deployer.watch(lambda: membership.others))
            stack.push_async_callback(end, watching)
        # last: a Call that is taken by a server that then cannot start has lost an attempt
        work = asyncio.create_task(dispatcher.run())
        stack.push_async_callback(_ended, work)
        stack.push_async_callback(dispatcher.stop, 0)
        ticking = asyncio.create_task(scheduler.run())
        stack.push_async_callback(_ended, ticking)
        app = _App(
            grace_s=settings.drain_grace_s,
            notice_s=NOTICED_S if settings.internal_address else 0.0,
            engine=engine,
            dispatcher=dispatcher,
            work=work,
            ticking=ticking,
            servers=(native, behind),
            health=health,
            envoy=envoy,
            ready=Ready(
                rest_address=envoy.addresses.get("rest", "") if envoy is not None else "",
                grpc_address=grpc_address,
                isolation=sandbox.isolation,
                interpreters=sandbox.interpreters,
                key=key,
                key_file=key_file,
                seconds=0.0,
            ),
        )
        yield app
        await app.drain(signals.now)


async def _started(
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
            shared=place.count > 1,
        )
    )
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
            ),
        )
    )
    stack.push_async_callback(sandbox.stop)
    await sandbox.start()
    return sandbox


def _raise_open_files() -> None:
    """Take as many open files as the system lets us: what strangers connect with must not be missing for runs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


async def _sweep(environments: Environments, store: SqlStore) -> None:
    """Remove environments that no revision has any more, and what an earlier server had not finished."""
    digests = await store.digests()
    used = digests | await asyncio.to_thread(current_copies)
    await asyncio.to_thread(environments.sweep, used.__contains__)


def _build_settings(settings: Settings) -> BuildSettings:
    return BuildSettings(
        timeout_s=settings.build_timeout_s,
        memory_bytes=settings.build_memory_mib * MIB,
        size_bytes=settings.runtime_mib * MIB,
        disk_bytes=settings.runtimes_mib * MIB,
        preload=settings.runtime_preload,
        preload_memory_bytes=settings.runtime_preload_mib * MIB,
        python_index_url=settings.python_index_url,
        python_file_hosts=tuple(settings.python_file_hosts.replace(",", " ").split()),
        npm_registry_url=settings.npm_registry_url,
    )


def _encryption_keys(settings: Settings, data_dir: Path) -> tuple[bytes, ...]:
    if settings.encryption_key:
        return parse_encryption_keys(settings.encryption_key)
    key, path = kept_encryption_key(data_dir)
    try:
        return parse_encryption_keys(key)
    except ValueError as error:
        raise ServeError(f"The encryption key in {path} {error}; put the right one back.") from None


def _entry_limits(settings: Settings) -> EntryLimits:
    quota = EntryQuota(settings.entries, settings.entries_mib * MIB)
    return EntryLimits(quota=quota, value_bytes=settings.entry_kib * KIB)


def _missing(sandbox: Sandbox) -> str:
    """Say what keeps this machine from a higher isolation level, and what would change that."""
    return "; ".join(f"{f.feature}: {f.detail} ({f.remedy})" for f in sandbox.findings if not f.ok)


def _source(package: str, name: str) -> str:
    """Return the text of a face's in-sandbox module."""
    return resources.files(package).joinpath(name).read_text()


def _bind(server: grpc.aio.Server, address: str, setting: str = "POLYCALL_GRPC_ADDRESS") -> str:
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


async def _ended(task: asyncio.Task[None]) -> None:
    await end(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("background work failed", exc_info=error)
