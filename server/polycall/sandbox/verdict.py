"""How a run ended, judged from what the server and the kernel know.

A pure function of facts. The child's own words are believed for one thing only: what the code returned or raised.
"""

from __future__ import annotations

import enum
import errno
import os
import signal as signals

from polycall.domain import ExecutionError, Limits, Reason
from polycall.sandbox.frames import Failure, FrameError, Reply, TooLarge, parse_failure, parse_json
from polycall.sandbox.job import Ending
from polycall.structs import cstruct

__all__ = ["Facts", "Stop", "Verdict", "judge"]

_MIB = 1 << 20
# RLIMIT_CPU: the first at the soft limit, the second at the hard one, and for a process 1, which ignores the first
_CPU_SIGNALS = (signals.SIGXCPU, signals.SIGKILL)


_NO_MEMORY = f"[Errno {errno.ENOMEM}] "
# for what lies outside its heap; the heap itself ends the process
_NO_MEMORY_OF_V8 = (
    "Array buffer allocation failed",
    "WebAssembly.Memory(): could not allocate memory",
    "WebAssembly.Memory.grow(): Unable to grow instance memory",
)


class Stop(enum.Enum):
    """Why the server stopped waiting for a run."""

    REPLIED = enum.auto()  # with a frame, good or bad
    GONE = enum.auto()  # the process ended, or closed its connection
    TIMED_OUT = enum.auto()
    FLOODED = enum.auto()
    # what the guard saw
    OUT_OF_MEMORY = enum.auto()
    OUT_OF_CPU_TIME = enum.auto()
    TOO_MANY_PROCESSES = enum.auto()
    OUT_OF_DISK = enum.auto()


