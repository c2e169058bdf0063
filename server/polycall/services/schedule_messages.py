"""Schedules: between ``polycall.v1`` messages and the domain."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from google.protobuf import timestamp_pb2

from polycall.domain import MissedTicks, Overlap, Schedule
from polycall.engine.cron import in_words
from polycall.names import SCHEDULE_RULE, FunctionName, ParentName, ScheduleName, is_schedule_id
from polycall.quick import dataclass
from polycall.services.execution_messages import overrides, overrides_message
from polycall.services.policy_messages import read_retry, retry_message
from polycall.services.scalars import (
    clean,
    duration,
    enum_values,
    known,
    milliseconds,
    page_size,
    request_id,
    timestamp,
)
from polycall.services.violations import Violations
from polycall.store.protocol import ScheduleFilter
from polycall.v1 import schedule_pb2, schedule_service_pb2

__all__ = [
    "NewSchedule",
    "ScheduleChange",
    "read_new_schedule",
    "read_run_now",
    "read_schedule_change",
    "read_schedules_page",
    "schedule_message",
]

_OVERLAPS = enum_values(schedule_pb2.Schedule.Overlap, "OVERLAP", Overlap)
_MISSED = enum_values(schedule_pb2.Schedule.MissedTicks, "MISSED_TICKS", MissedTicks)
_OVERLAP_OF = {value: policy for policy, value in _OVERLAPS.items()}
_MISSED_OF = {value: policy for policy, value in _MISSED.items()}

# What an update may name, and what of a schedule it is.
_CHANGEABLE: Mapping[str, Sequence[str]] = {
    "function": ("package_id", "version_id", "function"),
    "cron": ("cron",),
    "timezone": ("timezone",),
    "input_json": ("input",),
    "limits": ("limits",),
    "max_attempts": ("max_attempts",),
    "deadline": ("deadline_ms",),
    "overlap": ("overlap",),
    "missed_ticks": ("missed",),
    "priority": ("priority",),
    "retry_policy": ("retry",),
    "display_name": ("display_name",),
    "description": ("description",),
    "completion_url": ("completion_url",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSchedule:
    """A CreateScheduleRequest."""

    schedule: Schedule
    request_id: str | None
    validate_only: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleChange:
    """An UpdateScheduleRequest: which, and what becomes of it."""

    schedule_id: str
    change: Callable[[Schedule], Schedule]
    validate_only: bool


def schedule_message(
    schedule: Schedule, next_runs: Iterable[int], *, named: bool = True, payloads: bool = True
) -> schedule_pb2.Schedule:
    """Render a schedule; ``named`` False for one that was only checked, ``payloads`` False for lists."""
    return schedule_pb2.Schedule(
        name=str(ScheduleName(schedule.id)) if named else None,
        function=str(FunctionName(schedule.package_id, schedule.version_id, schedule.function)),
        cron=schedule.cron,
        timezone=schedule.timezone,
        input_json=schedule.input.decode(errors="replace") if payloads else None,
        limits=overrides_message(schedule.limits),
        max_attempts=schedule.max_attempts,
        deadline=duration(schedule.deadline_ms * 1000) if schedule.deadline_ms is not None else None,
        overlap=_OVERLAPS[schedule.overlap],
        missed_ticks=_MISSED[schedule.missed],
        paused=schedule.paused,
        display_name=schedule.display_name,
        description=schedule.description,
        create_time=timestamp(schedule.created_at),
        update_time=timestamp(schedule.updated_at),
        next_runs=[timestamp_pb2.Timestamp(**fields) for tick in next_runs if (fields := timestamp(tick)) is not None],
        last_run_time=timestamp(schedule.last_run),
        run_count=schedule.runs,
        skipped_count=schedule.skipped,
        last_skipped_time=timestamp(schedule.last_skipped),
        last_skip_reason=clean(schedule.last_skip),
        face=schedule.face,
        when=in_words(schedule.cron),
        completion_url=schedule.completion_url,
        priority=schedule.priority,
        retry_policy=retry_message(schedule.retry),
    )


def read_new_schedule(request: schedule_service_pb2.CreateScheduleRequest) -> NewSchedule:
    """Read a CreateScheduleRequest. Raises InvalidArgument."""
    wrong = Violations()
    if request.schedule_id and not is_schedule_id(request.schedule_id):
        wrong.add("schedule_id", SCHEDULE_RULE)
    token = request_id(request.request_id, wrong)
    schedule = _schedule(request.schedule_id, request.schedule, wrong)
    if wrong or schedule is None:
        raise wrong.error()
    return NewSchedule(schedule=schedule, request_id=token, validate_only=request.validate_only)


def read_schedule_change(request: schedule_service_pb2.UpdateScheduleRequest) -> ScheduleChange:
    """Read an UpdateScheduleRequest. Raises InvalidArgument."""
    wrong = Violations()
    message = request.schedule
    name = wrong.attempt(lambda: ScheduleName.parse(message.name, "schedule.name"))
    paths = list(request.update_mask.paths)
    for index, path in enumerate(paths):
        if path not in _CHANGEABLE and path != "*":
            wrong.add(f"update_mask.paths[{index}]", f"must be one of {', '.join(_CHANGEABLE)}, or *")
    if "*" in paths:
        paths = list(_CHANGEABLE)
    elif not paths:  # AIP-134: what is set
        paths = [field.name for field, _ in message.ListFields() if field.name in _CHANGEABLE]
    whole = "function" in paths
    wanted = _schedule(name.schedule if name else "", message, wrong, whole=whole)
    if wrong or name is None or wanted is None:
        raise wrong.error()
    values = {field: getattr(wanted, field) for path in paths if path in _CHANGEABLE for field in _CHANGEABLE[path]}
    return ScheduleChange(
        schedule_id=name.schedule,
        change=lambda kept: replace(kept, **values),
        validate_only=request.validate_only,
    )


def read_schedules_page(request: schedule_service_pb2.ListSchedulesRequest) -> tuple[ScheduleFilter, int, str]:
    """Read a ListSchedulesRequest: filter, page size and token. Raises InvalidArgument."""
    wrong = Violations()
    size = page_size(request.page_size, wrong)
    parent = wrong.attempt(lambda: ParentName.parse(request.parent)) if request.parent else None
    wrong.refuse()
    where = ScheduleFilter(
        package_id=parent.package if parent else None,
        version_id=parent.version if parent else None,
        function=parent.function if parent else None,
    )
    return where, size, request.page_token


def read_run_now(request: schedule_service_pb2.RunScheduleRequest) -> tuple[str, str | None]:
    """Read a RunScheduleRequest: which, and the request id. Raises InvalidArgument."""
    wrong = Violations()
    name = wrong.attempt(lambda: ScheduleName.parse(request.name))
    token = request_id(request.request_id, wrong)
    if wrong or name is None:
        raise wrong.error()
    return name.schedule, token


def _schedule(
    schedule_id: str, message: schedule_pb2.Schedule, wrong: Violations, *, whole: bool = True
) -> Schedule | None:
    """Read what callers say of a schedule; not ``whole``: without its function."""
    function = wrong.attempt(lambda: FunctionName.parse(message.function, "schedule.function")) if whole else None
    values: dict[str, Any] = {
        "overlap": known(message.overlap, _OVERLAP_OF, Overlap.ALLOW, "schedule.overlap", wrong),
        "missed": known(message.missed_ticks, _MISSED_OF, MissedTicks.SKIP, "schedule.missed_ticks", wrong),
    }
    if message.HasField("retry_policy"):
        values["retry"] = read_retry(message.retry_policy, "schedule.retry_policy", wrong)
    if whole and function is None:
        return None
    return Schedule(
        project_id="",
        id=schedule_id,
        package_id=function.package if function else "",
        version_id=function.version if function else None,
        function=function.function if function else "",
        cron=message.cron,
        timezone=message.timezone or "UTC",
        created_at=0,
        updated_at=0,
        input=message.input_json.encode() or b"null",
        limits=overrides(message.limits),
        max_attempts=message.max_attempts or None,
        deadline_ms=milliseconds(message.deadline) if message.HasField("deadline") else None,
        paused=message.paused,
        priority=message.priority,
        display_name=message.display_name,
        description=message.description,
        completion_url=message.completion_url or None,
        face=message.face or None,
        **values,
    )
