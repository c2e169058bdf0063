"""The processes of a sandbox: fresh ones waiting, warm ones kept, none leaked.

Fresh children are forked ahead of their runs and locked in while they wait. A child that has served a keyed run may
stay as warm worker of its program. At most so many processes exist at once as there are slots: warm workers that idle
never keep a run from its process, they are ended, least recently used first.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass

from polycall.domain import StartKind
from polycall.sandbox.child import Child
from polycall.sandbox.job import Job, WorkerKey
from polycall.sandbox.orders import Program, program_of
from polycall.sandbox.shelf import Shelf
from polycall.sandbox.slots import Slot, Slots
from polycall.sandbox.spawner import Spawner, SpawnerError
from polycall.sandbox.zygotes import Zygotes

__all__ = ["Lease", "Pool", "PoolConfig", "PoolError"]

_log = logging.getLogger(__name__)

# Set-up takes 3 ms; on a machine under full load a hundred times that.
_READY_S = 10.0
# How long a run waits for a zygote that has died to be replaced.
_ZYGOTE_S = 15.0
_ATTEMPTS = 4
_FIRST_BACKOFF_S, _MOST_BACKOFF_S = 0.05, 5.0
# More would only compete with the runs for the cores.
_FORKS_AT_ONCE = 2
# After a zygote's death its children's slots are looked at so often, and given up after so many looks.
_QUARANTINE_S, _QUARANTINE_LOOKS = 0.05, 100
# A small bundle rides along in the disk of a run; a larger one is added to it, in whole steps.
_RIDES_ALONG, _DISK_STEP = 64 << 10, 1 << 20


class PoolError(Exception):
    """Raised when no process can be had for a run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolConfig:
    """Sizes and ages; see ``SandboxConfig``."""

    waiting: int
    warm: int
    warm_idle_s: float
    warm_calls: int
    zygote_forks: int
    zygote_age_s: float
    disk_bytes: int


@dataclass(slots=True, eq=False)
class Lease:
    """A child for one run. ``key`` becomes None if the child must not be used again."""

    child: Child
    start_kind: StartKind
    key: WorkerKey | None
    program: Program


