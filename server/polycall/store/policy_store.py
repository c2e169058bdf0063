"""Policies of functions, and limits of projects, of all projects."""

from __future__ import annotations

import asyncio
import time

from polycall.domain import FunctionPolicy, Project, Reason, RetryPolicy
from polycall.errors import Unavailable
from polycall.store import policies
from polycall.store.executor import Executor
from polycall.store.lanes import LimitedProjects
from polycall.store.paging import page_of, read_token
from polycall.store.protocol import Page, PolicyChange, ProjectChange

__all__ = ["SqlPolicies"]

_SEEN_S = 5.0  # what stands still within a transaction is ended by then (store.executor_postgres)
_LOOK_S = 0.005


class SqlPolicies:
    """See ``polycall.store.protocol.PolicyStore``."""

    def __init__(self, executor: Executor, limited: LimitedProjects) -> None:
        self._executor = executor
        self._limited = limited

    async def get_policy(self, project_id: str, package_id: str, function: str) -> FunctionPolicy:
        """Return with what runs and waits; empty if it was never set. Raises NotFound (package), Unavailable."""
        return await self._executor.read(policies.get_policy, project_id, package_id, function)

    async def find_retry(self, project_id: str, package_id: str, function: str) -> RetryPolicy | None:
        """Return the retry policy of a function, None if it has none; raise Unavailable."""
        return await self._executor.read(policies.find_retry, project_id, package_id, function)

    async def list_policies(self, project_id: str, page_size: int, page_token: str = "") -> Page[FunctionPolicy]:
        """Return a page, by package and function, without counts; raise InvalidArgument (token), Unavailable."""
        scope = ("policies", project_id)
        after = read_token(scope, page_token, policies.Place.parse)
        return page_of(
            scope, await self._executor.read(policies.list_policies, project_id, after, page_size + 1), page_size
        )

    async def set_policy(
        self,
        project_id: str,
        package_id: str,
        function: str,
        change: PolicyChange,
        most: int,
    ) -> None:
        """Write ``max_running``, ``retry`` or both; raise NotFound (package), QuotaExceeded, Unavailable."""
        await self._executor.write(policies.set_policy, project_id, package_id, function, change, most)
        self._limited.forget()
        if change.get("max_running") is not None:
            await self._until_seen()

    async def change_project(self, project_id: str, change: ProjectChange) -> Project:
        """Set ``display_name``, ``max_running`` or both; return the project. Raises NotFound, Unavailable."""
        project = await self._executor.write(policies.change_project, project_id, change)
        self._limited.forget()
        if change.get("max_running") is not None:
            await self._until_seen()
        return project

    async def sweep_lanes(self) -> int:
        """Forget limits that were taken away and have nothing under them; return how many. Raises Unavailable."""
        return await self._executor.write(policies.sweep_lanes)

    async def _until_seen(self) -> None:
        """Wait until all have ended who may write that a Call runs without having seen a limit that was set now.

        Raises Unavailable where that takes too long.
        """
        left, until = await self._executor.read(policies.writers), time.monotonic() + _SEEN_S
        while left:
            if time.monotonic() > until:
                raise Unavailable(
                    f"The limit is set, but a transaction that began before has written executions for {_SEEN_S:g} s "
                    "and may not have seen it. Repeat the request to know when it holds.",
                    reason=Reason.STORE_UNAVAILABLE,
                )
            await asyncio.sleep(_LOOK_S)
            left &= await self._executor.read(policies.writers)
