"""One build of a runtime revision: in a sandbox, into a directory, with its imports tried."""

from __future__ import annotations

import asyncio
import hashlib
import json
import queue
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from polycall.domain import (
    Convention,
    EgressPolicy,
    EgressRule,
    Limits,
    ManifestKind,
    OutputChunk,
    RuntimeRevision,
    Stream,
)
from polycall.engine.buildlog import BuildLog
from polycall.engine.limits import KIB, MIB
from polycall.engine.sharing import Sharing, TakesTooLong
from polycall.engine.tasks import through
from polycall.quick import dataclass
from polycall.runtimes.environments import Environments
from polycall.runtimes.manifest import Manifest, digest_of, parse_imports, parse_manifest
from polycall.runtimes.tools import build_tools
from polycall.runtimes.unpacking import BadEnvironment, Unpacker
from polycall.sandbox.image import Image, Platform
from polycall.sandbox.job import Bundle, Ending, Job, Outcome, Runner

__all__ = ["BuildFailed", "BuildSettings", "Builder", "Built"]

# A pip resolver, its downloads and their threads; a node_modules of thousands of packages.
_PROCESSES, _OPEN_FILES = 256, 1024
_PROCESSORS = 2  # what is downloaded is unpacked side by side
# One inode for 16 KiB of disk, as the sandbox has it.
_BYTES_PER_FILE = 16 * KIB
_LOG_BYTES = 16 * MIB  # of the tool's words; the record keeps less
_ANSWER_BYTES = 256 * KIB
# Imports that die or hang, each of which costs another try; after that nothing is preloaded.
_MOST_TRIES = 5


