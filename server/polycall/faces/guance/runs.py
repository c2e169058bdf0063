"""From a function's id to a run of it: which version, for how long, with what around it."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from polycall.domain import Convention, LimitOverrides, Principal, Reason, Scope, Version
from polycall.engine.engine import Engine
from polycall.engine.limits import MIB
from polycall.engine.requests import FunctionRun, RunOptions
from polycall.errors import NotFound
from polycall.faces.guance.envelope import new_task_id
from polycall.faces.guance.request import Options
from polycall.faces.guance.scripts import FuncName, TimeLimits
from polycall.faces.guance.services import ScriptOptions
from polycall.ids import now_ms

__all__ = ["FACE", "MEMORY", "FuncRuns"]

FACE = "guance"
MEMORY = LimitOverrides(memory_bytes=512 * MIB)  # the vendor's contract; time is reckoned for each call
_EARLY_S = 0.5  # a client that gives up after the limit, 10 s by default, still gets its answer


class FuncRuns:
    """Prepares runs of published functions, and starts those that scripts ask for."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._time_limits = TimeLimits(engine.registry)

    async def prepare(
        self, project_id: str, func_id: str, options: Options, *, files: bool = False, chain: tuple[str, ...] = ()
    ) -> tuple[FunctionRun, float]:
        """Return the run and the seconds it has; ``files``: with the content of a file it returns.

        ``chain``: the functions that have started each other, this one last. Raises NotFound, NotReady.
        """
        name = FuncName.parse(func_id)
        if name is None:
            raise NotFound(Reason.FUNCTION_NOT_FOUND, "polycall.v1.Function", func_id)
        version, function = await self._engine.registry.resolve(project_id, name.script_id, None, name.function)
        timing = await self._time_limits.of(version, function)
        seconds = timing.timeout_s if options.is_async else timing.synchronous_s(options.api_timeout_s) - _EARLY_S
        limits = self._limits(version, seconds)
        told = ScriptOptions(
            # what is kept may be asked for in any of the forms, and what a file or a status is stands in all of them
            return_type="ALL" if options.is_async or options.save_result or files else options.return_type,
            script_id=name.script_id,
            chain=chain or (func_id,),
            files=files,
        )
        run = FunctionRun(
            package_id=version.package_id,
            version_id=version.id,
            function=function.name,
            convention=Convention.KEYWORDS,
            input=options.kwargs,
            limits=limits,
            fresh=True,
            adapter=FACE,  # inside.py, registered under this name
            adapter_options=msgspec.json.encode(told),
        )
        return run, (limits.timeout_ms or 0) / 1000

    async def start(
        self,
        project_id: str,
        func_id: str,
        kwargs: bytes,
        timeout_s: int | None,
        expires_s: int | None,
        chain: tuple[str, ...],
    ) -> None:
        """Start a function that another one asked for: ``StartFunc``. Raises as ``prepare``, and QueueFull."""
        run, seconds = await self.prepare(project_id, func_id, Options(kwargs=kwargs, is_async=True), chain=chain)
        if timeout_s is not None:
            run = replace(run, limits=replace(run.limits, timeout_ms=int(min(seconds, timeout_s) * 1000)))
        deadline = None if expires_s is None else now_ms() + expires_s * 1000
        who = Principal(project_id=project_id, key_id="", scopes=frozenset({Scope.RUN}))
        await self._engine.call(who, run, RunOptions(face=FACE, alias=new_task_id(), max_attempts=1, deadline=deadline))

    def _limits(self, version: Version, seconds: float) -> LimitOverrides:
        policy, own = self._engine.limits, version.limits
        most = policy.maximums.timeout_ms
        timeout_ms = min(int(seconds * 1000), own.timeout_ms or most, most)
        return replace(policy.where_unset(own, MEMORY), timeout_ms=timeout_ms)
