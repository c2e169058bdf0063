"""Readiness: versions that ask for warm workers have them before anybody calls."""

from __future__ import annotations

import asyncio
import logging

from polycall.engine.preparation import Preparation
from polycall.engine.registry import Registry
from polycall.engine.secrets import Secrets
from polycall.errors import NotFound, PolycallError, Unavailable
from polycall.sandbox.job import Runner
from polycall.store.protocol import RegistryStore

__all__ = ["Readiness"]

_RETRY_S = 1.0  # while the database is away

log = logging.getLogger(__name__)


class Readiness:
    """Keeps workers of a package ready: of the version that callers get who name none, and of no other.

    ``share``: among so many processes of this server is its minimum divided.
    """

    def __init__(
        self,
        store: RegistryStore,
        registry: Registry,
        secrets: Secrets,
        preparation: Preparation,
        runner: Runner,
        *,
        share: int = 1,
    ) -> None:
        self._store = store
        self._registry = registry
        self._preparation = preparation
        self._runner = runner
        self._share = share
        self._changed: dict[tuple[str, str], None] = {}
        self._bell = asyncio.Event()
        self._secrets_changed: set[str] = set()
        registry.on_change = self.changed
        secrets.on_change = self.secret_changed

    def changed(self, project_id: str, package_id: str) -> None:
        """Take note that a package may have another newest version, or none."""
        self._changed[project_id, package_id] = None
        self._bell.set()

    def secret_changed(self, project_id: str) -> None:
        """Take note that workers of a project may have been made ready with what a secret was before."""
        self._secrets_changed.add(project_id)
        self._bell.set()

    async def run(self) -> None:
        """Look at all packages, then at those that change, until cancelled."""
        await self._look_again(None)
        while True:
            while self._secrets_changed:
                await self._look_again(self._secrets_changed.pop())
            while self._changed:
                package = next(iter(self._changed))
                del self._changed[package]
                try:
                    await self._look(*package)
                except Unavailable:
                    self._changed.setdefault(package)
                    await asyncio.sleep(_RETRY_S)
                except PolycallError as error:
                    log.warning("no workers of %s are made ready: %s", package[1], error)
            if not self._secrets_changed:
                self._bell.clear()
                await self._bell.wait()

    async def _look_again(self, project_id: str | None) -> None:
        """Take note of the packages (of a project) that have a version with a policy of its own."""
        while True:
            try:
                for package in await self._store.with_warm_policy():
                    if project_id in (None, package[0]):
                        self._changed.setdefault(package)
                return
            except Unavailable:
                await asyncio.sleep(_RETRY_S)

    async def _look(self, project_id: str, package_id: str) -> None:
        job, count = None, 0
        try:
            version = await self._registry.version(project_id, package_id)
            if version.warm.min and version.state.runnable:
                job = await self._preparation.to_have_ready(version)
                count = -(-version.warm.min // self._share)
        except NotFound:
            pass  # deleted
        self._runner.keep_ready(project_id, package_id, job, count)
