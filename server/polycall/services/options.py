"""How the gRPC server is set up: sizes, keepalive, the age of connections."""

from __future__ import annotations

__all__ = ["LARGEST_MESSAGE", "LARGEST_REQUEST", "MOST_CONNECTIONS", "server_options"]

MIB = 1024 * 1024

# The largest result that can be asked for is 64 MiB; gRPC's own default of 4 MiB is less than a result's default.
LARGEST_MESSAGE = 64 * MIB
_WRAPPING = 1 * MIB  # what a request has beside its body
# The gateway lets bodies of 64 MiB in.
LARGEST_REQUEST = LARGEST_MESSAGE + _WRAPPING
# A contract's file has 100 MiB. What is larger than it may be, and no larger than this, is refused with a reason and
# leaves its line and count; beyond, gRPC refuses it and tells nobody here why. Reading what is refused holds the loop,
# 2 ms for each MiB (docs/limits.md), so this is no larger than it has to be.
_LARGEST_READ = 100 * MIB + _WRAPPING

MOST_CONNECTIONS = 1000  # to one address

_DEFAULT_MAX_RUN_S = 1200.0


def server_options(max_run_s: float = _DEFAULT_MAX_RUN_S, *, shared: bool = False) -> tuple[tuple[str, int], ...]:
    """Return the channel arguments of the server.

    ``max_run_s``: the longest run that may be asked for. ``shared``: other processes of ours listen at its address.
    """
    return (
        ("grpc.max_receive_message_length", _LARGEST_READ),
        ("grpc.max_send_message_length", LARGEST_MESSAGE),
        # The gateway lets 32 KiB of head in and repeats the query in a header; between the two sizes gRPC refuses at
        # random, so the lower one is what must always pass.
        ("grpc.max_metadata_size", 64 * 1024),
        ("grpc.absolute_max_metadata_size", 96 * 1024),
        # A connection carries this many calls at once; the gateway opens more connections if it needs to.
        ("grpc.max_concurrent_streams", 1000),
        # Each costs a descriptor, and anybody may open one: what runs needs some too (app: _OPEN_FILES).
        ("grpc.max_allowed_incoming_connections", MOST_CONNECTIONS),
        ("grpc.max_connection_idle_ms", 5 * 60_000),
        # A client that vanished without a FIN is noticed, and its runs are killed, within 80 s.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 1),
        # Clients behind balancers may ping every 10 s; gRPC's default of 5 min would send them away (too_many_pings).
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
        ("grpc.http2.max_pings_without_data", 0),
        # Connections are renewed so that clients find new servers; what runs on an old one may end.
        ("grpc.max_connection_age_ms", 30 * 60_000),
        ("grpc.max_connection_age_grace_ms", int((max_run_s + 60) * 1000)),
        # An address that is taken is an error, not something to share, unless it is shared on purpose.
        ("grpc.so_reuseport", int(shared)),
    )
