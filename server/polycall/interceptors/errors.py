"""From exceptions to gRPC statuses with details, in one place."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import NoReturn

import grpc.aio
from google.protobuf.message import Message

from polycall.errors import PolycallError
from polycall.interceptors.call import Call, Stream, Unary
from polycall.status import status_of, unexpected

__all__ = ["Errors"]

log = logging.getLogger(__name__)


class Errors:
    """Ends RPCs that raise. What is not a PolycallError is our fault: INTERNAL, and the log says where."""

    def unary(self, inner: Unary) -> Unary:
        """Call; abort for an exception."""

        async def guarded(request: Message, call: Call) -> Message:
            try:
                return await inner(request, call)
            except (asyncio.CancelledError, grpc.aio.AbortError):
                raise  # the caller is gone, or has been told
            except Exception as error:
                await _fail(call, error)

        return guarded

    def stream(self, inner: Stream) -> Stream:
        """Stream; abort for an exception."""

        async def guarded(request: Message, call: Call) -> AsyncIterator[Message]:
            try:
                async with aclosing(inner(request, call)) as answers:  # type: ignore[type-var]
                    async for answer in answers:
                        yield answer
            except (asyncio.CancelledError, grpc.aio.AbortError):
                raise
            except Exception as error:
                await _fail(call, error)

        return guarded


async def _fail(call: Call, error: Exception) -> NoReturn:
    if isinstance(error, PolycallError):
        await call.fail(status_of(error))
    log.error("request=%s method=%s failed unexpectedly\n%s", call.request_id, call.method, _where(error))
    await call.fail(unexpected(call.request_id))


def _where(error: BaseException) -> str:
    """Return types and frames of an exception and its causes; their texts may quote inputs and stay out of the log."""
    lines = []
    cause: BaseException | None = error
    while cause is not None:
        lines += [*traceback.format_tb(cause.__traceback__), f"{type(cause).__module__}.{type(cause).__qualname__}\n"]
        cause = cause.__cause__ or cause.__context__
    return "".join(lines)
