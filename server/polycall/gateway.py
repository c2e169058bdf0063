"""What the gateway is told of the settings, whether the server starts Envoy or somebody only renders."""

from __future__ import annotations

from pathlib import Path

from polycall.config import Settings
from polycall.member import server_socket
from polycall_gateway import GatewayConfig

__all__ = ["FACES", "gateway_config"]

FACES = ("riza", "cognite", "guance", "xpander", "domo")
_LONGEST_WAIT_S = 600.0  # WaitExecution waits this long at most, however short the longest run is


def gateway_config(settings: Settings, sockets: Path) -> GatewayConfig:
    """Return the configuration of the gateway: one endpoint for each server process.

    ``sockets`` is their closed directory. Raises ``polycall_gateway.InvalidConfig``.
    """
    return GatewayConfig(
        rest_address=settings.rest_address,
        face_addresses={face: getattr(settings, f"{face}_address") for face in FACES},
        mesh_address=settings.mesh_address,
        upstreams=tuple(server_socket(sockets, index) for index in range(settings.processes)),
        directory=sockets / "envoy",
        max_run_s=max(settings.max_timeout_s, _LONGEST_WAIT_S),
        requests_per_second=settings.requests_per_second,
        access_log=settings.access_log,
    )
