"""The cluster of servers: sockets of this machine or addresses of others, HTTP/2, health checks."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from polycall_gateway.address import replica_address
from polycall_gateway.config import GatewayConfig
from polycall_gateway.envoytypes import extension

__all__ = ["HEALTH_INTERVAL_S", "SERVERS", "UNHEALTHY_THRESHOLD", "servers_cluster"]

SERVERS = "servers"

# A server that says NOT_SERVING gets no more requests after threshold x interval; so long it has to wait on its way
# down. One check costs it well under a millisecond.
HEALTH_INTERVAL_S = 0.5
UNHEALTHY_THRESHOLD = 2

# Long enough for an event loop that is busy; a server that is gone is noticed at once, by the refused connection.
_HEALTH_TIMEOUT = "3s"
# How soon a server that comes back is found.
_UNHEALTHY_INTERVAL = "0.1s"


# Streams of a connection to a server at once, and what each may have on its way to a reader that does not read. Their
# sum is what the connection may have: were that less, as it is by default, three slow readers of long streams would
# hold up everybody's answers, health alone going on (seen with 1.40: 16 MiB a stream, 24 MiB a connection).
_STREAMS = 256
_STREAM_BYTES = 256 << 10

# A server whose machine is gone says nothing any more: who waits for its answer is told after 30 s, and not only once
# the longest run is over.
_KEEPALIVE = {"keepalive_time": 20, "keepalive_interval": 5, "keepalive_probes": 2}

# What one more server may have in hand than the average, percent: beyond it the next one on the ring gets the function,
# so that one function that everybody calls does not stay on one server. 150 was alike.
_BALANCE = 125


def servers_cluster(config: GatewayConfig) -> dict[str, Any]:
    """Return the cluster: one endpoint for each socket of ``config.upstreams``, or for each of ``config.replicas``."""
    protocol = "extensions.upstreams.http.v3.HttpProtocolOptions"
    return {
        "name": SERVERS,
        "connect_timeout": "1s",
        "per_connection_buffer_limit_bytes": 1 << 20,
        **(_replicas(config.replicas) if config.replicas else _processes(config.upstreams)),
        "typed_extension_protocol_options": {
            f"envoy.{protocol}": extension(
                protocol,
                # No keep-alive pings: a gRPC server hangs up on who pings an idle connection; health checks do it.
                explicit_http_config={
                    "http2_protocol_options": {
                        "max_concurrent_streams": _STREAMS,
                        "initial_stream_window_size": _STREAM_BYTES,
                        "initial_connection_window_size": _STREAMS * _STREAM_BYTES,
                    }
                },
            )
        },
        "health_checks": [
            {
                "timeout": _HEALTH_TIMEOUT,
                "interval": f"{HEALTH_INTERVAL_S}s",
                "no_traffic_interval": _UNHEALTHY_INTERVAL,
                "no_traffic_healthy_interval": f"{HEALTH_INTERVAL_S}s",
                "unhealthy_interval": _UNHEALTHY_INTERVAL,
                "unhealthy_threshold": UNHEALTHY_THRESHOLD,
                "healthy_threshold": 1,
                "grpc_health_check": {},
            }
        ],
        # By errors of the connection alone: an honest 504 is a user's timeout, not a server's illness.
        "outlier_detection": {
            "split_external_local_origin_errors": True,
            "consecutive_local_origin_failure": 3,
            "enforcing_consecutive_gateway_failure": 0,
            "enforcing_consecutive_5xx": 0,
            "enforcing_success_rate": 0,
            "interval": "1s",
            "base_ejection_time": "1s",
            "max_ejection_percent": 50,
        },
        # Wide open: the server has a queue with a length, and words its refusal as each vendor does.
        "circuit_breakers": {
            "thresholds": [
                {
                    "max_connections": 1024,
                    "max_pending_requests": config.max_connections,
                    "max_requests": config.max_connections,
                    # What is sent again ran nowhere. Of several servers one that shuts down sends all away at once,
                    # also who waits for an execution, and as long as these wait they count.
                    "max_retries": config.max_connections if config.replicas else 16,
                }
            ]
        },
    }


def _processes(sockets: Iterable[Path]) -> dict[str, Any]:
    endpoints = [{"endpoint": {"address": {"pipe": {"path": str(path)}}}} for path in sockets]
    return {
        "type": "STATIC",
        "lb_policy": "LEAST_REQUEST",
        "load_assignment": {"cluster_name": SERVERS, "endpoints": [{"lb_endpoints": endpoints}]},
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
    }


def _replicas(replicas: Iterable[str]) -> dict[str, Any]:
    endpoints = []
    for text in replicas:
        host, port = replica_address(text)
        address = {"socket_address": {"address": host, "port_value": port}}
        # The ring is made of names: a server that comes back at another address gets its functions back.
        endpoints.append({"endpoint": {"address": address, "hostname": text}})
    return {
        # One endpoint for each name; one that does not resolve (yet) is left out.
        "type": "STRICT_DNS",
        "upstream_connection_options": {"tcp_keepalive": _KEEPALIVE},
        "lb_policy": "RING_HASH",
        "load_assignment": {"cluster_name": SERVERS, "endpoints": [{"lb_endpoints": endpoints}]},
        "common_lb_config": {
            "healthy_panic_threshold": {"value": 0},
            "consistent_hashing_lb_config": {"use_hostname_for_hashing": True, "hash_balance_factor": _BALANCE},
        },
    }
