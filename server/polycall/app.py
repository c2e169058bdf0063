"""The composition root: builds everything from the settings and wires it; starts, drains and stops it.

Reads top to bottom. Nothing else knows more than its own floor.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import grpc.aio

from polycall import __version__
from polycall.bus import Bus
from polycall.cluster import Cluster, in_cluster
from polycall.config import Settings
from polycall.datadir import kept_bootstrap_key, socket_directory
from polycall.engine.adapters import Adapter
from polycall.engine.admission import Admission
from polycall.engine.allowance import Allowance
from polycall.engine.audit import AuditLog
from polycall.engine.building import Builder
from polycall.engine.builds import Builds
from polycall.engine.dispatcher import Dispatcher
from polycall.engine.engine import Engine, EngineSettings
from polycall.engine.entries import Entries
from polycall.engine.floor import Floor
from polycall.engine.hearing import Hearing
from polycall.engine.keys import KeyRing
from polycall.engine.limits import MIB
from polycall.engine.membership import Membership
from polycall.engine.objects import Objects
from polycall.engine.plans import Plans
from polycall.engine.preparation import Preparation
from polycall.engine.readiness import Readiness
from polycall.engine.recording import Recording
from polycall.engine.registry import Registry
from polycall.engine.renewals import Renewals
from polycall.engine.resealing import Resealing
from polycall.engine.retention import Retention, Superseded
from polycall.engine.runtimes import Runtimes
from polycall.engine.scheduler import Scheduler
from polycall.engine.schedules import Schedules
from polycall.engine.secrets import Secrets
from polycall.engine.sharing import Sharing
from polycall.engine.siblings import ALONE, NodeJoined, Siblings
from polycall.engine.tally import Tally
from polycall.engine.tasks import end
from polycall.engine.tokens import Signer
from polycall.engine.trial import Trial
from polycall.engine.webhooks.webhooks import Webhooks
from polycall.errors import Code
from polycall.faces.adapter import mount
from polycall.faces.cognite.companion import CogniteCompanion, client_address
from polycall.faces.cognite.deployer import Deployer
from polycall.faces.cognite.deployments import Deployments
from polycall.faces.cognite.doors import cognite_doors
from polycall.faces.cognite.faces import cognite_faces
from polycall.faces.cognite.files import Files
from polycall.faces.cognite.runtimes import FunctionRuntimes
from polycall.faces.cognite.sessions import Sessions
from polycall.faces.cognite.ticks import Ticks
from polycall.faces.domo.doors import domo_doors
from polycall.faces.domo.faces import domo_faces
from polycall.faces.domo.lending import adapter as domo_adapter
from polycall.faces.domo.operator import domo_settings
from polycall.faces.guance.faces import guance_doors, guance_faces
from polycall.faces.guance.inside import hooks_source
from polycall.faces.guance.services import ScriptServices
from polycall.faces.riza.faces import riza_faces
from polycall.faces.riza.records import request_place
from polycall.faces.xpander.face import XpanderFace
from polycall.faces.xpander.rules import RULES as XPANDER_RULES
from polycall.faces.xpander.v1 import xpander_pb2
from polycall.gateway import NOTICED_S, gateway_config
from polycall.member import Member, bus_socket, replica_of, server_socket
from polycall.metrics.endpoint import listen
from polycall.parts import build_settings, encryption_keys, entry_limits, limit_policy, missing, sharing_settings
from polycall.running import App, ended
from polycall.runtimes.distributions import parser_packages
from polycall.runtimes.environments import Environments
from polycall.sandbox.sandbox import Sandbox
from polycall.sealing import Sealer
from polycall.services.native import NativeInfo, add_native, interceptors, server_options
from polycall.serving import Ready, Signals
from polycall.starting import bind, started, sweep
from polycall.supervision import SupervisedEnvoy
from polycall.telling import webhook_deliverer, webhook_targets

__all__ = ["running"]


@contextlib.asynccontextmanager
async def running(
    settings: Settings,
    signals: Signals,
    place: Member,
    data_dir: Path,
    environments: Environments,
    starting: asyncio.Task[Sandbox],
) -> AsyncIterator[App]:
    """Build and start everything; at the end drain and stop it, in reverse order. ``starting``: the sandbox does.

    ``settings``: this process's share. Raises PolycallError, GatewayError, OSError, ServeError.
    """
    async with contextlib.AsyncExitStack() as stack:
        store, sandbox = await started(stack, settings, data_dir, place, starting)
        # from here on the data directory is ours alone: its lock is held
        if place.count == 1:
            sockets = stack.enter_context(socket_directory(data_dir))
            key, key_file = (settings.bootstrap_key, None) if settings.bootstrap_key else kept_bootstrap_key(data_dir)
        else:
            sockets, key, key_file = place.sockets, place.key, None
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

        limits = limit_policy(settings)
        sealing_keys = encryption_keys(settings, data_dir)
        renewals = Renewals()
        stack.push_async_callback(renewals.close)
        keys = KeyRing(store, key, siblings, Signer(sealing_keys), renewals)
        stack.push_async_callback(keys.close)
        audit = AuditLog(store, settings.audit_refusals_s, Allowance(settings.changes_per_hour))
        stack.push_async_callback(audit.flush)
        sharing = None
        if cluster is not None and settings.shared_runtime_mib:
            sharing = Sharing(
                store,
                environments,
                sharing_settings(settings, place.node),
                lambda: [image.path for image in sandbox.images],
            )
            stack.push_async_callback(sharing.close)
        builds = Builds(
            store,
            Builder(sandbox, environments, build_settings(settings), sharing),
            most=settings.build_queue,
            at_once=settings.builds,
            siblings=siblings,
        )
        stack.push_async_callback(builds.stop)
        runtimes = Runtimes(store, builds, lambda: sandbox.isolation, siblings, renewals)
        parser = partial(parser_packages, environments)
        sealer = Sealer(sealing_keys)
        domo, domo_egress = domo_settings(settings.domo_file, settings.domo_hosts)
        entries = Entries(store, entry_limits(settings))
        guance_services = ScriptServices(entries)
        adapters = {
            "guance": Adapter(hooks=hooks_source(), services=guance_services.of),
            "domo": domo_adapter(domo_egress),
        }
        rules = {"xpander": XPANDER_RULES}
        registry = Registry(
            store,
            sandbox,
            limits,
            runtimes,
            sealer,
            siblings,
            parser,
            adapters=adapters,
            rules=rules,
            renewals=renewals,
        )
        secrets = Secrets(store, sealer, siblings, renewals)
        objects = Objects(store)
        cognite_deployments = Deployments(objects, sealer, place.node)
        resealing = Resealing(store, sealer, {"riza": request_place}, cognite_deployments)
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
        targets = webhook_targets(settings)
        webhooks = Webhooks(store, sealer, targets)
        engine = Engine(
            EngineSettings(
                isolation_floor=settings.isolation_floor,
                missing=missing(sandbox),
                call_queue=settings.call_queue,
                node=place.node,
                recording=Recording(settings.records_sync, settings.records_sample),
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
            objects=objects,
            schedules=Schedules(store, registry, limits, webhooks, most=settings.project_schedules),
            webhooks=webhooks,
            siblings=siblings,
        )
        tally = Tally()
        engine.live.on_end = tally.end
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
        hearing = Hearing(keys, registry, runtimes, secrets, store, engine.live, engine.ends, dispatcher.enqueued)
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
        calls: Counter[tuple[str, Code]] = Counter()
        open_doors = {
            **cognite_doors(cognite_files),
            **domo_doors(keys, settings.domo_app_key),
            **guance_doors(),
        }
        native, behind = (
            grpc.aio.server(interceptors=interceptors(keys, audit, doors, calls), options=options)
            for doors, options in (
                (None, server_options(settings.max_timeout_s, shared=place.count > 1)),
                (open_doors, server_options(settings.max_timeout_s)),
            )
        )
        for server in (native, behind):
            stack.push_async_callback(server.stop, None)
        health = add_native(
            (native, behind),
            engine,
            plans,
            audit,
            NativeInfo(
                findings=sandbox.findings,
                limits=sandbox.enforcements,
                interpreters=sandbox.interpreters,
                version=__version__,
                counts=lambda: sandbox.counts,
                processes=place.count,
                input_bytes=settings.max_input_mib * MIB,
            ),
        )
        cognite_deployer = Deployer(
            engine,
            Trial(sandbox, runtimes, limits, Floor(sandbox, settings.isolation_floor, missing(sandbox))),
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
            *cognite_faces(
                engine,
                store,
                sessions=cognite_sessions,
                files=cognite_files,
                ticks=cognite_ticks,
                deployments=cognite_deployments,
                deployer=cognite_deployer,
                python_index_url=settings.python_index_url,
            ),
            *guance_faces(engine, guance_services, auth_status=settings.guance_auth_status),
            (xpander_pb2.DESCRIPTOR.services_by_name["XpanderService"], XpanderFace(engine)),
        ):
            mount(behind, service, face)
        for service, part in domo_faces(engine, domo, settings.domo_app_key):
            mount(behind, service, part)

        envoy = SupervisedEnvoy(gateway_config(settings, sockets)) if settings.gateway and place.count == 1 else None
        if envoy is not None:
            stack.push_async_callback(envoy.stop)
        # however it ends: before anybody's connection is cut, every run has ended as what ended it
        stack.push_async_callback(engine.drain, 0)

        grpc_address = bind(native, settings.grpc_address, shared=place.count > 1)
        bind(behind, f"unix:{server_socket(sockets, place.index)}")
        if settings.internal_address:
            bind(behind, settings.internal_address, "POLYCALL_INTERNAL_ADDRESS")
        endpoint = await listen(settings.metrics_address, place.index) if settings.metrics_address else None
        if endpoint is not None:
            stack.push_async_callback(endpoint.stop)
        for server in (native, behind):
            await server.start()
        await health.set_serving()  # before Envoy, which asks
        # what follows takes as long as an Envoy does to start
        opening = asyncio.create_task(envoy.start()) if envoy is not None else None
        if opening is not None:
            stack.push_async_callback(end, opening)

        counting = asyncio.create_task(audit.run())
        stack.push_async_callback(end, counting)

        getting_ready = asyncio.create_task(readiness.run())
        stack.push_async_callback(end, getting_ready)

        # what waits for its analysis, also from an earlier start
        analyses = asyncio.create_task(registry.analyses.run(takes_up=place.index == 0))
        stack.push_async_callback(ended, analyses)

        if place.index == 0:
            keeping = Retention(
                store,
                days=settings.retention_days,
                executions=settings.retention_executions,
                held=cognite_ticks.held_sessions,
                versions=Superseded("xpander", settings.retention_versions) if settings.retention_versions else None,
                audit_days=settings.audit_days,
            )
            forgetting = asyncio.create_task(keeping.run())
            stack.push_async_callback(end, forgetting)
            sweeping = asyncio.create_task(entries.sweep(store))
            stack.push_async_callback(end, sweeping)

        if place.first:  # nobody makes any yet
            await sweep(environments, store, sandbox.packages)
            migrating = asyncio.create_task(resealing.migrate())
            stack.push_async_callback(end, migrating)
        await builds.start()
        await cognite_deployer.start(membership.others if cluster is not None else place.living)
        if cluster is not None:
            watching = asyncio.create_task(cognite_deployer.watch(lambda: membership.others))
            stack.push_async_callback(end, watching)
            taking_up = asyncio.create_task(builds.watch())
            stack.push_async_callback(end, taking_up)
        if sharing is not None:
            touching = asyncio.create_task(sharing.run())
            stack.push_async_callback(end, touching)
        deliverer = webhook_deliverer(settings, store, sealer, targets, place, shared=cluster is not None)
        webhooks.on_due = deliverer.ring
        telling = asyncio.create_task(deliverer.run())
        stack.push_async_callback(ended, telling)
        stack.push_async_callback(deliverer.stop)
        if opening is not None:
            await opening
        # last: a Call that is taken by a server that then cannot start has lost an attempt
        work = asyncio.create_task(dispatcher.run())
        stack.push_async_callback(ended, work)
        stack.push_async_callback(dispatcher.stop, 0)
        ticking = asyncio.create_task(scheduler.run())
        stack.push_async_callback(ended, ticking)
        if endpoint is not None:
            from polycall.metrics.families import Metrics  # others shall not wait for Prometheus' library

            metrics = Metrics.of(
                engine=engine,
                dispatcher=dispatcher,
                scheduler=scheduler,
                deliverer=deliverer,
                membership=membership if cluster is not None else None,
                sharing=sharing,
                store=store,
                tally=tally,
                allowance=audit.allowance,
                calls=calls,
                pool=lambda: sandbox.counts,
            )
            endpoint.expose = metrics.expose
        app = App(
            grace_s=settings.drain_grace_s,
            notice_s=NOTICED_S if settings.internal_address else 0.0,
            store=store,
            engine=engine,
            dispatcher=dispatcher,
            work=work,
            ticking=ticking,
            servers=(native, behind),
            addresses=(grpc_address, f"unix:{server_socket(sockets, place.index)}"),
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
