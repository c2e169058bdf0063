"""From a request to a job: everything that can be refused is refused here, before a slot is taken."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import field, replace
from typing import Protocol

import msgspec

from polycall.domain import Convention, Execution, Function, Language, LimitOverrides, Limits, Version
from polycall.engine.adapters import NO_ADAPTER, Adapter, Asker
from polycall.engine.checks import check_ad_hoc, check_json
from polycall.engine.languages import check_language, main_file, without_meaning
from polycall.engine.limits import LimitPolicy
from polycall.engine.references import with_secrets
from polycall.engine.registry import Registry
from polycall.engine.requests import AdHocRun, FunctionRun
from polycall.engine.secrets import Secrets
from polycall.engine.templates import Templates
from polycall.errors import InvalidArgument
from polycall.quick import dataclass
from polycall.sandbox.files import check_files
from polycall.sandbox.image import image_of
from polycall.sandbox.job import Bundle, Job, WorkerKey
from polycall.structs import changed, cstruct

__all__ = ["CallSpec", "Companion", "Preparation", "Prepared", "spec_of"]


@cstruct(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A job, and what the execution's record says of it. ``job`` still lacks what depends on the execution's id."""

    job: Job
    limits: Limits
    language: Language
    package_id: str | None = None
    version_id: str | None = None
    function: str | None = None
    run: FunctionRun | None = None


