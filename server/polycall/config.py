"""Settings: one frozen object, read once. Flag over environment (``POLYCALL_*``) over file (TOML) over default.

A key that is not known is an error, wherever it stands: a setting that is silently ignored is worse than none.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import field, fields
from pathlib import Path
from typing import Any

from polycall.domain import IsolationLevel
from polycall.quick import dataclass
from polycall.setting_values import (
    as_address,
    as_audit_days,
    as_choice,
    as_days,
    as_encryption_key,
    as_flag,
    as_level,
    as_networks,
    as_object_url,
    as_optional_url,
    as_path,
    as_seconds,
    as_tcp_address,
    as_text,
    as_url,
    as_whole,
)

__all__ = ["CLIENT_VARIABLES", "PREFIX", "ConfigError", "Settings", "default_data_dir", "load"]

PREFIX = "POLYCALL_"

# Read by the command line as a client, not by the server.
CLIENT_VARIABLES = frozenset({"POLYCALL_SERVER", "POLYCALL_API_KEY", "POLYCALL_CONFIG"})


class ConfigError(Exception):
    """Raised for a setting that is unknown or has a value that it cannot have; says where it stood."""


def default_data_dir() -> Path:
    """Return ``$XDG_DATA_HOME/polycall``, by default ``~/.local/share/polycall`` (XDG Base Directory Specification)."""
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "polycall"


def _default_waiting() -> int:
    # One for each core: more than run at once are forked no faster, and each holds 18 MiB resident (5 of its own).
    return max(2, len(os.sched_getaffinity(0)))


def _default_slots() -> int:
    # Two runs a core keep the cores busy while one of them waits; measured in bench/.
    return 2 * len(os.sched_getaffinity(0))


def _default_warm_memory() -> int:
    # Idle workers are there to save time, and what runs, caches and the server need comes first.
    return max(128, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 4 >> 20)


_IN_A_FILE = "_file"  # POLYCALL_DATABASE_URL_FILE: where a secret is, as Docker and Kubernetes mount them
_LONGEST_SECRET = 64 << 10  # bytes; a key ring of a thousand keys
_BEATS = 3


def setting(default: Any, parse: Callable[[object], Any], help: str, *, secret: bool = False) -> Any:
    """Declare a setting; a callable default is called for each object."""
    metadata = {"parse": parse, "help": help, "secret": secret}
    if callable(default):
        return field(default_factory=default, metadata=metadata, repr=not secret)
    return field(default=default, metadata=metadata, repr=not secret)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything an operator can set. The environment variable of ``rest_address`` is ``POLYCALL_REST_ADDRESS``."""

    # where
    rest_address: str = setting("127.0.0.1:8080", as_address, "Address of REST: all faces and the native API as JSON.")
    grpc_address: str = setting("127.0.0.1:50051", as_address, "Address of native gRPC, served without Envoy.")
    mesh_address: str = setting("", as_address, "Address of native gRPC and gRPC-Web through Envoy; empty: none.")
    riza_address: str = setting("", as_address, "Address of a listener for the Riza face alone; empty: none.")
    cognite_address: str = setting("", as_address, "Address of a listener for the Cognite face alone; empty: none.")
    guance_address: str = setting("", as_address, "Address of a listener for the Guance face alone; empty: none.")
    xpander_address: str = setting("", as_address, "Address of a listener for the xpander face alone; empty: none.")
    domo_address: str = setting("", as_address, "Address of a listener for the Domo face alone; empty: none.")
    internal_address: str = setting(
        "",
        as_address,
        "Address for gateways elsewhere, faces included; for a closed network only; empty: none. One process.",
    )
    metrics_address: str = setting(
        "",
        as_tcp_address,
        "Address of GET /metrics for Prometheus, without a key: for a closed network only; empty: none. Of several "
        "processes each has the next port.",
    )
    replicas: str = setting(
        "", as_text, "Internal addresses of the servers behind `polycall gateway run`: HOST:PORT, with commas."
    )
    gateway: bool = setting(True, as_flag, "Start Envoy beside the server.")
    access_log: str = setting("", as_text, "File for Envoy's access log; empty: none, /dev/stdout: standard output.")
    data_dir: Path = setting(default_data_dir, as_path, "Directory of the embedded database, sockets and keys.")
    database_url: str = setting("", as_text, "SQLAlchemy URL; empty: SQLite in the data directory.", secret=True)
    object_store_url: str = setting(
        "",
        as_object_url,
        "Where large values go: s3://, gs:// or az://BUCKET/PREFIX, file:///DIR; empty: the database.",
    )
    object_threshold_kib: int = setting(
        1024,
        as_whole(32, 1 << 20),
        "Inputs, results, output, files and sources above that go to the object store, KiB.",
    )
    cache_mib: int = setting(
        1024, as_whole(0, 1 << 20), "MiB of sources from the object store that this server keeps on its disk; 0: none."
    )
    # who
    bootstrap_key: str = setting("", as_text, "API key with all rights on project default.", secret=True)
    encryption_key: str = setting(
        "",
        as_encryption_key,
        "Key for secrets at rest: 32 bytes, base64; older ones after it, with commas; empty: one in `data_dir`.",
        secret=True,
    )
    lost_encryption_keys: str = setting(
        "", as_text, "Names of keys for secrets at rest that are gone for good, with commas: start without them."
    )
    # what may run
    isolation_floor: IsolationLevel = setting(
        IsolationLevel.NAMESPACED, as_level, "Lowest isolation level (0 to 3) at which untrusted code is run."
    )
    max_timeout_s: float = setting(1200.0, as_seconds(1, 86_400), "Longest run a request may ask for, seconds.")
    max_memory_mib: int = setting(5120, as_whole(16, 1 << 20), "Most memory a run may ask for, MiB.")
    max_input_mib: int = setting(16, as_whole(1, 64), "Largest input_json of a native request, MiB.")
    # what may be reached
    egress_networks: str = setting(
        "",
        as_networks,
        "Address ranges that are not public and may be reached by hosts that a rule names; with commas.",
    )
    egress_anywhere: bool = setting(
        True, as_flag, "Whether a rule `*` reaches every public host; xpander functions have one by default."
    )
    egress_connections: int = setting(
        512,
        as_whole(0, 1 << 20),
        "Connections that all runs may have open together, half of them one project; 0: any number.",
    )
    egress_ca_file: str = setting("", as_text, "Certificates (PEM) that outbound TLS trusts besides the system's.")
    webhook_hosts: str = setting(
        "",
        as_text,
        "Hosts that completion URLs may lead to, as HOST or PROJECT=HOST: hooks.example.com, *.example.com, with a "
        "port or ports 80 and 443; with commas; empty: none.",
    )
    webhook_networks: str = setting(
        "", as_networks, "Address ranges that are not public and that these hosts may have; with commas."
    )
    webhook_http: bool = setting(False, as_flag, "Whether completion URLs may be http, without TLS.")
    webhook_attempts: int = setting(9, as_whole(1, 20), "Attempts to deliver a notification before it is given up.")
    webhook_backoff_s: float = setting(
        5.0,
        as_seconds(0.1, 3600),
        "Seconds from the first attempt to the second; then four times as long each, up to 8 h.",
    )
    webhook_timeout_s: float = setting(15.0, as_seconds(1, 120), "Seconds that a receiver may take to answer.")
    max_output_mib: int = setting(
        256, as_whole(1, 1 << 20), "Output of one run, both streams, beyond which it is killed, MiB."
    )
    # how much at once, on this machine: the server processes divide it among them
    processes: int = setting(1, as_whole(1, 64), "Server processes behind the gateway, each with a pool of its own.")
    slots: int = setting(_default_slots, as_whole(1, 4096), "Runs at once; default: two for each core.")
    queue: int = setting(128, as_whole(0, 100_000), "Runs that may wait for a slot; more are refused.")
    project_slots: int = setting(
        0, as_whole(0, 4096), "Runs and Calls of one project at once; 0: as many as there are slots."
    )
    project_queue: int = setting(
        0, as_whole(0, 100_000), "Runs of one project that may wait for a slot; 0: as many as `queue`."
    )
    requests_per_second: int = setting(
        0,
        as_whole(0, 1_000_000),
        "Requests a second on each listener of the gateway, twice that in bursts; 0: no limit.",
    )
    queue_mib: int = setting(256, as_whole(1, 1 << 20), "MiB that requests waiting for a slot may hold in memory.")
    call_queue: int = setting(10_000, as_whole(0, 10_000_000), "Calls of one project that may wait; more are refused.")
    project_schedules: int = setting(1000, as_whole(0, 1_000_000), "Schedules that one project may have.")
    schedule_grace_s: float = setting(
        30.0, as_seconds(5, 86_400), "Seconds that a tick of a schedule may be late; later ones are missed."
    )
    call_slots: int = setting(0, as_whole(0, 4096), "Calls at once; 0: half of the slots, at least one.")
    waiting_children: int = setting(
        _default_waiting,
        as_whole(1, 256),
        "Fresh sandboxed processes kept waiting; default: one for each core, at least 2.",
    )
    warm_workers: int = setting(32, as_whole(0, 4096), "Warm workers kept at most.")
    warm_of_version: int = setting(
        0,
        as_whole(0, 4096),
        "Warm workers of one version at most, if it says nothing; 0: any number of `warm_workers`.",
    )
    warm_memory_mib: int = setting(
        _default_warm_memory,
        as_whole(1, 1 << 20),
        "MiB that warm workers may hold; default: a quarter of the machine's.",
    )
    warm_idle_s: float = setting(300.0, as_seconds(1, 86_400), "Idle seconds after which a warm worker ends.")
    warm_calls: int = setting(10_000, as_whole(1, 1_000_000_000), "Calls after which a warm worker ends.")
    warm_age_s: float = setting(3600.0, as_seconds(1, 31_536_000), "Seconds after which a warm worker ends.")
    warm_growth_mib: int = setting(
        128, as_whole(1, 1 << 20), "MiB that a warm worker may hold more than after its first call; then it ends."
    )
    # what code runs with
    python_index_url: str = setting(
        "https://pypi.org/simple", as_url, "Index (PEP 503) that Python runtimes are built from."
    )
    python_file_hosts: str = setting(
        "files.pythonhosted.org", as_text, "Hosts of the index's files beside its own, comma-separated."
    )
    npm_registry_url: str = setting(
        "https://registry.npmjs.org", as_url, "Registry that JavaScript runtimes are built from."
    )
    builds: int = setting(1, as_whole(1, 64), "Runtimes built at once.")
    build_queue: int = setting(64, as_whole(1, 10_000), "Builds of runtimes that may wait; more are refused.")
    build_timeout_s: float = setting(600.0, as_seconds(1, 86_400), "Longest build of a runtime, seconds.")
    build_memory_mib: int = setting(1024, as_whole(64, 1 << 20), "Most memory of a build, MiB, beside what it writes.")
    runtime_mib: int = setting(512, as_whole(1, 1 << 20), "Largest environment of a runtime, MiB.")
    runtimes_mib: int = setting(20_480, as_whole(1, 1 << 30), "Most that all environments together may have, MiB.")
    shared_runtime_mib: int = setting(
        512,
        as_whole(0, 1 << 20),
        "Largest environment, packed, that a server on PostgreSQL keeps for the others, MiB; 0: each builds its own.",
    )
    runtime_preload: bool = setting(
        True, as_flag, "Import the packages of a runtime once, ahead of its runs, in a process of that runtime alone."
    )
    runtime_preload_mib: int = setting(512, as_whole(16, 1 << 20), "Most memory that these imports may take, MiB.")
    runtime_zygotes: int = setting(8, as_whole(0, 1000), "Runtimes whose processes are kept ready, at most.")
    runtime_idle_s: float = setting(
        3600.0, as_seconds(1, 86_400 * 30), "Idle seconds after which a runtime's processes end."
    )
    project_storage_mib: int = setting(
        10_240,
        as_whole(0, 1 << 30),
        "MiB of sources, files and values that a project may store; 0: any number.",
    )
    # what code keeps between runs, of each project
    entries: int = setting(10_000, as_whole(0, 10_000_000), "Values that the code of a project may keep.")
    entries_mib: int = setting(64, as_whole(1, 1 << 20), "MiB that these values and their keys may have together.")
    entry_kib: int = setting(256, as_whole(1, 1024), "Largest of these values, as JSON, KiB.")
    # how long
    drain_grace_s: float = setting(30.0, as_seconds(0, 3600), "Seconds that running work is given at SIGTERM.")
    records_sync: str = setting(
        "all",
        as_choice("all", "errors", "sampled", "none"),
        "Records of synchronous native executions: all, errors, sampled (errors, and one in `records_sample`), none.",
    )
    records_sample: int = setting(
        100, as_whole(1, 1_000_000), "One in so many that did not fail is recorded: `sampled`."
    )
    records_flush_ms: int = setting(100, as_whole(1, 10_000), "Milliseconds between flushes of execution records.")
    retention_days: float = setting(90.0, as_days, "Days that ended executions and sessions are kept; 0: for ever.")
    retention_versions: int = setting(
        20,
        as_whole(0, 1_000_000),
        "Versions of an xpander function that are kept, the newest and those in use; 0: all.",
    )
    retention_executions: int = setting(
        0, as_whole(0, 1_000_000_000), "Executions of a project that are kept at most, the newest; 0: any number."
    )
    audit_days: float = setting(365.0, as_audit_days, "Days that events of the audit log are kept; 0: for ever.")
    audit_refusals_s: float = setting(
        300.0, as_seconds(1, 3600), "Seconds between writes of what was refused to the audit log."
    )
    changes_per_hour: int = setting(
        10_000,
        as_whole(0, 100_000_000),
        "Changes that a project's keys may make in an hour; each is an event of the audit log. 0: any number.",
    )
    # servers that share a database
    heartbeat_s: float = setting(2.0, as_seconds(0.1, 60), "Seconds between heartbeats of a server on PostgreSQL.")
    lease_s: float = setting(
        10.0, as_seconds(0.5, 600), "Seconds without a heartbeat after which others take over a server's Calls."
    )
    # faces
    riza_max_timeout_s: int = setting(300, as_whole(1, 86_400), "Longest run a Riza request may ask for, seconds.")
    riza_max_memory_mib: int = setting(2048, as_whole(16, 1 << 20), "Most memory a Riza request may ask for, MiB.")
    cognite_nonce: str = setting(
        "strict", as_choice("strict", "lenient"), "strict: nonces come from sessions; lenient: any text will do."
    )
    cognite_client_url: str = setting(
        "", as_optional_url, "Base URL of the client that functions are handed; empty: this server's own gateway."
    )
    cognite_requirements: str = setting(
        "",
        as_text,
        "Packages that every function has that does not name them itself, such as cognite-sdk==8.22.0; with commas.",
    )
    domo_app_key: str = setting(
        "", as_text, "API key that Domo's app routes run as where apps send none; empty: they are refused.", secret=True
    )
    domo_file: str = setting("", as_text, "File (TOML) with the aliases and people of Domo's apps and packages.")
    domo_hosts: str = setting(
        "", as_text, "Hosts that Domo packages reach whose versions name none, comma-separated; empty: no network."
    )
    guance_auth_status: int = setting(403, as_whole(400, 499), "HTTP status of a bad DF-API-KEY: 403, or 401.")
    # what is said
    log_level: str = setting(
        "info", as_choice("debug", "info", "warning", "error"), "Least severity of what is logged to standard error."
    )

    def show(self) -> dict[str, str]:
        """Return every setting as text, secrets masked."""
        shown = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if item.metadata["secret"] and value:
                value = "***"
            shown[item.name] = str(int(value)) if isinstance(value, IsolationLevel) else str(value)
        return shown


