"""The engine with a real store and a real sandbox, and the ways to look into the middle of what it does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest

from polycall.domain import (
    Execution,
    ExecutionError,
    ExecutionFilter,
    IsolationLevel,
    LimitOverrides,
    Principal,
    Project,
    Reason,
    Scope,
    Version,
)
from polycall.engine.admission import Admission
from polycall.engine.building import Builder, BuildSettings
from polycall.engine.builds import Builds
from polycall.engine.dispatcher import Dispatcher
from polycall.engine.engine import Engine, EngineSettings
from polycall.engine.keys import KeyRing
from polycall.engine.limits import LimitPolicy
from polycall.engine.objects import Objects
from polycall.engine.plans import FaceSchedules, Plans
from polycall.engine.preparation import Preparation
from polycall.engine.readiness import Readiness
from polycall.engine.recording import ALL, Recording
from polycall.engine.registry import Registry, VersionDraft
from polycall.engine.requests import AdHocRun, FunctionRun
from polycall.engine.resealing import Resealing
from polycall.engine.runtimes import Runtimes
from polycall.engine.scheduler import Scheduler
from polycall.engine.schedules import Schedules
from polycall.engine.secrets import Secrets
from polycall.engine.tasks import end
from polycall.engine.tokens import Signer
from polycall.engine.webhooks.targets import Targets
from polycall.engine.webhooks.webhooks import Webhooks
from polycall.errors import Unavailable
from polycall.runtimes.environments import Environments
from polycall.sandbox.sandbox import Sandbox
from polycall.sealing import Sealer
from polycall.store.sql import SqlStore, StoreConfig, open_store

__all__ = [
    "DEFAULT",
    "OTHER",
    "PATIENCE",
    "SOURCE",
    "House",
    "Opened",
    "StoreBetween",
    "ad_hoc",
    "function",
    "house",
    "other_project",
    "refusal",
    "until",
]

E = TypeVar("E", bound=Exception)

# What a run may take that has to begin before it is stopped, in seconds: only on a busy machine more than the first.
PATIENCE = (0.3, 3.0, 20.0)

DEFAULT = Principal(project_id="default", key_id="k1", scopes=frozenset(Scope))
OTHER = Principal(project_id="other", key_id="k2", scopes=frozenset(Scope))
LOST = ExecutionError(reason=Reason.WORKER_LOST, message="The server that ran this was lost.")

# prints, then sleeps far longer than any test waits
HANGS = "import time\ndef execute(input):\n    print('begun', flush=True)\n    time.sleep(600)\n"

SOURCE = b"""
import os, time

def echo(x=None):
    return x

def hang(x=None):
    print('begun', flush=True)
    time.sleep(600)

def slow(x=None):
    print('begun', flush=True)
    time.sleep(0.5)
    print('done', flush=True)
    return x

def bad():
    raise ValueError('no')

def pid():
    return os.getpid()
"""


async def until(condition: Callable[[], Any], *, seconds: float = 60.0) -> Any:
    """Return the first true value of ``condition()``, which may be a coroutine function; fail after ``seconds``."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if asyncio.iscoroutine(value):
            value = await value
        if value:
            return value
        assert time.monotonic() < end, "the condition did not come true"
        await asyncio.sleep(0.005)


@dataclass
class Opened:
    """A method of the store that is held open: ``begun`` once it is called, it returns after ``go``."""

    begun: asyncio.Event = field(default_factory=asyncio.Event)
    go: asyncio.Event = field(default_factory=asyncio.Event)


class StoreBetween:
    """The real store, but for methods that are made to fail with Unavailable, or are held open after their work."""

    def __init__(self, store: SqlStore) -> None:
        self.real = store
        self.away: set[str] = set()
        self.unheard: set[str] = set()  # whose next answer is lost: the work is done
        self.failing: dict[str, Exception] = {}
        self.calls: list[str] = []
        self._open: dict[str, Opened] = {}
        self._opened: list[Opened] = []

    def hold(self, name: str) -> Opened:
        """Hold the next call of a method open, once its work is done."""
        opened = self._open[name] = Opened()
        self._opened.append(opened)
        return opened

    def let_go(self) -> None:
        """Let nothing fail and hold nothing open any more."""
        self.away.clear()
        self.failing.clear()
        for opened in self._opened:
            opened.go.set()

    def __getattr__(self, name: str) -> Any:
        real = getattr(self.real, name)
        if not asyncio.iscoroutinefunction(real):
            return real

        async def between(*args: Any, **kwargs: Any) -> Any:
            self.calls.append(name)
            if name in self.away or "*" in self.away:
                raise Unavailable("The database is away.", reason=Reason.STORE_UNAVAILABLE)
            if name in self.failing:
                raise self.failing[name]
            answer = await real(*args, **kwargs)
            if name in self.unheard:
                self.unheard.remove(name)
                raise Unavailable("The database is away.", reason=Reason.STORE_UNAVAILABLE)
            opened = self._open.pop(name, None)
            if opened is not None:
                opened.begun.set()
                await opened.go.wait()
            return answer

        return between


