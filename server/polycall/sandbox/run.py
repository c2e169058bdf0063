"""One call of one child, from the hand-off to the outcome."""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from polycall.domain import Convention, IsolationLevel, StartKind, Stream, Usage
from polycall.sandbox.child import Child, Exit
from polycall.sandbox.frames import FrameError, Reply, encode_frame
from polycall.sandbox.job import Job, Outcome, OutputSink
from polycall.sandbox.output import Output
from polycall.sandbox.verdict import Facts, Stop, judge

__all__ = ["Program", "RunOptions", "run_call"]

# A process that closed its connection without an answer is usually ending; one that goes on after this is killed.
_GONE_S = 1.0
# From the kill to the news of it: the kernel empties a pid namespace within some 0.1 s, a large address space slower.
_KILL_S = 2.0
# After the end of the process, how long its last words may take: a survivor may hold the pipe for ever.
_EOF_S = 0.15
_EOF_STEP_S = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What holds for every run of a sandbox."""

    isolation: IsolationLevel
    hard_output_bytes: int
    bound_address_space: bool  # no cgroup bounds the memory of the tree
    own_uid: bool  # RLIMIT_NPROC counts this child's processes alone


@dataclass(frozen=True, slots=True)
class Program:
    """What a child has loaded: two calls may share a child if these are equal."""

    digest: str

    @classmethod
    def of(cls, job: Job) -> Program:
        """Digest everything that is fixed at load, whatever the job's key says."""
        limits = job.limits
        fixed = (
            job.key and (job.key.project_id, job.key.package_id, job.key.version_id, job.key.digest),
            job.bundle.digest,
            sorted(job.env.items()),
            job.adapter,
            (limits.memory_bytes, limits.processes, limits.open_files, limits.disk_bytes),
        )
        return cls(hashlib.sha256(json.dumps(fixed).encode()).hexdigest())


def _load_frame(job: Job, options: RunOptions) -> list[bytes]:
    header: Mapping[str, object] = {
        "op": "load",
        "files": [(path, len(data)) for path, data in job.bundle.files.items()],
        "adapter": job.adapter is not None,
        "env": dict(job.env),
        "memory": job.limits.memory_bytes,
        "open_files": job.limits.open_files,
        "processes": job.limits.processes if options.own_uid else None,
        "bound_address_space": options.bound_address_space,
    }
    return encode_frame(header, [*job.bundle.files.values(), (job.adapter or "").encode()])


def _call_frame(job: Job, nonce: str) -> list[bytes]:
    parts = {"payload": job.payload, "context": job.context, "options": job.adapter_options, "stdin": job.stdin}
    header: Mapping[str, object] = {
        "op": "call",
        "nonce": nonce,
        "convention": job.convention.value,
        "entrypoint": job.entrypoint,
        "parameters": job.parameters,
        "args": job.args,
        "result_bytes": job.limits.result_bytes,
        "files": [(file.path, len(file.data)) for file in job.files],
        "parts": [(name, len(data)) for name, data in parts.items()],
    }
    return encode_frame(header, [*parts.values(), *(file.data for file in job.files)])