class BuildFailed(Exception):
    """Raised when there is no environment; says why, for whoever wrote the manifest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildSettings:
    """What the operator allows a build: time, memory, the size of what it makes; and where packages come from."""

    timeout_s: float = 600.0
    memory_bytes: int = 1024 * MIB
    size_bytes: int = 512 * MIB
    disk_bytes: int = 20 * KIB * MIB  # of all environments together
    preload: bool = True
    preload_timeout_s: float = 10.0  # less than a zygote may take to start
    preload_memory_bytes: int = 512 * MIB
    python_index_url: str = "https://pypi.org/simple"
    python_file_hosts: tuple[str, ...] = ("files.pythonhosted.org",)  # beside the index's own
    npm_registry_url: str = "https://registry.npmjs.org"


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """An environment that is on disk."""

    digest: str
    size_bytes: int
    file_count: int
    preload: tuple[str, ...]


class _Tried(msgspec.Struct):
    """What ``imports.py`` returns."""

    good: list[str]
    bad: dict[str, str]
    stopped: str


class Builder:
    """Builds environments; with ``sharing``, each of them on one of the servers that have a database together."""

    def __init__(
        self, runner: Runner, environments: Environments, settings: BuildSettings, sharing: Sharing | None = None
    ) -> None:
        self._runner = runner
        self._sharing = sharing
        self._environments = environments
        self._settings = settings
        self._one_at_a_time: dict[str, asyncio.Lock] = {}

    def digest(self, revision: RuntimeRevision) -> str:
        """Return the name of the environment that a revision has."""
        manifest = parse_manifest(revision.manifest_kind, revision.manifest)
        return digest_of(manifest, self._registry(manifest.kind))

    async def build(self, revision: RuntimeRevision, log: BuildLog) -> Built:
        """Make the environment of a revision, unless it is there. Raises BuildFailed; OSError if the disk is full.

        Cancelling kills the build and leaves nothing.
        """
        manifest = parse_manifest(revision.manifest_kind, revision.manifest)
        digest = self.digest(revision)
        async with self._one_at_a_time.setdefault(digest, asyncio.Lock()):
            if self._sharing is not None:
                try:
                    await self._sharing.make(digest, partial(self._make, digest, manifest, log), log)
                except TakesTooLong:
                    raise BuildFailed("Another server builds the same and does not get it done; try again.") from None
            elif await asyncio.to_thread(self._environments.has, digest):
                log.say("The same manifest was built before: its environment is used.")
            else:
                await self._make(digest, manifest, log)
        size, files = await asyncio.to_thread(_measure, self._environments.path(digest))
        log.say(f"{files} files, {size / MIB:.1f} MiB.")
        preload: tuple[str, ...] = ()
        if manifest.kind is ManifestKind.REQUIREMENTS_TXT and self._settings.preload:
            image = self.image(replace(revision, digest=digest))
            preload = await self._try_imports(image, parse_imports(revision.additional_imports), manifest.names, log)
        return Built(digest=digest, size_bytes=size, file_count=files, preload=preload)

    def image(self, revision: RuntimeRevision) -> Image:
        """Return what processes of a built revision are made of."""
        python = revision.manifest_kind is ManifestKind.REQUIREMENTS_TXT
        return Image(
            platform=Platform.PYTHON if python else Platform.DENO,
            revision=f"{revision.project_id}/{revision.id}",
            path=str(self._environments.path(revision.digest)),
            preload=revision.preload,
        )

    async def use(self, revision: RuntimeRevision) -> bool:
        """Note that the environment of a revision is about to be used; False if it is not here any more."""
        return self._sharing is None or await self._sharing.use(revision.digest)

    async def obtain(self, revision: RuntimeRevision) -> bool:
        """See to it that the environment of a built revision is here; False: it has to be built again.

        Raises Unavailable; OSError if this server's disk does not take it.
        """
        if self._sharing is None:
            return await asyncio.to_thread(self._environments.has, revision.digest)
        if await self._sharing.use(revision.digest):
            return True
        # what another interpreter or machine has built is of no use here
        return self.digest(revision) == revision.digest and await self._sharing.fetch(revision.digest)

    def _registry(self, kind: ManifestKind) -> str:
        settings = self._settings
        return settings.python_index_url if kind is ManifestKind.REQUIREMENTS_TXT else settings.npm_registry_url

    def _egress(self, kind: ManifestKind) -> EgressPolicy:
        """Return the one way out: the registry's host, and those of its files."""
        url = urlsplit(self._registry(kind))
        hosts = [f"{url.hostname}:{url.port}" if url.port else url.hostname or ""]
        if kind is ManifestKind.REQUIREMENTS_TXT:
            hosts += self._settings.python_file_hosts
        return EgressPolicy(rules=tuple(EgressRule(host=host) for host in hosts), any_address=True)

    async def _make(self, digest: str, manifest: Manifest, log: BuildLog) -> None:
        settings = self._settings
        if not await self._room(settings.size_bytes):
            raise BuildFailed(
                f"There is no room: environments may have {settings.disk_bytes // MIB} MiB together "
                "(POLYCALL_RUNTIMES_MIB). Delete runtimes that are not used; their room is free after the next start."
            )
        log.say(f"Building from {self._registry(manifest.kind)}.")
        tools = str(await asyncio.to_thread(build_tools, self._environments))
        unpacking = _Unpacking(self._environments, digest, settings.size_bytes)
        making = asyncio.create_task(asyncio.to_thread(unpacking.run))

        def take(chunk: OutputChunk) -> None:
            if chunk.stream is Stream.STDOUT:
                unpacking.give(chunk.data)
            else:
                log.write(chunk.data)

        job = self._build_job(manifest, Image(revision="build-tools", path=tools, passing=True))
        try:
            outcome = await self._runner.run(job, take)
            failure = _failure(outcome, settings)
        except BaseException:
            unpacking.give(None)
            await through(_ended(making))
            raise
        if failure:
            unpacking.give(None)
        else:
            unpacking.complete()
        try:
            await through(_result(making))
        except BadEnvironment as error:
            raise BuildFailed(failure or f"What was built cannot be used: {error}.") from None
        if failure:
            raise BuildFailed(failure)

    async def _room(self, need: int) -> bool:
        if self._sharing is not None:
            return await self._sharing.room(need)
        return await asyncio.to_thread(self._environments.size) + need <= self._settings.disk_bytes

    def _build_job(self, manifest: Manifest, tools: Image) -> Job:
        settings = self._settings
        return Job(
            bundle=_program("build.py"),
            entrypoint="build:build",
            convention=Convention.INPUT,
            limits=Limits(
                timeout_ms=round(settings.timeout_s * 1000),
                memory_bytes=settings.memory_bytes + settings.size_bytes,  # its disk is memory
                processes=_PROCESSES,
                open_files=_OPEN_FILES,
                disk_bytes=settings.size_bytes,
                result_bytes=_ANSWER_BYTES,
                stdout_bytes=settings.size_bytes + settings.size_bytes // 8,  # and the names of the files
                stderr_bytes=_LOG_BYTES,
                cpu_ms=round(settings.timeout_s * 1000) * _PROCESSORS,
            ),
            payload=json.dumps(
                {
                    "kind": manifest.kind.value,
                    "manifest": manifest.text,
                    "tools": "/packages",
                    "registry": self._registry(manifest.kind),
                }
            ).encode(),
            image=tools,
            egress=self._egress(manifest.kind),
            streamed=True,
        )

    async def _try_imports(
        self, image: Image, modules: Sequence[str], names: Sequence[str], log: BuildLog
    ) -> tuple[str, ...]:
        """Return the modules that a zygote of the environment can import ahead; the others are in the log."""
        mark, skip = secrets.token_hex(8) + " ", list[str]()
        for _ in range(_MOST_TRIES):
            outcome = await self._runner.run(self._import_job(image, modules, names, skip, mark))
            tried = _tried(outcome)
            for name, why in tried.bad.items() if tried is not None else ():
                log.say(f"{name} is not preloaded: {why}")
            if tried is not None and not tried.stopped:
                if tried.good:
                    log.say(f"Preloaded: {', '.join(tried.good)}.")
                return tuple(name for name in tried.good if _is_module(name))
            culprit = tried.stopped if tried is not None else _last_marked(outcome.stdout, mark)
            if not culprit or culprit in skip:
                log.say(f"Nothing is preloaded: trying the imports failed ({_how(outcome)}).")
                return ()
            why = "it leaves threads behind" if tried is not None else _how(outcome)
            log.say(f"{culprit} is not preloaded: {why}")
            skip += [culprit, *(tried.bad if tried is not None else ())]
        log.say("Nothing is preloaded: too many imports failed.")
        return ()

    def _import_job(
        self, image: Image, modules: Sequence[str], names: Sequence[str], skip: Sequence[str], mark: str
    ) -> Job:
        settings = self._settings
        return Job(
            bundle=_program("imports.py"),
            entrypoint="imports:try_imports",
            convention=Convention.INPUT,
            limits=Limits(
                timeout_ms=round(settings.preload_timeout_s * 1000),
                memory_bytes=settings.preload_memory_bytes,
                processes=64,
                open_files=256,
                disk_bytes=64 * MIB,
                result_bytes=_ANSWER_BYTES,
                stdout_bytes=_ANSWER_BYTES,
                stderr_bytes=_ANSWER_BYTES,
                cpu_ms=round(settings.preload_timeout_s * 1000),
            ),
            payload=json.dumps(
                {"modules": list(modules), "names": list(names), "skip": list(skip), "mark": mark}
            ).encode(),
            image=image._replace(preload=(), passing=True),
        )


