"""The sandbox as the engine sees it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from polycall.domain import ExecutionError, IsolationLevel, Language, Reason
from polycall.errors import RuntimeMissing
from polycall.sandbox.cgroup import Cgroups, open_cgroups
from polycall.sandbox.confine import Confinement, as_message
from polycall.sandbox.job import Ending, Job, Outcome, OutputSink
from polycall.sandbox.pool import Pool, PoolConfig, PoolError
from polycall.sandbox.run import RunOptions, run_call
from polycall.sandbox.slots import FIRST_UID, Slots
from polycall.sandbox.spawner import Spawner, ZygoteConfig, interpreter

__all__ = ["Sandbox", "SandboxConfig"]

_MIB = 1 << 20
_PRELOAD = ("asyncio", "traceback", "inspect", "typing", "dataclasses", "re", "datetime", "random", "decimal")


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxConfig:
    """Every knob of the sandbox."""

    waiting: int = 4  # fresh children kept waiting
    warm: int = 32  # warm workers kept at most
    processes: int = 128  # process trees at once, all together
    warm_idle_s: float = 300.0
    warm_calls: int = 10_000
    zygote_forks: int = 1000
    zygote_age_s: float = 600.0
    hard_output_bytes: int = 256 * _MIB
    disk_bytes: int = 64 * _MIB
    max_level: IsolationLevel = IsolationLevel.CONTAINED
    uid_base: int = 200_000
    preload: tuple[str, ...] = _PRELOAD
    interpreter: str | None = None


class Sandbox:
    """Runs jobs in sandboxed processes; implements ``polycall.sandbox.job.Runner``."""

    def __init__(self, config: SandboxConfig | None = None) -> None:
        self._config = config or SandboxConfig()
        self._cgroups: Cgroups | None = None
        self._pool: Pool | None = None
        self._level = IsolationLevel.CONTAINED

    @property
    def isolation(self) -> IsolationLevel:
        """The level that was probed and self-tested at start."""
        return self._level

    async def start(self) -> None:
        """Probe the machine, start the processes, test them."""
        config = self._config
        self._cgroups = open_cgroups()
        confinement = Confinement(namespaces=True, landlock=6, seccomp=True, cgroup=True, single_uid=False)
        uids = range(config.uid_base, config.uid_base + 65536)
        inside = range(FIRST_UID, FIRST_UID + config.processes)
        zygote = ZygoteConfig(confinement=as_message(confinement), uids=uids, slots=inside, preload=config.preload)
        executable = config.interpreter or interpreter()
        self._options = RunOptions(
            isolation=self._level,
            hard_output_bytes=config.hard_output_bytes,
            bound_address_space=False,
            own_uid=True,
        )
        self._pool = Pool(
            PoolConfig(
                waiting=config.waiting,
                warm=config.warm,
                processes=config.processes,
                warm_idle_s=config.warm_idle_s,
                warm_calls=config.warm_calls,
                zygote_forks=config.zygote_forks,
                zygote_age_s=config.zygote_age_s,
                disk_bytes=config.disk_bytes,
            ),
            Slots(config.processes, inside, self._cgroups),
            lambda died: Spawner(executable, zygote, died),
        )
        await self._pool.start()

    async def stop(self) -> None:
        """End everything; nothing is left behind."""
        if self._pool is not None:
            await self._pool.stop()
        if self._cgroups is not None:
            await asyncio.to_thread(self._cgroups.close)

    async def run(self, job: Job, output: OutputSink | None = None) -> Outcome:
        """Run a job to its end. Cancelling the awaiting task kills the whole process tree first.

        Raises RuntimeMissing for a language that is not installed.
        """
        if job.language is not Language.PYTHON:
            raise RuntimeMissing(f"{job.language.value} is not installed on this server.")
        assert self._pool is not None  # noqa: S101
        loop = asyncio.get_running_loop()
        asked = loop.time()
        try:
            lease = await self._pool.acquire(job)
        except PoolError as error:
            return Outcome(
                ending=Ending.LOST,
                error=ExecutionError(reason=Reason.WORKER_LOST, message=f"{error}. Nothing ran; try again."),
                exit_code=1,
                isolation=self._level,
            )
        try:
            start_us = round((loop.time() - asked) * 1e6)
            return await run_call(lease.child, job, self._options, output, lease.start_kind, start_us)
        finally:
            self._pool.release(lease, job)

    async def retire(self, project_id: str, package_id: str, version_id: str | None = None) -> None:
        """End the idle warm workers of a version (of all versions of a package), busy ones after their run."""
        if self._pool is not None:
            self._pool.retire(project_id, package_id, version_id)
