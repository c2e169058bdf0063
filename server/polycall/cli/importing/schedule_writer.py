"""Schedules."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from polycall.cli.failures import Failure
from polycall.cli.importing.comparing import schedule_differences
from polycall.cli.importing.finds import FoundSchedule
from polycall.cli.importing.report import Action, Outcome
from polycall.cli.importing.target import Target
from polycall.names import FunctionName, ScheduleName

if TYPE_CHECKING:
    from polycall.v1 import schedule_pb2

__all__ = ["write_schedule"]

_NOT_MADE = ("PACKAGE_NOT_FOUND", "VERSION_NOT_FOUND", "FUNCTION_NOT_FOUND", "FUNCTION_NOT_READY")


def write_schedule(target: Target, found: FoundSchedule) -> Outcome:
    """Return what became of a schedule. Raises Failure for what ends an import."""
    from google.protobuf.field_mask_pb2 import FieldMask

    from polycall.v1 import schedule_pb2
    from polycall.v1 import schedule_service_pb2 as pb

    client = target.client
    name = str(ScheduleName(found.id))
    wanted = schedule_pb2.Schedule(
        name=name,
        function=str(FunctionName(found.package_id, None, found.function)),
        cron=found.cron,
        timezone="UTC",
        input_json=found.input_json or "null",
        display_name=found.display_name,
        description=found.description,
        paused=bool(found.paused),
        face=found.face,
    )
    try:
        here = target.found(client.schedules.GetSchedule, pb.GetScheduleRequest(name=name), "SCHEDULE_NOT_FOUND")
        if here is None:
            _create_schedule(target, found.id, wanted)
            note = f"paused: {found.paused} {shlex.join(['polycall', 'schedules', 'resume', found.id])}"
            return Outcome("schedule", found.id, Action.CREATED, note if found.paused else "")
        if here.face != wanted.face:
            return Outcome("schedule", found.id, Action.REFUSED, "there is another one of this id here.")
        differences = schedule_differences(here, wanted)
        if not differences:
            return Outcome("schedule", found.id, Action.SAME)
        if not target.overwrite:
            return Outcome("schedule", found.id, Action.DIFFERS, ", ".join(differences))
        change = pb.UpdateScheduleRequest(
            schedule=wanted, update_mask=FieldMask(paths=differences), validate_only=target.dry_run
        )
        client.call(client.schedules.UpdateSchedule, change)
        return Outcome("schedule", found.id, Action.REPLACED, ", ".join(differences))
    except Failure as failure:
        return target.refused("schedule", found.id, failure)


def _create_schedule(target: Target, schedule_id: str, wanted: schedule_pb2.Schedule) -> None:
    from polycall.v1 import schedule_service_pb2 as pb

    request = pb.CreateScheduleRequest(schedule_id=schedule_id, schedule=wanted, validate_only=target.dry_run)
    try:
        target.client.call(target.client.schedules.CreateSchedule, request)
    except Failure as failure:
        # its function would be made first
        if not target.dry_run or failure.reason not in _NOT_MADE:
            raise
