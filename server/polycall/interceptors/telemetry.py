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

from polycall.errors import Code
from polycall.interceptors.rpc import Rpc, Stream, Unary

__all__ = ["Telemetry"]

log = logging.getLogger("polycall.calls")


class Telemetry:
    """Measures calls and tells of them; counts them by method and code in ``counts``, if that is given."""

    def __init__(self, counts: Counter[tuple[str, Code]] | None = None) -> None:
        self._counts: Counter[tuple[str, Code]] = Counter() if counts is None else counts

    def unary(self, inner: Unary) -> Unary:
        """Call, and log."""

        async def measured(request: Message, rpc: Rpc) -> Message:
            begun = time.perf_counter()
            code = Code.OK
            try:
                answer = await inner(request, rpc)
                _tell(rpc)
                return answer
            except BaseException as error:
                code = _code_of(error, rpc)
                raise
            finally:
                self._counts[rpc.method, code] += 1
                _log(rpc, code, time.perf_counter() - begun)

        return measured

    def stream(self, inner: Stream) -> Stream:
        """Stream, and log at the end."""

        async def measured(request: Message, rpc: Rpc) -> AsyncIterator[Message]:
            begun = time.perf_counter()
            code = Code.OK
            try:
                async with aclosing(inner(request, rpc)) as answers:  # type: ignore[type-var]
                    async for answer in answers:
                        yield answer
                _tell(rpc)
                status = rpc.context.code()  # a face sets it beside its body
                code = Code(status.value[0]) if isinstance(status, grpc.StatusCode) else Code(status or 0)
            except BaseException as error:
                code = _code_of(error, rpc)
                raise
            finally:
                self._counts[rpc.method, code] += 1
                _log(rpc, code, time.perf_counter() - begun)

        return measured


def _code_of(error: BaseException, rpc: Rpc) -> Code:
    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        return Code.CANCELLED
    if isinstance(error, grpc.aio.AbortError) and rpc.code is not None:
        return rpc.code
    return Code.UNKNOWN


def _tell(rpc: Rpc) -> None:
    execution = rpc.execution
    if execution is not None:
        rpc.add_trailing(("polycall-execution", f"executions/{execution.id}"))
        if execution.start_kind is not None:
            rpc.add_trailing(
                ("polycall-start-kind", execution.start_kind.value),
                ("polycall-queue-ms", f"{execution.usage.queue_us / 1000:.3f}"),
                ("polycall-run-ms", f"{execution.usage.run_us / 1000:.3f}"),
            )
    rpc.set_trailing()


def _log(rpc: Rpc, code: Code, seconds: float) -> None:
    if not log.isEnabledFor(logging.INFO):
        return
    line = f"method={rpc.method} code={code.name} ms={seconds * 1000:.1f} request={rpc.request_id}"
    if rpc.trace_id:
        line += f" trace={rpc.trace_id}"
    if rpc.key_id:
        line += f" key={rpc.key_id}"
    execution = rpc.execution
    if execution is not None:
        line += f" state={execution.state.name} execution=executions/{execution.id}"
        if execution.start_kind is not None:
            used = execution.usage
            line += (
                f" start-kind={execution.start_kind.value}"
                f" queue-ms={used.queue_us / 1000:.3f} run-ms={used.run_us / 1000:.3f}"
            )
    log.info(line)