class Pool:
    """Gives children to runs and takes them back."""

    def __init__(
        self, config: PoolConfig, slots: Slots, make_spawner: Callable[[Callable[[Spawner], None]], Spawner]
    ) -> None:
        self._config = config
        self._slots = slots
        self._zygotes = Zygotes(
            make_spawner,
            most_forks=config.zygote_forks,
            most_age_s=config.zygote_age_s,
            died=lambda: self._worn.set(),
            crowded=lambda old: self._shelf.end_where(lambda child, _: old.owns(child)),
        )
        self._waiting: collections.deque[Child] = collections.deque()
        self._shelf = Shelf(config.warm, config.warm_idle_s)
        self._leases: set[Lease] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._coming = 0  # children that are being started, to wait
        self._takers: collections.deque[asyncio.Future[Child | None]] = collections.deque()  # runs that get them
        self._wanted = asyncio.Event()  # children may be missing
        self._worn = asyncio.Event()  # zygotes may have to be replaced or ended
        self._keepers: list[asyncio.Task[None]] = []
        self._sleepers: set[asyncio.Future[None]] = set()  # wait for a slot or a zygote
        self._closing = False

    async def start(self) -> None:
        """Start a zygote and the first child. Raises SpawnerError, OSError."""
        await self._zygotes.renew()
        self._waiting.append(await self._fork(self._slots.take(), self._config.disk_bytes))
        for wanted, work in ((self._wanted, self._refill), (self._worn, self._renew)):
            self._keepers.append(asyncio.create_task(self._keep(wanted, work)))
        self._wanted.set()

    async def stop(self) -> None:
        """End every process and return when all are gone. Runs end as lost."""
        self._closing = True
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        self._wake()
        await self._zygotes.stop()
        self._shelf.close()
        self._waiting.clear()
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def pids(self) -> tuple[int, ...]:
        """The zygotes' processes; all others descend from them."""
        return self._zygotes.pids

    # for runs

    async def acquire(self, job: Job) -> Lease:
        """Return a ready child, to be handed back by ``release``. Raises PoolError."""
        program: Program = ()
        if job.key is not None:
            program = program_of(job)
            warm = self._shelf.take(program)
            if warm is not None:
                return self._lease(warm, StartKind.WARM, job.key, program)
        disk = self._disk_for(job)
        while True:
            child, kind = await self._fresh(disk)
            if child.usable:
                return self._lease(child, kind, job.key, program)

    def _lease(self, child: Child, kind: StartKind, key: WorkerKey | None, program: Program) -> Lease:
        child.free.clear()
        lease = Lease(child, kind, key, program)
        self._leases.add(lease)
        return lease

    def release(self, lease: Lease) -> None:
        """Take a child back after its run: to be kept, or to be ended."""
        child = lease.child
        self._leases.discard(lease)
        if lease.key is not None and child.usable and not self._closing and child.calls < self._config.warm_calls:
            self._shelf.put(child, lease.key, lease.program)
            self._wake()  # who waits for a slot may have it ended
        else:
            child.kill()
        child.free.set()
        if self._missing() > 0:
            self._wanted.set()

    def retire(self, project_id: str, package_id: str, version_id: str | None) -> None:
        """End idle warm workers of a version now, busy ones after their run."""

        def meant(key: WorkerKey | None) -> bool:
            return (
                key is not None
                and (key.project_id, key.package_id) == (project_id, package_id)
                and version_id in (None, key.version_id)
            )

        self._shelf.end_where(lambda _, key: meant(key))
        for lease in self._leases:
            if meant(lease.key):
                lease.key = None

    # fresh children

    def _disk_for(self, job: Job) -> int:
        """Return what a run's file system must hold: what the run may write, and what it is given."""
        given = sum(map(len, job.bundle.files.values())) + sum(len(file.data) for file in job.files) + len(job.stdin)
        extra = 0 if given <= _RIDES_ALONG else -(-given // _DISK_STEP) * _DISK_STEP
        return job.limits.disk_bytes + extra

    async def _fresh(self, disk: int) -> tuple[Child, StartKind]:
        if disk == self._config.disk_bytes:
            child = self._waiting.popleft() if self._waiting else await self._next_to_come()
            if child is not None:
                if not self._waiting:
                    self._wanted.set()  # otherwise only after the run: on few cores a fork competes with it
                return child, StartKind.FORKED
        # nothing has run yet: a zygote that dies or a host that is out of processes for a moment need not cost the run
        for attempt in range(_ATTEMPTS):
            slot = await self._slot()
            try:
                async with asyncio.timeout(_ZYGOTE_S):
                    await self._wait_until(lambda: self._zygotes.current is not None)
            except BaseException as error:
                self._give_back(slot)
                if isinstance(error, TimeoutError):
                    raise PoolError("there is no zygote") from None
                raise
            try:
                return await self._fork(slot, disk), StartKind.COLD
            except (SpawnerError, OSError) as error:
                if self._closing or attempt == _ATTEMPTS - 1:
                    raise PoolError(str(error)) from None
                await asyncio.sleep(_FIRST_BACKOFF_S * 2**attempt)
        raise AssertionError

    async def _next_to_come(self) -> Child | None:
        """Wait for a child that is being started already and that nobody else waits for; None if there is none."""
        if self._coming <= len(self._takers):
            return None
        taker: asyncio.Future[Child | None] = asyncio.get_running_loop().create_future()
        self._takers.append(taker)
        try:
            return await taker
        except asyncio.CancelledError:
            if taker.cancelled():
                with contextlib.suppress(ValueError):  # _arrive may have dropped it already
                    self._takers.remove(taker)
            elif (child := taker.result()) is not None:
                self._arrive(child)  # it came in the same moment
            raise

    def _arrive(self, child: Child | None) -> None:
        """Take a child that was started; None: it was not to be, and who has waited for it starts one for itself."""
        while self._takers:
            taker = self._takers.popleft()
            if not taker.done():  # cancelled in the same moment
                taker.set_result(child)
                return
        if child is not None:
            self._waiting.append(child)

    async def _slot(self) -> Slot:
        while self._slots.exhausted:
            if self._shelf.end_oldest():
                await self._wait_until(lambda: not self._slots.exhausted)
            else:
                await self._wait_until(lambda: not self._slots.exhausted or len(self._shelf) > 0)
        try:
            return self._slots.take()
        except OSError as error:
            raise PoolError(f"no cgroup can be made: {error.strerror}") from None

    async def _wait_until(self, condition: Callable[[], bool]) -> None:
        while not self._closing and not condition():
            sleeper = asyncio.get_running_loop().create_future()
            self._sleepers.add(sleeper)
            try:
                await sleeper
            finally:
                self._sleepers.discard(sleeper)
        if self._closing:
            raise PoolError("the sandbox is stopping")

    def _wake(self) -> None:
        for sleeper in self._sleepers:
            if not sleeper.done():
                sleeper.set_result(None)

    async def _fork(self, slot: Slot, disk: int) -> Child:
        """Start a child in a slot and wait until it is locked in. Raises SpawnerError, OSError."""
        zygote = self._zygotes.current
        try:
            if zygote is None:
                raise SpawnerError("there is no zygote")
            child = zygote.spawn(slot, disk)
        except BaseException:
            self._give_back(slot)
            raise
        child.free.clear()
        self._own(self._bury(child))
        try:
            async with asyncio.timeout(_READY_S):
                await child.connect()
                ready = await asyncio.shield(child.ready)
        except (TimeoutError, ConnectionError) as error:
            child.kill()
            raise SpawnerError(child.last_words() or str(error) or "a child took too long to get ready") from None
        except BaseException:
            child.kill()
            raise
        finally:
            child.free.set()
        _log.debug("child %d is ready; its set-up took (us) %s", child.number, ready.laps)
        return child

    async def _bury(self, child: Child) -> None:
        """Wait for the end of a child and for whoever reads its last words, then free what it held."""
        exit = await child.exited
        with contextlib.suppress(ValueError):
            self._waiting.remove(child)
        self._shelf.forget(child)
        await child.free.wait()
        child.close()
        if exit is not None or await self._emptied(child.slot):
            self._give_back(child.slot)
        self._wanted.set()
        self._worn.set()

    def _give_back(self, slot: Slot) -> None:
        self._slots.give_back(slot)
        self._wake()

    async def _emptied(self, slot: Slot) -> bool:
        """Return whether the processes of a dead zygote have left a slot."""
        for _ in range(_QUARANTINE_LOOKS):
            if self._closing:
                return True
            await asyncio.sleep(_QUARANTINE_S)
            if slot.group is None or slot.group.empty:
                return True
        _log.warning("slot %d is still occupied after its zygote died and is not used again", slot.index)
        return False

    # the keepers

    async def _keep(self, wanted: asyncio.Event, work: Callable[[], Coroutine[None, None, None]]) -> None:
        """Do some work whenever it is wanted, until cancelled; when it fails, again after a while."""
        backoff = _FIRST_BACKOFF_S
        while True:
            await wanted.wait()
            wanted.clear()
            try:
                await work()
                backoff = _FIRST_BACKOFF_S
            except (SpawnerError, OSError) as error:
                _log.warning("cannot start sandboxed processes, next try in %.2f s: %s", backoff, error)
                await asyncio.sleep(backoff)
                backoff = min(backoff * 2, _MOST_BACKOFF_S)
                wanted.set()

    async def _renew(self) -> None:
        """Keep the zygote young, beside everything else: it takes a new one half a second to get ready."""
        if await self._zygotes.renew():
            self._wake()
            self._wanted.set()

    async def _refill(self) -> None:
        """Start children until enough are waiting. Without a zygote there is nothing to do until there is one."""
        while self._zygotes.current is not None and (forks := self._missing()) > 0:
            done = await asyncio.gather(*(self._refill_one() for _ in range(forks)), return_exceptions=True)
            for failure in filter(None, done):
                raise failure

    def _missing(self) -> int:
        at_once = 1 if self._waiting else _FORKS_AT_ONCE
        return min(self._config.waiting - len(self._waiting), self._slots.left, at_once)

    async def _refill_one(self) -> None:
        if self._slots.exhausted:
            return
        child: Child | None = None
        self._coming += 1
        try:
            child = await self._fork(self._slots.take(), self._config.disk_bytes)
        finally:
            self._coming -= 1
            self._arrive(child)

    def _own(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
