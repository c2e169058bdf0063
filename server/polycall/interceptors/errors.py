"""From exceptions to gRPC statuses with details, in one place."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import NoReturn

import grpc.aio
from google.protobuf.message import Message

from polycall.errors import PayloadTooLarge, PolycallError
from polycall.interceptors.rpc import Rpc, Stream, Unary
from polycall.logs import where
from polycall.status import UNRUN, status_of, unexpected, unrun

__all__ = ["Errors"]

log = logging.getLogger(__name__)


class Errors:
    """Ends RPCs that raise. What is not a PolycallError is our fault: INTERNAL, and the log says where.

    An answer of more than ``largest`` bytes is one too: gRPC would cut the call without saying why.
    """

    def __init__(self, largest: int) -> None:
        self._largest = largest

    def unary(self, inner: Unary) -> Unary:
        """Call; abort for an exception."""

        async def guarded(request: Message, rpc: Rpc) -> Message:
            try:
                answer = await inner(request, rpc)
                if (size := answer.ByteSize()) > self._largest:
                    raise self._too_large(size, rpc)
                return answer
            except (asyncio.CancelledError, grpc.aio.AbortError):
                raise  # the caller is gone, or has been told
            except Exception as error:
                await _fail(rpc, error)

        return guarded

    def stream(self, inner: Stream) -> Stream:
        """Stream; abort for an exception."""

        async def guarded(request: Message, rpc: Rpc) -> AsyncIterator[Message]:
            try:
                async with aclosing(inner(request, rpc)) as answers:  # type: ignore[type-var]
                    async for answer in answers:
                        if (size := answer.ByteSize()) > self._largest:
                            raise self._too_large(size, rpc)
                        yield answer
            except (asyncio.CancelledError, grpc.aio.AbortError):
                raise
            except Exception as error:
                await _fail(rpc, error)

        return guarded

    def _too_large(self, size: int, rpc: Rpc) -> PayloadTooLarge:
        metadata = {"size": str(size), "limit": str(self._largest)}
        if rpc.execution is not None:
            metadata["execution"] = f"executions/{rpc.execution.id}"
        return PayloadTooLarge(
            f"The answer has {size} bytes; at most {self._largest} can be sent. Ask for less: a smaller page, "
            "or lower limits of result and output.",
            subject="message size",
            metadata=metadata,
        )


async def _fail(rpc: Rpc, error: Exception) -> NoReturn:
    if isinstance(error, PolycallError):
        if unrun(error):
            rpc.add_trailing(UNRUN)
        await rpc.fail(status_of(error))
    log.error("request=%s method=%s failed unexpectedly\n%s", rpc.request_id, rpc.method, where(error))
    await rpc.fail(unexpected(rpc.request_id))
