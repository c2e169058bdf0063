"""Keeps Envoy running: starts it again when it dies, gives up when it keeps dying."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import replace

from polycall_gateway import GatewayConfig, Launcher
from polycall_gateway.errors import GatewayError

__all__ = ["SupervisedEnvoy"]

_RESTART_S = 0.5  # a port that was just let go, or memory that was just freed, needs a moment
_MOST_FAILURES, _WITHIN_S = 5, 60.0  # a gateway that cannot stay up is for the operator to see

log = logging.getLogger(__name__)


class SupervisedEnvoy:
    """One Envoy after the other, all at the same addresses."""

    def __init__(self, config: GatewayConfig) -> None:
        self._config = config
        self._launcher = Launcher(config)

    @property
    def addresses(self) -> Mapping[str, str]:
        """Where each listener listens, by name."""
        return self._launcher.addresses

    @property
    def pid(self) -> int | None:
        """The process id of the one that runs; None before the start."""
        return self._launcher.pid

    async def start(self) -> None:
        """Start Envoy and wait until it serves. Raises GatewayError."""
        await self._launcher.start()
        found = self._launcher.addresses
        self._config = replace(  # a port that was any free one is this one from now on
            self._config,
            rest_address=found.get("rest", ""),
            mesh_address=found.get("mesh", ""),
            face_addresses={face: found[face] for face in self._config.face_addresses if face in found},
        )

    async def watch(self) -> str:
        """Start Envoy again whenever it ends; return why once it ends, or does not start, too often."""
        failures: deque[float] = deque()
        failure = f"ended with status {await self._launcher.wait_exited()}"
        while True:
            log.error("Envoy %s", failure)
            now = time.monotonic()
            failures.append(now)
            while failures[0] < now - _WITHIN_S:
                failures.popleft()
            if len(failures) > _MOST_FAILURES:
                return f"Envoy failed {len(failures)} times within a minute; the last time it {failure}. See the log"
            await asyncio.sleep(_RESTART_S)
            self._launcher = Launcher(self._config)
            try:
                await self._launcher.start()
            except (GatewayError, OSError) as error:  # OSError: no process to be had
                failure = f"did not start: {error}"
            else:
                log.warning("Envoy was started again")
                failure = f"ended with status {await self._launcher.wait_exited()}"

    async def drain(self, grace_s: float = 0.0) -> None:
        """Turn clients away politely; returns when no request is open, after ``grace_s`` at the latest."""
        with contextlib.suppress(GatewayError):
            await self._launcher.drain(grace_s)

    async def stop(self) -> None:
        """End Envoy; nothing if it has ended, or never ran."""
        await self._launcher.stop()
