"""How much of everything a run's connections may take."""

from __future__ import annotations

from polycall.quick import dataclass

__all__ = ["Bounds"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Bounds of one run's proxy. All waits end with the run, whatever they are.

    ``connections``: at once; further ones wait in the backlog of the run's own socket. ``lookups``: names looked up at
    once. ``records``: requests kept on the execution. ``head_bytes``: request line or status line with all headers.
    ``body_bytes``: one body, or one direction of a connection that is passed on. ``idle_s``: between requests.
    ``head_s``: from the first byte of a head to its last. ``answer_s``: from a request to the head of its answer.
    ``stall_s``: without a byte in the middle of a body. ``connect_s``, ``handshake_s``: TCP, TLS.
    """

    # A browser opens 6 a host; urllib3 keeps 10 hosts with 1 each, httpx at most 100 in all.
    connections: int = 32
    lookups: int = 2
    records: int = 100
    # What nginx (4 buffers of 8 KiB), Apache (100 fields) and h11 (16 KiB) take, with room for large cookies.
    head_bytes: int = 64 << 10
    body_bytes: int = 1 << 30
    # Usual ends of proxies and servers: nginx's keepalive_timeout 75 s, client_header_timeout and *_read_timeout 60 s.
    idle_s: float = 60.0
    head_s: float = 30.0
    stall_s: float = 60.0
    # Some interfaces think for minutes before they answer; the run's own time ends first as a rule.
    answer_s: float = 300.0
    connect_s: float = 10.0
    handshake_s: float = 10.0
