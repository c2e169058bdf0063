"""Deploys functions in the background: unpacks, installs, imports; what a restart interrupts begins anew."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace

import msgspec

from polycall.bundle import bundle_digest
from polycall.domain import Convention, Function, LimitOverrides, Principal, Scope
from polycall.engine.archive import read_zip
from polycall.engine.drafts import VersionDraft
from polycall.engine.engine import Engine
from polycall.engine.limits import MIB
from polycall.engine.tasks import end
from polycall.engine.trial import Trial
from polycall.engine.turns import ProjectTurns
from polycall.errors import AlreadyExists, Internal, InvalidArgument, NotFound, PolycallError, QueueFull, Unavailable
from polycall.faces.cognite.deployments import Deployment, Deployments
from polycall.faces.cognite.functiondata import DEPLOYING, FAILED, READY, FunctionData, FunctionError
from polycall.faces.cognite.functions import HANDLE, LIMITS
from polycall.faces.cognite.runtimes import FunctionRuntimes
from polycall.faces.cognite.undeployable import Undeployable
from polycall.quick import dataclass
from polycall.sandbox.job import Bundle

__all__ = ["Deployer"]

_AT_ONCE = 2  # each has an archive of 100 MiB in memory, and what is unpacked of it
_AGAIN_S = 1.0  # after the database, a turn or a place in a queue could not be had
_PATIENCE_S = 3600.0  # then it begins to wait anew
_LOOK_S = 15.0  # about what it takes until a server is known to be dead
_GIB = 1024 * MIB
_VERSION = "1"  # a function has one
_ATTEMPTS = 3  # at what fails for a reason of ours
_REQUIREMENTS = "requirements.txt"
_OURS = "The server failed while it deployed the function; its log says how."

log = logging.getLogger(__name__)

_Key = tuple[str, str]  # project, function


class _Deleted(Exception):
    """Raised when the function that is being deployed is gone."""


@dataclass(frozen=True, slots=True)
class _Work:
    """One deployment under way, and for whom it is done."""

    deployment: Deployment
    who: Principal
    data: FunctionData


class Deployer:
    """Deploys what ``Deployments`` keeps."""

    def __init__(self, engine: Engine, trial: Trial, deployments: Deployments, runtimes: FunctionRuntimes) -> None:
        self._engine = engine
        self._trial = trial
        self._deployments = deployments
        self._runtimes = runtimes
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._turns = ProjectTurns()
        self._tasks: dict[_Key, asyncio.Task[None]] = {}

    async def start(self, living: Collection[str]) -> None:
        """Go on with what an earlier server left; ``living``: the nodes of the other processes. Raises Unavailable."""
        for deployment in await self._deployments.taken_over(living):
            self.add(deployment)

    async def watch(self, living: Callable[[], Collection[str]]) -> None:
        """Take over, for ever, what servers leave that die; ``living`` tells who lives, of those that say so."""
        while True:
            await asyncio.sleep(_LOOK_S)
            try:
                await self.start(living())
            except PolycallError as error:
                log.warning("cannot look after deployments: %s", error)

    async def stop(self) -> None:
        """Stop working; what is not done is for the next start."""
        for task in list(self._tasks.values()):
            await end(task)

    def add(self, deployment: Deployment) -> None:
        """Deploy a function that is kept as Queued."""
        key = (deployment.project_id, deployment.function_id)
        if key in self._tasks:
            return
        task = asyncio.create_task(self._see_to(deployment))
        self._tasks[key] = task
        task.add_done_callback(lambda _: self._tasks.pop(key, None))

    async def drop(self, who: Principal, function_id: str) -> None:
        """Stop deploying a function that is deleted, and delete what was made for it. Raises PermissionDenied."""
        if (task := self._tasks.get((who.project_id, function_id))) is not None:
            await end(task)
        await self._deployments.done(who.project_id, function_id)
        await self._runtimes.delete(who, function_id)

    # within

    async def _see_to(self, deployment: Deployment) -> None:
        """Deploy, however long the database or a turn is away."""
        attempts = 0
        while True:
            try:
                try:
                    await self._deploy(deployment)
                except _Deleted:
                    await self._deployments.done(deployment.project_id, deployment.function_id)
                    await self._runtimes.delete(_deployer(deployment), deployment.function_id)
                return
            except (Unavailable, QueueFull) as error:
                log.info("function %s waits to be deployed: %s", deployment.function_id, error)
                pause_s = max(_AGAIN_S, error.retry_after_s or 0.0)
            except Exception:  # whatever it is about one of them, it must be said of it, and the others go on
                attempts += 1
                log.exception("function %s could not be deployed", deployment.function_id)
                if attempts >= _ATTEMPTS and await self._gave_up(deployment):
                    return
                pause_s = _AGAIN_S
            await asyncio.sleep(pause_s)

    async def _gave_up(self, deployment: Deployment) -> bool:
        try:
            await self._ended(deployment, FAILED, FunctionError(_OURS, ""))
        except _Deleted:
            return False  # the next attempt cleans up behind it
        except PolycallError:
            return False
        return True

    async def _deploy(self, deployment: Deployment) -> None:
        """Deploy, and say how that ended. Raises Unavailable, QueueFull: to be tried again."""
        try:
            data = await self._ended(deployment, DEPLOYING)
            work = _Work(deployment, _deployer(deployment), data)
            runtime = await self._runtimes.built(work.who, deployment.function_id, await self._requirements(work))
            async with self._turn(work):
                await self._made(work, runtime)
        except Undeployable as failure:
            await self._ended(deployment, FAILED, failure.error)
        except (Unavailable, QueueFull, Internal):
            raise
        except PolycallError as error:
            await self._ended(deployment, FAILED, FunctionError(error.message, error.message))
        else:
            await self._ended(deployment, READY)

    @asynccontextmanager
    async def _turn(self, work: _Work) -> AsyncIterator[None]:
        """Hold a place. A project waits for one at a time, so that who makes many functions delays nobody else."""
        async with self._turns.turn(work.deployment.project_id, _PATIENCE_S), self._places:
            yield

    async def _requirements(self, work: _Work) -> str:
        async with self._turn(work):
            manifest = (await self._files(work)).get(_REQUIREMENTS, b"")
        try:
            return manifest.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise Undeployable(f"{_REQUIREMENTS} is not UTF-8 text") from None

    async def _files(self, work: _Work) -> dict[str, bytes]:
        """Return the files of the zip. Raises Undeployable."""
        archive = await self._engine.objects.get_blob(work.deployment.project_id, work.deployment.blob)
        if archive is None:
            raise Undeployable("The uploaded file is gone; upload it again and create the function anew.")
        try:
            files = await asyncio.to_thread(read_zip, archive, "zip-file")
        except InvalidArgument as error:
            raise Undeployable(f"The zip-file cannot be unpacked: {error.message}") from None
        if work.data.function_path not in files:
            raise Undeployable(f'No Python module found at location "{work.data.function_path}" in zip-file')
        return files

    async def _made(self, work: _Work, runtime: str) -> None:
        """Make the version of a function and keep it once it could be imported. Raises Undeployable."""
        deployment, data, registry = work.deployment, work.data, self._engine.registry
        files = await self._files(work)
        module = data.function_path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        draft = VersionDraft(
            package_id=deployment.function_id,
            id=_VERSION,
            files=files,
            runtime=runtime,
            functions=(Function(name=HANDLE, entrypoint=f"{module}:{HANDLE}", convention=Convention.HANDLE),),
            limits=self._engine.limits.where_unset(
                LimitOverrides(), replace(LIMITS, memory_bytes=round(data.memory * _GIB))
            ),
            env=data.env_vars or {},
            secrets=await self._secrets(deployment),
        )
        try:
            version = await registry.check_version(work.who, draft)
        except InvalidArgument as error:
            raise Undeployable("; ".join(violation.description for violation in error.violations)) from None
        tried = await self._trial.load(version, Bundle(digest=bundle_digest(files), files=files))
        if tried.error is not None:
            said = tried.output.removesuffix(tried.error.traceback)  # a traceback is printed as well
            raise Undeployable(tried.error.message, said + tried.error.traceback)
        try:
            await registry.put_version(work.who, version, files)
        except AlreadyExists:
            log.info("function %s was deployed by another server", deployment.function_id)

    async def _secrets(self, deployment: Deployment) -> Mapping[str, str]:
        try:
            return await self._deployments.secrets(deployment)
        except NotFound:  # they go when the function does
            raise _Deleted from None

    async def _ended(self, deployment: Deployment, status: str, error: FunctionError | None = None) -> FunctionData:
        """Write how far a function is. Raises _Deleted, Unavailable."""
        who, registry = _deployer(deployment), self._engine.registry
        try:
            data = None
            while data is None:
                package = await registry.get_package(who, deployment.function_id)
                known = FunctionData.of(package)
                if known is None:
                    raise _Deleted  # and made anew by another door
                changed = msgspec.structs.replace(known, status=status, error=error)
                # what others say of it meanwhile, natively or on another server, is not written over
                if await registry.exchange_package(
                    who, replace(package, face_data=changed.dump()), package, forced=True
                ):
                    data = changed
        except NotFound:
            raise _Deleted from None
        if status in (READY, FAILED):
            await self._deployments.done(deployment.project_id, deployment.function_id)
        return data


def _deployer(deployment: Deployment) -> Principal:
    """Return for whom a function is deployed: who created it could, and may be gone by now."""
    return Principal(
        project_id=deployment.project_id,
        key_id=deployment.created_by,
        scopes=frozenset({Scope.DEPLOY, Scope.READ}),
    )
