"""Envoy as a child process: start, reload, drain, stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Self

from polycall_gateway.address import check_free
from polycall_gateway.admin import Admin, AdminUnreachable
from polycall_gateway.binary import find_envoy
from polycall_gateway.child import Child
from polycall_gateway.config import GatewayConfig
from polycall_gateway.descriptors import Contract
from polycall_gateway.errors import ConfigRejected, EnvoyFailed, InvalidConfig
from polycall_gateway.rendering import Rendered, render

__all__ = ["Launcher"]

# Measured: 0.2 s. Loading a binary of 100 MB from a cold disk takes longer.
_START_TIMEOUT_S = 30.0
# A reload takes milliseconds: Envoy is told of the rename by inotify.
_RELOAD_TIMEOUT_S = 10.0
# Envoy needs milliseconds to leave.
_STOP_GRACE_S = 5.0
_POLL_S = 0.01
_DRAIN_POLL_S = 0.05
# Two descriptors a connection (both sides), and those of Envoy itself.
_OWN_FILES = 512
_LOG_TAIL = 40
# Envoy quotes a whole file that it cannot read.
_LONGEST_LINE = 1000

_LISTENERS = "listener_manager.lds"
_CLUSTERS = "cluster_manager.cds"


class Launcher:
    """Runs one Envoy. It never outlives the process that made it, not even by SIGKILL.

    ``on_log`` gets each line of Envoy's log, by default the logger ``polycall_gateway.envoy`` does.

    Raises:
        InvalidConfig: a setting or a binding that cannot be.
    """

    def __init__(
        self,
        config: GatewayConfig,
        *,
        contract: Contract | None = None,
        on_log: Callable[[str], None] | None = None,
    ) -> None:
        self._config = config
        self._contract = contract or Contract.load()
        self._on_log = on_log or logging.getLogger("polycall_gateway.envoy").warning
        self._tail: deque[str] = deque(maxlen=_LOG_TAIL)
        self._admin = Admin(config.admin_socket)
        self._child: Child | None = None
        self._rendered = render(config, self._contract)
        self._addresses: Mapping[str, str] = MappingProxyType({})

    @property
    def addresses(self) -> Mapping[str, str]:
        """Return where each listener listens, port 0 resolved: ``{"rest": "127.0.0.1:8080"}``."""
        return self._addresses

    @property
    def pid(self) -> int | None:
        """Return Envoy's process id; None before the start."""
        return self._child.pid if self._child else None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start Envoy and wait until it serves. Call it in the main thread, once.

        Raises:
            AddressUnusable: an address is taken, or cannot be listened on.
            EnvoyMissing: there is no Envoy.
            ConfigRejected: Envoy refuses the configuration.
            EnvoyFailed: Envoy ended, or is not ready after 30 s.
        """
        binary = find_envoy(self._config.envoy)
        for _, address in self._config.addresses():
            check_free(address)
        directory = self._config.directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)
        self._config.admin_socket.unlink(missing_ok=True)
        command = [
            *(str(binary), "--config-path", str(self._rendered.write(directory))),
            *("--concurrency", str(self._config.workers)),
            # No shared memory with another Envoy of this machine.
            "--disable-hot-restart",
            # How long requests may go on in listeners that a reload has replaced.
            *("--drain-time-s", str(math.ceil(self._config.unary_s)), "--drain-strategy", "immediate"),
            # It would warn of the SIGTERM that it is stopped with.
            *("--log-level", "warning", "--component-log-level", "main:error", "--log-format", "[%l] [%n] %v"),
            # Of the access log; Envoy's own interval is 10 s.
            *("--file-flush-interval-msec", "1000"),
        ]
        files = 2 * self._config.max_connections + _OWN_FILES
        self._child = Child(command, files=files, cwd=directory, on_line=self._log)
        try:
            await self._until_ready(self._child)
            await self._until_taken(self._rendered, rejections=0, seconds=_START_TIMEOUT_S)
        except BaseException:
            self._child.kill()
            await self._child.wait()
            raise

    async def reload(self, config: GatewayConfig) -> None:
        """Replace listeners, routes and servers while requests are served.

        Raises:
            InvalidConfig: a setting has changed that needs a restart.
            AddressUnusable: an address that is new cannot be listened on.
            ConfigRejected: Envoy refuses it and goes on with what it has.
            EnvoyFailed: Envoy is not there, or does not take it up in 10 s.
        """
        self._running()
        rendered = render(config, self._contract)
        started, wanted = ((made.workers, made.envoy) for made in (self._config, config))
        if rendered.bootstrap != self._rendered.bootstrap or wanted != started:
            settings = "directory, envoy, max_connections, max_heap_bytes and workers"
            raise InvalidConfig(f"{settings} are read at the start of Envoy: start it anew")
        known = {str(address) for _, address in self._config.addresses()}
        for _, address in config.addresses():
            if str(address) not in known:
                check_free(address)
        rejections = (await self._taken()).rejections
        self._tail.clear()
        rendered.write(config.directory)
        try:
            await self._until_taken(rendered, rejections, _RELOAD_TIMEOUT_S)
        except (ConfigRejected, EnvoyFailed):
            # Envoy would stumble over these files at its next start.
            self._rendered.write(self._config.directory)
            raise
        self._config, self._rendered = config, rendered

    async def drain(self, grace_s: float) -> None:
        """Turn clients away politely: /healthz says 503, every answer closes its connection.

        Returns when no request is open, at the latest after ``grace_s`` seconds. Requests that still come are served.
        """
        self._running()
        loop = asyncio.get_running_loop()
        until = loop.time() + grace_s
        await self._admin.fail_health()
        await self._admin.drain()
        while True:
            if not await self._open_requests() or loop.time() > until:
                return
            await asyncio.sleep(_DRAIN_POLL_S)

    async def stop(self) -> None:
        """End Envoy; requests that are open are cut. Nothing if it has ended, or never ran."""
        if self._child is not None:
            await self._child.stop(_STOP_GRACE_S)

    async def wait_exited(self) -> int:
        """Wait until Envoy has ended, for whatever reason, and return its exit status, negative for a signal.

        Raises:
            EnvoyFailed: it was never started.
        """
        if self._child is None:
            raise EnvoyFailed("Envoy was not started")
        return await self._child.wait()

    def _running(self) -> Child:
        if self._child is None or self._child.returncode is not None:
            raise EnvoyFailed(f"Envoy is not running; {self._said()}")
        return self._child

    def _log(self, line: str) -> None:
        line = line[:_LONGEST_LINE]
        self._tail.append(line)
        self._on_log(line)

    def _said(self) -> str:
        return "its last words: " + " | ".join(self._tail) if self._tail else "it said nothing"

    async def _until_ready(self, child: Child) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + _START_TIMEOUT_S
        while True:
            if child.returncode is not None:
                raise EnvoyFailed(f"Envoy ended at its start with status {child.returncode}; {self._said()}")
            if loop.time() > until:
                raise EnvoyFailed(f"Envoy is not ready after {_START_TIMEOUT_S:.0f} s; {self._said()}")
            # a thread and a connection are for when somebody listens
            if self._config.admin_socket.exists():
                with contextlib.suppress(AdminUnreachable):
                    if await self._admin.ready():
                        return
            await asyncio.sleep(_POLL_S)

    async def _until_taken(self, rendered: Rendered, rejections: int, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while True:
            taken = await self._taken()
            if taken.versions == rendered.versions:
                self._addresses = MappingProxyType(await self._admin.addresses())
                return
            if taken.rejections > rejections:
                raise ConfigRejected(f"Envoy refuses the configuration; {self._said()}")
            if loop.time() > until:
                raise EnvoyFailed(f"Envoy did not take up its configuration in {seconds:.0f} s; {self._said()}")
            await asyncio.sleep(_POLL_S)

    async def _taken(self) -> _Taken:
        stats = await self._admin.stats(r"\.(lds|cds)\.(version_text|update_rejected)$")
        return _Taken(
            versions=(str(stats.get(f"{_LISTENERS}.version_text")), str(stats.get(f"{_CLUSTERS}.version_text"))),
            rejections=sum(int(stats.get(f"{kind}.update_rejected", 0)) for kind in (_LISTENERS, _CLUSTERS)),
        )

    async def _open_requests(self) -> int:
        stats = await self._admin.stats(r"^http\..*\.downstream_rq_active$")
        return sum(count for name, count in stats.items() if name != "http.admin.downstream_rq_active")


@dataclass(frozen=True, slots=True)
class _Taken:
    """What Envoy has made of its files: the versions it runs, and how often it has refused one."""

    versions: tuple[str, str]
    rejections: int
