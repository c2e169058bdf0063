"""Policies of functions, and limits of projects: who may see and set them, and what they may say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Protocol

from polycall.domain import PRIORITIES, FunctionPolicy, Principal, Project, RetryPolicy, Scope, is_retryable
from polycall.engine.keys import require
from polycall.engine.registry import Registry
from polycall.engine.siblings import CallAccepted, Siblings
from polycall.errors import FieldViolation, InvalidArgument, LimitOutOfRange
from polycall.store.protocol import Page, PolicyChange, PolicyStore, ProjectChange, TenancyStore

__all__ = ["Policies", "PoliciesStore", "check_priority", "check_retry"]

_MOST_POLICIES = 200  # of a project; a claim looks at all that have something to start: some 4 ms of SQLite for so many
_MOST_RUNNING = 10_000  # as many as may wait; more is no limit
_MOST_ATTEMPTS = 10
_SHORTEST_MS, _LONGEST_FIRST_MS, _LONGEST_MS = 100, 3_600_000, 86_400_000
_MOST_MULTIPLIED = 10
_LONGEST_NAME = 256  # of a project


class PoliciesStore(PolicyStore, TenancyStore, Protocol):
    """What policies need of the store."""


class Policies:
    """Shows and sets policies. ``look`` is told of projects whose queue is to be looked at."""

    def __init__(
        self, store: PoliciesStore, registry: Registry, siblings: Siblings, look: Callable[[str], None]
    ) -> None:
        self._store = store
        self._registry = registry
        self._siblings = siblings
        self._look = look

    async def get(self, who: Principal, package_id: str, function: str) -> FunctionPolicy:
        """Return a policy with what runs and waits; one that was never set is empty.

        Raises PermissionDenied, NotFound (package).
        """
        require(who, Scope.READ)
        return await self._store.get_policy(who.project_id, package_id, function)

    async def list(self, who: Principal, page_size: int, page_token: str = "") -> Page[FunctionPolicy]:
        """Return a page, by package and function, without counts. Raises PermissionDenied, InvalidArgument (token)."""
        require(who, Scope.READ)
        return await self._store.list_policies(who.project_id, page_size, page_token)

    async def update(
        self,
        who: Principal,
        package_id: str,
        function: str,
        change: PolicyChange,
        *,
        validate_only: bool = False,
    ) -> FunctionPolicy:
        """Set ``max_running``, ``retry`` or both, None to take it away; return the policy as it is then.

        Raises PermissionDenied, NotFound (package, function), LimitOutOfRange, QuotaExceeded.
        """
        require(who, Scope.DEPLOY)
        limit = change.get("max_running")
        if isinstance(limit, int):
            _check_limit(limit, "policy.max_running")
        if any(value is not None for value in change.values()):
            # one that there is, of the version that callers get: a name that was mistyped holds for nothing
            await self._registry.resolve(who.project_id, package_id, None, function)
        if validate_only:
            kept = await self._store.get_policy(who.project_id, package_id, function)
            return replace(kept, **change)
        await self._store.set_policy(who.project_id, package_id, function, change, _MOST_POLICIES)
        self._changed(who.project_id)
        return await self._store.get_policy(who.project_id, package_id, function)

    async def get_project(self, who: Principal, project_id: str) -> Project:
        """Return a project. Raises PermissionDenied (another than one's own takes the scope OPERATOR), NotFound."""
        require(who, Scope.READ if project_id == who.project_id else Scope.OPERATOR)
        return await self._store.get_project(project_id)

    async def update_project(self, who: Principal, project_id: str, change: ProjectChange) -> Project:
        """Set ``display_name``, ``max_running`` or both of a project; return it as it is then.

        Raises PermissionDenied (scope OPERATOR), NotFound, InvalidArgument, LimitOutOfRange.
        """
        require(who, Scope.OPERATOR)
        if len(str(change.get("display_name") or "")) > _LONGEST_NAME:
            raise InvalidArgument.of("project.display_name", f"must have at most {_LONGEST_NAME} characters")
        limit = change.get("max_running")
        if isinstance(limit, int):
            _check_limit(limit, "project.max_running")
        project = await self._store.change_project(project_id, change)
        self._changed(project_id)
        return project

    def _changed(self, project_id: str) -> None:
        """Have the queue of a project looked at everywhere: there may be room now."""
        self._look(project_id)
        self._siblings.hint(CallAccepted(project_id))


def check_priority(priority: int, field: str) -> None:
    """Raise LimitOutOfRange for a priority that there is not."""
    if priority not in PRIORITIES:
        raise LimitOutOfRange.of(field, f"must be {PRIORITIES[0]} to {PRIORITIES[-1]}, got {priority}")


def check_retry(policy: RetryPolicy, field: str) -> None:
    """Raise LimitOutOfRange for a retry policy that goes beyond what is allowed, with all that is wrong."""
    wrong = [FieldViolation(f"{field}.{name}", why) for name, why in _violations(policy)]
    if wrong:
        raise LimitOutOfRange(wrong)


def _check_limit(limit: int, field: str) -> None:
    if not 1 <= limit <= _MOST_RUNNING:
        why = f"must be 1 to {_MOST_RUNNING}, got {limit}"
        if limit == 0:
            why += ": with 0 nothing would ever start. To have no limit, name it in update_mask and do not set it"
        raise LimitOutOfRange.of(field, why)


def _violations(policy: RetryPolicy) -> Iterator[tuple[str, str]]:
    if not 1 <= policy.max_attempts <= _MOST_ATTEMPTS:
        yield "max_attempts", f"must be 1 to {_MOST_ATTEMPTS}, got {policy.max_attempts}"
    if not _SHORTEST_MS <= policy.initial_ms <= _LONGEST_FIRST_MS:
        span = f"{_SHORTEST_MS / 1000:g} to {_LONGEST_FIRST_MS // 1000} s"
        yield "initial_backoff", f"must be {span}, got {policy.initial_ms / 1000:g} s"
    elif not policy.initial_ms <= policy.maximum_ms <= _LONGEST_MS:
        span = f"as long as the first, {policy.initial_ms / 1000:g} s, to {_LONGEST_MS // 1000} s"
        yield "maximum_backoff", f"must be {span}, got {policy.maximum_ms / 1000:g} s"
    if not 1 <= policy.multiplier <= _MOST_MULTIPLIED:  # not for what is no number either
        yield "multiplier", f"must be 1 to {_MOST_MULTIPLIED}, got {policy.multiplier:g}"
    if not 0 <= policy.jitter <= 1:
        yield "jitter", f"must be 0 to 1, got {policy.jitter:g}"
    for reason in policy.reasons:
        if not is_retryable(reason):
            yield "reasons", f"{reason} is nothing that could be tried again"