@dataclass
class House:
    """What a server is made of, without its doors."""

    store: StoreBetween
    engine: Engine
    dispatcher: Dispatcher
    registry: Registry
    keys: KeyRing
    preparation: Preparation
    readiness: Readiness
    plans: Plans
    face_schedules: dict[str, FaceSchedules]
    scheduler: Scheduler
    working: asyncio.Task[None] | None = None
    preparing: asyncio.Task[None] | None = None
    ticking: asyncio.Task[None] | None = None

    def work(self) -> None:
        """Let the dispatcher work."""
        self.working = asyncio.create_task(self.dispatcher.run())

    def get_ready(self) -> None:
        """Have warm workers of the versions that ask for some made ready."""
        self.preparing = asyncio.create_task(self.readiness.run())

    def tick(self) -> None:
        """Let the scheduler work."""
        self.ticking = asyncio.create_task(self.scheduler.run())

    async def deploy(
        self, package: str = "p", source: bytes = SOURCE, *, who: Principal = DEFAULT, **changes: Any
    ) -> Version:
        """Make a version, and its package."""
        release = bool(changes.pop("release", False))
        files = changes.pop("files", {"main.py": source})
        draft = VersionDraft(package_id=package, files=files, **changes)
        return await self.registry.create_version(who, draft, create_package=True, release=release)

    async def records(self, who: Principal = DEFAULT) -> list[Execution]:
        """Return every execution of a project, oldest first, each as it is read by its id."""
        await self.store.real.flush()
        page = await self.store.real.list(who.project_id, ExecutionFilter(), 1000)
        return [await self.store.real.get(who.project_id, item.id) for item in reversed(page.items)]

    async def record(self, who: Principal = DEFAULT) -> Execution:
        """Return the only execution of a project."""
        (only,) = await self.records(who)
        return only

    async def all_ended(self, who: Principal = DEFAULT) -> bool:
        """Tell whether every execution of a project has its end."""
        return all(kept.state.final for kept in await self.records(who))

    async def begun(self, count: int = 1) -> None:
        """Wait until so many runs have written their first output."""
        await until(lambda: sum(bool(live.output) for live in self.engine.live.all()) >= count)


@asynccontextmanager
async def house(
    directory: Path,
    sandbox: Sandbox,
    *,
    slots: int = 4,
    queue: int = 8,
    call_slots: int = 2,
    project_slots: int = 0,
    most_schedules: int = 1000,
    floor: IsolationLevel = IsolationLevel.PROCESS,
    limits: LimitPolicy | None = None,
    bootstrap: str = "",
    recording: Recording = ALL,
) -> AsyncIterator[House]:
    """Build everything over a directory, as the composition root does; a second time in it is a restart."""
    store = StoreBetween(open_store(StoreConfig(data_dir=directory, flush_ms=20)))
    await store.real.start()
    between = cast("SqlStore", store)
    policy = limits or LimitPolicy()
    builds = Builds(between, Builder(sandbox, Environments(directory / "runtimes"), BuildSettings()), most=8, at_once=1)
    sealer = Sealer([bytes(32)])
    registry = Registry(between, sandbox, policy, Runtimes(between, builds, lambda: sandbox.isolation), sealer)
    secrets = Secrets(between, sealer)
    webhooks = Webhooks(between, sealer, Targets("", http=False))
    keys = KeyRing(between, bootstrap, signer=Signer([bytes(32)]))
    preparation = Preparation(registry, policy, secrets)
    engine = Engine(
        EngineSettings(isolation_floor=floor, recording=recording),
        runner=sandbox,
        store=between,
        registry=registry,
        secrets=secrets,
        resealing=Resealing(between, sealer),
        keys=keys,
        limits=policy,
        preparation=preparation,
        admission=Admission(slots, queue, project_slots=project_slots),
        objects=Objects(between),
        schedules=Schedules(between, registry, policy, webhooks, most=most_schedules),
        webhooks=webhooks,
    )
    dispatcher = Dispatcher(engine, between, preparation, slots=call_slots, node="node")
    readiness = Readiness(between, registry, secrets, preparation, sandbox)
    face_schedules: dict[str, FaceSchedules] = {}
    plans = Plans(engine, face_schedules)
    scheduler = Scheduler(engine, between, plans, grace_s=30, node="node")
    built = House(store, engine, dispatcher, registry, keys, preparation, readiness, plans, face_schedules, scheduler)
    try:
        await store.real.recover(LOST)
        yield built
    finally:
        store.let_go()
        if built.preparing is not None:
            await end(built.preparing)
        if built.ticking is not None:
            await end(built.ticking)
        await engine.drain(0)
        await dispatcher.stop(0)
        if built.working is not None:
            await built.working
        await keys.close()
        await store.real.stop()
        assert len(engine.live) == 0
        assert (engine.admission.busy, engine.admission.waiting) == (0, 0)


async def other_project(store: Any) -> None:
    """Make the project of OTHER."""
    await store.create_project(Project(id="other", created_at=1))


def ad_hoc(code: str = "def execute(input): return input", **changes: Any) -> AdHocRun:
    """Return a run of code."""
    return AdHocRun(code=code, **changes)


def function(name: str = "echo", package: str = "p", timeout_ms: int | None = None, **changes: Any) -> FunctionRun:
    """Return a run of a function of SOURCE."""
    run = FunctionRun(package_id=package, function=name, **({"input": b"{}"} | changes))
    return run if timeout_ms is None else replace(run, limits=LimitOverrides(timeout_ms=timeout_ms))


async def refusal(work: Awaitable[Any], kind: type[E]) -> E:
    """Return the exception of that kind that ``work`` raises."""
    with pytest.raises(kind) as caught:
        await work
    return caught.value
