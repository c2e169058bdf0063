"""What can go wrong between polycall and Envoy.

::

    GatewayError
    ├── InvalidConfig     a setting that no Envoy could be configured with, or bindings that contradict each other
    ├── EnvoyMissing      there is no Envoy binary
    ├── AddressUnusable   an address is taken, not ours to take, or not of this machine
    ├── ConfigRejected    Envoy refuses the configuration; what it was running before goes on
    └── EnvoyFailed       Envoy ended, or does not do what it was told
        └── AdminUnreachable  nobody answers on Envoy's admin socket

Every message names the setting concerned and the next step.
"""

from __future__ import annotations

__all__ = ["AddressUnusable", "ConfigRejected", "EnvoyFailed", "EnvoyMissing", "GatewayError", "InvalidConfig"]


class GatewayError(Exception):
    """Base of everything the gateway raises on purpose."""


class InvalidConfig(GatewayError):
    """Raised for a setting that cannot be, and for HTTP bindings that contradict each other."""


class EnvoyMissing(GatewayError):
    """Raised when no Envoy binary is found."""


class AddressUnusable(GatewayError):
    """Raised before Envoy starts, when an address cannot be listened on."""


class ConfigRejected(GatewayError):
    """Raised when Envoy refuses a configuration, with Envoy's own words."""


class EnvoyFailed(GatewayError):
    """Raised when Envoy has ended or is not ready in time, with the end of its log."""
