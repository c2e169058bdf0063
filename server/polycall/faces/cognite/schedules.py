"""A schedule in the vendor's words: how it is asked for, and how it is shown."""

from __future__ import annotations

from typing import Annotated

import msgspec

from polycall.domain import Schedule
from polycall.engine.cron import in_words
from polycall.errors import FieldViolation, InvalidArgument
from polycall.faces.cognite.filters import Range
from polycall.faces.cognite.queries import DEFAULT_LIMIT, MOST
from polycall.faces.cognite.requests import check_data
from polycall.faces.wire import Malformed, decode, present
from polycall.quick import dataclass

__all__ = [
    "LONGEST_NAME",
    "ScheduleBody",
    "ScheduleData",
    "ScheduleForm",
    "ScheduleQuery",
    "read_deleted_schedules",
    "read_schedule",
    "read_schedule_query",
    "vendors",
]

LONGEST_NAME = 140  # characters
_LARGEST = 2**53 - 1  # the largest integer that every JSON reader keeps
_MOST_IDS = 1000  # as many schedules as a project may have

_Id = Annotated[int, msgspec.Meta(ge=1, le=_LARGEST)]
_Limit = Annotated[int, msgspec.Meta(ge=1, le=MOST)]

# What the engine calls them, and what the vendor does.
_MEMBERS = {
    "schedule.cron": "cronExpression",
    "schedule.input_json": "data",
    "schedule.display_name": "name",
    "schedule.description": "description",
}


class ScheduleData(msgspec.Struct, frozen=True, kw_only=True):
    """What the face keeps of a schedule beside it: JSON in ``Schedule.face_data``."""

    session_id: int
    has_data: bool = True

    @classmethod
    def of(cls, schedule: Schedule) -> ScheduleData:
        """Return what is kept of a schedule of this face."""
        return msgspec.json.decode(schedule.face_data or b"", type=cls)

    def dump(self) -> bytes:
        """Return it as it is kept."""
        return msgspec.json.encode(self)


@dataclass(frozen=True, slots=True)
class ScheduleForm:
    """A schedule as it was asked for: of a function by id, or by external id. ``data``: JSON text of an object."""

    name: str
    cron: str
    description: str
    data: bytes | None
    nonce: str
    function_id: int | None
    function_external_id: str


class _ScheduleItem(msgspec.Struct, rename="camel"):
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_NAME)]
    cron_expression: str
    nonce: str
    function_id: _Id | None = None
    function_external_id: Annotated[str, msgspec.Meta(max_length=255)] | None = None
    description: Annotated[str, msgspec.Meta(max_length=500)] | None = None
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _SchedulesBody(msgspec.Struct):
    items: Annotated[list[_ScheduleItem], msgspec.Meta(min_length=1, max_length=1)]


class _Filter(msgspec.Struct, rename="camel"):
    name: str | None = None
    function_id: _Id | None = None
    function_external_id: str | None = None
    created_time: Range | None = None
    cron_expression: str | None = None
    # the vendor's document spells them this way in one place
    id_again: _Id | None = msgspec.field(default=None, name="FunctionId")
    external_id_again: str | None = msgspec.field(default=None, name="FunctionExternalId")


class _QueryBody(msgspec.Struct):
    filter: _Filter | None = None
    limit: _Limit | None = None


class _Item(msgspec.Struct):
    id: _Id


class _DeleteBody(msgspec.Struct):
    items: Annotated[list[_Item], msgspec.Meta(min_length=1, max_length=_MOST_IDS)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleQuery:
    """Which schedules are wanted; every part that is not None must match."""

    limit: int = DEFAULT_LIMIT
    name: str | None = None
    function_id: int | None = None
    function_external_id: str | None = None
    created: Range | None = None
    cron: str | None = None


class ScheduleBody(msgspec.Struct, kw_only=True, rename="camel"):
    """The vendor's FunctionSchedule. Members that are not set are left out."""

    id: int
    name: str
    created_time: int
    cron_expression: str
    when: str
    session_id: int
    function_id: int
    description: str | msgspec.UnsetType = msgspec.UNSET
    function_external_id: str | msgspec.UnsetType = msgspec.UNSET

    @classmethod
    def of(cls, schedule: Schedule, external_id: str | None) -> ScheduleBody:
        """Show a schedule that this face made, of a function with that external id, if it has one."""
        return cls(
            id=int(schedule.id),
            name=schedule.display_name,
            created_time=schedule.created_at,
            cron_expression=schedule.cron,
            when=in_words(schedule.cron),
            session_id=ScheduleData.of(schedule).session_id,
            function_id=int(schedule.package_id),
            description=schedule.description or msgspec.UNSET,
            function_external_id=msgspec.UNSET if external_id is None else external_id,
        )


def read_schedule(body: bytes) -> ScheduleForm:
    """Read the one schedule that is wanted. Raises Malformed, PayloadTooLarge."""
    item = decode(body, _SchedulesBody).items[0]
    if (item.function_id is None) == (item.function_external_id is None):
        raise Malformed.of("items[0]", "must have exactly one of functionId and functionExternalId")
    data = present(item.data)
    if data is not None:
        check_data(data)
    return ScheduleForm(
        name=item.name,
        cron=item.cron_expression,
        description=item.description or "",
        data=data,
        nonce=item.nonce,
        function_id=item.function_id,
        function_external_id=item.function_external_id or "",
    )


def read_schedule_query(body: bytes) -> ScheduleQuery:
    """Read which schedules are wanted. Raises Malformed."""
    form = decode(body or b"{}", _QueryBody)
    wanted = form.filter or _Filter()
    return ScheduleQuery(
        limit=form.limit or DEFAULT_LIMIT,
        name=wanted.name,
        function_id=wanted.function_id or wanted.id_again,
        function_external_id=wanted.function_external_id or wanted.external_id_again,
        created=wanted.created_time,
        cron=wanted.cron_expression,
    )


def read_deleted_schedules(body: bytes) -> tuple[int, ...]:
    """Read which schedules shall go. Raises Malformed."""
    return tuple(dict.fromkeys(item.id for item in decode(body, _DeleteBody).items))


def vendors(error: InvalidArgument) -> InvalidArgument:
    """Return an error of the engine with the vendor's names of what is wrong."""
    return InvalidArgument([FieldViolation(_MEMBERS.get(v.field, v.field), v.description) for v in error.violations])
