"""One log line a call, and what the caller is told of it in trailing metadata.

``x-request-id`` always; where an execution was answered, ``polycall-execution`` (its name), ``polycall-start-kind``,
``polycall-queue-ms`` and ``polycall-run-ms``. The line has ids, codes and times; never inputs, outputs or keys.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import aclosing

import grpc.aio
from google.protobuf.message import Message

from polycall.domain import Execution
from polycall.errors import Code
from polycall.interceptors.call import Call, Stream, Unary

__all__ = ["Telemetry"]

log = logging.getLogger("polycall.calls")


class Telemetry:
    """Measures calls and tells of them."""

    def unary(self, inner: Unary) -> Unary:
        """Call, and log."""

        async def measured(request: Message, call: Call) -> Message:
            begun = time.perf_counter()
            code = Code.OK
            try:
                answer = await inner(request, call)
                _tell(call)
                return answer
            except BaseException as error:
                code = _code_of(error, call)
                raise
            finally:
                _log(call, code, time.perf_counter() - begun)

        return measured

    def stream(self, inner: Stream) -> Stream:
        """Stream, and log at the end."""

        async def measured(request: Message, call: Call) -> AsyncIterator[Message]:
            begun = time.perf_counter()
            code = Code.OK
            try:
                async with aclosing(inner(request, call)) as answers:  # type: ignore[type-var]
                    async for answer in answers:
                        yield answer
                _tell(call)
                code = Code(call.context.code() or 0)  # a face sets it beside its body
            except BaseException as error:
                code = _code_of(error, call)
                raise
            finally:
                _log(call, code, time.perf_counter() - begun)

        return measured


def _code_of(error: BaseException, call: Call) -> Code:
    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        return Code.CANCELLED
    if isinstance(error, grpc.aio.AbortError) and call.code is not None:
        return call.code
    return Code.UNKNOWN


def _tell(call: Call) -> None:
    if call.execution is not None:
        call.add_trailing(*((f"polycall-{name}", value) for name, value in _facts(call.execution)))
    call.set_trailing()


def _facts(execution: Execution) -> tuple[tuple[str, str], ...]:
    usage = execution.usage
    return (
        ("execution", f"executions/{execution.id}"),
        ("start-kind", execution.start_kind.value if execution.start_kind else "none"),
        ("queue-ms", f"{usage.queue_us / 1000:.3f}"),
        ("run-ms", f"{usage.run_us / 1000:.3f}"),
    )


def _log(call: Call, code: Code, seconds: float) -> None:
    if not log.isEnabledFor(logging.INFO):
        return
    facts = [f"method={call.method}", f"code={code.name}", f"ms={seconds * 1000:.1f}", f"request={call.request_id}"]
    if call.trace_id:
        facts.append(f"trace={call.trace_id}")
    if call.key_id:
        facts.append(f"key={call.key_id}")
    if call.execution is not None:
        facts.append(f"state={call.execution.state.name}")
        facts += [f"{name}={value}" for name, value in _facts(call.execution)]
    log.info(" ".join(facts))
