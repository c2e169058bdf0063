"""One of several server processes of a machine: its place among them, and its share of what the machine has."""

from __future__ import annotations

import hashlib
import socket
import uuid
from dataclasses import field, fields, replace
from pathlib import Path
from typing import Any

import msgspec

from polycall.config import Settings, load
from polycall.domain import IsolationLevel
from polycall.quick import dataclass

__all__ = ["Member", "bus_socket", "decode_member", "encode_member", "replica_of", "server_socket", "share_of"]

# What is the machine's as a whole; each process has an equal part, rounded up, at least one.
_SHARED = (
    "slots",
    "queue",
    "queue_mib",
    "project_slots",
    "project_queue",
    "call_slots",
    "waiting_children",
    "warm_workers",
    "warm_of_version",
    "warm_memory_mib",
    "builds",
    "build_queue",
    "runtime_zygotes",
    "egress_connections",
    "changes_per_hour",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One process: the ``index``-th of ``count``.

    ``node`` names this boot of it, ``living`` are the nodes of the others: what they run is theirs. ``first``: none of
    the others has been started yet.
    """

    index: int
    count: int
    node: str
    living: tuple[str, ...]
    first: bool
    sockets: Path
    key: str = field(repr=False)


def server_socket(sockets: Path, index: int) -> Path:
    """Return where a process serves the gateway."""
    return sockets / f"server-{index}.sock"


def bus_socket(sockets: Path, index: int) -> Path:
    """Return where a process listens to the others."""
    return sockets / f"bus-{index}.sock"


def replica_of(data_dir: Path, index: int) -> str:
    """Return what a server process is called boot after boot, and no other one that lives at the same time.

    Whoever holds the lock of a data directory knows that the process before it in that place is dead. The place: a
    boot of a machine (its clones have others), the host's name (containers have their own), directory and index.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        boot = uuid.uuid4().hex  # unknown: nobody was here before
    place = "\0".join((boot, socket.gethostname(), str(data_dir.resolve()), str(index)))
    return hashlib.sha256(place.encode(errors="surrogateescape")).hexdigest()[:32]


def share_of(settings: Settings, count: int) -> Settings:
    """Return the settings of one process of ``count``. What is 0 stays so: no bound, or the default of another."""
    return replace(settings, **{name: -(-getattr(settings, name) // count) for name in _SHARED})


def encode_member(member: Member, settings: Settings) -> bytes:
    """Return both as one line, for another program to read. It holds secrets."""
    values = {item.name: getattr(settings, item.name) for item in fields(settings)}
    place = {item.name: getattr(member, item.name) for item in fields(member)}
    return msgspec.json.encode([place, values], enc_hook=_plain) + b"\n"


def decode_member(line: bytes) -> tuple[Member, Settings]:
    """Read what ``encode_member`` wrote."""
    place, values = msgspec.json.decode(line, type=tuple[dict[str, Any], dict[str, Any]])
    place |= {"living": tuple(place["living"]), "sockets": Path(place["sockets"])}
    return Member(**place), load(values, environ={})


def _plain(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, IsolationLevel):
        return int(value)
    raise TypeError(type(value).__name__)
