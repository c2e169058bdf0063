"""How many changes the keys of a project may make."""

from __future__ import annotations

import time

import pytest

from polycall.acts import Act
from polycall.domain import Principal
from polycall.engine import allowance as module
from polycall.engine.allowance import Allowance, TooManyChanges
from polycall.engine.audit import AuditLog
from polycall.errors import Code


def act(action: str = "secret.create", project: str = "a") -> Act:
    made = Act(action)
    made.who = Principal(project_id=project, key_id="k", scopes=frozenset())
    return made


class Clock:
    """Stands still unless it is moved."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    return clock


def taken(allowance: Allowance, one: Act, most: int = 50) -> int:
    """Return how often it is let in before it is refused."""
    for number in range(most):
        try:
            allowance.take(one)
        except TooManyChanges:
            return number
    return most


def test_an_hours_changes_may_be_made_at_once_and_come_back_by_and_by(clock: Clock) -> None:
    allowance = Allowance(6)
    assert (taken(allowance, act()), taken(allowance, act(project="b"))) == (6, 6)
    with pytest.raises(TooManyChanges) as refused:
        allowance.take(act())
    assert refused.value.retry_after_s == pytest.approx(600)
    assert refused.value.metadata == {"limit": "6"}
    clock.now += 600
    assert taken(allowance, act()) == 1
    clock.now += 36_000
    assert taken(allowance, act()) == 6
    assert allowance.refused == 5


def test_who_revokes_keys_is_not_held_up_by_who_makes_changes(clock: Clock) -> None:
    allowance = Allowance(3)
    assert taken(allowance, act()) == 3
    assert taken(allowance, act("key.revoke")) == 3


def test_what_changes_nothing_and_whom_nobody_knows_are_not_counted(clock: Clock) -> None:
    allowance = Allowance(1)
    assert taken(allowance, act("")) == 50
    assert taken(allowance, Act("secret.create")) == 50
    assert taken(Allowance(0), act()) == 50


def test_projects_whose_hour_is_over_are_forgotten(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_PROJECTS", 10)
    allowance = Allowance(2)
    for number in range(10):
        taken(allowance, act(project=str(number)))
    clock.now += 3600
    taken(allowance, act(project="a"))
    assert len(allowance._left) == 1


async def test_a_key_that_may_change_nothing_keeps_nobody_from_changes(clock: Clock) -> None:
    allowance = Allowance(3)
    log = AuditLog(None, allowance=allowance)  # type: ignore[arg-type]  # refusals are not written here
    for _ in range(10):
        refused = act()
        allowance.take(refused)
        log.refused(refused, Code.PERMISSION_DENIED)
        log.refused(refused, Code.PERMISSION_DENIED)  # given back once
    log.refused(act(""), Code.PERMISSION_DENIED)  # was never counted
    unclear, done = act(), act()
    allowance.take(unclear)
    log.refused(unclear, Code.UNAVAILABLE)
    allowance.take(done)
    done.note("secrets/s")
    log.refused(done, Code.NOT_FOUND)  # one of several was made before
    assert taken(allowance, act()) == 1
