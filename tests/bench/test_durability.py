"""What `python -m bench.durability` does at full scale, short; what is measured by a clock is not judged here."""

from __future__ import annotations

import pytest

from bench.durability import SCENARIOS, main
from bench.verdict import Scale

SHORT = Scale(replicas=2, kills=2, calls=15, runs=10, spell_s=0.7)


@pytest.mark.parametrize("scenario", ["kills", "database"])
def test_nothing_is_lost(scenario: str) -> None:
    verdicts = SCENARIOS[scenario](SHORT)
    broken = [str(verdict) for verdict in verdicts if not verdict.kept and not verdict.timed]
    assert not broken, "\n".join(map(str, verdicts))
    assert len(verdicts) >= 3


def test_a_broken_promise_is_said_and_is_the_status(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--only", "nothing"])
    assert "there are kills, " in capsys.readouterr().err
