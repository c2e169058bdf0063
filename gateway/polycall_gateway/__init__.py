"""The gateway: Envoy, configured from the descriptor set and its annotations.

``Launcher(GatewayConfig(...))`` runs it; ``render`` and ``validate`` are for readers, tests and a mesh.
"""

from __future__ import annotations

from polycall_gateway.binary import find_envoy, validate
from polycall_gateway.clusters import HEALTH_INTERVAL_S, UNHEALTHY_THRESHOLD
from polycall_gateway.config import GatewayConfig
from polycall_gateway.descriptors import Contract
from polycall_gateway.errors import (
    AddressUnusable,
    ConfigRejected,
    EnvoyFailed,
    EnvoyMissing,
    GatewayError,
    InvalidConfig,
)
from polycall_gateway.launcher import Launcher
from polycall_gateway.rendering import Rendered, render, render_static

__all__ = [
    "HEALTH_INTERVAL_S",
    "UNHEALTHY_THRESHOLD",
    "AddressUnusable",
    "ConfigRejected",
    "Contract",
    "EnvoyFailed",
    "EnvoyMissing",
    "GatewayConfig",
    "GatewayError",
    "InvalidConfig",
    "Launcher",
    "Rendered",
    "find_envoy",
    "render",
    "render_static",
    "validate",
]