class _Run:
    """Waits for the first of: a frame, the end of the process, the timer, a flood."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self.stopped: asyncio.Future[Stop] = asyncio.get_running_loop().create_future()
        self.reply: Reply | FrameError | None = None
        self.killed = False

    def stop(self, why: Stop) -> None:
        if not self.stopped.done():
            self.stopped.set_result(why)

    def hear(self, event: Reply | FrameError | None) -> None:
        self.reply = event
        self.stop(Stop.GONE if event is None else Stop.REPLIED)

    def kill(self) -> None:
        self.killed = True
        self._child.kill()

    async def end(self, patience: float) -> Exit | None:
        """Wait until the process is gone, at most ``patience`` seconds; then kill it and wait for that."""
        if not await _within(self._child.exited, patience):
            self.kill()
            await _within(self._child.exited, _KILL_S)
        return self._child.exited.result() if self._child.exited.done() else None


async def _within(future: asyncio.Future[Exit | None], seconds: float) -> bool:
    done, _ = await asyncio.wait([future], timeout=seconds)
    return bool(done)


async def run_call(
    child: Child, job: Job, options: RunOptions, sink: OutputSink | None, start_kind: StartKind, start_us: int
) -> Outcome:
    """Hand a job to a child that is ready and return what became of it.

    The child is fit for another call afterwards if it is still ``usable``; otherwise it has been killed or has ended.
    Raises OSError if the limits cannot be set.
    """
    loop = asyncio.get_running_loop()
    group = child.slot.group
    if group is not None:
        group.limit(job.limits)
    kills = group.memory().kills if group is not None else 0
    run = _Run(child)
    output = Output(
        child.stdout, child.stderr, job.limits, sink, options.hard_output_bytes, lambda: run.stop(Stop.FLOODED)
    )
    nonce = secrets.token_hex(8)
    cpu_before = child.cpu_us()
    handed_over = loop.time()
    timer = loop.call_later(job.limits.timeout_ms / 1000, run.stop, Stop.TIMED_OUT)
    child.listener = run.hear
    frames = _load_frame(job, options) if child.calls == 0 else []
    child.calls += 1
    child.send([*frames, *_call_frame(job, nonce)], job.limits.result_bytes)
    exit: Exit | None = None
    try:
        if not child.usable:
            run.stop(Stop.GONE)
        stop = await run.stopped
        ended_at = loop.time()
        if isinstance(run.reply, Reply):
            # everything printed before the frame is in the pipes already
            output.drain()
            if run.reply.nonce != nonce or run.reply.odd or run.reply.kind == "ready":
                child.usable = False
            if run.reply.nonce != nonce:
                run.reply = FrameError("it is not the answer to this call")
        else:
            exit = await run.end(_GONE_S if stop is Stop.GONE else 0)
            ended_at = loop.time() if stop is Stop.GONE else ended_at
            await _last_words(output)
        cpu = _difference(exit.cpu_us if exit is not None else child.cpu_us(), cpu_before)
        memory = group.memory() if group is not None else None
    except asyncio.CancelledError:
        await asyncio.shield(asyncio.ensure_future(run.end(0)))
        raise
    finally:
        timer.cancel()
        child.listener = None
        output.close()
        if not run.stopped.done() or not isinstance(run.reply, Reply):
            child.usable = False
    out_of_memory = memory is not None and memory.kills > kills
    if out_of_memory:
        child.usable = False
    verdict = judge(
        Facts(
            stop=stop,
            reply=run.reply,
            status=exit.status if exit is not None else None,
            killed=run.killed,
            out_of_memory=out_of_memory,
            lost=child.exited.done() and child.exited.result() is None,
            script=job.convention is Convention.SCRIPT,
            limits=job.limits,
        )
    )
    peak = memory.peak if memory is not None else None
    stdout, stdout_truncated = output.text(Stream.STDOUT)
    stderr, stderr_truncated = output.text(Stream.STDERR)
    return Outcome(
        ending=verdict.ending,
        value=verdict.value,
        error=verdict.error,
        exit_code=verdict.exit_code,
        signal=verdict.signal,
        stdout=stdout,
        stderr=stderr,
        stdout_truncated=stdout_truncated,
        stderr_truncated=stderr_truncated,
        usage=Usage(
            start_us=start_us,
            run_us=round((ended_at - handed_over) * 1e6),
            cpu_us=cpu,
            peak_memory_bytes=peak if peak is not None else exit.peak_bytes if exit is not None else None,
        ),
        start_kind=start_kind,
        isolation=options.isolation,
    )


def _difference(after: int | None, before: int | None) -> int | None:
    return max(0, after - before) if after is not None and before is not None else None


async def _last_words(output: Output) -> None:
    """Read until both streams end, but not for long."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _EOF_S
    output.drain()
    while not output.ended and loop.time() < deadline:
        await asyncio.sleep(_EOF_STEP_S)
        output.drain()