class _Unpacking:
    """Takes an archive on the event loop and unpacks it in a thread, as it comes."""

    def __init__(self, environments: Environments, digest: str, most_bytes: int) -> None:
        self._environments = environments
        self._digest = digest
        self._most_bytes = most_bytes
        # bounded by what a build may print
        self._pieces: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._complete = False

    def give(self, data: bytes | None) -> None:
        """Take a piece; None: that was all, whether it is complete or not."""
        self._pieces.put(data)

    def complete(self) -> None:
        """Let the environment be, once the last piece is written."""
        self._complete = True
        self._pieces.put(None)

    def run(self) -> None:
        """Unpack until the end. Blocking. Raises BadEnvironment, OSError."""
        self._environments.add(self._digest, self._fill)

    def _fill(self, root: Path) -> None:
        unpacker = Unpacker(
            root, most_bytes=self._most_bytes, most_files=max(1024, self._most_bytes // _BYTES_PER_FILE)
        )
        failure: Exception | None = None
        try:
            while (piece := self._pieces.get()) is not None:
                if failure is None:
                    try:
                        unpacker.feed(piece)
                    except (BadEnvironment, OSError) as error:
                        failure = error  # what still comes is taken and dropped
            if failure is not None:
                raise failure
            if not self._complete:
                raise BadEnvironment("the build ended before it was done")
            unpacker.finish()
        finally:
            unpacker.close()


def _program(name: str) -> Bundle:
    source = resources.files("polycall.runtimes.inside").joinpath(name).read_bytes()
    return Bundle(digest=hashlib.sha256(source).hexdigest(), files={name: source})


async def _result(task: asyncio.Task[None]) -> None:
    await task


async def _ended(task: asyncio.Task[None]) -> None:
    await asyncio.wait([task])
    task.exception()  # there is nothing more to say: it was given up


def _measure(path: Path) -> tuple[int, int]:
    """Return the bytes and the number of the files of an environment."""
    sizes = [file.lstat().st_size for file in path.rglob("*") if file.is_symlink() or file.is_file()]
    return sum(sizes), len(sizes)


def _failure(outcome: Outcome, settings: BuildSettings) -> str:
    """Return why a build has failed, "" if it has not."""
    match outcome.ending:
        case Ending.RETURNED:
            answer = _decoded(outcome.value)
            error = answer.get("error") if isinstance(answer, Mapping) else "the build gave no answer"
            text = error if isinstance(error, str) else "the build gave no answer"
            if "No space left" in text or "os error 28" in text:
                text += f" (an environment may have {settings.size_bytes // MIB} MiB; POLYCALL_RUNTIME_MIB)"
            return text
        case Ending.TIMED_OUT:
            return f"The build took longer than {settings.timeout_s:g} s, which is the most (POLYCALL_BUILD_TIMEOUT_S)."
        case Ending.OUT_OF_MEMORY:
            return f"The build needed more than {settings.memory_bytes // MIB} MiB (POLYCALL_BUILD_MEMORY_MIB)."
        case Ending.OUTPUT_TOO_LARGE:
            return f"The environment has more than {settings.size_bytes // MIB} MiB (POLYCALL_RUNTIME_MIB)."
    return f"The build failed: {outcome.error.message if outcome.error else outcome.ending.value}."


def _tried(outcome: Outcome) -> _Tried | None:
    if outcome.ending is not Ending.RETURNED or outcome.value is None:
        return None
    try:
        return msgspec.json.decode(outcome.value, type=_Tried)
    except msgspec.DecodeError:
        return None


def _decoded(value: bytes | None) -> Any:
    try:
        return msgspec.json.decode(value or b"null")
    except msgspec.DecodeError:
        return None


def _last_marked(stdout: bytes, mark: str) -> str:
    lines = [line for line in stdout.decode(errors="replace").splitlines() if line.startswith(mark)]
    return lines[-1].removeprefix(mark) if lines else ""


def _how(outcome: Outcome) -> str:
    return outcome.error.message if outcome.error is not None else outcome.ending.value


def _is_module(name: str) -> bool:
    return all(part.isidentifier() for part in name.split("."))