class CallSpec(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What a Call keeps, beside its input and function, to be run later; JSON in ``Execution.spec``."""

    limits: dict[str, int] = msgspec.field(default_factory=dict)
    fresh: bool = False
    convention: str | None = None
    adapter: str | None = None
    adapter_options: str = "{}"


class Companion(Protocol):
    """What a face does around each Call that it accepted."""

    async def equipped(self, execution: Execution, job: Job) -> Job:
        """Return the job of a Call that begins, with what is not kept. Raises PolycallError: the Call fails with it."""

    async def ended(self, execution: Execution) -> None:
        """Hear of the end of a Call that ran here. What it raises is logged."""


@dataclass(frozen=True, slots=True)
class Preparation:
    """Builds jobs. ``adapters`` maps a face's name to what it lends to its code; ``languages`` run here.

    ``companions``: who accompanies the Calls that a face accepted, by its name.
    """

    registry: Registry
    limits: LimitPolicy
    secrets: Secrets
    adapters: Mapping[str, Adapter] = field(default_factory=dict)
    languages: Collection[Language] = frozenset(Language)
    companions: Mapping[str, Companion] = field(default_factory=dict)
    templates: Templates = field(default_factory=Templates)

    def ad_hoc(self, run: AdHocRun, project_id: str) -> Prepared:
        """Prepare code that came with its request, whose input was checked.

        Raises InvalidArgument, LimitOutOfRange, RuntimeMissing.
        """
        check_language(run.language, self.languages)
        if run.convention is Convention.PARAMETERS:
            raise InvalidArgument.of("convention", "PARAMETERS needs declared parameters; deploy a version instead")
        check_ad_hoc(run)
        check_files(run.files)
        limits = self.limits.resolve(run.limits)
        source = run.code.encode()
        file = run.file or main_file(run.language)
        module = file.removesuffix(".py")
        script = run.convention is Convention.SCRIPT
        adapter = self.adapters[run.adapter] if run.adapter else NO_ADAPTER
        asker = Asker(project_id=project_id, options=run.adapter_options)
        job = Job(
            bundle=Bundle(digest=hashlib.sha256(source).hexdigest(), files={file: source}),
            entrypoint=file if script else f"{module}:{run.entrypoint}",
            convention=run.convention,
            limits=limits,
            language=run.language,
            payload=run.input,
            env=run.env,
            files=run.files,
            args=run.args,
            stdin=run.stdin,
            image=image_of(run.language),
            egress=run.egress if run.egress is not None and run.egress.rules else None,
            adapter=adapter.hooks_for(run.language),
            adapter_options=run.adapter_options,
            services=adapter.services_for(asker, run.language),
        )
        return Prepared(
            job=job,
            limits=limits,
            language=run.language,
            package_id=run.package_id,
            version_id=run.version_id,
            function=run.entrypoint if run.package_id is not None else None,
        )

    async def equipped(self, project_id: str, prepared: Prepared, runtime: str) -> Prepared:
        """Return it to be run on a runtime. Raises InvalidArgument, NotFound, RuntimeMissing, IsolationUnavailable."""
        return replace(prepared, job=await self._equipped(project_id, prepared.job, runtime))

    async def with_secrets(self, project_id: str, prepared: Prepared, secret_env: Mapping[str, str]) -> Prepared:
        """Return it with the values of the secrets that it refers to. Raises FailedPrecondition (SECRET_UNUSABLE)."""
        return replace(prepared, job=await with_secrets(self.secrets, project_id, prepared.job, secret_env))

    async def function(self, project_id: str, run: FunctionRun) -> Prepared:
        """Prepare a function of a version.

        Raises InvalidArgument, LimitOutOfRange, NotFound, NotReady, RuntimeMissing, FailedPrecondition (a
        secret that cannot be used).
        """
        version, function = await self.registry.resolve(project_id, run.package_id, run.version_id, run.function)
        check_json(run.input, "input_json")
        template = self.templates.get(version, function, run)
        if template is not None:
            return changed(template, job=changed(template.job, payload=_completed(run.input, function)), run=run)
        limits = self.limits.resolve(version.limits, run.limits)
        prepared = Prepared(
            job=await self._job(version, function, run, limits),
            limits=limits,
            language=version.language,
            package_id=version.package_id,
            version_id=version.id,
            function=function.name,
            run=run,
        )
        self.templates.keep(version, function, run, prepared)
        return prepared

    async def to_have_ready(self, version: Version) -> Job | None:
        """Return the job that loads a version into a warm worker; None if it never runs in one.

        Raises NotFound, RuntimeMissing.
        """
        function = next((f for f in version.functions if f.convention is not Convention.SCRIPT and not f.private), None)
        if function is None or not version.reuse:
            return None
        run = FunctionRun(package_id=version.package_id, function=function.name)
        job = await self._job(version, function, run, self.limits.resolve(version.limits))
        return replace(job, load_only=True, project_id=version.project_id)

    async def again(self, execution: Execution) -> Prepared:
        """Prepare a Call that was accepted earlier. Raises as ``function``: the package may be gone by now."""
        spec = msgspec.json.decode(execution.spec or b"{}", type=CallSpec)
        run = FunctionRun(
            package_id=execution.package_id or "",
            version_id=execution.version_id,
            function=execution.function or "",
            input=execution.input or b"null",
            limits=LimitOverrides(**spec.limits),
            fresh=spec.fresh,
            convention=Convention(spec.convention) if spec.convention else None,
            adapter=spec.adapter,
            adapter_options=spec.adapter_options.encode(),
        )
        prepared = await self.function(execution.project_id, run)
        companion = self.companions.get(execution.face or "")
        if companion is None:
            return prepared
        return replace(prepared, job=await companion.equipped(execution, prepared.job))

    async def _job(self, version: Version, function: Function, run: FunctionRun, limits: Limits) -> Job:
        check_language(version.language, self.languages)
        convention = run.convention or function.convention
        if (why := without_meaning(convention, version.language)) is not None:
            raise InvalidArgument.of("function", why)
        name = run.adapter or version.adapter
        adapter = self.adapters.get(name, NO_ADAPTER)
        if run.adapter and not adapter.serves(version.language):
            raise InvalidArgument.of("function", f"is {version.language}; this contract calls Python functions")
        bundle = await self.registry.bundle(version)
        if adapter is not NO_ADAPTER:
            bundle = adapter.lent_to(bundle, version.language, equipped=bool(version.runtime))
        asker = Asker(project_id=version.project_id, package_id=version.package_id, options=run.adapter_options)
        key = None
        if version.reuse and not run.fresh:
            key = WorkerKey(version.project_id, version.package_id, version.id, _fixed_at_load(version, limits, run))
        job = Job(
            bundle=bundle,
            entrypoint=function.entrypoint,
            convention=convention,
            limits=limits,
            language=version.language,
            payload=_completed(run.input, function),
            parameters=tuple(parameter.name for parameter in function.parameters),
            adapter=adapter.hooks_for(version.language),
            adapter_options=run.adapter_options,
            services=adapter.services_for(asker, version.language),
            env=version.env,
            egress=self.registry.egress(version) or adapter.egress,
            key=key,
            warm=version.warm,
            image=image_of(version.language),
        )
        if version.secrets and convention is Convention.HANDLE:
            job = replace(job, context=msgspec.json.encode({"secrets": self.registry.secrets(version)}))
        job = await with_secrets(self.secrets, version.project_id, job, version.secret_env)
        return await self._equipped(version.project_id, job, version.runtime) if version.runtime else job

    async def _equipped(self, project_id: str, job: Job, runtime: str) -> Job:
        return replace(job, image=await self.registry.runtimes.image(project_id, runtime, job.language))


def _completed(payload: bytes, function: Function) -> bytes:
    """Add the declared defaults of missing inputs; values stay byte for byte."""
    if not function.parameters:
        return payload
    defaults = {p.name: msgspec.Raw(p.default) for p in function.parameters if p.default is not None}
    if not defaults:
        return payload
    try:
        members = msgspec.json.decode(payload, type=dict[str, msgspec.Raw])
    except msgspec.DecodeError:
        return payload  # not an object: that is for the convention to say
    missing = {name: value for name, value in defaults.items() if name not in members}
    return msgspec.json.encode(members | missing) if missing else payload


def spec_of(run: FunctionRun) -> bytes:
    """Return what a Call keeps of its request."""
    asked = {name: value for name in LimitOverrides.__slots__ if (value := getattr(run.limits, name)) is not None}
    spec = CallSpec(
        limits=asked,
        fresh=run.fresh,
        convention=run.convention,
        adapter=run.adapter,
        adapter_options=run.adapter_options.decode(),
    )
    return msgspec.json.encode(spec)


def _fixed_at_load(version: Version, limits: Limits, run: FunctionRun) -> str:
    """Tell apart what a worker is given once; time and sizes of answers are the server's to watch, run by run.

    A version never changes, but one of the same name may be created after it.
    """
    kept = (limits.memory_bytes, limits.processes, limits.open_files, limits.disk_bytes)
    return f"{version.created_at} {kept} {run.adapter or version.adapter}"
