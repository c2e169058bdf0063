"""One call of one child, from the hand-off to the outcome."""

from __future__ import annotations

import asyncio
import os
import time

from polycall.domain import Convention, IsolationLevel, Language, StartKind, Usage
from polycall.ids import random_hex
from polycall.quick import dataclass
from polycall.sandbox.asks import MOST_ASK_BYTES, Asks
from polycall.sandbox.bounds import bound
from polycall.sandbox.cgroup import Memory
from polycall.sandbox.child import Child, Exit
from polycall.sandbox.frames import FrameError, Reply
from polycall.sandbox.guard import Gaps, Guard, bound_cpu, is_needed, may_be_out_of_cpu
from polycall.sandbox.job import Job, Outcome, OutputSink
from polycall.sandbox.orders import call_frame, load_frame
from polycall.sandbox.output import Output
from polycall.sandbox.verdict import Facts, Stop, Verdict, judge

__all__ = ["Run", "RunOptions"]

# A process that closed its connection without an answer is usually ending; one that goes on after this is killed.
_GONE_S = 1.0
# From the kill to the news of it: the kernel empties a pid namespace within some 0.1 s, a large address space slower.
_KILL_S = 2.0
# After the end of the process, how long its last words may take: a survivor may hold the pipe for ever.
_EOF_S = 0.15
_EOF_STEP_S = 0.005
# What cannot have one more block has not used up all that it could have had.
_NEARLY = 0.75


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What holds for every run of a sandbox."""

    isolation: IsolationLevel
    hard_output_bytes: int
    bound_address_space: bool  # no cgroup bounds the memory of the tree
    own_uid: bool  # RLIMIT_NPROC counts this child's processes alone
    gaps: Gaps


class Run:
    """Hands a job to a child that is ready, and finds out what becomes of it.

    The first of these decides: a frame, the end of the connection, the timer, a flood of output, the guard. The child
    is fit for another call afterwards if it is still ``usable``; otherwise it has ended, or its owner is to kill it.
    """

    def __init__(self, child: Child, job: Job, options: RunOptions, sink: OutputSink | None) -> None:
        self._child = child
        self._job = job
        self._options = options
        self._sink = sink
        self._nonce = random_hex()
        self._loop = asyncio.get_running_loop()
        self._stopped: asyncio.Future[Stop] = self._loop.create_future()
        self._reply: Reply | FrameError | None = None
        self._exit: Exit | None = None
        self._killed = False
        self._resting: int | None = None  # in memory before the run, of a process that was bound from outside
        self._asks = Asks(job.services, self._nonce, child.write) if job.services is not None else None

    async def perform(self, start_kind: StartKind, start_us: int) -> Outcome:
        """Run to the end. If cancelled, the process is gone first. Raises OSError if its cgroup is out of reach."""
        child, job, group = self._child, self._job, self._child.slot.group
        if group is not None:
            group.limit(child.traits.with_its_own(job.limits), fresh=child.calls == 0)
        most = self._options.hard_output_bytes
        if job.streamed:
            most = job.limits.stdout_bytes + job.limits.stderr_bytes
        output = Output(
            *(child.stdout, child.stderr, child.printed, job.limits, self._sink, most),
            lambda: self._stop(Stop.FLOODED),
            self._loop,
            streamed=job.streamed,
        )
        cpu_before, gaps, guard = child.cpu_us(), self._options.gaps, None
        if is_needed(job.limits, gaps):
            guard = Guard(child, child.traits.with_its_own(job.limits), gaps, self._stop)
            guard.start(cpu_before)
        # uvloop counts in milliseconds of a clock that it reads once a turn: without one more, a run ends too early
        seconds = (job.limits.timeout_ms + 1) / 1000
        timer = self._loop.call_later(seconds, self._stop, Stop.TIMED_OUT)
        handed_over = time.perf_counter_ns()
        self._hand_over()
        try:
            stop = await self._stopped
            ended = time.perf_counter_ns()
            if isinstance(self._reply, Reply):
                output.drain()  # everything printed before the frame is in the pipes already
            else:
                self._exit = await self._end(_GONE_S if stop is Stop.GONE else 0)
                await _last_words(output)
            cpu_after = child.cpu_us()
            if cpu_after is None and self._exit is not None:
                cpu_after = self._exit.cpu_us
            memory = group.memory() if group is not None else Memory(False, None)
        except asyncio.CancelledError:
            self._kill()
            await asyncio.wait([child.exited], timeout=_KILL_S)
            output.drain()  # its last words are still in the pipes
            raise
        finally:
            timer.cancel()
            if guard is not None:
                guard.close()
            output.close()
            if self._asks is not None:
                await self._asks.close()
        if memory.killed:
            child.usable = False
        usage = Usage(
            start_us=start_us,
            run_us=(ended - handed_over) // 1000,
            cpu_us=max(0, cpu_after - cpu_before) if cpu_after is not None and cpu_before is not None else None,
            peak_memory_bytes=self._exit.peak_bytes if memory.peak is None and self._exit else memory.peak,
        )
        return self._outcome(self._judge(stop, memory.killed), output, usage, start_kind)

    def _hand_over(self) -> None:
        child, options = self._child, self._options
        frames = call_frame(self._job, self._nonce)
        if child.calls == 0:
            if not child.traits.bounds_itself:
                memory = options.bound_address_space
                self._resting = bound(child, self._job.limits, own_uid=options.own_uid, memory=memory)
            load = load_frame(self._job, own_uid=options.own_uid, bound_address_space=options.bound_address_space)
            frames = [*load, *frames]
            if self._job.key is None:
                bound_cpu(child, self._job.limits)
        child.calls += 1
        most_ask = 0 if self._asks is None else MOST_ASK_BYTES
        child.send(frames, self._job.limits.result_bytes, self._hear, most_ask)
        if not child.usable:
            self._stop(Stop.GONE)

    def _hear(self, event: Reply | FrameError | None) -> None:
        if self._stopped.done():
            return  # too late
        if isinstance(event, Reply) and event.nonce != self._nonce:
            event = FrameError("it is not the answer to this call")
        if isinstance(event, Reply) and event.kind == "ask":
            wrong = FrameError("it may ask nothing") if self._asks is None else self._asks.take(event)
            if wrong is None:
                return
            event = wrong
        asking = self._asks is not None and self._asks.busy  # a thread of it still waits for what would come too late
        if not isinstance(event, Reply) or event.odd or asking:
            self._child.usable = False
        self._reply = event
        self._stop(Stop.GONE if event is None else Stop.REPLIED)

    def _stop(self, why: Stop) -> None:
        if not self._stopped.done():
            self._stopped.set_result(why)

    def _kill(self) -> None:
        self._killed = True
        self._child.kill()

    async def _end(self, patience_s: float) -> Exit | None:
        """Wait until the process is gone; kill it if that takes longer than ``patience_s``. None: nobody knows."""
        exited = self._child.exited
        if patience_s > 0:
            await asyncio.wait([exited], timeout=patience_s)
        if not exited.done():
            self._kill()
            await asyncio.wait([exited], timeout=_KILL_S)
        return exited.result() if exited.done() else None

    def _judge(self, stop: Stop, out_of_memory: bool) -> Verdict:
        exited = self._child.exited
        return judge(
            Facts(
                stop=stop,
                reply=self._reply,
                status=self._exit.status if self._exit is not None else None,
                killed=self._killed,
                out_of_memory=out_of_memory or (self._exit is not None and self._gave_up()),
                out_of_cpu_time=self._exit is not None and may_be_out_of_cpu(self._exit.cpu_us, self._job.limits),
                lost=exited.done() and exited.result() is None,
                script=self._job.convention is Convention.SCRIPT,
                undefined=self._job.language is not Language.PYTHON,
                limits=self._job.limits,
            )
        )

    def _gave_up(self) -> bool:
        """Whether an interpreter ended itself for want of memory: by a signal for it, and about as large as it may be.

        Only where no cgroup tells. The signal alone could be the code's own doing.
        """
        end, limit = self._exit, self._job.limits.memory_bytes
        if end is None or self._resting is None or not self._options.bound_address_space:
            return False
        if not os.WIFSIGNALED(end.status) or os.WTERMSIG(end.status) not in self._child.traits.gives_up:
            return False
        return end.peak_bytes - self._resting >= limit * _NEARLY

    def _outcome(self, verdict: Verdict, output: Output, usage: Usage, start_kind: StartKind) -> Outcome:
        stdout, stdout_truncated, stderr, stderr_truncated = output.texts()
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
            usage=usage,
            start_kind=start_kind,
            isolation=self._options.isolation,
        )


async def _last_words(output: Output) -> None:
    """Read until both streams end, but not for long."""
    deadline = time.monotonic() + _EOF_S
    output.listen()
    output.drain()
    while not output.ended and time.monotonic() < deadline:
        await asyncio.sleep(_EOF_STEP_S)
        output.drain()
