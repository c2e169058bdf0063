"""Schedules of all projects."""

from __future__ import annotations

from polycall.domain import Schedule
from polycall.store import schedules
from polycall.store.config import StoreConfig
from polycall.store.executor import Executor
from polycall.store.failures import Conflict
from polycall.store.packages import no_package
from polycall.store.paging import page_of, read_token
from polycall.store.protocol import DueSchedules, Fired, Firing, Page, ScheduleFilter
from polycall.store.quota import StorageQuota

__all__ = ["SqlSchedules"]


class SqlSchedules:
    """See ``polycall.store.protocol.ScheduleStore``."""

    def __init__(self, executor: Executor, config: StoreConfig, quota: StorageQuota) -> None:
        self._executor = executor
        self._inline_bytes = config.inline_bytes
        self._quota = quota

    async def clock(self) -> int:
        """Return the database's time, ms. Raises Unavailable."""
        return await self._executor.read(schedules.clock)

    async def create_schedule(self, schedule: Schedule, *, most: int, most_of_package: int | None = None) -> Schedule:
        """Insert; raise AlreadyExists, NotFound (package, version), QuotaExceeded, Unavailable."""
        try:
            await self._executor.write(
                self._quota.within, schedule.project_id, schedules.create_schedule, schedule, most, most_of_package
            )
        except Conflict:  # the package went away after it was looked for
            raise no_package(schedule.package_id) from None
        return schedule

    async def get_schedule(self, project_id: str, schedule_id: str) -> Schedule:
        """Return with its input; raise NotFound, Unavailable."""
        return await self._executor.read(schedules.get_schedule, project_id, schedule_id)

    async def list_schedules(
        self, project_id: str, where: ScheduleFilter, page_size: int, page_token: str = ""
    ) -> Page[Schedule]:
        """Return a page without inputs, newest first; raise InvalidArgument (token), Unavailable."""
        scope = ("schedules", project_id, where)
        after = read_token(scope, page_token, schedules.Place.parse)
        found = await self._executor.read(schedules.list_schedules, project_id, where, after, page_size + 1)
        return page_of(scope, found, page_size)

    async def change_schedule(self, schedule: Schedule, *, retime: bool) -> bool:
        """Write what callers change; False if it is at another revision, or gone.

        Raises NotFound, QuotaExceeded, Unavailable.
        """
        try:
            return await self._executor.write(
                self._quota.within, schedule.project_id, schedules.change_schedule, schedule, retime
            )
        except Conflict:  # the package, or the version, is not there
            raise no_package(schedule.package_id) from None

    async def delete_schedule(self, project_id: str, schedule_id: str) -> None:
        """Delete; its executions stay. Raises NotFound, Unavailable."""
        await self._executor.write(schedules.delete_schedule, project_id, schedule_id)

    async def due_schedules(self, most: int) -> DueSchedules:
        """Return what is due in all projects; raise Unavailable."""
        return DueSchedules(*await self._executor.read(schedules.due_schedules, most))

    async def fire(self, seen: Schedule, firing: Firing) -> Fired:
        """Move a schedule on from its tick; see the protocol. Raises Unavailable."""
        return await self._executor.write(schedules.fire, seen, firing, self._inline_bytes)
