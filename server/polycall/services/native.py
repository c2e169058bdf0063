"""Puts the native services on gRPC servers: ours, health, reflection."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from polycall.engine.audit import AuditLog
from polycall.engine.engine import Engine
from polycall.engine.keys import KeyRing
from polycall.engine.plans import Plans
from polycall.errors import Code
from polycall.interceptors.auditing import Auditing
from polycall.interceptors.authentication import Authentication
from polycall.interceptors.counts import Counts
from polycall.interceptors.errors import Errors
from polycall.interceptors.paths import Paths
from polycall.interceptors.stack import Gate, Stack
from polycall.interceptors.telemetry import Telemetry
from polycall.services.audit import AuditService
from polycall.services.execution import ExecutionService
from polycall.services.key import KeyService
from polycall.services.options import LARGEST_MESSAGE, LARGEST_REQUEST, server_options
from polycall.services.package import PackageService
from polycall.services.policy import PolicyService
from polycall.services.raw_input import reader_of
from polycall.services.runtime import RuntimeService
from polycall.services.schedule import ScheduleService
from polycall.services.secret import SecretService
from polycall.services.server import NativeInfo, ServerService
from polycall.services.settling import SETTLE
from polycall.services.tenancy import TenancyService
from polycall.services.webhook import WebhookService
from polycall.v1 import (
    audit_service_pb2,
    audit_service_pb2_grpc,
    execution_service_pb2,
    execution_service_pb2_grpc,
    key_service_pb2,
    key_service_pb2_grpc,
    package_service_pb2,
    package_service_pb2_grpc,
    policy_service_pb2,
    policy_service_pb2_grpc,
    runtime_service_pb2,
    runtime_service_pb2_grpc,
    schedule_service_pb2,
    schedule_service_pb2_grpc,
    secret_service_pb2,
    secret_service_pb2_grpc,
    server_service_pb2,
    server_service_pb2_grpc,
    tenancy_service_pb2,
    tenancy_service_pb2_grpc,
    webhook_service_pb2,
    webhook_service_pb2_grpc,
)

__all__ = ["SERVICES", "HealthHandle", "NativeInfo", "add_native", "interceptors", "server_options"]

SERVICES = (
    execution_service_pb2.DESCRIPTOR.services_by_name["ExecutionService"].full_name,
    package_service_pb2.DESCRIPTOR.services_by_name["PackageService"].full_name,
    policy_service_pb2.DESCRIPTOR.services_by_name["PolicyService"].full_name,
    runtime_service_pb2.DESCRIPTOR.services_by_name["RuntimeService"].full_name,
    secret_service_pb2.DESCRIPTOR.services_by_name["SecretService"].full_name,
    key_service_pb2.DESCRIPTOR.services_by_name["KeyService"].full_name,
    schedule_service_pb2.DESCRIPTOR.services_by_name["ScheduleService"].full_name,
    webhook_service_pb2.DESCRIPTOR.services_by_name["WebhookService"].full_name,
    tenancy_service_pb2.DESCRIPTOR.services_by_name["TenancyService"].full_name,
    server_service_pb2.DESCRIPTOR.services_by_name["ServerService"].full_name,
    audit_service_pb2.DESCRIPTOR.services_by_name["AuditService"].full_name,
)

_TELL_S = 1.0  # how long watchers of health are waited for: one that does not read must not hold up a shutdown


class HealthHandle:
    """Says whether the server serves (grpc.health.v1): as a whole, under the name "", and service by service."""

    def __init__(self, servicer: health.aio.HealthServicer, services: Sequence[str]) -> None:
        self._servicer = servicer
        self._services = ("", *services)

    async def set_serving(self) -> None:
        """Say that calls are served."""
        await self._set(health_pb2.HealthCheckResponse.SERVING)

    async def set_not_serving(self) -> None:
        """Say that no calls are served; those under way go on."""
        await self._set(health_pb2.HealthCheckResponse.NOT_SERVING)

    async def _set(self, status: health_pb2.HealthCheckResponse.ServingStatus) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_TELL_S), asyncio.TaskGroup() as group:
                for service in self._services:
                    group.create_task(self._servicer.set(service, status))


def interceptors(
    keys: KeyRing,
    audit: AuditLog,
    doors: Mapping[str, Gate] | None = None,
    calls: Counter[tuple[str, Code]] | None = None,
) -> list[grpc.aio.ServerInterceptor]:
    """Return what the server is built with; what a call passes first stands first. Faces authenticate themselves.

    ``doors``: who is let in where no key is asked for, by the path of the method; None where no gateway is before us.
    ``calls``: counts them, by method and code.
    """
    authentication, telemetry = Authentication(keys), Telemetry(calls)
    auditing = Auditing(audit, behind=doors is not None)
    layers = (telemetry, Errors(LARGEST_MESSAGE), auditing, authentication, Paths(), Counts())
    faces = (telemetry, auditing)
    return [
        Stack(
            native=layers,
            faces=faces,
            entry=authentication,
            doors=doors,
            reader_of=reader_of,
            largest=LARGEST_REQUEST,
            telemetry=telemetry,
            ours={SETTLE},
        )
    ]


def add_native(
    servers: Sequence[grpc.aio.Server], engine: Engine, plans: Plans, audit: AuditLog, info: NativeInfo
) -> HealthHandle:
    """Register the native services, health and reflection, the same ones with every server.

    Health knows the services from ``set_serving`` on.
    """
    executions, packages, runtimes = (
        ExecutionService(engine, info.input_bytes),
        PackageService(engine),
        RuntimeService(engine),
    )
    secrets, keys = SecretService(engine), KeyService(engine)
    schedules, webhooks = ScheduleService(engine, plans), WebhookService(engine)
    policies = PolicyService(engine)
    tenancy, about, audited = TenancyService(engine, keys), ServerService(engine, info), AuditService(audit)
    servicer = health.aio.HealthServicer()
    for real in servers:
        server = _ByName(real)
        execution_service_pb2_grpc.add_ExecutionServiceServicer_to_server(executions, server)
        package_service_pb2_grpc.add_PackageServiceServicer_to_server(packages, server)
        policy_service_pb2_grpc.add_PolicyServiceServicer_to_server(policies, server)
        runtime_service_pb2_grpc.add_RuntimeServiceServicer_to_server(runtimes, server)
        secret_service_pb2_grpc.add_SecretServiceServicer_to_server(secrets, server)
        key_service_pb2_grpc.add_KeyServiceServicer_to_server(keys, server)
        schedule_service_pb2_grpc.add_ScheduleServiceServicer_to_server(schedules, server)
        webhook_service_pb2_grpc.add_WebhookServiceServicer_to_server(webhooks, server)
        tenancy_service_pb2_grpc.add_TenancyServiceServicer_to_server(tenancy, server)
        server_service_pb2_grpc.add_ServerServiceServicer_to_server(about, server)
        audit_service_pb2_grpc.add_AuditServiceServicer_to_server(audited, server)
        # in a line of its own: who has much to do is no ill one, and gateways would send the others what it has to do
        health_pb2_grpc.add_HealthServicer_to_server(servicer, _ByName(real, apart=("Check",)))
        reflected = reflection.aio.ReflectionServicer((*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME))
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(reflected, server)
    return HealthHandle(servicer, SERVICES)


class _ByName:
    """A gRPC server whose methods are found by name when they are called.

    Generated code also registers each beforehand. grpc.aio then has a task for each that waits for its next call, and
    looks at all of them whenever any is called: with our seventy methods that was a fifth of a warm call.

    ``apart``: methods that do not wait behind the calls of others, and are registered for it.
    """

    def __init__(self, server: grpc.aio.Server, apart: Collection[str] = ()) -> None:
        self._server = server
        self._apart = apart

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Add handlers that are asked for a method by its name."""
        self._server.add_generic_rpc_handlers(handlers)

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, grpc.RpcMethodHandler]) -> None:
        """Leave them, but for those apart: ``add_generic_rpc_handlers`` was given the same."""
        apart = {name: handler for name, handler in handlers.items() if name in self._apart}
        if apart:
            self._server.add_registered_method_handlers(service, apart)
