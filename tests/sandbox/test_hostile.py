"""Every hostile program at every place: what it comes to, and that nothing is left of it.

The programs are data, in ``tests/sandbox/hostile``; what they try, and where that is held, is the table of
``docs/threat-model.md``.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Set
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from polycall.domain import IsolationLevel, Language
from polycall.errors import IsolationUnavailable
from polycall.sandbox.job import Ending, Outcome
from tests.sandbox.hostile.catalogue import Breaks, Either, Ends, Expectation, Program, Refused, Returns, Unpromised
from tests.sandbox.hostile.everything import PROGRAMS
from tests.sandbox.hostile.places import ORDINARY, SANDBOX_UIDS, Place, opened
from tests.sandbox.hostile.table import table
from tests.sandbox.hostile.traces import below, processes, strays

THREAT_MODEL = Path(__file__).parents[2] / "docs" / "threat-model.md"
# From the end of a run to the last trace of it: its process is reaped, another one waits in its place.
_REST_S = 90.0
_STEP_S = 0.02


@pytest.fixture(scope="module")
def places() -> Iterator[list[Place]]:
    with opened() as found:
        yield found


@pytest.fixture(scope="module")
def threads(places: list[Place]) -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(len(places)) as pool:
        yield pool


@pytest.mark.parametrize("program", PROGRAMS, ids=[program.name for program in PROGRAMS])
def test_hostile(program: Program, places: list[Place], threads: ThreadPoolExecutor) -> None:
    able = [place for place in places if program.language in place.languages]
    tried = [place for place in able if not isinstance(program.at(place.name, place.level), Unpromised)]
    table = processes()
    families = [below(place.pid, table) for place in tried]
    problems = [problem for found in threads.map(partial(attacked, program), tried, families) for problem in found]
    # to start a Deno in every place after every program would take most of the time there is: one place in turn
    turn = tried[len(program.name) % len(tried)]
    languages = [program.language if place is turn else Language.PYTHON for place in tried]
    assert list(threads.map(Place.next_runs_are_right, tried, languages)) == [None] * len(tried)
    assert "\n".join(problems) == ""
    comes_to_rest(tried)


def attacked(program: Program, place: Place, family: Set[int]) -> list[str]:
    """Run a program in a place; return what is not as it should be."""
    if isinstance(program.at(place.name, place.level), Refused):
        with pytest.raises(IsolationUnavailable):
            place.attack(program, sorted(family))
        return []
    outcomes = place.attack(program, sorted(family))
    expected = [program.at(place.name, place.level), *([program.then] if program.then else [])]
    found = [
        f"{place.name}: {outcome}"
        for outcome, hoped in zip(outcomes, expected, strict=False)
        if not meets(outcome, hoped)
    ]
    return found + [f"{place.name}: {outcome}" for outcome in outcomes if outcome.isolation != place.level]


def meets(outcome: Outcome, expected: Expectation) -> bool:
    if isinstance(expected, Either):
        return any(meets(outcome, one) for one in expected.of)
    if isinstance(expected, Ends):
        return (
            outcome.ending in expected.endings
            and expected.signal in (None, outcome.signal)
            and expected.exit_code in (None, outcome.exit_code)
            and (expected.reason is None or (outcome.error is not None and outcome.error.reason is expected.reason))
            and (expected.says is None or (outcome.error is not None and outcome.error.message == expected.says))
        )
    if outcome.ending is not Ending.RETURNED or outcome.value is None:
        return False
    returned = json.loads(outcome.value)
    if isinstance(expected, Breaks):
        return isinstance(returned, list) and returned != []
    assert isinstance(expected, Returns)
    return bool(returned == expected.value)


def comes_to_rest(places: list[Place]) -> None:
    """Wait until every place looks as it did before. One that does is not looked at again: nothing runs there."""
    uids = [SANDBOX_UIDS, range(ORDINARY, ORDINARY + 1)] if os.geteuid() == 0 else []
    deadline = time.monotonic() + _REST_S
    while True:
        table = processes()
        left = {place: found for place in places if (found := place.difference(table))}
        places = list(left)
        away = strays(uids, table)
        if not left and not away:
            return
        assert time.monotonic() < deadline, (list(left.values()), away)
        time.sleep(_STEP_S)


def test_every_level_that_the_machine_gives_is_tried(places: list[Place]) -> None:
    if os.geteuid() == 0:
        assert {place.level for place in places} == set(IsolationLevel)


def test_the_threat_model_says_what_is_tried_and_no_more() -> None:
    """After a change: ``python -m tests.sandbox.hostile.table``."""
    assert table() in THREAT_MODEL.read_text()


def test_every_program_has_a_name_of_its_own() -> None:
    assert len({program.name for program in PROGRAMS}) == len(PROGRAMS)
