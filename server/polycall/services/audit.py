"""polycall.v1.AuditService."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import aclosing

from polycall.acts import AuditEvent, AuditFilter, AuditOutcome
from polycall.engine.audit import AuditLog
from polycall.interceptors.rpc import Rpc
from polycall.names import ProjectName
from polycall.services.scalars import clean, enum_values, known, optional_moment, page_size, timestamp
from polycall.services.violations import Violations
from polycall.v1 import audit_service_pb2 as pb
from polycall.v1 import audit_service_pb2_grpc

__all__ = ["AuditService"]

_ALL = "projects/-"
_OUTCOME_VALUES = enum_values(pb.AuditEvent.Outcome, "OUTCOME", AuditOutcome)
_OUTCOMES = {value: outcome for outcome, value in _OUTCOME_VALUES.items()}
_ACTION = re.compile(r"[a-z_]+(?:\.(?:[a-z_]+|\*))?")


class AuditService(audit_service_pb2_grpc.AuditServiceServicer):
    """Shows who did what."""

    def __init__(self, log: AuditLog) -> None:
        self._log = log

    async def ListAuditEvents(self, request: pb.ListAuditEventsRequest, rpc: Rpc) -> pb.ListAuditEventsResponse:
        """List events, newest first."""
        wrong = Violations()
        where = _filter(request.filter, wrong)
        size = page_size(request.page_size, wrong)
        project = _project(request.project, wrong)
        wrong.refuse()
        page = await self._log.page(
            rpc.who, where, size, request.page_token, project_id=project, everywhere=request.project == _ALL
        )
        return pb.ListAuditEventsResponse(
            events=[_message(event) for event in page.items], next_page_token=page.next_token
        )

    async def ExportAuditEvents(self, request: pb.ExportAuditEventsRequest, rpc: Rpc) -> AsyncIterator[pb.AuditEvent]:
        """Stream events, oldest first."""
        wrong = Violations()
        where = _filter(request.filter, wrong)
        project = _project(request.project, wrong)
        wrong.refuse()
        found = self._log.export(rpc.who, where, project_id=project, everywhere=request.project == _ALL)
        async with aclosing(found) as events:  # type: ignore[type-var]
            async for event in events:
                yield _message(event)


def _project(name: str, wrong: Violations) -> str | None:
    if not name or name == _ALL:
        return None
    found = wrong.attempt(lambda: ProjectName.parse(name, "project"))
    return None if found is None else found.project


def _filter(given: pb.AuditFilter, wrong: Violations) -> AuditFilter:
    if given.action and not _ACTION.fullmatch(given.action):
        wrong.add("filter.action", "must be an action such as `key.revoke`, or all of a noun: `key.*`")
    outcome = known(given.outcome, _OUTCOMES, None, "filter.outcome", wrong)
    return AuditFilter(
        since=optional_moment(given.HasField("start_time"), given.start_time, "filter.start_time", wrong),
        until=optional_moment(given.HasField("end_time"), given.end_time, "filter.end_time", wrong),
        actor=given.actor or None,
        action=given.action or None,
        resource=given.resource or None,
        outcome=outcome,
    )


def _message(event: AuditEvent) -> pb.AuditEvent:
    return pb.AuditEvent(
        name=f"auditEvents/{event.id}",
        project=str(ProjectName(event.project_id)) if event.project_id else "",
        time=timestamp(event.time),
        actor=event.actor,
        action=event.action,
        resource=clean(event.resource),
        outcome=_OUTCOME_VALUES[event.outcome],
        code=event.code,
        face=event.face,
        method=event.method,
        client=event.client,
        count=event.count,
        detail=event.detail,
    )
