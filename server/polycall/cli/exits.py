"""Exit codes: what a script that called polycall can rely on."""

from __future__ import annotations

import enum

__all__ = ["Exit", "exit_of"]


class Exit(enum.IntEnum):
    """What the process's exit code means."""

    OK = 0
    FAILED = 1  # the user's code failed, or does not analyse
    USAGE = 2  # the request is wrong: arguments, names, input, state
    UNREACHABLE = 3  # no polycall there, or it cannot serve
    DENIED = 4  # no key, a bad key, a key without the scope
    LIMIT = 5  # a limit, a full queue, or time ran out
    INTERRUPTED = 130  # Ctrl-C; 128 + SIGINT, as shells have it


# Executions that did not complete because of a limit, not because of what the code meant to do.
_LIMITS = frozenset(
    {
        "CPU_TIME_EXCEEDED",
        "DISK_EXCEEDED",
        "EXECUTION_TIMEOUT",
        "OUTPUT_TOO_LARGE",
        "OUT_OF_MEMORY",
        "PROCESSES_EXCEEDED",
        "RESULT_TOO_LARGE",
    }
)


def exit_of(state: str, reason: str = "") -> Exit:
    """Return the exit code for an execution's state and error reason, both without their prefixes."""
    if state == "COMPLETED":
        return Exit.OK
    if reason == "WORKER_LOST":
        return Exit.UNREACHABLE
    if reason in _LIMITS or state in ("TIMEOUT", "QUEUED", "RUNNING"):
        return Exit.LIMIT  # not ended: the time to wait for it was
    return Exit.FAILED
