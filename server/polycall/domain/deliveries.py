"""Notifications that an execution has ended, and what signs them."""

from __future__ import annotations

import enum
import uuid
from dataclasses import field

from polycall.domain.executions import Execution
from polycall.quick import dataclass

__all__ = ["Delivery", "DeliveryState", "DueDelivery", "SigningSecret"]


class DeliveryState(enum.IntEnum):
    """Where a delivery is. The numbers are stored; never renumber."""

    PENDING = 0  # waits for its first attempt, or for the next one
    DELIVERED = 1  # the receiver answered 2xx
    DEAD = 2  # given up: the last attempt failed, or the receiver answered 410


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """The notification of one execution that named a completion URL. Its id is the execution's: there is one of each.

    Neither what is sent nor what a receiver answers beyond its status is kept.
    """

    execution_id: uuid.UUID
    project_id: str
    url: str = field(repr=False)  # its path and query may hold a token
    host: str
    state: DeliveryState
    created_at: int  # when the execution ended, the database's clock
    attempts: int = 0  # how many were begun, since it was created or last asked for again
    owner: str | None = None  # the node that is at an attempt
    next_attempt: int | None = None  # PENDING: when the next one may begin; while one is under way, when it is given up
    attempted_at: int | None = None  # when the last one began
    ended_at: int | None = None  # when it became DELIVERED or DEAD
    status: int | None = None  # what the last attempt was answered, an HTTP status; None: nothing
    error: str = ""  # why the last attempt failed


@dataclass(frozen=True, slots=True, kw_only=True)
class DueDelivery:
    """A delivery that was claimed, and all that an attempt needs.

    ``execution`` has neither input nor output; its result is there unless it is larger than was asked for
    (``result_omitted``). ``secrets``: the sealed signing secrets of the project by their ids, newest first.
    """

    delivery: Delivery
    execution: Execution
    result_omitted: bool
    secrets: tuple[tuple[str, str], ...] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningSecret:
    """What everybody of a project may know of a secret that signs its notifications."""

    project_id: str
    id: str
    created_at: int
    expires_at: int | None = None  # it signs until then; None: it is the newest
