"""The analysis of a version: its source with what its runs will find around it, by the rules of its package's face."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

from polycall.domain import Function, Language, Version, VersionState
from polycall.engine.adapters import NO_ADAPTER, Adapter
from polycall.engine.analysis import Analyzer
from polycall.engine.importing import Surroundings
from polycall.engine.rules import NO_RULES, Rules
from polycall.engine.runtimes import Runtimes
from polycall.errors import NotFound, PolycallError
from polycall.store.protocol import RegistryStore

__all__ = ["VersionAnalysis", "failed"]


class VersionAnalysis:
    """What functions a version has, and whether it can be run; nothing is stored."""

    def __init__(
        self,
        store: RegistryStore,
        analyzer: Analyzer,
        runtimes: Runtimes,
        adapters: Mapping[str, Adapter],
        rules: Mapping[str, Rules],
    ) -> None:
        self._store = store
        self._analyzer = analyzer
        self._runtimes = runtimes
        self._adapters = adapters
        self._rules = rules

    async def analyzed(self, version: Version, files: Mapping[str, bytes]) -> Version:
        """Return a version as its analysis leaves it. Raises QueueFull, Internal."""
        # secrets are for runs: what is imported finds their variables, and nothing in them
        env = {**version.env, **dict.fromkeys(version.secret_env, "")}
        around = await self.around(version.project_id, version.runtime, version.language, env, version.adapter)
        rules = await self._rules_of(version)
        analysis = await self._analyzer.complete(files, version.functions, version.language, around, rules)
        if analysis.problems:
            return failed(version, "\n".join(map(str, analysis.problems)), analysis.functions)
        state = VersionState.READY if version.released_at is None else VersionState.RELEASED
        return replace(version, state=state, functions=analysis.functions)

    async def _rules_of(self, version: Version) -> Rules:
        """Return what the face of a version's package asks of its source."""
        if self._rules:
            with suppress(NotFound):  # it is made together with this version
                package = await self._store.get_package(version.project_id, version.package_id)
                return self._rules.get(package.face or "", NO_RULES)
        return NO_RULES

    async def around(
        self, project_id: str, runtime: str, language: Language, env: Mapping[str, str], adapter: str
    ) -> Surroundings:
        """Return what a module is imported with, if it has to be. A runtime that has gone meanwhile is done without."""
        image = None
        if runtime:
            with suppress(PolycallError):
                image = await self._runtimes.image(project_id, runtime, language)
        return Surroundings(image=image, env=env, adapter=self._adapters.get(adapter, NO_ADAPTER))


def failed(version: Version, why: str, functions: tuple[Function, ...]) -> Version:
    """Return a version as an analysis leaves it that found problems."""
    return replace(version, state=VersionState.ERROR, error=why, functions=functions, released_at=None)
