"""Whether a version's module can be imported, found out in a sandbox before anybody calls it."""

from __future__ import annotations

from dataclasses import replace

from polycall.domain import ExecutionError, Version
from polycall.engine.floor import Floor
from polycall.engine.limits import LimitPolicy
from polycall.engine.outcomes import failure_of
from polycall.engine.runtimes import Runtimes
from polycall.engine.turns import Turns
from polycall.errors import Internal
from polycall.quick import dataclass
from polycall.sandbox.image import image_of
from polycall.sandbox.job import Bundle, Ending, Job, Runner

__all__ = ["Trial", "Tried"]

_LONGEST_MS = 60_000  # some large packages take ten seconds to import on a busy machine; others wait for it
_AT_ONCE = 2  # beside the slots of runs, as analyses are


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of it: ``error`` None if the module can be imported; what it wrote meanwhile."""

    error: ExecutionError | None
    output: str


class Trial:
    """Imports modules as a run would, and calls nothing of them."""

    def __init__(self, runner: Runner, runtimes: Runtimes, limits: LimitPolicy, floor: Floor) -> None:
        self._runner = runner
        self._floor = floor
        self._runtimes = runtimes
        self._limits = limits
        self._turns = Turns(_AT_ONCE, what="modules")

    async def load(self, version: Version, files: Bundle) -> Tried:
        """Import the module of a version's first function, find the function, and return what came of it.

        The version need not be stored. It has no network and no secrets. Raises QueueFull, RuntimeMissing, NotFound
        (runtime), LimitOutOfRange, IsolationUnavailable, Internal (the sandbox was lost).
        """
        function = version.functions[0]
        limits = self._limits.resolve(version.limits)
        image = image_of(version.language)
        if version.runtime:
            image = await self._runtimes.image(version.project_id, version.runtime, version.language)
        job = Job(
            bundle=files,
            entrypoint=function.entrypoint,
            convention=function.convention,
            limits=replace(limits, timeout_ms=min(limits.timeout_ms, _LONGEST_MS)),
            language=version.language,
            env=version.env,
            image=image,
            project_id=version.project_id,
            load_only=True,
        )
        self._floor.check(job)
        async with self._turns.turn():
            outcome = await self._runner.run(job)
        if outcome.ending is Ending.LOST:
            raise Internal("The sandbox that imported the module was lost.")
        error = None if outcome.ending is Ending.RETURNED else failure_of(outcome, job.limits)
        return Tried(error, (outcome.stdout + outcome.stderr).decode(errors="replace"))
