"""What is needed of the store for policies of functions, and limits of projects."""

from __future__ import annotations

from typing import Protocol, TypedDict

from polycall.domain import FunctionPolicy, Project, RetryPolicy
from polycall.store.protocol.pages import Page

__all__ = ["PolicyChange", "PolicyStore", "ProjectChange"]


class PolicyChange(TypedDict, total=False):
    """What becomes of a policy; None takes it away, what is not named stays."""

    max_running: int | None
    retry: RetryPolicy | None


class ProjectChange(TypedDict, total=False):
    """What becomes of a project; what is not named stays."""

    display_name: str
    max_running: int | None  # how many of its Calls run at once; None: no limit


class PolicyStore(Protocol):
    """Policies of functions; they go with their package. The queue goes by what is set from when it is answered on."""

    async def get_policy(self, project_id: str, package_id: str, function: str) -> FunctionPolicy:
        """Return with what runs and waits; one that was never set is empty. Raise NotFound (package)."""

    async def find_retry(self, project_id: str, package_id: str, function: str) -> RetryPolicy | None:
        """Return the retry policy of a function; None if it has none, or does not exist."""

    async def list_policies(self, project_id: str, page_size: int, page_token: str = "") -> Page[FunctionPolicy]:
        """Return a page of those that say something, by package and function, without counts.

        Raise InvalidArgument (token).
        """

    async def set_policy(
        self,
        project_id: str,
        package_id: str,
        function: str,
        change: PolicyChange,
        most: int,
    ) -> None:
        """Write what is named in a change; what waits already follows.

        Raise NotFound (package), QuotaExceeded for one more than ``most`` in a project.
        """

    async def change_project(self, project_id: str, change: ProjectChange) -> Project:
        """Write what is named in a change; return the project as it is then. Raise NotFound."""

    async def sweep_lanes(self) -> int:
        """Forget limits that were taken away once nothing waits under them; return how many. Crosses projects."""
