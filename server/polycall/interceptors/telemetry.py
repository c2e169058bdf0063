"""One log line a call, and what the caller is told of it in trailing metadata.

``x-request-id`` always; where an execution was answered, ``polycall-execution`` (its name) and, once it was started,
``polycall-start-kind``, ``polycall-queue-ms`` and ``polycall-run-ms``. The line has ids, codes and times; never inputs,
outputs or keys.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing

import grpc.aio
from google.protobuf.message import Message

from polycall.domain import ExecutionState
from polycall.errors import Code
from polycall.interceptors.rpc import Rpc, Stream, Unary
from polycall.logs import say

__all__ = ["Telemetry"]

log = logging.getLogger("polycall.calls")

# to ask a member of an enum for its name is two calls of Python code
_NAMES = {code: code.name for code in Code}
_STATES = {state: state.name for state in ExecutionState}


class Telemetry:
    """Measures calls and tells of them; counts them by method and code in ``counts``, if that is given."""

    def __init__(self, counts: Counter[tuple[str, Code]] | None = None) -> None:
        self._counts: Counter[tuple[str, Code]] = Counter() if counts is None else counts

    def tell(self, rpc: Rpc, code: Code, *facts: tuple[str, str]) -> None:
        """Count and log a call that came to no method. ``facts`` join its line."""
        self._counts[rpc.method, code] += 1
        told = "".join([f" {name}={value}" for name, value in facts])
        _log(rpc, code, time.monotonic() - rpc.came_at, told)

    def unary(self, inner: Unary) -> Unary:
        """Call, and log."""

        async def measured(request: Message, rpc: Rpc) -> Message:
            begun = time.perf_counter()
            code = Code.OK
            told = ""
            try:
                answer = await inner(request, rpc)
                told = _tell(rpc)
                return answer
            except BaseException as error:
                code = _code_of(error, rpc)
                raise
            finally:
                self._counts[rpc.method, code] += 1
                _log(rpc, code, time.perf_counter() - begun, told)

        return measured

    def stream(self, inner: Stream) -> Stream:
        """Stream, and log at the end."""

        async def measured(request: Message, rpc: Rpc) -> AsyncIterator[Message]:
            begun = time.perf_counter()
            code = Code.OK
            told = ""
            try:
                async with aclosing(inner(request, rpc)) as answers:  # type: ignore[type-var]
                    async for answer in answers:
                        yield answer
                told = _tell(rpc)
                status = rpc.context.code()  # a face sets it beside its body
                code = Code(status.value[0]) if isinstance(status, grpc.StatusCode) else Code(status or 0)
            except BaseException as error:
                code = _code_of(error, rpc)
                raise
            finally:
                self._counts[rpc.method, code] += 1
                _log(rpc, code, time.perf_counter() - begun, told)

        return measured


def _code_of(error: BaseException, rpc: Rpc) -> Code:
    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        return Code.CANCELLED
    if isinstance(error, grpc.aio.AbortError) and rpc.code is not None:
        return rpc.code
    return Code.UNKNOWN


def _facts(rpc: Rpc) -> tuple[list[tuple[str, str]], str]:
    """Return what the caller is told of the execution that was answered, and the same for the log's line."""
    execution = rpc.execution
    if execution is None:
        return [], ""
    name, state = f"executions/{execution.id}", _STATES[execution.state]
    if execution.start_kind is None:
        return [("polycall-execution", name)], f" state={state} execution={name}"
    used, kind = execution.usage, str(execution.start_kind)
    queue_ms, run_ms = f"{used.queue_us / 1000:.3f}", f"{used.run_us / 1000:.3f}"
    told = [
        ("polycall-execution", name),
        ("polycall-start-kind", kind),
        ("polycall-queue-ms", queue_ms),
        ("polycall-run-ms", run_ms),
    ]
    return told, f" state={state} execution={name} start-kind={kind} queue-ms={queue_ms} run-ms={run_ms}"


def _tell(rpc: Rpc) -> str:
    """Tell the caller; return what the log is to say of it."""
    told, line = _facts(rpc)
    rpc.set_trailing(told)
    return line


def _log(rpc: Rpc, code: Code, seconds: float, told: str) -> None:
    if not log.isEnabledFor(logging.INFO):
        return
    line = f"method={rpc.method} code={_NAMES[code]} ms={seconds * 1000:.1f} request={rpc.request_id}"
    if rpc.trace_id:
        line += f" trace={rpc.trace_id}"
    if rpc.known is not None:
        line += f" key={rpc.known.key_id}"
    say(log, line + (told or _facts(rpc)[1]))