def load(
    flags: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    file: Path | None = None,
) -> Settings:
    """Read the settings. ``flags`` with value None count as not given.

    ``file`` is a TOML file of top-level keys; without it, the one that ``POLYCALL_CONFIG`` names. A secret setting may
    be in a file of its own, which its variable with ``_FILE`` names. Raises ConfigError.
    """
    environ = os.environ if environ is None else environ
    known = {item.name: item for item in fields(Settings)}
    chosen: dict[str, Any] = {}

    def take(name: str, value: object, where: str) -> None:
        if name not in known:
            raise ConfigError(f"{where} is not a setting of polycall; `polycall config show` lists them all.")
        try:
            chosen[name] = known[name].metadata["parse"](value)
        except ValueError as error:
            raise ConfigError(f"{where} {error}.") from None

    path = file or (Path(environ["POLYCALL_CONFIG"]) if environ.get("POLYCALL_CONFIG") else None)
    if path is not None:
        for name, value in _read(path).items():
            take(name, value, f"{path}: {name}")
    for variable, value in environ.items():
        if variable.startswith(PREFIX) and variable not in CLIENT_VARIABLES:
            name = variable.removeprefix(PREFIX).lower()
            held = name.removesuffix(_IN_A_FILE)
            if held != name and name not in known and held in known and known[held].metadata["secret"]:
                if variable.removesuffix(_IN_A_FILE.upper()) in environ:
                    raise ConfigError(f"environment variable {variable} and the one without _FILE exclude each other.")
                name, value = held, _secret(variable, value)
            take(name, value, f"environment variable {variable}")
    for name, flag in (flags or {}).items():
        if flag is not None:
            take(name, flag, f"--{name.replace('_', '-')}")
    settings = Settings(**chosen)
    if settings.internal_address and settings.processes > 1:
        raise ConfigError("internal_address is for one server process; run more servers instead, and name them all.")
    if settings.lease_s < _BEATS * settings.heartbeat_s:
        raise ConfigError(
            f"lease_s is {settings.lease_s:g} and heartbeat_s {settings.heartbeat_s:g}: a lease must be at least "
            f"{_BEATS} heartbeats, or one that is late costs a server its Calls."
        )
    return settings


def _secret(variable: str, path: str) -> str:
    """Return what a file of one secret has, without the newline at its end."""
    where = f"environment variable {variable}"
    try:
        with Path(path).open("rb") as stream:
            data = stream.read(_LONGEST_SECRET + 1)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{where}: cannot read {path}: {getattr(error, 'strerror', error)}.") from None
    if len(data) > _LONGEST_SECRET:
        raise ConfigError(f"{where}: {path} has more than {_LONGEST_SECRET} bytes; that is no secret.")
    try:
        text = data.decode().strip()
    except UnicodeDecodeError:
        raise ConfigError(f"{where}: {path} is not UTF-8 text.") from None
    if not text:
        raise ConfigError(f"{where}: {path} is empty.")
    return text


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as stream:
            return tomllib.load(stream)
    except OSError as error:
        raise ConfigError(f"cannot read the settings file {path}: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}.") from None
