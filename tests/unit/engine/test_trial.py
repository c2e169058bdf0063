"""Modules are imported before anybody calls them, where code may be run at all."""

from __future__ import annotations

from typing import Any, cast

import pytest

from polycall.domain import NO_OVERRIDES, IsolationLevel
from polycall.engine.floor import Floor
from polycall.engine.limits import LimitPolicy
from polycall.engine.trial import Trial
from polycall.errors import IsolationUnavailable
from polycall.sandbox.job import Bundle, Ending, Job, Outcome
from tests.store.examples import version


class FakeRunner:
    """Runs what it is given, in no sandbox."""

    isolation = IsolationLevel.CONFINED

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    async def run(self, job: Job) -> Outcome:
        self.jobs.append(job)
        return Outcome(ending=Ending.RETURNED)


@pytest.mark.parametrize(("floor", "imported"), [(IsolationLevel.CONFINED, 1), (IsolationLevel.NAMESPACED, 0)])
async def test_nothing_is_imported_below_the_isolation_floor(floor: IsolationLevel, imported: int) -> None:
    runner = FakeRunner()
    given = cast("Any", runner)
    trial = Trial(given, cast("Any", None), LimitPolicy(), Floor(given, floor, "no user namespaces"))
    files = Bundle(digest="", files={})
    if imported:
        assert (await trial.load(version(runtime="", limits=NO_OVERRIDES), files)).error is None
    else:
        with pytest.raises(IsolationUnavailable, match=r"level 1, the floor is 2: no user namespaces"):
            await trial.load(version(runtime="", limits=NO_OVERRIDES), files)
    assert [job.load_only for job in runner.jobs] == [True] * imported
