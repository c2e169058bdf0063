from __future__ import annotations

import pytest

from polycall.domain import Execution, ExecutionError, ExecutionKind, ExecutionState, Reason, Usage
from polycall.engine.limits import DEFAULTS
from polycall.engine.outcomes import ended
from polycall.ids import new_id
from polycall.sandbox.job import Ending, Outcome

ERROR = ExecutionError(reason=Reason.USER_EXCEPTION, message="no", type="ValueError", traceback="t")
LOST = ExecutionError(reason=Reason.WORKER_LOST, message="Nothing ran, because there is no zygote; try again.")


def end(outcome: Outcome, *, script: bool = False) -> Execution:
    running = Execution(
        id=new_id(),
        project_id="p",
        kind=ExecutionKind.SYNC,
        state=ExecutionState.RUNNING,
        queued_at=1,
        owner="node",
        limits=DEFAULTS,
        usage=Usage(queue_us=7),
    )
    return ended(running, outcome, 2, script=script)


def test_a_value_completes() -> None:
    final = end(Outcome(ending=Ending.RETURNED, value=b"1", stdout=b"o", stderr=b"e", usage=Usage(run_us=5)))
    assert (final.state, final.result, final.error) == (ExecutionState.COMPLETED, b"1", None)
    assert (final.stdout, final.stderr, final.ended_at, final.owner) == (b"o", b"e", 2, None)
    assert (final.usage.queue_us, final.usage.run_us) == (7, 5)


@pytest.mark.parametrize(
    ("ending", "state", "reason", "message"),
    [
        (Ending.RAISED, "FAILED", "USER_EXCEPTION", "The code raised an exception that could not be read."),
        (Ending.EXITED, "FAILED", "USER_EXIT", "The code exited with code 3."),
        (Ending.SIGNALLED, "FAILED", "KILLED_BY_SIGNAL", "The code was ended by signal 9."),
        (Ending.TIMED_OUT, "TIMEOUT", "EXECUTION_TIMEOUT", "Execution timed out after 30 s (limits.timeout)."),
        (Ending.OUT_OF_MEMORY, "FAILED", "OUT_OF_MEMORY", "Killed: out of memory (limits.memory_mib = 128 MiB)."),
        (
            Ending.RESULT_TOO_LARGE,
            "FAILED",
            "RESULT_TOO_LARGE",
            "The returned value is larger than 6144 KiB (limits.result_kib).",
        ),
    ],
)
def test_each_ending_is_explained(ending: Ending, state: str, reason: str, message: str) -> None:
    final = end(Outcome(ending=ending, value=b"1", exit_code=3, signal=9))
    assert final.error is not None
    assert (final.state.name, final.error.reason, final.error.message) == (state, reason, message)
    assert (final.result, final.exit_code, final.signal) == (None, 3, 9)


@pytest.mark.parametrize("ending", list(Ending))
def test_every_ending_but_a_value_has_an_error(ending: Ending) -> None:
    final = end(Outcome(ending=ending, value=b"1"))
    assert (final.error is None) == (ending is Ending.RETURNED) == (final.result is not None)
    assert final.state.final


def test_the_users_own_exception_is_told_as_it_is() -> None:
    assert end(Outcome(ending=Ending.RAISED, error=ERROR)).error is ERROR


def test_a_lost_sandbox_says_why() -> None:
    assert end(Outcome(ending=Ending.LOST, error=LOST)).error == LOST


def test_a_script_completes_by_its_exit_code() -> None:
    assert end(Outcome(ending=Ending.EXITED, exit_code=0), script=True).state is ExecutionState.COMPLETED
    assert end(Outcome(ending=Ending.EXITED, exit_code=1), script=True).state is ExecutionState.FAILED
    assert end(Outcome(ending=Ending.EXITED, exit_code=0)).state is ExecutionState.FAILED
