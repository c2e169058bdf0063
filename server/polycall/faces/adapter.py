"""Mounts a face on a gRPC server.

A face's method is registered as unary -> stream: on the wire that is a unary answer, but only so do an exact body and
an honest gRPC status other than OK leave together (a unary handler of grpc.aio drops its message when the code is not
OK). The gateway turns the HttpBody into the HTTP body, and initial metadata into HTTP headers; ``x-http-status``
becomes the status where the gRPC code alone would give another.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from typing import Any

import grpc
import grpc.aio
from google.api.httpbody_pb2 import HttpBody
from google.protobuf import message_factory
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import DecodeError, Message

from polycall.domain import Reason
from polycall.errors import Code, Internal, NotFound, PayloadTooLarge, PolycallError
from polycall.faces.reply import HTTP_OF, Face, Handler, Inbound, Reply
from polycall.ids import now_ms
from polycall.interceptors.rpc import Unread
from polycall.status import UNRUN, short, unrun

__all__ = ["bearer", "mount"]

_STATUS = {code.value[0]: code for code in grpc.StatusCode}
_LARGEST_REPLY = 64 * 1024 * 1024  # README of the contracts: answers may exceed 4 MB; the gateway takes 64 MiB

log = logging.getLogger(__name__)


def mount(server: grpc.aio.Server, service: ServiceDescriptor, face: Face) -> None:
    """Register every method of ``service`` with the face's handler of that name.

    Raises ValueError if the face lacks a handler or has one too many: a forgotten method must fail at start.
    """
    names = {method.name for method in service.methods}
    if names != set(face.handlers):
        raise ValueError(f"face {face.name}: handlers differ from the service: {names ^ set(face.handlers)}")
    methods = {}
    for method in service.methods:
        request = message_factory.GetMessageClass(method.input_type)
        methods[method.name] = grpc.unary_stream_rpc_method_handler(
            _behaviour(face, method.name, face.handlers[method.name], request),
            request_deserializer=_reader(request),
            response_serializer=HttpBody.SerializeToString,
        )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service.full_name, methods),))


def _reader(kind: type[Message]) -> Callable[[bytes], Message | None]:
    def read(data: bytes) -> Message | None:
        try:
            return kind.FromString(data)
        except DecodeError:  # the gateway decodes %FF of a path to what no text has
            return None

    return read


def _behaviour(
    face: Face, method: str, handler: Handler, kind: type[Message]
) -> Callable[[Message | Unread | None, grpc.aio.ServicerContext[Any, Any]], AsyncIterator[HttpBody]]:
    async def behave(
        request: Message | Unread | None, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[HttpBody]:
        unread = request.why if isinstance(request, Unread) else None
        inbound = _inbound(face, method, request if isinstance(request, Message) else kind(), context, unread)
        if request is None:
            reply = face.failure(_no_such_path(), inbound)
        else:
            reply = await _answer(face, handler, inbound)
        headers = list(reply.headers)
        if HTTP_OF[reply.code] != reply.status:
            headers.append(("x-http-status", str(reply.status)))
        if headers:
            await context.send_initial_metadata(tuple(headers))
        yield HttpBody(content_type=reply.content_type, data=reply.body)
        if reply.code is not Code.OK:
            context.set_code(_STATUS[reply.code.value])
            context.set_details(short(reply.message))  # of a header's size; the body has the whole text

    return behave


async def _answer(face: Face, handler: Handler, inbound: Inbound) -> Reply:
    try:
        reply = await handler(inbound)
        if len(reply.body) > _LARGEST_REPLY:
            raise PayloadTooLarge(f"The answer is larger than {_LARGEST_REPLY} bytes.")
    except asyncio.CancelledError:
        raise  # the client is gone: the run was killed on the way here
    except PolycallError as error:
        reply = face.failure(error, inbound)
        if unrun(error):
            reply = replace(reply, headers=(*reply.headers, UNRUN))
    except Exception:
        # Nothing of an unexpected exception reaches the client; the log has the traceback and no payload.
        log.exception("face %s: %s failed", face.name, inbound.method)
        reply = face.failure(Internal("Internal error."), inbound)
    return reply


def _no_such_path() -> NotFound:
    message = "There is nothing at this path: it is not UTF-8."
    return NotFound(Reason.UNKNOWN_METHOD, "path", "path", message)


def _inbound(
    face: Face,
    method: str,
    request: Message,
    context: grpc.aio.ServicerContext[Any, Any],
    unread: PolycallError | None,
) -> Inbound:
    metadata = context.invocation_metadata() or ()
    headers = {key: value for key, value in metadata if isinstance(value, str)}
    remaining = context.time_remaining()
    body: HttpBody = getattr(request, "body")  # noqa: B009  every request message of a face has it
    return Inbound(
        method=method,
        message=request,
        body=body.data,
        headers=headers,
        query=headers.get("x-polycall-query", ""),
        expires_at=None if remaining is None else time.monotonic() + remaining,
        received_at=now_ms(),
        body_limit=face.body_limit,
        unread=unread,
    )


def bearer(headers: Mapping[str, str]) -> str | None:
    """Return the credential of ``Authorization: Bearer …`` (it may contain spaces); None without one."""
    scheme, _, token = headers.get("authorization", "").strip().partition(" ")
    token = token.strip()
    return token if scheme.lower() == "bearer" and token else None
