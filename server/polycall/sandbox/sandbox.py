"""The sandbox as the engine sees it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import logging
import time
from collections.abc import Callable
from dataclasses import field
from pathlib import Path

from polycall.domain import ExecutionError, IsolationLevel, Language, Limits, Reason
from polycall.errors import Internal, IsolationUnavailable, RuntimeMissing, Unavailable
from polycall.quick import dataclass
from polycall.sandbox import canary
from polycall.sandbox.bounds import may_bound_others
from polycall.sandbox.cgroup import CgroupError, Cgroups, open_cgroups
from polycall.sandbox.confine import NOBODY, Confinement
from polycall.sandbox.deno import Deno
from polycall.sandbox.egress.proxy import Egress, EgressConfig
from polycall.sandbox.enforcement import Enforcement, enforcements
from polycall.sandbox.guard import Gaps
from polycall.sandbox.image import Image, Platform
from polycall.sandbox.installed import DENO, Interpreter, find_deno, python, time_zone
from polycall.sandbox.isolation import Finding, Machine, ProbeError, at_most, findings_of, level_of, probe
from polycall.sandbox.job import Ending, Job, Outcome, OutputSink
from polycall.sandbox.lodging import ONE_THREAD
from polycall.sandbox.pool import Lease, Pool, PoolConfig, PoolCounts, PoolError
from polycall.sandbox.rooms import Rooms, Tenancy
from polycall.sandbox.run import Run, RunOptions
from polycall.sandbox.shelf import ShelfConfig
from polycall.sandbox.slots import FIRST_UID, Slots
from polycall.sandbox.spawner import Spawner, SpawnerError, ZygoteConfig, interpreter
from polycall.sandbox.trust import Trust
from polycall.sandbox.workroot import WorkRoot

__all__ = ["UIDS", "UID_BASE", "Sandbox", "SandboxConfig"]

_log = logging.getLogger(__name__)

_MIB = 1 << 20
# What programs import most; together they take 0.1 s to import, asyncio a third of it. All of it costs a child no page
# that it does not touch.
_PRELOAD = (
    "asyncio", "base64", "calendar", "collections", "concurrent.futures", "copy", "csv", "dataclasses", "datetime",
    "decimal", "enum", "functools", "hashlib", "inspect", "io", "itertools", "json", "logging", "math", "operator",
    "pathlib", "random", "re", "secrets", "statistics", "string", "subprocess", "tempfile", "textwrap", "time",
    "traceback", "typing", "urllib.parse", "uuid", "zoneinfo",
)  # fmt: skip
# Far above what distributions hand out for users and containers (useradd, systemd: up to 0x6FFFFFFF).
UID_BASE, UIDS = 0x7000_0000, 65536
# Of a zygote with guests: what its memory and processes are is told when there is one; it and its children on their way
# to their own cgroups need no more.
_LODGING = Limits(
    timeout_ms=0,
    memory_bytes=0,
    processes=64,
    open_files=0,
    disk_bytes=0,
    result_bytes=0,
    stdout_bytes=0,
    stderr_bytes=0,
)
_UNBOUND = Finding(
    DENO,
    False,
    "no javascript, no typescript: without CAP_SYS_RESOURCE nobody can set the limits of a process with another uid",
    "docker run --cap-add SYS_RESOURCE",
)
_SCRIPTS = Path(__file__).with_name("inside") / "javascript"


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxConfig:
    """Every knob of the sandbox.

    ``waiting``: fresh children kept waiting, of each kind in use. ``warm``: warm workers that idle, at most.
    ``processes``: process trees at once, waiting, running and warm ones together. ``warm_idle_s``, ``warm_calls``,
    ``warm_age_s`` and ``warm_growth_bytes``: a warm worker ends after so long without a call (a version may say
    otherwise), after so many calls, so long after its start, and when it holds so much more memory than after its first
    call. ``warm_of_version``: so many of one version, 0 for any number. ``warm_memory_bytes``: what all warm workers
    hold; the least recently used ones that idle make room. ``zygote_forks`` and ``zygote_age_s``: a
    zygote is replaced after so many forks or so long, because its children share hash seed and address layout.
    ``kind_idle_s``: children of other kinds than the default's wait until their kind was not used for so long.
    ``images``: zygotes of so many runtime revisions are kept, until theirs was not used for
    ``image_idle_s``; of more only while their children run.
    ``hard_output_bytes``: output of one run, both streams, beyond which it is killed (``Limits.stdout_bytes`` only
    cuts). ``disk_bytes``: the disk limit that waiting children have; runs that ask for another get a process started
    for them. ``max_level``: isolate
    no better than this, for tests. ``uid_base``: first of 65536 host uids for sandboxes, when started by root.
    ``preload``: modules that children find imported. ``interpreter``: the Python that runs the code, by default the
    server's own. ``packages``: a directory of the host that Python code without a runtime of its own imports from,
    after the standard library; "" for none. ``egress``: how runs reach other hosts. ``deno``:
    the Deno that runs JavaScript and TypeScript, by default that of the Python package of this name.
    """

    waiting: int = 4
    warm: int = 32
    processes: int = 128
    warm_idle_s: float = 300.0
    warm_calls: int = 10_000
    warm_age_s: float = 3600.0
    warm_growth_bytes: int = 128 * _MIB
    warm_of_version: int = 0
    warm_memory_bytes: int = 4096 * _MIB
    zygote_forks: int = 1000
    zygote_age_s: float = 600.0
    kind_idle_s: float = 60.0
    images: int = 8
    image_idle_s: float = 60.0
    hard_output_bytes: int = 256 * _MIB
    disk_bytes: int = 64 * _MIB
    max_level: IsolationLevel = IsolationLevel.CONTAINED
    uid_base: int = UID_BASE
    preload: tuple[str, ...] = _PRELOAD
    interpreter: str | None = None
    packages: str = ""
    egress: EgressConfig = field(default_factory=EgressConfig)
    deno: str | None = None
    preload_bytes: int = 512 * _MIB

    def __post_init__(self) -> None:
        if not 1 <= self.waiting < self.processes:
            raise ValueError("waiting must be at least 1 and below processes")
        if not self.processes <= UIDS - FIRST_UID:
            raise ValueError(f"processes must be at most {UIDS - FIRST_UID}")


class Sandbox:
    """Runs jobs in sandboxed processes; implements ``polycall.sandbox.job.Runner``.

    Belongs to the event loop and the thread that ``start`` is called on: the processes die with that thread.
    """

    def __init__(self, config: SandboxConfig | None = None) -> None:
        self._config = config or SandboxConfig()
        self._cgroups: Cgroups | None = None
        self._work_root: WorkRoot | None = None
        self._pool: Pool | None = None
        self._options: RunOptions | None = None
        self.isolation = IsolationLevel.PROCESS  # the level that was probed and self-tested at start
        self._findings: tuple[Finding, ...] = ()
        self._enforcements: tuple[Enforcement, ...] = ()
        self._egress: Egress | None = None  # None: there are no network namespaces
        self._deno: Interpreter | None = None
        self._guest: Deno | None = None
        self._trust = Trust()
        self._rooms: Rooms | None = None  # None: there are no cgroups

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What the probe found, feature by feature, with the remedy for what is missing."""
        return self._findings

    @property
    def enforcements(self) -> tuple[Enforcement, ...]:
        """Every limit of a run: how far it holds here, and by what. Empty before ``start``."""
        return self._enforcements

    @property
    def interpreters(self) -> tuple[Interpreter, ...]:
        """What runs code here, found at start."""
        return (python(), self._deno) if self._deno is not None else (python(),)

    @property
    def languages(self) -> frozenset[Language]:
        """The languages that run here, found at start."""
        return frozenset(language for each in self.interpreters for language in each.languages)

    @property
    def packages(self) -> str:
        """The directory that Python code without a runtime of its own imports from; "" for none."""
        return self._config.packages

    @property
    def zygotes(self) -> tuple[int, ...]:
        """The pids of the processes that fork; every process of every run descends from one of them."""
        return self._pool.pids if self._pool is not None else ()

    async def start(self) -> None:
        """Probe the machine, start the processes, attack them.

        Raises IsolationUnavailable if an attack succeeds, Internal if no process can be started. Nothing is left
        behind then.
        """
        try:
            await self._start()
        except (ProbeError, SpawnerError, OSError) as error:
            await self.stop()
            raise Internal(f"The sandbox cannot start: {error}.") from error
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        config = self._config
        executable = config.interpreter or interpreter()
        host_uids = range(config.uid_base, config.uid_base + UIDS)
        # side by side, since a start is waited for: what makes keys and reads the system's certificates is a thread's
        found, self._deno, egress = await asyncio.gather(
            probe(executable, host_uids), find_deno(config.deno), asyncio.to_thread(Egress, config.egress)
        )
        machine = at_most(found, config.max_level)
        cgroup = await asyncio.to_thread(self._open_cgroups)
        counted = cgroup.title if isinstance(cgroup, Cgroups) else cgroup
        self._findings = findings_of(machine, counted)
        packages = config.packages
        if not machine.namespaces:
            self._work_root = WorkRoot()
            if packages:
                packages = await asyncio.to_thread(self._work_root.adopt, packages)
        confinement = Confinement(
            namespaces=machine.namespaces,
            landlock=machine.landlock,
            seccomp=machine.seccomp,
            cgroup=self._cgroups is not None,
            single_uid=machine.namespaces and machine.single_uid,
            work_root=self._work_root.path if self._work_root is not None else "",
        )
        if machine.namespaces:
            self._egress = egress
        else:
            egress.close()
        uids = _run_uids(machine, host_uids, config.processes)
        if self._deno is not None and uids is not None and not machine.namespaces and not may_bound_others():
            # better not at all than without limits
            self._findings += (_UNBOUND,)
            self._deno = None
        if self._deno is not None:
            self._guest = await asyncio.to_thread(self._make_guest, self._deno.path, own_uids=uids is not None)
        own_uid = uids is not None or confinement.single_uid
        forks = self._cgroups is not None or not machine.seccomp
        counts_cpu = self._cgroups is not None and self._cgroups.counts_cpu
        self._enforcements = enforcements(
            machine, counted, own_uid=own_uid, counts_cpu=counts_cpu, findings=self._findings
        )
        self.isolation = level_of(machine, cgroup=confinement.cgroup)
        self._options = RunOptions(
            isolation=self.isolation,
            hard_output_bytes=config.hard_output_bytes,
            bound_address_space=not confinement.cgroup,
            own_uid=own_uid,
            gaps=Gaps(
                memory=not confinement.cgroup,
                processes=not confinement.cgroup and not own_uid,
                forks=forks and not counts_cpu,
                work_root=confinement.work_root,
            ),
        )

        def spawner(image: Image, died: Callable[[Spawner], None]) -> Spawner:
            default = packages if image.platform is Platform.PYTHON and not image.revision else ""
            path = image.path or default
            visible = "" if machine.namespaces else path
            deno = self._guest
            if deno is not None:
                deno = dataclasses.replace(deno, environment=path) if image.platform is Platform.DENO else None
            differing = dataclasses.replace(confinement, packages=visible, executes=deno is not None)
            guests, tenancy = self._lodge(image, machine)
            zygote = ZygoteConfig(
                confinement=dataclasses.asdict(differing),
                entry="none" if not machine.namespaces else "own" if machine.single_uid else "range",
                uids=host_uids,
                slots=uids or range(NOBODY, NOBODY + 1),
                preload=config.preload,
                guests=guests,
                environment=ONE_THREAD if image.revision and deno is None else {},
                platform=image.platform,
                path=path,
                trusted=self._egress.trusted if self._egress is not None else (),
                certificate=self._egress.certificate if self._egress is not None else "",
                deno=deno,
            )
            # of what imports nothing of others there is nothing to doubt
            distrust = functools.partial(self._trust.withdraw, image) if guests else _ignore
            return Spawner(executable, zygote, died, distrust, tenancy)

        self._pool = Pool(
            PoolConfig(
                waiting=config.waiting,
                shelf=ShelfConfig(
                    most=config.warm,
                    idle_s=config.warm_idle_s,
                    memory_bytes=config.warm_memory_bytes,
                    most_of_version=config.warm_of_version,
                ),
                warm_calls=config.warm_calls,
                warm_age_s=config.warm_age_s,
                warm_growth_bytes=config.warm_growth_bytes,
                zygote_forks=config.zygote_forks,
                zygote_age_s=config.zygote_age_s,
                kind_idle_s=config.kind_idle_s,
                images=config.images,
                image_idle_s=config.image_idle_s,
                disk_bytes=config.disk_bytes,
            ),
            Slots(config.processes, uids, self._cgroups),
            spawner,
            self._warm,
        )
        await self._pool.start()
        if self.isolation > IsolationLevel.PROCESS:
            await self._test_itself()

    def _make_guest(self, binary: str, *, own_uids: bool) -> Deno:
        """Return what children of the platform become. ``own_uids``: they have others than the server."""
        scripts = str(_SCRIPTS)
        if self._work_root is not None and own_uids:
            # what lies in somebody's private home they could not reach
            if not _is_public(binary):
                binary = self._work_root.adopt(binary, DENO)
            if not _is_public(scripts):
                scripts = self._work_root.adopt(scripts, "scripts")
        return Deno(binary, scripts, zone=time_zone())

    def _lodge(self, image: Image, machine: Machine) -> tuple[tuple[str, ...], Tenancy | None]:
        """Return what a zygote of an image imports ahead that others wrote, and the cgroups that bound it.

        Nothing where it could not be bounded, or would have the server's own uid on the host, and nothing if a zygote
        that tried did not get ready, or did what no zygote of ours does.
        """
        if not image.preload or self._rooms is None or machine.single_uid:
            return (), None
        if doubt := self._trust.doubt(image):
            _log.warning("nothing is preloaded for runtime revision %s: %s", image.revision, doubt)
            return (), None
        tenancy = self._rooms.open()
        tenancy.lodging.limit(dataclasses.replace(_LODGING, memory_bytes=self._config.preload_bytes), fresh=True)
        return image.preload, tenancy

    def _open_cgroups(self) -> Cgroups | CgroupError:
        if self._config.max_level < IsolationLevel.CONTAINED:
            return CgroupError("not asked for", "")
        try:
            self._cgroups = open_cgroups()
        except CgroupError as error:
            return error
        self._rooms = Rooms(self._cgroups.make_group)
        return self._cgroups

    async def _test_itself(self) -> None:
        with canary.bait(self._config.disk_bytes) as job:
            breach = canary.breaches(await self.run(job))
        if breach is not None:
            raise IsolationUnavailable(f"The sandbox does not hold: {breach}. The server does not start like this.")

    async def stop(self) -> None:
        """End every process and remove every cgroup and directory. Runs that are not done end as LOST."""
        if self._pool is not None:
            await self._pool.stop()
            self._pool = None
        if self._cgroups is not None:
            await asyncio.to_thread(self._cgroups.close)
            self._cgroups = None
        if self._egress is not None:
            self._egress.close()
            self._egress = None
        if self._work_root is not None:
            await asyncio.to_thread(self._work_root.close)
            self._work_root = None

    async def run(self, job: Job, output: OutputSink | None = None, begun: Callable[[], None] | None = None) -> Outcome:
        """Run a job to its end. Cancelling the awaiting task kills the whole process tree first.

        ``limits.timeout_ms`` counts from the hand-off, of which ``begun`` is told; the caller bounds the wait for a
        process by cancelling. Raises RuntimeMissing for a language that is not installed, Unavailable before ``start``
        and after ``stop``.
        """
        if job.image.platform is Platform.DENO and self._deno is None:
            raise RuntimeMissing(
                f"{job.language} does not run on this server: there is no Deno; the operator can install the Python "
                "package `deno`.",
                subject=job.language,
                metadata={"language": job.language.value},
            )
        if self._pool is None or self._options is None:
            raise Unavailable("The sandbox is not running.")
        if job.egress is not None and self._egress is None:
            raise IsolationUnavailable(self._no_egress(), subject="egress")
        asked = time.perf_counter_ns()
        try:
            lease = await self._pool.acquire(job)
        except PoolError as error:
            return self._lost(f"Nothing ran, because {error}; try again.")
        try:
            if begun is not None:
                begun()
            start_us = (time.perf_counter_ns() - asked) // 1000
            run = Run(lease.child, job, self._options, output)
            if job.egress is None:
                return await run.perform(lease.start_kind, start_us)
            return await self._with_egress(run, lease, job, start_us)
        except OSError as error:
            lease.child.kill()
            return self._lost(f"The limits of the run cannot be set ({error.strerror}).")
        finally:
            self._pool.release(lease)

    async def _with_egress(self, run: Run, lease: Lease, job: Job, start_us: int) -> Outcome:
        """Run with a proxy that ends with the run."""
        assert self._egress is not None  # noqa: S101
        assert job.egress is not None  # noqa: S101
        assert lease.child.listener is not None  # noqa: S101
        async with self._egress.serve(lease.child.listener, job.egress, job.project_id) as session:
            try:
                outcome = await run.perform(lease.start_kind, start_us)
            except asyncio.CancelledError:
                if job.outbound is not None:
                    job.outbound(session.ledger.requests, session.ledger.omitted)
                raise
        return dataclasses.replace(outcome, outbound=session.ledger.requests, outbound_omitted=session.ledger.omitted)

    def _no_egress(self) -> str:
        why = next((f for f in self._findings if f.feature == "namespaces"), None)
        return (
            f"Code can reach the network at isolation level {IsolationLevel.NAMESPACED.value} and above only, and this "
            f"server has {self.isolation.value}: "
            + (f"namespaces: {why.detail} ({why.remedy})." if why is not None else "it has no namespaces.")
        )

    @property
    def images(self) -> tuple[Image, ...]:
        """The images that have processes, or had some a moment ago."""
        return self._pool.images if self._pool is not None else ()

    def ready(self, job: Job) -> bool:
        """Whether there is a zygote for a job; where there is none, it may take seconds to start."""
        return self._pool is None or self._pool.ready(job.image)

    async def get_ready(self, job: Job) -> None:
        """Wait until there is a zygote for a job, or until that has failed: then the run says why."""
        if self._pool is not None:
            with contextlib.suppress(PoolError):
                await self._pool.get_ready(job.image)

    def keep_ready(self, project_id: str, package_id: str, job: Job | None, count: int) -> None:
        """Have so many warm workers of a job's program ready, in place of what the package had ready.

        Their number counts among ``warm``; what does not fit there, or into the memory, is not made.
        """
        if self._pool is not None:
            self._pool.keep_ready(project_id, package_id, job, count)

    @property
    def counts(self) -> PoolCounts:
        """How many processes there are now."""
        return self._pool.counts if self._pool is not None else PoolCounts(waiting=0, idle=0, busy=0, warm_bytes=0)

    async def _warm(self, job: Job) -> bool:
        outcome = await self.run(job)
        if outcome.ending is not Ending.RETURNED:
            _log.warning("a warm worker of %s cannot be made ready: %s", job.key and job.key.version, outcome.ending)
        return outcome.ending is Ending.RETURNED

    def _lost(self, message: str) -> Outcome:
        _log.error("a run was lost: %s", message)
        error = ExecutionError(reason=Reason.WORKER_LOST, message=message)
        return Outcome(ending=Ending.LOST, error=error, exit_code=1, isolation=self.isolation)

    async def retire(self, project_id: str, package_id: str, version_id: str | None = None) -> None:
        """End the idle warm workers of a version (of all versions of a package), busy ones after their run."""
        if self._pool is not None:
            self._pool.retire(project_id, package_id, version_id)


def _ignore(why: str) -> None:
    pass


def _is_public(path: str) -> bool:
    """Whether any user may read and execute what is at a path, and all that leads to it."""
    place = Path(path)
    return all(each.stat().st_mode & 0o5 == 0o5 for each in (place, *place.parents))


def _run_uids(machine: Machine, host_uids: range, count: int) -> range | None:
    """Return the uids that children take, as they see them; None: they keep the one they have."""
    if machine.namespaces:
        return None if machine.single_uid else range(FIRST_UID, FIRST_UID + count)
    return host_uids[FIRST_UID : FIRST_UID + count] if machine.other_uid else None