@cstruct(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a run. ``status`` is wait4's; None: not known, or not ended yet when the answer was due."""

    stop: Stop
    reply: Reply | FrameError | None
    status: int | None
    killed: bool  # by the server, before it ended by itself
    out_of_memory: bool  # the kernel killed some process of the tree for it
    out_of_cpu_time: bool = False  # its process used as much as it may
    lost: bool  # the zygote died
    script: bool
    undefined: bool = False  # the language has a value that is none: an empty payload
    limits: Limits


@cstruct(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The part of an Outcome that says how it ended."""

    ending: Ending
    value: bytes | None = None
    error: ExecutionError | None = None
    exit_code: int = 0
    signal: int | None = None


def judge(facts: Facts) -> Verdict:
    """Return how the run ended."""
    limits = facts.limits
    if facts.out_of_memory or facts.stop is Stop.OUT_OF_MEMORY:
        return _killed(Ending.OUT_OF_MEMORY, Reason.OUT_OF_MEMORY, _memory_text(limits))
    if facts.stop is Stop.TIMED_OUT:
        text = f"Execution timed out after {limits.timeout_ms / 1000:g} s (its timeout)."
        return _killed(Ending.TIMED_OUT, Reason.EXECUTION_TIMEOUT, text)
    if facts.stop is Stop.OUT_OF_CPU_TIME:
        return _out_of_cpu_time(limits)
    if facts.stop is Stop.TOO_MANY_PROCESSES:
        text = f"Killed: more than {limits.processes} processes and threads (its limit)."
        return _killed(Ending.TOO_MANY_PROCESSES, Reason.PROCESSES_EXCEEDED, text)
    if facts.stop is Stop.OUT_OF_DISK:
        text = f"Killed: its files took more than they may (its limit is {limits.disk_bytes / _MIB:g} MiB)."
        return _killed(Ending.OUT_OF_DISK, Reason.DISK_EXCEEDED, text)
    if facts.stop is Stop.FLOODED:
        return _killed(Ending.OUTPUT_TOO_LARGE, Reason.OUTPUT_TOO_LARGE, "Stopped: far too much output.")
    if facts.stop is Stop.REPLIED and facts.reply is not None:
        return _from_reply(facts.reply, facts)
    return _from_status(facts)


def _killed(ending: Ending, reason: Reason, message: str) -> Verdict:
    number = int(signals.SIGKILL)
    return Verdict(
        ending=ending, error=ExecutionError(reason=reason, message=message), exit_code=128 + number, signal=number
    )


def _out_of_cpu_time(limits: Limits) -> Verdict:
    text = f"Stopped after {limits.cpu_ms / 1000:g} s of CPU time (its limit)."
    return _killed(Ending.OUT_OF_CPU_TIME, Reason.CPU_TIME_EXCEEDED, text)


def _memory_text(limits: Limits) -> str:
    return f"Killed: out of memory (its limit is {limits.memory_bytes / _MIB:g} MiB)."


def _from_reply(reply: Reply | FrameError, facts: Facts) -> Verdict:
    try:
        if isinstance(reply, FrameError):
            raise reply
        if reply.kind == "result" and not facts.script:
            nothing = facts.undefined and not reply.payload
            return Verdict(ending=Ending.RETURNED, value=b"" if nothing else parse_json(reply.payload))
        if reply.kind == "raised" or (reply.kind == "missing" and not facts.script):
            return _raised(parse_failure(reply.payload), missing=reply.kind == "missing", facts=facts)
        if reply.kind == "unserializable":
            return _unserializable(" ".join(reply.payload.decode(errors="replace").split()))
        if reply.kind == "too_large":
            return _too_large(facts.limits)
    except TooLarge:
        return _too_large(facts.limits)
    except FrameError as error:
        return _unserializable(f"The result is not valid JSON: {error}.")
    return _unserializable("The result is not one that polycall knows.")


def _raised(failure: Failure, *, missing: bool, facts: Facts) -> Verdict:
    ending, reason, message = Ending.RAISED, Reason.USER_EXCEPTION, failure.message
    if missing:
        reason = Reason.ENTRYPOINT_NOT_FOUND
    elif _for_want_of_memory(failure):
        ending, reason, message = Ending.OUT_OF_MEMORY, Reason.OUT_OF_MEMORY, _memory_text(facts.limits)
    error = ExecutionError(
        reason=reason, message=message, type=failure.type, module=failure.module, traceback=failure.traceback
    )
    return Verdict(ending=ending, error=error, exit_code=1)


def _for_want_of_memory(failure: Failure) -> bool:
    """Whether an exception is what code gets that asks for more than its limit: for objects, or for a mapping."""
    if failure.module == "builtins":
        return failure.type == "MemoryError" or (failure.type == "OSError" and failure.message.startswith(_NO_MEMORY))
    return failure.type == "RangeError" and failure.message in _NO_MEMORY_OF_V8


def _unserializable(message: str) -> Verdict:
    return Verdict(
        ending=Ending.NOT_SERIALIZABLE, error=ExecutionError(reason=Reason.OUTPUT_NOT_SERIALIZABLE, message=message)
    )


def _too_large(limits: Limits) -> Verdict:
    message = f"The result is larger than {limits.result_bytes} bytes (its limit)."
    return Verdict(
        ending=Ending.RESULT_TOO_LARGE, error=ExecutionError(reason=Reason.RESULT_TOO_LARGE, message=message)
    )


def _from_status(facts: Facts) -> Verdict:
    if facts.lost or (facts.status is None and not facts.killed):
        message = "The sandbox that ran this was lost; nothing is wrong with the code. Run it again."
        return Verdict(
            ending=Ending.LOST, error=ExecutionError(reason=Reason.WORKER_LOST, message=message), exit_code=1
        )
    if facts.status is None or (facts.killed and os.WIFSIGNALED(facts.status)):
        return _killed(
            Ending.SIGNALLED, Reason.KILLED_BY_SIGNAL, "Stopped: the code closed its connection to polycall and ran on."
        )
    if os.WIFSIGNALED(facts.status):
        number = os.WTERMSIG(facts.status)
        if facts.out_of_cpu_time and number in _CPU_SIGNALS:
            return _out_of_cpu_time(facts.limits)
        message = f"Killed by signal {number} ({_signal_name(number)})."
        error = ExecutionError(reason=Reason.KILLED_BY_SIGNAL, message=message)
        return Verdict(ending=Ending.SIGNALLED, error=error, exit_code=128 + number, signal=number)
    code = os.WEXITSTATUS(facts.status)
    if facts.script and code == 0:
        return Verdict(ending=Ending.EXITED)
    error = ExecutionError(reason=Reason.USER_EXIT, message=f"The code ended its process with exit code {code}.")
    return Verdict(ending=Ending.EXITED, error=error, exit_code=code)


def _signal_name(number: int) -> str:
    try:
        return signals.Signals(number).name
    except ValueError:
        return "real-time"
