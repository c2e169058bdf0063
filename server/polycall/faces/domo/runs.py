"""Runs of released functions, and what is shown of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from polycall.domain import (
    Convention,
    Execution,
    Function,
    LimitOverrides,
    Package,
    Principal,
    Reason,
    Scope,
    Version,
    VersionState,
)
from polycall.engine.engine import Engine
from polycall.engine.limits import MIB
from polycall.engine.requests import FunctionRun, RunOptions
from polycall.errors import NotFound
from polycall.faces.aside import aside
from polycall.faces.domo.kept import FACE, KeptVersion, kept_version
from polycall.faces.domo.lending import Lending
from polycall.faces.domo.packages import Packages
from polycall.faces.domo.permissions import EXECUTE, Permissions
from polycall.faces.domo.record import Kept
from polycall.faces.domo.request import Ask, bind
from polycall.faces.reply import Inbound
from polycall.ids import new_id, now_ms
from polycall.quick import dataclass

__all__ = ["Runs", "Target"]

# The vendor: 5 minutes, 1 GB. Logs travel inside the record, which has to stay a JSON document one can handle.
_LIMITS = LimitOverrides(timeout_ms=5 * 60_000, memory_bytes=1024 * MIB, stdout_bytes=1 * MIB, stderr_bytes=1 * MIB)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A function that its caller may run."""

    package: Package
    version: Version
    kept: KeptVersion | None
    function: Function


class Runs:
    """Finds functions and runs them."""

    def __init__(self, engine: Engine, packages: Packages, permissions: Permissions, lending: Lending) -> None:
        self._engine = engine
        self._packages = packages
        self._permissions = permissions
        self._lending = lending

    async def target(self, who: Principal, package_id: str, version_id: str, function: str) -> Target:
        """Return a function of a released version. Raises NotFound, PermissionDenied."""
        package = await self._packages.find(who, package_id)
        await self._permissions.require(who, Scope.RUN, package, EXECUTE)
        version = await self._packages.version(package, version_id)
        if version.state is not VersionState.RELEASED:
            why = f"It cannot be: {version.error}" if version.error else "Release it first."
            message = f"Version {version_id} of package {package_id} is not released. {why}"
            raise NotFound(Reason.VERSION_NOT_FOUND, "polycall.v1.Version", version_id, message)
        kept = kept_version(version)
        return Target(package=package, version=version, kept=kept, function=_callable(version, package_id, function))

    async def run(
        self, who: Principal, target: Target, read: Callable[[bytes], Ask], inbound: Inbound
    ) -> tuple[Execution, Kept]:
        """Run a function with what ``read`` makes of the body; return the execution and what is kept beside it.

        Raises InvalidArgument and what ``Engine.run`` raises.
        """
        body = await inbound.read()
        by_name = target.kept is not None and target.kept.derived
        ask, convention, arguments = await aside(len(body), _bound, body, read, target.function, by_name)
        execution_id, version = new_id(), target.version
        run = FunctionRun(
            package_id=version.package_id,
            version_id=version.id,
            function=target.function.name,
            convention=convention,
            input=arguments,
            limits=self._engine.limits.where_unset(version.limits, _LIMITS),
            fresh=True,
            adapter=FACE,
            adapter_options=await self._lending.told(
                who, execution_id, target.package, version, target.kept, target.function, now_ms()
            ),
        )
        kept = Kept(get_logs=ask.get_logs, started_by=who.user_id, output=target.function.output)
        options = RunOptions(
            execution_id=execution_id,
            face=FACE,
            face_data=msgspec.json.encode(kept),
            expires_at=inbound.expires_at,
        )
        return await self._engine.run(who, run, options), kept


def _bound(
    body: bytes, read: Callable[[bytes], Ask], function: Function, by_name: bool
) -> tuple[Ask, Convention, bytes]:
    ask = read(body)
    return ask, *bind(function, ask.inputs, by_name=by_name)


def _callable(version: Version, package_id: str, name: str) -> Function:
    public: Mapping[str, Function] = {
        f.name: f for f in version.functions if not f.private and not f.name.startswith("_")
    }
    if name not in public:
        message = (
            f"Version {version.id} of package {package_id} has no function {name}; "
            f"callable functions: {', '.join(public) or 'none'}."
        )
        raise NotFound(Reason.FUNCTION_NOT_FOUND, "polycall.v1.Function", name, message)
    return public[name]
