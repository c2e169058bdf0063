"""What the gateway is told of the settings; and a gateway that runs by itself, in front of servers elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

from polycall.config import Settings
from polycall.engine.tasks import end
from polycall.member import server_socket
from polycall.serving import ServeError, listening, unless
from polycall.supervision import SupervisedEnvoy
from polycall_gateway import GatewayConfig
from polycall_gateway.clusters import HEALTH_INTERVAL_S, UNHEALTHY_THRESHOLD
from polycall_gateway.errors import GatewayError

__all__ = ["FACES", "NOTICED_S", "gateway_config", "run_gateway"]

FACES = ("riza", "cognite", "guance", "xpander", "domo")
_LONGEST_WAIT_S = 600.0  # WaitExecution waits this long at most, however short the longest run is
# By then every gateway has asked often enough, with as much again for one that is busy.
NOTICED_S = 2 * HEALTH_INTERVAL_S * UNHEALTHY_THRESHOLD


def gateway_config(settings: Settings, sockets: Path, *, elsewhere: bool = False) -> GatewayConfig:
    """Return the configuration of the gateway: an endpoint for each server process, here or ``elsewhere``.

    ``sockets`` is the closed directory of the processes, and Envoy's. Raises ``polycall_gateway.InvalidConfig``.
    """
    return GatewayConfig(
        rest_address=settings.rest_address,
        face_addresses={face: getattr(settings, f"{face}_address") for face in FACES},
        mesh_address=settings.mesh_address,
        upstreams=tuple(server_socket(sockets, index) for index in range(settings.processes)),
        replicas=tuple(settings.replicas.replace(",", " ").split()) if elsewhere else (),
        directory=sockets / "envoy",
        max_run_s=max(settings.max_timeout_s, _LONGEST_WAIT_S),
        requests_per_second=settings.requests_per_second,
        access_log=settings.access_log,
    )


async def run_gateway(config: GatewayConfig, ready: Callable[[Mapping[str, str]], None], grace_s: float) -> None:
    """Run Envoy, again whenever it ends, until SIGTERM or SIGINT. ``ready`` is told the addresses by name.

    Requests that are open then are given ``grace_s`` seconds; a second signal ends them at once.

    Raises ServeError: it does not start, or does not stay.
    """
    envoy = SupervisedEnvoy(config)
    with listening() as signals:
        try:
            await envoy.start()
            ready(envoy.addresses)
            watch = asyncio.create_task(envoy.watch())
            try:
                await unless(signals.stop, _over(watch))
                if watch.done():
                    raise ServeError(watch.result())
            finally:
                await end(watch)
            if not signals.now.is_set():
                await unless(signals.now, envoy.drain(grace_s))
        except GatewayError as error:
            raise ServeError(str(error)) from error
        finally:
            await envoy.stop()


async def _over(watch: asyncio.Task[str]) -> None:
    await asyncio.wait([watch])
