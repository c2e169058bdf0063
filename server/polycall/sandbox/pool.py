"""The processes of a sandbox: fresh ones waiting, warm ones kept, none leaked.

Fresh children are forked ahead of their runs and locked in while they wait. A child that has served a keyed run may
stay as warm worker of its program. At most ``processes`` exist at once: warm workers that idle never keep a run
from its process, they are ended, least recently used first.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass

from polycall.domain import StartKind
from polycall.sandbox.child import Child
from polycall.sandbox.job import Job, WorkerKey
from polycall.sandbox.run import Program
from polycall.sandbox.slots import Slot, Slots
from polycall.sandbox.spawner import Spawner, SpawnerError

__all__ = ["Lease", "Pool", "PoolConfig", "PoolError"]

_log = logging.getLogger(__name__)

# Set-up takes 3 ms; on a machine under full load a hundred times that.
_READY_S = 10.0
# How long a run waits for a zygote that has died to be replaced.
_ZYGOTE_S = 15.0
_BACKOFF_S = (0.05, 5.0)  # first, most
# After a zygote's death its children's slots are looked at so often, and given up after so many looks.
_QUARANTINE_S, _QUARANTINE_LOOKS = 0.05, 100
# A small bundle rides along in the disk of a run; a larger one is added to it, in whole steps.
_RIDES_ALONG, _DISK_STEP = 64 << 10, 1 << 20


class PoolError(Exception):
    """Raised when no process can be had for a run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolConfig:
    """Sizes and ages."""

    waiting: int
    warm: int
    processes: int
    warm_idle_s: float
    warm_calls: int
    zygote_forks: int
    zygote_age_s: float
    disk_bytes: int


@dataclass(frozen=True, slots=True)
class Lease:
    """A child for one run."""

    child: Child
    start_kind: StartKind
    program: Program | None


@dataclass(slots=True)
class _Warm:
    child: Child
    key: WorkerKey
    timer: asyncio.TimerHandle


