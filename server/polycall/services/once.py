"""Request ids: a repeat returns the first answer (AIP-155).

What one process has answered it remembers (``Once``). Over several, of the servers that get the same request one makes
it, and all return it (``found_or_made``): what has an id of the server's making gets one that follows from the request
id (``id_of``); versions, which have numbers, keep the request id beside them.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Generic, TypeVar

from polycall.domain import Principal, Scope
from polycall.errors import AlreadyExists, NotFound, PolycallError, Unavailable

__all__ = ["Once", "as_reader", "found_or_made", "id_of"]

T = TypeVar("T")

# One server's memory of an hour of deployments, and then some; a repeat after a restart is a new request.
_MOST_ANSWERS = 1000
_REQUESTS = uuid.UUID("6f1b8a9e-52c4-5d0a-9c55-0d7a1a2f4e3b")  # a name space of our own, made up once


class Once(Generic[T]):
    """Remembers the answers to requests with an id. Those that failed may be repeated."""

    def __init__(self) -> None:
        self._answers: OrderedDict[tuple[str, str], asyncio.Future[T]] = OrderedDict()

    async def __call__(self, project_id: str, request_id: str | None, act: Callable[[], Awaitable[T]]) -> T:
        """Return what ``act`` returned when the project first sent this id, waiting for it if need be."""
        if request_id is None:
            return await act()
        key = (project_id, request_id)
        first = self._answers.get(key)
        if first is not None:
            return await asyncio.shield(first)
        answer = self._answers[key] = asyncio.get_running_loop().create_future()
        try:
            value = await act()
        except BaseException as error:
            del self._answers[key]
            expected = isinstance(error, PolycallError)
            answer.set_exception(
                error if expected else Unavailable("The first request with this id failed; repeat it.")
            )
            answer.exception()  # retrieved: nobody may be waiting for it
            raise
        answer.set_result(value)
        if len(self._answers) > _MOST_ANSWERS:
            self._forget_oldest()
        return value

    def _forget_oldest(self) -> None:
        oldest = next((key for key, answer in self._answers.items() if answer.done()), None)
        if oldest is not None:
            del self._answers[oldest]


def id_of(project_id: str, noun: str, request_id: str) -> str:
    """Return the id that a request id stands for, in a project, of a kind of things."""
    return str(uuid.uuid5(_REQUESTS, "\0".join((project_id, noun, request_id))))


async def found_or_made(find: Callable[[], Awaitable[T]], make: Callable[[], Awaitable[T]]) -> T:
    """Return what another server may have made for the same request, else make it. Raises what ``make`` raises."""
    try:
        return await find()
    except NotFound:
        pass
    try:
        return await make()
    except AlreadyExists:
        with suppress(NotFound):  # what is there is another's
            return await find()
        raise


def as_reader(who: Principal) -> Principal:
    """Return who made something with the right to be told what it is."""
    return replace(who, scopes=frozenset({Scope.READ}))
