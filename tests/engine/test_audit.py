"""What was refused is counted and written by and by; what was done is written before it is answered."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import pytest

from polycall.acts import ANYWHERE, NOBODY, SEVERAL, Act, AuditEvent, AuditOutcome
from polycall.domain import Principal, Scope
from polycall.engine.audit import AuditLog
from polycall.errors import Code, Unavailable

ADA = Principal(project_id="team", key_id="ada", scopes=frozenset(Scope))


class Kept:
    """Keeps events, while it is there."""

    def __init__(self) -> None:
        self.events: list[AuditEvent] = []
        self.away = False

    async def append_audit(self, events: Sequence[AuditEvent]) -> None:
        if self.away:
            raise Unavailable("away")
        self.events += events


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def log(kept: Kept) -> AuditLog:
    return AuditLog(kept)  # type: ignore[arg-type]


def attempt(action: str = "", *, who: Principal | None = None, **more: Any) -> Act:
    act = Act(action, **more)
    act.who = who
    return act


async def test_an_act_keeps_no_more_of_a_name_than_the_log_does() -> None:
    act = attempt("secret.delete", who=ADA, resource="x" * (64 << 20), client="y" * 8192)
    assert (act.resource, act.client) == ("x" * 512 + "…", "y" * 64 + "…")
    act.resource = "\0" + "z" * (64 << 20)
    assert act.resource == "z" * 511 + "…"
    event = act.event(AuditOutcome.REFUSED, Code.INVALID_ARGUMENT, resource="\0short\ud800")
    assert (event.resource, event.client) == ("short?", act.client)


async def test_strangers_leave_one_event_a_contract_however_many_they_are(log: AuditLog, kept: Kept) -> None:
    for number in range(5000):
        method, resource = f"/m{number}", f"secrets/{number}"
        act = attempt("secret.delete", face="riza", method=method, resource=resource, client=f"192.0.2.{number % 99}")
        log.refused(act, Code.UNAUTHENTICATED)
    await log.flush()
    (event,) = kept.events
    assert (event.count, event.actor, event.project_id, event.face) == (5000, NOBODY, ANYWHERE, "riza")
    assert (event.action, event.outcome, event.code) == ("access", AuditOutcome.REFUSED, 16)
    assert (event.method, event.resource) == ("", "")
    assert event.detail["clients"].count(",") == 8
    assert int(event.detail["first_ms"]) <= int(event.detail["last_ms"])
    await log.flush()
    assert len(kept.events) == 1


async def test_what_a_key_is_refused_is_told_apart_by_method_and_code_up_to_a_bound(log: AuditLog, kept: Kept) -> None:
    for _ in range(3):
        log.refused(attempt("key.revoke", who=ADA, method="/a", resource="apiKeys/1"), Code.NOT_FOUND)
    log.refused(attempt("key.revoke", who=ADA, method="/a", resource="apiKeys/2"), Code.PERMISSION_DENIED)
    log.refused(attempt("key.create", who=ADA, method="/b"), Code.INTERNAL)
    await log.flush()
    assert [(e.actor, e.project_id, e.action, e.resource, e.outcome.value, e.code, e.count) for e in kept.events] == [
        ("ada", "team", "key.revoke", "apiKeys/1", "refused", 5, 3),
        ("ada", "team", "key.revoke", "apiKeys/2", "refused", 7, 1),
        ("ada", "team", "key.create", "", "failed", 13, 1),
    ]
    kept.events.clear()
    for number in range(1000):
        log.refused(attempt("key.create", who=ADA, method=f"/{number}"), Code.NOT_FOUND)
    await log.flush()
    assert len(kept.events) == 201
    assert (kept.events[-1].actor, kept.events[-1].project_id, kept.events[-1].count) == (SEVERAL, ANYWHERE, 800)
    assert sum(event.count for event in kept.events) == 1000


async def test_what_the_database_does_not_take_is_written_later_and_added_up(
    log: AuditLog, kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    kept.away = True
    log.refused(attempt(), Code.UNAUTHENTICATED)
    with caplog.at_level(logging.WARNING):
        await log.flush()
    assert "later" in caplog.text
    log.refused(attempt(), Code.UNAUTHENTICATED)
    kept.away = False
    await log.flush()
    assert [event.count for event in kept.events] == [2]


async def test_nothing_is_lost_that_there_is_no_room_for_while_the_database_is_away(
    log: AuditLog, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(events: Sequence[AuditEvent]) -> None:
        for number in range(200):  # these are refused meanwhile
            log.refused(attempt(who=ADA, method=f"/new/{number}"), Code.PERMISSION_DENIED)
        raise Unavailable("away")

    for number in range(5):
        log.refused(attempt(who=ADA, method=f"/old/{number}", client="192.0.2.1"), Code.PERMISSION_DENIED)
    with monkeypatch.context() as patch:
        patch.setattr(kept, "append_audit", away)
        await log.flush()
    await log.flush()
    assert sum(event.count for event in kept.events) == 205
    (several,) = [event for event in kept.events if event.actor == SEVERAL]
    assert (several.count, several.code, several.client) == (5, 7, "192.0.2.1")


async def test_what_changed_nothing_in_the_store_is_kept_all_the_same_once(log: AuditLog, kept: Kept) -> None:
    act = attempt("execution.cancel", who=ADA, resource="executions/1")
    await log.record(act)
    await log.record(act)
    assert [(e.action, e.detail) for e in kept.events] == [("execution.cancel", {"stored": "nothing"})]
    kept.away = True
    with pytest.raises(Unavailable):
        await log.record(attempt("execution.cancel", who=ADA))