class Pool:
    """Gives children to runs and takes them back."""

    def __init__(self, config: PoolConfig, slots: Slots, make_spawner: Callable[[Callable[[Spawner], None]], Spawner]):
        self._config = config
        self._slots = slots
        self._make_spawner = make_spawner
        self._spawner: Spawner | None = None
        self._retiring: list[Spawner] = []
        self._waiting: collections.deque[Child] = collections.deque()
        self._warm: collections.OrderedDict[Child, _Warm] = collections.OrderedDict()  # least recently used first
        self._busy: dict[Child, WorkerKey | None] = {}
        self._starting = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._wanted = asyncio.Event()
        self._changed = asyncio.Condition()
        self._closing = False
        self._keeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start a zygote and the first child. Raises SpawnerError, OSError."""
        self._spawner = self._make_spawner(self._on_death)
        await self._spawner.start()
        self._waiting.append(await self._fork(self._config.disk_bytes))
        self._keeper = asyncio.create_task(self._keep(), name="sandbox pool")
        self._wanted.set()

    async def stop(self) -> None:
        """End every process and return when all are gone."""
        self._closing = True
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        for warm in self._warm.values():
            warm.timer.cancel()
        spawners = [*self._retiring, *([self._spawner] if self._spawner else [])]
        await asyncio.gather(*(spawner.stop() for spawner in spawners))
        self._spawner = None
        self._retiring.clear()
        self._warm.clear()
        self._waiting.clear()
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    # for runs

    async def acquire(self, job: Job) -> Lease:
        """Return a ready child. Raises PoolError. A child that is not handed back by ``release`` is lost for ever."""
        program = Program.of(job) if job.key is not None else None
        if program is not None:
            for warm in reversed(self._warm.values()):
                if warm.child.owner == program and warm.child.usable:
                    self._unshelve(warm)
                    self._busy[warm.child] = job.key
                    return Lease(warm.child, StartKind.WARM, program)
        child, kind = await self._fresh(self._disk_for(job))
        child.owner = program
        self._busy[child] = job.key
        return Lease(child, kind, program)

    def release(self, lease: Lease, job: Job) -> None:
        """Take a child back after its run: to be kept, or to be ended."""
        child = lease.child
        retired = self._busy.pop(child, job.key) != job.key
        keep = (
            job.key is not None
            and child.usable
            and not retired
            and not self._closing
            and child.calls < self._config.warm_calls
            and self._config.warm > 0
        )
        if keep and job.key is not None:
            timer = asyncio.get_running_loop().call_later(self._config.warm_idle_s, self._end_warm, child)
            self._warm[child] = _Warm(child, job.key, timer)
            while len(self._warm) > self._config.warm:
                self._end_warm(next(iter(self._warm)))
            self._own(self._notify())
        else:
            child.kill()
        self._wanted.set()

    def retire(self, project_id: str, package_id: str, version_id: str | None) -> None:
        """End idle warm workers of a version now, busy ones after their run."""

        def meant(key: WorkerKey | None) -> bool:
            return (
                key is not None
                and (key.project_id, key.package_id) == (project_id, package_id)
                and version_id in (None, key.version_id)
            )

        for child in [child for child, warm in self._warm.items() if meant(warm.key)]:
            self._end_warm(child)
        for child, key in self._busy.items():
            if meant(key):
                self._busy[child] = None

    # warm workers

    def _unshelve(self, warm: _Warm) -> None:
        warm.timer.cancel()
        self._warm.pop(warm.child, None)

    def _end_warm(self, child: Child) -> None:
        warm = self._warm.get(child)
        if warm is not None:
            self._unshelve(warm)
            child.kill()

    # fresh children

    def _disk_for(self, job: Job) -> int:
        """What a run's file system must hold: what the run may write, and what it is given."""
        given = sum(map(len, job.bundle.files.values())) + sum(len(file.data) for file in job.files) + len(job.stdin)
        extra = 0 if given <= _RIDES_ALONG else -(-given // _DISK_STEP) * _DISK_STEP
        return job.limits.disk_bytes + extra

    async def _fresh(self, disk: int) -> tuple[Child, StartKind]:
        if disk == self._config.disk_bytes:
            while self._waiting:
                child = self._waiting.popleft()
                if child.usable:
                    if not self._waiting:
                        self._wanted.set()  # otherwise only after the run: on few cores a fork competes with it
                    return child, StartKind.FORKED
        try:
            async with asyncio.timeout(_ZYGOTE_S):
                while True:
                    try:
                        return await self._fork(disk), StartKind.COLD
                    except SpawnerError:
                        async with self._changed:
                            await self._changed.wait_for(lambda: self._closing or self._can_fork())
                        if self._closing:
                            raise
        except (TimeoutError, SpawnerError, OSError) as error:
            raise PoolError(f"no sandboxed process could be started ({error or 'too long'})") from None

    def _can_fork(self) -> bool:
        return self._spawner is not None and self._spawner.alive

    async def _fork(self, disk: int) -> Child:
        """Start a child and wait until it is locked in. Raises SpawnerError, OSError."""
        slot = await self._take_slot()
        spawner = self._spawner
        if spawner is None or self._closing:
            self._slots.give_back(slot)
            raise SpawnerError("there is no zygote")
        self._starting += 1
        try:
            try:
                child = await spawner.spawn(slot, disk)
            except BaseException:
                self._slots.give_back(slot)
                raise
            self._own(self._bury(child))
            try:
                async with asyncio.timeout(_READY_S):
                    await asyncio.shield(child.ready)
            except (TimeoutError, ConnectionError) as error:
                child.kill()
                raise SpawnerError(child.last_words() or str(error) or "a child took too long to get ready") from None
            except asyncio.CancelledError:
                child.kill()
                raise
        finally:
            self._starting -= 1
        return child

    async def _take_slot(self) -> Slot:
        while self._slots.exhausted:
            if self._warm:
                self._end_warm(next(iter(self._warm)))
            async with self._changed:
                await self._changed.wait_for(lambda: not self._slots.exhausted or self._closing)
            if self._closing:
                raise SpawnerError("the sandbox is stopping")
        return self._slots.take()

    async def _bury(self, child: Child) -> None:
        """Wait for the end of a child, then free what it held."""
        exit = await child.exited
        self._waiting_without(child)
        warm = self._warm.get(child)
        if warm is not None:
            self._unshelve(warm)
        # whoever runs it reads its last words first
        while child in self._busy:
            async with self._changed:
                await self._changed.wait_for(lambda: child not in self._busy)
        child.close()
        if exit is not None or await self._emptied(child.slot):
            self._slots.give_back(child.slot)
        self._wanted.set()
        await self._notify()

    def _waiting_without(self, child: Child) -> None:
        with contextlib.suppress(ValueError):
            self._waiting.remove(child)

    async def _emptied(self, slot: Slot) -> bool:
        """Return whether the processes of a dead zygote have left a slot."""
        for _ in range(_QUARANTINE_LOOKS):
            await asyncio.sleep(_QUARANTINE_S)
            if slot.group is None or slot.group.empty:
                return True
        _log.warning("slot %d is still occupied after its zygote died and is not used again", slot.index)
        return False

    # the keeper: replaces what is missing

    async def _keep(self) -> None:
        backoff = _BACKOFF_S[0]
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                await self._renew()
                while len(self._waiting) < self._config.waiting and not self._slots.exhausted:
                    self._waiting.append(await self._fork(self._config.disk_bytes))
                backoff = _BACKOFF_S[0]
            except (SpawnerError, OSError) as error:
                _log.warning("cannot start sandboxed processes, next try in %.2f s: %s", backoff, error)
                await asyncio.sleep(backoff)
                backoff = min(backoff * 2, _BACKOFF_S[1])
                self._wanted.set()

    async def _renew(self) -> None:
        """Have a zygote that is alive and not too old; the old one ends with its last child."""
        now = asyncio.get_running_loop().time()
        old = self._spawner
        if (
            old is None
            or not old.alive
            or old.forks >= self._config.zygote_forks
            or now - old.born > self._config.zygote_age_s
        ):
            fresh = self._make_spawner(self._on_death)
            await fresh.start()
            self._spawner = fresh
            if old is not None:
                self._retiring.append(old)
            await self._notify()
        for spawner in list(self._retiring):
            if spawner.children == 0 or not spawner.alive:
                self._retiring.remove(spawner)
                await spawner.stop()

    def _on_death(self, spawner: Spawner) -> None:
        if self._spawner is spawner:
            self._spawner = None
        if spawner in self._retiring:
            self._retiring.remove(spawner)
        self._own(spawner.stop())
        self._wanted.set()

    def _own(self, work: collections.abc.Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()
