"""What the gateway is told of the settings, whether the server starts Envoy or somebody only renders."""

from __future__ import annotations

from pathlib import Path

from polycall.config import Settings
from polycall_gateway import GatewayConfig

__all__ = ["FACES", "gateway_config", "upstream_socket"]

FACES = ("riza", "cognite", "guance", "xpander", "domo")
_LONGEST_WAIT_S = 600.0  # WaitExecution waits this long at most, however short the longest run is


def upstream_socket(sockets: Path) -> Path:
    """Return the socket of the server, in the closed directory of the sockets."""
    return sockets / "server-0.sock"


def gateway_config(settings: Settings, sockets: Path) -> GatewayConfig:
    """Return the configuration of the gateway. Raises ``polycall_gateway.InvalidConfig``."""
    return GatewayConfig(
        rest_address=settings.rest_address,
        face_addresses={face: getattr(settings, f"{face}_address") for face in FACES},
        mesh_address=settings.mesh_address,
        upstreams=(upstream_socket(sockets),),
        directory=sockets / "envoy",
        max_run_s=max(settings.max_timeout_s, _LONGEST_WAIT_S),
        access_log=settings.access_log,
    )
