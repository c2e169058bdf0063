"""The server's sandbox: what the settings say to it, its start and its end."""

from __future__ import annotations

import asyncio

from polycall.config import Settings
from polycall.engine.limits import MIB
from polycall.engine.tasks import end
from polycall.member import Member
from polycall.runtimes.distributions import default_packages
from polycall.runtimes.environments import Environments
from polycall.sandbox.egress.addresses import parse_networks
from polycall.sandbox.egress.proxy import EgressConfig
from polycall.sandbox.sandbox import UID_BASE, UIDS, Sandbox, SandboxConfig

__all__ = ["sandbox_ended", "started_sandbox"]


async def started_sandbox(settings: Settings, environments: Environments, place: Member) -> Sandbox:
    """Start the sandbox. Raises IsolationUnavailable, Internal, OSError; if cancelled, nothing is left behind.

    Call it in the main thread: the sandbox's processes die with the thread.
    """
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
    await sandbox.start()
    return sandbox


async def sandbox_ended(starting: asyncio.Task[Sandbox]) -> None:
    """End a sandbox, whether it has started or not; harmless if it has ended already."""
    await end(starting)
    if not starting.cancelled() and starting.exception() is None:
        await starting.result().stop()
